"""Which run of which boot this is, and that there is one agent only for a run directory."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from collections.abc import Iterator
from pathlib import Path

from edgeagent.errors import OperatorError


def next_session(state_dir: Path) -> str:
    """`<boot>-<n>`: eight digits of the boot's id, and how often an agent started here. Never fails: without a disk
    that takes the number, the process id stands in."""
    boot = _boot_id()
    path = state_dir / "starts"
    try:
        state_dir.mkdir(parents=True, exist_ok=True)
        count = int(path.read_text()) + 1 if path.exists() else 1
        new = path.with_suffix(".new")
        new.write_text(f"{count}\n")
        new.replace(path)
    except (OSError, ValueError):
        count = os.getpid()
    return f"{boot}-{count}"


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
