"""What the jtop child says, and how it fills a reading. Pure: bytes and values in, values out; junk gives None.

jtop fills only what sysfs left empty: the memory's clock and load and the clocks of the engines, which only root can
read, and the GPU's load on Thor. A value that sysfs gives is never replaced.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from typing import Literal, cast, get_args

from edgeagent.board.parts import Engine
from edgeagent.board.reading import Reading

Why = Literal[
    "", "starting", "absent", "not-running", "no-permission", "version-mismatch", "python-mismatch", "stalled", "failed"
]
"""Why jtop gives nothing; "" = it gives samples, starting = the first one has not come yet."""

MENDS: dict[Why, str] = {
    "": "",
    "starting": "",
    "absent": "pip install jetson-stats, if you want what only jtop knows; nothing else needs it",
    "not-running": "sudo systemctl start jtop.service",
    "no-permission": "sudo usermod -a -G jtop edgeagent, then restart the service",
    "version-mismatch": "install the same jetson-stats for the agent's Python as the service runs",
    "python-mismatch": "run jtop's service and the agent with Pythons that understand each other's pickles",
    "stalled": "sudo systemctl restart jtop.service",
    "failed": "look at journalctl -u jtop.service",
}

_EMC_KHZ = (10_000, 20_000_000)  # jtop says 1 where it could not read the clock
_ENGINE_KHZ = (0, 10_000_000)


@dataclass(frozen=True)
class JtopSample:
    emc_khz: int | None = None
    emc_load_percent: float | None = None
    gpu_load_percent: float | None = None
    engines: tuple[Engine, ...] = ()


@dataclass(frozen=True)
class JtopEnd:
    """The child's last words."""

    why: Why
    detail: str = ""


def parse_jtop_line(line: bytes) -> JtopSample | JtopEnd | None:
    """One line of the child; None for anything that it does not say."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(message, dict):
        return None
    if isinstance(sample := message.get("sample"), dict):
        return _sample(sample)
    return _end(message) if "end" in message else None


def _sample(fields: dict[str, object]) -> JtopSample:
    engines = fields.get("engines")
    found = map(_engine, engines) if isinstance(engines, list) else ()
    return JtopSample(
        emc_khz=_whole(fields.get("emc_khz"), *_EMC_KHZ),
        emc_load_percent=_number(fields.get("emc_load_percent"), 0.0, 100.0),
        gpu_load_percent=_number(fields.get("gpu_load_percent"), 0.0, 100.0),
        engines=tuple(engine for engine in found if engine is not None),
    )


def _engine(fields: object) -> Engine | None:
    if not isinstance(fields, list) or len(fields) != 3:
        return None
    name, online, khz = fields
    if not isinstance(name, str) or not name.isprintable() or not 0 < len(name) <= 40:
        return None
    return Engine(name, online if isinstance(online, bool) else None, _whole(khz, *_ENGINE_KHZ))


def _number(value: object, low: float, high: float) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        return None
    return float(value) if math.isfinite(value) else None


def _whole(value: object, low: int, high: int) -> int | None:
    number = _number(value, low, high)
    return None if number is None else int(number)


def _end(message: dict[str, object]) -> JtopEnd:
    why, detail = message.get("end"), message.get("detail")
    known = why if isinstance(why, str) and why in get_args(Why) and why not in ("", "starting") else "failed"
    return JtopEnd(cast(Why, known), " ".join(detail.split())[:200] if isinstance(detail, str) else "")


def fill_reading(reading: Reading, sample: JtopSample | None) -> Reading:
    """`reading` with what jtop knows and sysfs did not give; `added` names it."""
    if sample is None:
        return reading
    added: list[str] = []
    if reading.emc_khz is None and sample.emc_khz is not None:
        reading = replace(reading, emc_khz=sample.emc_khz, emc_absent="")
        added.append("memory clock")
    if sample.emc_load_percent is not None:
        reading = replace(reading, emc_load_percent=sample.emc_load_percent)
        added.append("memory load")
    if reading.gpu.load_percent is None and sample.gpu_load_percent is not None:
        gpu = replace(reading.gpu, load_percent=sample.gpu_load_percent, load_absent="")
        reading = replace(reading, gpu=gpu)
        added.append("GPU load")
    if sample.engines:
        reading = replace(reading, engines=sample.engines)
        added.append("engine clocks")
    return replace(reading, added=tuple(added))


@dataclass(frozen=True)
class Retry:
    """When to start the child again: `fails` in a row so far."""

    fails: int = 0

    def after_end(self, why: Why, lived_s: float) -> tuple[Retry, float | None]:
        """The next state, and the delay in seconds or None for never.

        What only a person can mend is not tried again by this process. The rest is tried a few times, ever more
        slowly; a child that lived for a while starts the count anew.
        """
        fails = 0 if lived_s >= LIVED_S else self.fails
        if why in FINAL or fails >= len(DELAYS_S):
            return Retry(fails), None
        return Retry(fails + 1), DELAYS_S[fails]


FINAL = ("absent", "no-permission", "version-mismatch", "python-mismatch")
DELAYS_S = (10.0, 30.0, 90.0, 270.0, 810.0)
LIVED_S = 300.0
