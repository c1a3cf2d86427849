"""The frame ring between real processes at full speed: no torn frame, none lost in lossless mode, nothing left."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import pytest

from test_supervisor_kit import WAIT_S, environment, eye_on, wait_gone  # isort: skip  it makes children importable
from children.ring_pattern import Pattern

from edgeagent.camera.ring import RingWriter
from edgeagent.camera.ring_layout import W_NEWEST, RingLayout
from edgeagent.camera.ring_memory import create_ring, map_header


@contextlib.contextmanager
def ring(width: int, height: int, slots: int) -> Iterator[int]:
    fd = create_ring("test", RingLayout(width, height, slots))
    try:
        yield fd
    finally:
        os.close(fd)


@contextlib.contextmanager
def program(fd: int, module: str, *words: object) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", module, str(fd), *map(str, words)]
    with subprocess.Popen(
        command, pass_fds=[fd], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, **environment()}
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def output(process: subprocess.Popen[bytes]) -> IO[bytes]:
    assert process.stdout is not None
    return process.stdout


def report(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    """The reader's last line."""
    told = output(process).read()
    assert process.wait(WAIT_S) == 0
    found: dict[str, Any] = json.loads(told.splitlines()[-1])
    return found


def end(writer: subprocess.Popen[bytes]) -> None:
    assert writer.stdin is not None
    writer.stdin.close()
    assert writer.wait(WAIT_S) == 0


# Frames as an engine takes them in the smallest ring; in the usual ring; and frames that take long to copy.
@pytest.mark.parametrize(
    ("size", "slots", "count"), [((320, 320), 2, 2500), ((320, 320), 4, 2500), ((1280, 720), 2, 400)]
)
def test_no_frame_is_torn_whatever_the_speed(size: tuple[int, int], slots: int, count: int) -> None:
    """One writer without a pause and two readers that check every byte. That they met is shown by the readers' own
    counts of copies that the writer overtook."""
    with ring(*size, slots) as fd, program(fd, "children.ring_writer", "newest") as writer:
        with (
            program(fd, "children.ring_reader", "careful", count) as one,
            program(fd, "children.ring_reader", "careful", count) as two,
        ):
            reports = [report(one), report(two)]
        end(writer)
    for told in reports:
        assert (told["checked"], told["bad"], told["backwards"]) == (count, 0, 0)
    if slots == 2:
        assert sum(told["torn"] for told in reports) > 0


def test_a_reader_that_does_not_look_twice_is_caught() -> None:
    """The same run with the check taken out finds torn frames: the test above can fail."""
    with ring(320, 320, 2) as fd, program(fd, "children.ring_writer", "newest") as writer:
        with program(fd, "children.ring_reader", "careless", 1_000_000) as reader:
            assert report(reader)["bad"] == 1
        end(writer)


def test_a_writer_killed_in_the_middle_of_a_frame_harms_nobody() -> None:
    """Its half frame is never seen, and its successor goes on with that very number."""
    with ring(320, 320, 2) as fd:
        words = map_header(fd)
        with program(fd, "children.ring_reader", "careful", 800) as reader:
            for _ in range(3):
                with program(fd, "children.ring_writer", "newest") as writer:
                    wait_for(lambda before=words[W_NEWEST]: words[W_NEWEST] > before + 100)
                    end(writer)
                before = words[W_NEWEST]
                with program(fd, "children.ring_writer", "half") as writer:
                    assert output(writer).readline() == b"half\n"
                    writer.kill()
                    writer.wait(WAIT_S)
                assert words[W_NEWEST] == before
            with program(fd, "children.ring_writer", "newest") as writer:
                told = report(reader)
                end(writer)
        words.release()
    assert (told["checked"], told["bad"], told["backwards"]) == (800, 0, 0)


def test_writers_killed_at_any_moment_harm_nobody() -> None:
    chance = random.Random(3)
    with ring(640, 360, 2) as fd:
        words = map_header(fd)
        with program(fd, "children.ring_reader", "careful", 500) as reader:
            for _ in range(8):
                before = words[W_NEWEST]
                with program(fd, "children.ring_writer", "newest") as writer:
                    frames = chance.randrange(1, 60)
                    wait_for(lambda before=before, frames=frames: words[W_NEWEST] >= before + frames)
                    writer.send_signal(signal.SIGKILL)
                    writer.wait(WAIT_S)
                assert words[W_NEWEST] >= before + frames
            with program(fd, "children.ring_writer", "newest") as writer:
                told = report(reader)
                end(writer)
        words.release()
    assert (told["checked"], told["bad"], told["backwards"]) == (500, 0, 0)


def wait_for(fits: Callable[[], bool]) -> None:
    """Looks at shared memory until it fits: there is nothing else to wait on."""
    deadline = time.monotonic() + WAIT_S
    while not fits():
        assert time.monotonic() < deadline, "it did not happen in time"
        os.sched_yield()


def numbers(process: subprocess.Popen[bytes]) -> list[int]:
    return [int(line) for line in output(process).read().splitlines()]


def test_a_pass_loses_nothing_and_shows_nothing_twice() -> None:
    """The writer is several times as fast as the reader and must wait for it."""
    with ring(160, 160, 3) as fd:
        with (
            program(fd, "children.ring_writer", "lossless", 2000) as writer,
            program(fd, "children.ring_reader", "lossless", 2000) as reader,
        ):
            seen = numbers(reader)
            assert (reader.wait(WAIT_S), writer.wait(WAIT_S)) == (0, 0)
    assert seen == list(range(1, 2001))


def test_a_pass_survives_the_death_of_reader_and_writer() -> None:
    """Either is killed again and again. A reader tells before it counts, so the frame at which it died may be told
    once more by its successor, and no other."""
    lives: list[list[int]] = []
    with ring(160, 160, 2) as fd:
        while not lives or not lives[-1] or lives[-1][-1] < 1500:
            with program(fd, "children.ring_writer", "lossless", 1500) as writer:
                with program(fd, "children.ring_reader", "lossless", 1500) as reader:
                    told = [int(line) for line in (output(reader).readline() for _ in range(250)) if line]
                    victim = writer if len(lives) % 3 == 1 else reader
                    if told and told[-1] < 1300:
                        victim.kill()
                        victim.wait(WAIT_S)
                        reader.kill()
                    told += numbers(reader)
                    reader.wait(WAIT_S)
            lives.append(told)
    assert len(lives) >= 3
    for told, following in itertools.pairwise(lives):
        assert following[0] in (told[-1], told[-1] + 1)
    for told in lives:
        assert told == list(range(told[0], told[-1] + 1))
    assert (lives[0][0], lives[-1][-1]) == (1, 1500)


def holders(name: str) -> list[str]:
    """Every open descriptor and every mapping of that ring on this machine."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            found += [str(fd) for fd in (process / "fd").iterdir() if name in os.readlink(fd)]  # noqa: PTH115
            found += [str(process)] * (name in (process / "maps").read_text())
    return found


def test_the_memory_goes_with_the_last_process() -> None:
    """Owner killed with SIGKILL: writer, reader and memory go with it, and /dev/shm never knew of the ring."""
    name = f"gone{os.getpid()}"
    shm = set(os.listdir("/dev/shm"))  # noqa: PTH208
    with subprocess.Popen(
        [sys.executable, "-m", "children.ring_owner", name],
        stdout=subprocess.PIPE,
        env={**os.environ, **environment()},
    ) as owner:
        try:
            pids = [int(output(owner).readline()) for _ in range(2)]
            with contextlib.ExitStack() as stack:
                eyes = [stack.enter_context(eye_on(pid)) for pid in pids]
                assert output(owner).readline() == b"reading\n"  # the reader shares the owner's stdout
                assert {Path(found).parts[2] for found in holders(name)} == {str(pid) for pid in (owner.pid, *pids)}
                assert {entry for entry in os.listdir("/dev/shm") if name in entry} == set()  # noqa: PTH208
                owner.kill()
                assert all(wait_gone(eye) for eye in eyes)
        finally:
            owner.kill()
    assert holders(name) == []
    assert not {entry for entry in set(os.listdir("/dev/shm")) - shm if "edgeagent" in entry}  # noqa: PTH208


def test_readers_are_woken_for_each_frame() -> None:
    """Through an eventfd handed to the writer."""
    wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
    try:
        with ring(32, 32, 2) as fd, RingWriter(fd, [wake]) as writer:
            pattern = Pattern(writer.layout)
            for _ in range(5):
                pattern.write(writer)
            assert select.select([wake], [], [], 0)[0] == [wake]
            assert os.eventfd_read(wake) == 5
            writer.wake()
            assert os.eventfd_read(wake) == 1
    finally:
        os.close(wake)
