"""Which run of which boot this is, and that there is one agent only for a run directory."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from edgeagent.errors import OperatorError

MAX_DIGITS: Final = 15  # more starts than that there are not: the number is damaged


def next_session(state_dir: Path) -> str:
    """`<boot>-<n>`: eight digits of the boot's id, and how often an agent started here. Never fails, and never the same
    twice within a boot: where the number cannot be read or written, the milliseconds since the boot stand in."""
    path = state_dir / "starts"
    count = _count(path) + 1
    try:
        state_dir.mkdir(parents=True, exist_ok=True)
        new = path.with_suffix(".new")
        new.write_text(f"{count}\n")
        new.replace(path)
    except OSError:
        count = _uptime_ms()
    return f"{_boot_id()}-{count}"


def _count(path: Path) -> int:
    try:
        text = path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return 0
    except (OSError, ValueError):
        return _uptime_ms()
    return int(text) if text.isdecimal() and len(text) <= MAX_DIGITS else _uptime_ms()


def _uptime_ms() -> int:
    return time.monotonic_ns() // 1_000_000


def _boot_id() -> str:
    try:
        text = Path("/proc/sys/kernel/random/boot_id").read_text()
    except OSError:
        text = ""
    return re.sub("[^a-z0-9]", "", text.lower())[:8] or "unknown"


@contextlib.contextmanager
def only_agent(run_dir: Path) -> Iterator[None]:
    """Hold the run directory. Raises OperatorError when another agent holds it or it cannot be made."""
    path = run_dir / "agent.lock"
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise OperatorError(
            f"cannot use {run_dir}: {(error.strerror or str(error)).lower()}", mend="set device.run_dir, or its owner"
        ) from error
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OperatorError(
                f"another agent already runs with {run_dir}", mend="stop it first, or set device.run_dir"
            ) from error
        yield
    finally:
        os.close(fd)
