"""What must survive a reboot: the state found at first start, a reboot that is under way, the reboots so far.

The file is written whole or not at all. One that is damaged is put aside and told; what was found is then not known
any more, and the board's default mode stands in for it: the state of now may be edgeagent's own.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from edgeagent.durable import replace_file
from edgeagent.errors import EdgeAgentError
from edgeagent.power.clocks import ClockEnds
from edgeagent.power.plan import Found

MEMORY_FILE = "power.json"  # in the state directory
DAY_MS = 24 * 3600 * 1000
SANE_MS = 1_767_225_600_000  # 2026-01-01: a clock before it has not been set yet
_LIMIT = 65_536
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
    """`reboots_ms`: wall clock of edgeagent's own reboots; `gave_up`: the mode that a reboot did not bring.

    `required`: a mode that wants a reboot, and none was made.

    `keeper`: who changed the board last, "agent" or "person". What a person has set is not the agent's to undo.
    """

    found: Found | None = None
    pending: Pending | None = None
    reboots_ms: tuple[int, ...] = ()
    gave_up: str = ""
    keeper: str = ""
    required: Pending | None = None

    def may_reboot(self, now_ms: int, per_day: int) -> bool:
        """Whether the budget has one more: nothing recent is forgotten, whatever the clock says."""
        return len(self.dated(now_ms).reboots_ms) < per_day

    def with_reboot(self, pending: Pending, now_ms: int) -> PowerMemory:
        dated = self.dated(now_ms)
        return replace(dated, pending=pending, required=None, reboots_ms=(*dated.reboots_ms, now_ms))

    def with_bare_reboot(self, now_ms: int) -> PowerMemory:
        """One that brings no other mode: what waits for a reboot goes on waiting for it."""
        dated = self.dated(now_ms)
        return replace(dated, reboots_ms=(*dated.reboots_ms, now_ms))

    def without_reboot(self) -> PowerMemory:
        """The last reboot was refused: it does not count."""
        return replace(self, pending=None, reboots_ms=self.reboots_ms[:-1])

    def dated(self, now_ms: int) -> PowerMemory:
        """Without the reboots of more than a day ago. Devices boot in 1970, and clocks are wrong in other ways too.

        While the clock is not set, every reboot counts. Once it is, one that was dated before it was set, or a day
        and more ahead, is taken for one of now: it counts for a day, and then no longer.
        """
        if now_ms < SANE_MS:
            return self
        moved = (at if SANE_MS <= at < now_ms + DAY_MS else now_ms for at in self.reboots_ms)
        return replace(self, reboots_ms=tuple(at for at in moved if now_ms - at < DAY_MS))


def load_memory(path: Path, *, put_aside: bool = True) -> tuple[PowerMemory, str]:
    """The memory, and what is wrong with its file ("" for nothing). A damaged file is put aside as `.damaged`, unless
    one only looks. Raises PowerMemoryError for one that cannot be read."""
    try:
        raw = _read_plain(path)
    except FileNotFoundError:
        return PowerMemory(), ""
    except OSError as error:
        raise _error("read", path, error) from error
    try:
        return _parsed(json.loads(raw)), ""
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        if not put_aside:
            return PowerMemory(), f"{path} is damaged"
        with contextlib.suppress(OSError):
            path.replace(path.with_suffix(".damaged"))
        return PowerMemory(), f"{path} was damaged and is put aside as {path.with_suffix('.damaged').name}"


def _read_plain(path: Path) -> bytes:
    """The file, where it is a plain one of a sensible size: root reads here what others may have put there."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return b""
        return file.read(_LIMIT)


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
    found, pending, required = data["found"], data["pending"], data.get("required")
    return PowerMemory(
        found=None if found is None else _checked_found(found),
        pending=None if pending is None else _checked_pending(pending),
        reboots_ms=tuple(int(at) for at in data["reboots_ms"]),
        gave_up=str(data["gave_up"]),
        keeper=str(data["keeper"]),
        required=None if required is None else _checked_pending(required),
    )


def _checked_found(data: dict[str, Any]) -> Found:
    cpu, gpu = (None if data[key] is None else int(data[key]) for key in ("cpu_khz", "gpu_khz"))
    ends = tuple(
        ClockEnds(str(one["name"]), int(one["low_khz"]), int(one["high_khz"])) for one in data.get("ends", ())
    )  # older files have none
    mode = int(data["mode_id"]), str(data["mode_name"])
    return Found(*mode, bool(data["clocks_locked"]), str(data["fan"]), cpu, gpu, ends)


def _checked_pending(data: dict[str, Any]) -> Pending:
    return Pending(str(data["wish"]), int(data["mode_id"]), str(data["mode_name"]), str(data["boot_id"]))


def _error(verb: str, path: Path, error: OSError) -> PowerMemoryError:
    reason = (error.strerror or str(error)).lower()
    return PowerMemoryError(
        f"cannot {verb} {path}: {reason}", mend="use sudo, or give the edgeagent user its directory"
    )
