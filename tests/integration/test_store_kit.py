"""Programs that are killed in the middle of writing a store, and disks that are full. No tests in here.

`killed_at_each_step` runs a piece of code in fresh processes, one for each call by which it changes or flushes the
file system, and kills it with SIGKILL right before that call. Calls are seen through an audit hook (PEP 578) and
through `os.fsync`, which has no audit event.
"""

from __future__ import annotations

import os
import random
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

KIT = Path(__file__).parents[1] / "unit" / "engine"

STEPPER = """
import os, signal, sys
from pathlib import Path
sys.path.append(sys.argv[1])
EVENTS = {"open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.truncate", "shutil.rmtree"}
count, last, root = 0, None, None

def step(what):
    global count
    if root is None:
        return
    count += 1
    if count == last:
        os.kill(os.getpid(), signal.SIGKILL)

def hook(event, args):
    if event in EVENTS and root is not None and str(args[0]).startswith(root):
        step(event)

sys.addaudithook(hook)
fsync = os.fsync
def counted(fd):
    step("fsync")
    fsync(fd)
os.fsync = counted

#SETUP
def forked(folder, n):
    global count, last, root
    pid = os.fork()
    if pid:
        return os.waitpid(pid, 0)[1]
    count, last = 0, n
    before(folder)
    root = str(folder)
    work(folder)
    os._exit(0)

number = 0
while True:
    number += 1
    folder = Path(sys.argv[2]) / f"{number:03d}"
    folder.mkdir()
    status = forked(folder, number)
    if not os.WIFSIGNALED(status):
        assert status == 0, status
        break
print(number)
"""

LOOPER = """
import os, sys
from pathlib import Path
sys.path.append(sys.argv[1])
#SETUP
sys.stdin.buffer.read(1)
folder = Path(sys.argv[2])
while True:
    pid = os.fork()
    if pid == 0:
        os.write(1, b"%d\\n" % os.getpid())
        turn = os.getpid()
        while True:
            work(folder, turn)
            turn += 1
    os.waitpid(pid, 0)
    if not sys.stdin.buffer.read(1):
        break
"""

PATIENCE_S = 60


def killed_at_each_step(setup: str, folder: Path) -> list[Path]:
    """Run `work(folder)` of the code `setup`, killed at its first, second... step, each in a folder of its own.

    `before(folder)` runs ahead of it and is not killed. The last folder is that of the run that came through.
    """
    program = STEPPER.replace("#SETUP", setup)
    done = subprocess.run(
        [sys.executable, "-c", program, str(KIT), str(folder)],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    folders = sorted(folder.iterdir())
    assert len(folders) == int(done.stdout)
    return folders


def killed_at_random(setup: str, folder: Path, kills: int, longest_s: float, seed: int) -> Iterator[int]:
    """Let `work(folder, turn)` run in a loop and kill it after a random time, `kills` times; yields after each."""
    rng = random.Random(seed)
    command = [sys.executable, "-c", LOOPER.replace("#SETUP", setup), str(KIT), str(folder)]
    with subprocess.Popen(command, bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        for number in range(kills):
            process.stdin.write(b"g")
            pid = int(process.stdout.readline())
            victim = os.pidfd_open(pid)
            try:
                assert not select.select([victim], [], [], rng.uniform(0, longest_s))[0], "it died by itself"
                os.kill(pid, signal.SIGKILL)
                assert select.select([victim], [], [], PATIENCE_S)[0]
            finally:
                os.close(victim)
            yield number
        process.stdin.close()


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A file system of that size. Skips where the tests may not mount one."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs the right to mount a small file system (root)")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
