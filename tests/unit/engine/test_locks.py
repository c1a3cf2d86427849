"""A lock is held by at most one process, and death lets go of it."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from edgeagent.engine.locks import try_lock

HOLDER = """
import signal, sys
from pathlib import Path
from edgeagent.engine.locks import try_lock
with try_lock(Path(sys.argv[1])) as free:
    print(free, flush=True)
    signal.pause()
"""


def holder(path: Path) -> subprocess.Popen[str]:
    """A process that holds the lock, once this returns."""
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "True\n"
    return process


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_the_death_of_its_holder_frees_it(tmp_path: Path, end: signal.Signals) -> None:
    path = tmp_path / "locks" / "one"
    with holder(path) as process:
        with try_lock(path) as free:
            assert not free
        process.send_signal(end)
        process.wait(10)
    with try_lock(path) as free:
        assert free
    assert path.exists()


def test_a_holders_child_does_not_inherit_it(tmp_path: Path) -> None:
    path = tmp_path / "one"
    with try_lock(path) as free:
        assert free
        child = subprocess.Popen(["cat"], stdin=subprocess.PIPE, close_fds=False)
    with child:
        with try_lock(path) as free:
            assert free
        child.kill()


def test_it_is_let_go_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(KeyError), try_lock(tmp_path / "one"):
        raise KeyError
    with try_lock(tmp_path / "one") as free:
        assert free


def test_a_lock_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError), try_lock(tmp_path / "file" / "one"):
        pass
