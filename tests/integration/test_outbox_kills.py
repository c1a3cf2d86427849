"""The outbox's file is killed at every step by which it changes the disk: nothing that was in it, or in the damaged
file that is being replaced, is lost.

Steps of our own are seen through an audit hook (`test_store_kit.py`), SQLite's through strace.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from test_store_kit import stopped_at_each_step

from edgeagent.fleet.outbox_aside import KEPT, damaged_files

KIT = Path(__file__).parents[1] / "unit" / "fleet"
sys.path.append(str(KIT))
from outbox_kit import reopened, rows  # noqa: E402

SETUP = f"""
import structlog, sys
structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
sys.path.append({str(KIT)!r})
from outbox_kit import event, filled, keeper

def before(folder):
    filled(folder / "outbox.db", *(event(n, b"the payload of %d" % n) for n in range(1, 41)))
    data = (folder / "outbox.db").read_bytes()
    (folder / "outbox.db").write_bytes(data.replace(b"payload of 17", b"pAyload of 17"))
    for n in range(1, {KEPT + 1}):
        (folder / f"outbox.db.damaged-1600000000.{{n}}").write_bytes(b"an earlier one")

def work(folder):
    one = keeper(folder / "outbox.db")
    one.open()
    one.take([event(1001), event(1002)], ())
    one.work(online=False, sync=True)
    one.close()
"""
SAVED = [number for number in range(1, 41) if number != 17]


def check(folder: Path) -> int:
    """Starts anew after a kill; returns how many damaged files there are then."""
    found = reopened(folder / "outbox.db")
    numbers = [entry.number for entry in found]
    assert [number for number in numbers if number <= 40] == SAVED
    assert numbers in (SAVED, [*SAVED, 1001, 1002])
    assert all(entry.payload == b"the payload of %d" % entry.number for entry in found if entry.number <= 40)
    assert not list(folder.glob("outbox.db.new*"))
    kept = damaged_files(folder / "outbox.db")
    assert 1 <= len(kept) <= KEPT
    return len(kept)


@pytest.mark.parametrize("mode", ["kill", "once", "full"])
def test_a_setting_aside_that_is_stopped_anywhere_loses_nothing(tmp_path: Path, mode: str) -> None:
    steps = stopped_at_each_step(SETUP, tmp_path, mode)
    assert len(steps) > 5
    assert any("rename outbox.db" in step.what for step in steps), [step.what for step in steps]
    for step in steps:
        check(step.folder)
    assert rows(steps[-1].folder / "outbox.db") == [*SAVED, 1001, 1002]


WORK = (
    SETUP
    + """
import pathlib
{}(pathlib.Path(sys.argv[1]))
"""
)
CALLS = ("pwrite64", "fdatasync", "fsync", "unlink", "rename", "ftruncate")


def run(function: str, folder: Path, *strace: str) -> int:
    command = [
        *strace,
        sys.executable,
        "-c",
        f"{SETUP}\nimport pathlib\n{function}(pathlib.Path(sys.argv[1]))",
        str(folder),
    ]
    return subprocess.run(command, check=False, capture_output=True, timeout=60).returncode


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
@pytest.mark.parametrize("call", CALLS)
def test_whatever_sqlite_was_doing_when_it_was_killed(tmp_path: Path, call: str) -> None:
    template = tmp_path / "template"
    template.mkdir()
    assert run("before", template) == 0
    for number in range(1, 100):
        folder = tmp_path / str(number)
        shutil.copytree(template, folder)
        inject = f"inject={call}:signal=SIGKILL:when={number}"
        strace = ("strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", inject)
        code = run("work", folder, *strace)
        check(folder)
        if code == 0:
            break
        assert code in (-signal.SIGKILL, 128 + signal.SIGKILL), f"it ended with {code} at {call} {number}"
        shutil.rmtree(folder)
    else:
        raise AssertionError("it never came through")
    assert rows(folder / "outbox.db") == [*SAVED, 1001, 1002]
