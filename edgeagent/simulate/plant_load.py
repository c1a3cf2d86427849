"""What a virtual board is loaded with: this machine's own load, and what a load file says in place of it."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from edgeagent.simulate.plant_spec import Load, Slices
from edgeagent.simulate.thermal import Air

_KEYS = ("cpu", "gpu", "dla", "memory_mb", "ambient_c", "sun_w", "blocked", "fan_failed", "oc1", "oc2")


class HostLoad:
    """How busy this machine was since the last question, 0..1."""

    def __init__(self) -> None:
        self._before = self._times()

    def share(self) -> float:
        before, self._before = self._before, self._times()
        busy, total = (now - then for now, then in zip(self._before, before, strict=True))
        return min(1.0, max(0.0, busy / total)) if total > 0 else 0.0

    @staticmethod
    def _times() -> tuple[int, int]:
        """Ticks (busy, total) of the first line of /proc/stat."""
        fields = [int(word) for word in Path("/proc/stat").read_bytes().split(b"\n", 1)[0].split()[1:9]]
        return sum(fields) - fields[3] - fields[4], sum(fields)


class Override:
    """The load file: read again when it changes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int] | None = None
        self._values: dict[str, float] = {}

    def values(self) -> dict[str, float]:
        """What the file sets; empty without a file. Junk leaves the values as they were."""
        try:
            stats = self._path.stat()
            if (stamp := (stats.st_mtime_ns, stats.st_size)) != self._stamp:
                self._stamp = stamp
                self._values = parse_override(self._path.read_bytes())
        except FileNotFoundError:
            self._stamp, self._values = None, {}
        except (OSError, ValueError) as error:
            sys.stderr.write(f"{self._path}: {error}; the load stays as it was\n")
        return self._values


def parse_override(raw: bytes) -> dict[str, float]:
    """The load file's numbers by name. Raises ValueError, naming the mistake, for anything else."""
    found = json.loads(raw)
    if not isinstance(found, dict):
        raise ValueError("not a JSON object")
    for name, value in found.items():
        if name not in _KEYS:
            raise ValueError(f"unknown key {name!r}: {', '.join(_KEYS)} are known")
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise ValueError(f"{name} is not a number")
    return {name: float(value) for name, value in found.items()}


def mix_load(host_share: float, override: Mapping[str, float]) -> Load:
    """The machine's load, with what the load file says in place of it. Busy machines also hold more memory."""
    cpu = override.get("cpu", host_share)
    gpu = override.get("gpu", host_share)
    return Load(cpu, gpu, override.get("memory_mb", 400.0 + 1200.0 * gpu), override.get("dla", 0.0))


def overridden(slices: Slices, override: Mapping[str, float]) -> Slices:
    """A load with what the load file says in place of it."""
    told = {name: override[name] for name in ("cpu", "gpu", "dla", "memory_mb") if name in override}
    return replace(slices, working=replace(slices.working, **told), resting=replace(slices.resting, **told))


def air_of(override: Mapping[str, float], ambient_c: float) -> Air:
    """What is around the board: `ambient_c` unless the load file names another, and what else it says of it."""
    return Air(
        override.get("ambient_c", ambient_c),
        sun_w=max(0.0, override.get("sun_w", 0.0)),
        blocked=override.get("blocked", 0.0),
        fan_failed=override.get("fan_failed", 0.0) > 0,
    )
