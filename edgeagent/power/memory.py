"""What must survive a reboot: the state found at first start, a reboot that is under way, the reboots so far.

The file is written whole or not at all. One that cannot be read is put aside, and what can still be saved of it
(nothing) is not guessed: the state found is then that of this start, and a note says so.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from edgeagent.durable import replace_file
from edgeagent.errors import EdgeAgentError
from edgeagent.power.plan import Found

DAY_MS = 24 * 3600 * 1000
_SCHEMA = "edgeagent/power-memory/1"


class PowerMemoryError(EdgeAgentError):
    """The file cannot be written: without it the board could not be brought back, so nothing is changed."""

    code = "power-memory"
    who = "operator"


@dataclass(frozen=True)
class Pending:
    """A reboot that was asked for: the wish it is part of, the mode it shall bring, and the boot it was asked in."""

    wish: str
    mode_id: int
    mode_name: str
    boot_id: str


@dataclass(frozen=True)
class PowerMemory:
    """`reboots_ms`: wall clock of edgeagent's own reboots; `gave_up`: the mode that a reboot did not bring."""

    found: Found | None = None
    pending: Pending | None = None
    reboots_ms: tuple[int, ...] = ()
    gave_up: str = ""

    def may_reboot(self, now_ms: int, per_day: int) -> bool:
        """Whether the budget has one more. Devices boot in 1970: a reboot dated later than now counts as recent."""
        recent = [at for at in self.reboots_ms if at > now_ms or now_ms - at < DAY_MS]
        return len(recent) < per_day

    def with_reboot(self, pending: Pending, now_ms: int) -> PowerMemory:
        recent = tuple(at for at in self.reboots_ms if at > now_ms or now_ms - at < DAY_MS)
        return replace(self, pending=pending, reboots_ms=(*recent, now_ms))


def load_memory(path: Path) -> tuple[PowerMemory, str]:
    """The memory, and what is wrong with its file ("" for nothing). A damaged file is put aside as `.damaged`."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return PowerMemory(), ""
    except OSError as error:
        raise _error("read", path, error) from error
    try:
        return _parsed(json.loads(raw)), ""
    except (ValueError, KeyError, TypeError, RecursionError):
        with contextlib.suppress(OSError):
            path.replace(path.with_suffix(".damaged"))
        return PowerMemory(), f"{path} was damaged and is put aside"


def save_memory(path: Path, memory: PowerMemory) -> None:
    """Raises PowerMemoryError; the old content is then still there."""
    data = {"schema": _SCHEMA, **asdict(memory)}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, (json.dumps(data, indent=1) + "\n").encode())
    except OSError as error:
        raise _error("write", path, error) from error


def _parsed(data: Any) -> PowerMemory:  # noqa: ANN401  JSON; wrong types raise here and nowhere else
    if data["schema"] != _SCHEMA:
        raise ValueError("another schema")
    found, pending = data["found"], data["pending"]
    return PowerMemory(
        found=None if found is None else _checked_found(found),
        pending=None if pending is None else Pending(**{key: pending[key] for key in Pending.__dataclass_fields__}),
        reboots_ms=tuple(int(at) for at in data["reboots_ms"]),
        gave_up=str(data["gave_up"]),
    )


def _checked_found(data: dict[str, Any]) -> Found:
    return Found(int(data["mode_id"]), str(data["mode_name"]), bool(data["clocks_locked"]), str(data["fan"]))


def _error(verb: str, path: Path, error: OSError) -> PowerMemoryError:
    return PowerMemoryError(
        f"cannot {verb} {path}: {(error.strerror or str(error)).lower()}", mend="give the edgeagent user its directory"
    )
