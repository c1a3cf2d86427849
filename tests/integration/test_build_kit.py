"""Children as real processes, and a camera that writes drawn frames into a ring. No tests in here."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from edgeagent.camera.ring import RingWriter
from edgeagent.camera.ring_layout import RingLayout
from edgeagent.camera.ring_memory import create_ring
from edgeagent.engine.build.messages import BuildStart, CalibrationWish
from edgeagent.simulate.scenes import ConveyorStream
from edgeagent.supervise.lifeline import environment_for_child
from edgeagent.supervise.messages import LineBuffer, Message
from edgeagent.supervise.program import CHANNEL_VARIABLE
from edgeagent.vision.letterbox import Letterbox, fit_letterbox

PATIENCE_S = 60.0


class Running:
    """A child as the agent starts it. `words` are what it said, heartbeats left out."""

    def __init__(self, module: str, first: Message, pass_fds: Sequence[int], stderr: Path) -> None:
        self._ours, theirs = socket.socketpair()
        self._stderr = stderr
        with theirs, stderr.open("wb") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module],
                stdin=subprocess.DEVNULL,
                stderr=errors,
                env={**environment_for_child(), CHANNEL_VARIABLE: str(theirs.fileno())},
                pass_fds=[theirs.fileno(), *pass_fds],
                start_new_session=True,
            )
        self._buffer = LineBuffer()
        self._waiting: list[dict[str, Any]] = []
        self.words: list[dict[str, Any]] = []
        self.pidfd = os.pidfd_open(self.pid)
        self.send(first)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def errors(self) -> str:
        return self._stderr.read_text()

    def send(self, message: Message) -> None:
        self._ours.sendall(message.line())

    def next(self, within_s: float = PATIENCE_S) -> dict[str, Any] | None:
        """The next word that is no heartbeat, None at the end of the stream."""
        until = time.monotonic() + within_s
        while not self._waiting:
            left = until - time.monotonic()
            assert left > 0 and select.select([self._ours], [], [], left)[0], f"silent after {self.words[-3:]}"
            try:
                data = self._ours.recv(1 << 16)
            except ConnectionResetError:
                return None
            if not data:
                return None
            words = [json.loads(line) for line in self._buffer.feed(data)]
            self._waiting.extend(word for word in words if word["kind"] != "heartbeat")
        self.words.append(self._waiting.pop(0))
        return self.words[-1]

    def until(self, kind: str, within_s: float = PATIENCE_S, **values: object) -> dict[str, Any]:
        """The next word of that kind with those values."""
        deadline = time.monotonic() + within_s
        while (word := self.next(deadline - time.monotonic())) is not None:
            if word["kind"] == kind and all(word[name] == value for name, value in values.items()):
                return word
        raise AssertionError(f"it ended without {kind} {values}: {self.words[-3:]} {self.errors}")

    def rest(self, within_s: float = PATIENCE_S) -> list[dict[str, Any]]:
        """All words up to the end of the stream."""
        before = len(self.words)
        while self.next(within_s) is not None:
            pass
        return self.words[before:]

    def signal(self, sig: signal.Signals) -> None:
        self._process.send_signal(sig)

    def wait(self, within_s: float = PATIENCE_S) -> int:
        return self._process.wait(within_s)

    def children(self) -> list[int]:
        """Processes that it has started and that live."""
        return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit() and _parent(path) == self.pid]

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *error: object) -> None:
        if self._process.poll() is None:
            os.killpg(self.pid, signal.SIGKILL)
            self._process.wait(10)
        os.close(self.pidfd)
        self._ours.close()


def _parent(process: Path) -> int:
    try:
        return int((process / "stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, IndexError):
        return 0


def gone(pidfd: int, within_s: float) -> bool:
    """Whether the process behind the descriptor ends in that time."""
    return bool(select.select([pidfd], [], [], within_s)[0])


class Camera:
    """A ring, its eventfd, and a thread that writes frames into it while it is `running`."""

    def __init__(self, frames: Sequence[np.ndarray], box: Letterbox | None = None, slots: int = 4) -> None:
        height, width = frames[0].shape[:2]
        self.frames = frames
        self.box = box or fit_letterbox(width, height, width, height)
        self.fd = create_ring("test", RingLayout(width, height, slots))
        self.wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.writer = RingWriter(self.fd, [self.wake_fd])
        self._stop = threading.Event()

    def put(self, frame: np.ndarray, box: Letterbox | None = None) -> int:
        np.copyto(self.writer.start(), frame)
        return self.writer.publish(time.monotonic_ns(), time.time_ns() // 1_000_000, box or self.box)

    @contextmanager
    def running(self, every_s: float = 0.002) -> Iterator[None]:
        thread = threading.Thread(target=self._run, args=(every_s,))
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()
            self._stop.clear()

    def _run(self, every_s: float) -> None:
        number = 0
        while not self._stop.wait(every_s):
            self.put(self.frames[number % len(self.frames)])
            number += 1

    def __enter__(self) -> Camera:
        return self

    def __exit__(self, *error: object) -> None:
        self.writer.close()
        os.close(self.fd)
        os.close(self.wake_fd)


def belt_frames(count: int, side: int = 320, seed: int = 9_000_000, step: int = 9) -> list[np.ndarray]:
    """What a camera over a conveyor sees, `step` frames apart."""
    stream = ConveyorStream(side, side, 30.0, seed)
    return [stream.frame(step * index)[0] for index in range(count)]


def build_start(folder: Path, ring_fd: int, model: str = "sample:conveyor", **values: Any) -> BuildStart:
    wish = {"frames": 12, "holdout": 6, "interval_s": 0.0, **values.pop("wish", {})}
    common: dict[str, Any] = {
        "precision": "int8",
        "quantisation": "none" if values.get("precision", "int8") != "int8" else "qdq",
        "placement": "cpu",
        "backend": "onnxruntime",
        "fingerprint": {"board": "test"},
        "threads": 1,
        "min_agreement": 0.9,
    }
    return BuildStart(
        model=model,
        calibration=CalibrationWish(folder=str(folder / "calibration" / "cam-1"), **wish),
        store=str(folder / "engines"),
        ring_fd=ring_fd,
        **{**common, **values},
    )


def start_build(folder: Path, camera: Camera, **values: Any) -> Running:
    first = build_start(folder, camera.fd, **values)
    return Running("edgeagent.engine.build.child", first, [camera.fd], folder / "stderr")
