"""What the capture child's tests share: the real child over a socket pair, with rings of its own. No tests in here."""

from __future__ import annotations

import contextlib
import functools
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from edgeagent.camera.messages import CAPTURE_WORDS, CaptureStart, Ended, RingOutput
from edgeagent.camera.ring import FrameMeta, RingReader
from edgeagent.camera.ring_layout import RingLayout
from edgeagent.camera.ring_memory import create_ring
from edgeagent.camera.spec import FileSpec, SourceSpec
from edgeagent.supervise.lifeline import environment_for_child
from edgeagent.supervise.messages import Fault, Heartbeat, LineBuffer, Message
from edgeagent.supervise.program import CHANNEL_VARIABLE
from edgeagent.vision.letterbox import apply_letterbox, fit_letterbox

WAIT_S = 20.0
SIZE = (96, 96)
Image = npt.NDArray[np.uint8]
Word = TypeVar("Word", bound=Message)


class Rings:
    """The agent's part: rings and their wake-ups, kept over the lives of several children."""

    def __init__(self, sizes: Sequence[tuple[int, int]] = (SIZE,), slots: int = 4) -> None:
        self.fds = [create_ring("capture", RingLayout(*size, slots)) for size in sizes]
        self.wakes = [os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC) for _ in sizes]
        self.readers = [RingReader(fd) for fd in self.fds]

    @property
    def reader(self) -> RingReader:
        return self.readers[0]

    def close(self) -> None:
        for reader in self.readers:
            reader.close()
        for fd in (*self.fds, *self.wakes):
            os.close(fd)

    def newest(self, after: int) -> tuple[FrameMeta, Image]:
        """Waits for a frame newer than `after` in the first ring."""
        return self._await(lambda out: self.reader.read_newest(out, after))

    def next_of_pass(self) -> tuple[FrameMeta, Image]:
        """Waits for the next frame of a pass that loses nothing; it stays unconsumed."""
        assert self.reader.lossless
        return self._await(lambda out: self.reader.read_exactly(self.reader.consumed + 1, out))

    def _await(self, read: Callable[[Image], FrameMeta | None]) -> tuple[FrameMeta, Image]:
        layout, deadline = self.reader.layout, time.monotonic() + WAIT_S
        out = np.empty((layout.height, layout.width, 3), np.uint8)
        while (meta := read(out)) is None:
            ready = select.select([self.wakes[0]], [], [], max(0.0, deadline - time.monotonic()))[0]
            assert ready, "no frame came in time"
            os.eventfd_read(self.wakes[0])
        return meta, out


class Child:
    """One life of a capture child."""

    def __init__(
        self,
        source: SourceSpec,
        rings: Rings,
        resume_after: int | None,
        command: Sequence[str],
        env: dict[str, str],
        fps: float | None,
    ) -> None:
        self._sock, theirs = socket.socketpair()
        with theirs:
            fds = [theirs.fileno(), *rings.fds, *rings.wakes]
            environ = {**environment_for_child(), **env, CHANNEL_VARIABLE: str(theirs.fileno())}
            self.process = subprocess.Popen(command, pass_fds=fds, env=environ, stdin=subprocess.DEVNULL)
        self.heard: list[tuple[float, Message]] = []
        self._buffer, self._next = LineBuffer(), 0
        outputs = [RingOutput(fd=fd, wake_fds=[wake]) for fd, wake in zip(rings.fds, rings.wakes, strict=True)]
        self.first = CaptureStart(camera="cam", source=source, rings=outputs, resume_after=resume_after, fps=fps)
        self.send(self.first)

    def send(self, message: Message) -> None:
        self._sock.sendall(message.line())

    def send_raw(self, data: bytes) -> None:
        self._sock.sendall(data)

    def until(self, kind: type[Word], wait_s: float = WAIT_S) -> Word:
        """The next word of that kind; the words before it are left behind in `heard`."""
        deadline = time.monotonic() + wait_s
        while True:
            for position in range(self._next, len(self.heard)):
                word = self.heard[position][1]
                if isinstance(word, kind):
                    self._next = position + 1
                    return word
            self._next = len(self.heard)
            assert self._hear(deadline), f"no {kind.__name__} came: {self.heard}"

    def to_the_end(self, wait_s: float = WAIT_S) -> list[Message]:
        """All words up to the end of the child."""
        deadline = time.monotonic() + wait_s
        while self._hear(deadline):
            pass
        return [word for _, word in self.heard]

    def _hear(self, deadline: float) -> bool:
        """Take in what it said; False at the end of its words."""
        ready = select.select([self._sock], [], [], max(0.0, deadline - time.monotonic()))[0]
        assert ready, f"nothing was said in time; heard: {self.heard}"
        try:
            data = self._sock.recv(65536)
        except ConnectionResetError:
            return False
        self.heard += [(time.monotonic(), parse(line)) for line in self._buffer.feed(data)]
        return bool(data)

    def exit_code(self) -> int:
        return self.process.wait(WAIT_S)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(WAIT_S)

    def fault(self, wait_s: float = WAIT_S) -> tuple[Fault, int]:
        """The fault that it tells, and its exit code: of one that stays, once the agent has gone."""
        fault = self.until(Fault, wait_s)
        if fault.stays:
            self.hang_up()
        else:
            assert self.to_the_end(wait_s)[-1] is fault
        return fault, self.exit_code()

    def hang_up(self) -> None:
        self._sock.close()


def parse(line: bytes) -> Message:
    if line.startswith(b'{"kind":"heartbeat"'):
        return Heartbeat.model_validate_json(line)
    if line.startswith(b'{"kind":"fault"'):
        return Fault.model_validate_json(line)
    return CAPTURE_WORDS.validate_json(line)


@contextlib.contextmanager
def rings(sizes: Sequence[tuple[int, int]] = (SIZE,), slots: int = 4) -> Iterator[Rings]:
    made = Rings(sizes, slots)
    try:
        yield made
    finally:
        made.close()


@contextlib.contextmanager
def capture(
    source: SourceSpec,
    to: Rings,
    resume_after: int | None = None,
    command: Sequence[str] = (sys.executable, "-m", "edgeagent.camera.capture_child"),
    *,
    fps: float | None = None,
    **env: str,
) -> Iterator[Child]:
    child = Child(source, to, resume_after, command, env, fps)
    try:
        yield child
    finally:
        child.kill()
        child.hang_up()


def fault_of(source: SourceSpec, wait_s: float = WAIT_S) -> tuple[Fault, int]:
    with rings() as made, capture(source, made) as child:
        return child.fault(wait_s)


def ended(child: Child) -> Ended:
    found = child.until(Ended)
    assert child.exit_code() == 0
    return found


@functools.cache
def scene(index: int, width: int = 160, height: int = 120) -> Image:
    """A picture that differs from every other one, and that a codec keeps well: large flat fields."""
    cells = np.random.default_rng(index).integers(0, 256, (4, 5, 3), np.uint8)
    return cv2.resize(cells, (width, height), interpolation=cv2.INTER_NEAREST)


def write_video(path: Path, frames: int, fps: float = 25.0, size: tuple[int, int] = (160, 120)) -> Path:
    codec = {".avi": "MJPG", ".mp4": "mp4v"}[path.suffix]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), fps, size)
    assert writer.isOpened()
    for index in range(frames):
        writer.write(scene(index, *size))
    writer.release()
    return path


def frames_of(path: Path, size: tuple[int, int] = SIZE) -> list[Image]:
    """What ought to be in the ring, frame by frame: the file as OpenCV decodes it, letterboxed."""
    video, found = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG), []
    while True:
        done, image = video.read()
        if not done:
            video.release()
            return found
        found.append(letterboxed(image, size))


def letterboxed(image: Image, size: tuple[int, int] = SIZE) -> Image:
    out = np.empty((size[1], size[0], 3), np.uint8)
    apply_letterbox(image, fit_letterbox(image.shape[1], image.shape[0], *size), out)
    return out


def once(path: Path, pace: str = "fastest") -> FileSpec:
    return FileSpec(path=str(path), mode="once", pace=pace)  # type: ignore[arg-type]
