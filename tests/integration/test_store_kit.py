"""Programs that are killed in the middle of writing a store, and disks that are full. No tests in here.

`killed_at_each_step` runs a piece of code in fresh processes, one for each step by which it changes or flushes the
file system, and kills it with SIGKILL right before that step. `full_at_each_step` lets the step fail with ENOSPC
instead. Steps are seen from outside, without a word in the code under test: opening a file to write, renames, removals
and new directories through an audit hook (PEP 578); `os.fsync`; and every write to a file, which is done in two halves
with a step before each, so that half-written files come about as well.
"""

from __future__ import annotations

import json
import os
import random
import re
import select
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

KIT = Path(__file__).parents[1] / "unit" / "engine"

STEPPER = """
import io, os
real_open = io.open

class Halves(io.FileIO):
    def write(self, data):
        data, where = memoryview(data), os.readlink(f"/proc/self/fd/{self.fileno()}")
        step("write", where)
        half = super().write(data[: len(data) // 2] if len(data) > 1 else data)
        if half < len(data):
            step("write on", where)
            half += super().write(data[half:])
        return half

class SteppingOpen:  # no function: Python 3.10 would make a method of it
    def __call__(self, file, mode="r", *rest, **more):
        if "b" in mode and set(mode) & set("wxa+"):
            return io.BufferedWriter(Halves(file, mode))
        return real_open(file, mode, *rest, **more)

io.open = SteppingOpen()  # before pathlib is imported, which keeps a reference in Python 3.10

import errno, json, shutil, signal, sys
from pathlib import Path
sys.path.append(sys.argv[1])
EVENTS = {"open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.truncate", "os.link", "os.symlink"}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
ALLOCATING = {"open", "os.mkdir", "fsync", "write", "write on"}
mode, count, last, root, reported = sys.argv[3], 0, None, None, False

def step(what, path):
    global count, reported
    if root is None or not path.startswith(root):
        return
    count += 1
    if count < last or (mode == "kill" and count > last) or (mode == "once" and count > last):
        return
    if not reported:
        reported = True
        os.write(1, json.dumps({"step": what, "path": path[len(root):]}).encode() + b"\\n")
    if mode == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if mode == "once" or what in ALLOCATING:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)

def place(args, event):
    path = os.fspath(args[0]) if not isinstance(args[0], int) else os.readlink(f"/proc/self/fd/{args[0]}")
    path = os.fsdecode(path)
    fd = {"os.remove": 1, "os.rmdir": 1, "os.mkdir": 2, "os.rename": 2}.get(event)
    if not os.path.isabs(path) and fd is not None and args[fd] >= 0:
        path = os.path.join(os.readlink(f"/proc/self/fd/{args[fd]}"), path)
    return path

def hook(event, args):
    if root is None or event not in EVENTS:
        return
    if event == "open" and (isinstance(args[0], int) or not args[2] & WRITING):
        return
    step(event, place(args, event))

sys.addaudithook(hook)
fsync = os.fsync
def stepping_fsync(fd):
    step("fsync", os.readlink(f"/proc/self/fd/{fd}"))
    fsync(fd)
os.fsync = stepping_fsync

#SETUP
from edgeagent.errors import EdgeAgentError

def forked(template, folder, n):
    global count, last, root
    shutil.copytree(template, folder, symlinks=True)
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return os.waitpid(pid, 0)[1]
    count, last = 0, n
    root = str(folder) + "/"
    end = "done"
    try:
        work(folder)
    except EdgeAgentError as error:
        end = error.error_code
    root = None
    os.write(1, json.dumps({"end": end, "hit": count >= n}).encode() + b"\\n")
    os._exit(0)

template, number = Path(sys.argv[2]) / "template", 0
template.mkdir()
before(template)
while True:
    number += 1
    status = forked(template, Path(sys.argv[2]) / f"{number:03d}", number)
    if mode == "kill" and os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        os.write(1, b'{"end": "killed", "hit": true}\\n')
    elif status != 0:
        raise SystemExit(f"step {number}: it ended with the status {status}")
    with real_open(sys.argv[4]) as told:
        *_, end = told
    if not json.loads(end)["hit"]:
        break
shutil.rmtree(template)
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
KEYS = re.compile(r"[0-9a-f]{32}")
CHANCE = re.compile(r"(?<=KEY-)[a-z0-9_]{8}(?=/|$)|(?<=\.)\d+(?=\.new)")


@dataclass(frozen=True)
class Step:
    """One step at which a program was stopped. `end`: killed, or how it went on: a StoreError's code, or done.

    `what` is the call and the place, without keys and random parts. The last one of a list was not stopped at all.
    """

    folder: Path
    what: str
    end: str


def stopped_at_each_step(setup: str, folder: Path, mode: str) -> list[Step]:
    """Run `work(folder)` of the code `setup`, stopped at its first, second... step, each in a folder of its own.

    `before(folder)` runs once ahead of it, in a folder that is copied for every run. `mode`: kill; once: the step
    fails with ENOSPC and the disk has space again; full: every step from there on that needs space fails so.
    """
    program = STEPPER.replace("#SETUP", setup)
    told = folder / "told"
    with told.open("wb") as file:
        done = subprocess.run(
            [sys.executable, "-c", program, str(KIT), str(folder), mode, str(told)],
            stdout=file,
            stderr=subprocess.PIPE,
            timeout=PATIENCE_S,
            check=False,
        )
    assert done.returncode == 0, done.stderr.decode()
    lines = [json.loads(line) for line in told.read_bytes().splitlines()]
    told.unlink()
    folders = sorted(folder.iterdir())
    steps, what = [], ""
    for line in lines:
        if "step" in line:
            what = f"{line['step'].removeprefix('os.')} {CHANCE.sub('*', KEYS.sub('KEY', line['path']))}"
        else:
            steps.append(Step(folders[len(steps)], what if line["hit"] else "", line["end"]))
    assert len(folders) == len(steps)
    return steps


def killed_at_each_step(setup: str, folder: Path) -> list[Path]:
    """The folders of `stopped_at_each_step` by SIGKILL. The last is that of the run that came through."""
    return [step.folder for step in stopped_at_each_step(setup, folder, "kill")]


def table(counts: Counter[str]) -> str:
    """How often something was stopped at which step."""
    return "\n".join(f"{count:5d}  {what}" for what, count in sorted(counts.items(), key=lambda one: (-one[1], one[0])))


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
def small_disk(folder: Path, size: str, options: str = "") -> Iterator[Path]:
    """A file system of that size. Skips where the tests may not mount one."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}{options}", "tmpfs", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        folder.rmdir()
        pytest.skip("needs the right to mount a small file system (root)")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
        folder.rmdir()
