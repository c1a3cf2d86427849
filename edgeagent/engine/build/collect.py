"""The build's calibration set: the one that is there, or a new one from cameras' rings or from a directory.

Two builds for one camera collect it once. `network` is asked for now and then while frames come, so that a network
that cannot be used is told at once and not after the last frame.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgeagent.camera.ring import RingReader
from edgeagent.engine.build.messages import CalibrationWish
from edgeagent.engine.build.report import BuildReport
from edgeagent.engine.bundle import InputSpec
from edgeagent.engine.calibration import CalibrationSet, SetWriter, find_set, set_lock
from edgeagent.errors import EngineError

Frames = npt.NDArray[np.uint8]
LOOK_EVERY_S = 0.02
WAIT_FOR_OTHER_S = 0.5
ENDED_S = 3.0  # without a frame


class RingsInTurn:
    """The newest frames of several rings of one size, in turn; a camera that gives none is passed over."""

    def __init__(self, rings: Sequence[RingReader]) -> None:
        self._rings = deque((ring, [0]) for ring in rings)
        layout = rings[0].layout
        self._frame = np.empty((layout.height, layout.width, 3), np.uint8)

    def next(self) -> Frames | None:
        """The next one, which is overwritten by the one after; None while there is none."""
        for _ in range(len(self._rings)):
            ring, last = self._rings[0]
            self._rings.rotate(-1)
            if (meta := ring.read_newest(self._frame, after=last[0])) is not None:
                last[0] = meta.sequence
                return self._frame
        return None


def _opened(ring_fd: int, size: InputSpec) -> RingReader:
    ring = RingReader(ring_fd)
    layout = ring.layout
    if (layout.width, layout.height) != (size.width, size.height):
        ring.close()
        raise EngineError(f"the ring holds {layout.width}x{layout.height}, the model takes {size.width}x{size.height}")
    return ring


class Collector:
    """Gets one build its set. `check_network` raises when the network turned out to be unusable."""

    def __init__(
        self, wish: CalibrationWish, rings: Sequence[int], report: BuildReport, check_network: Callable[[], None]
    ) -> None:
        self._wish = wish
        self._rings = rings
        self._report = report
        self._check_network = check_network

    def calibration_set(self, size: InputSpec) -> CalibrationSet:
        """The set that is there, or a new one. Raises EngineError when there is nothing to make one from."""
        folder = Path(self._wish.folder)
        while True:
            with set_lock(folder) as free:
                found = find_set(folder)
                if found is not None and self._fits(found, size):
                    return found
                if free:
                    return self._collected(folder, size)
            self._report.tell("waiting", 0, "another process collects this camera's calibration frames")
            self._report.pause(WAIT_FOR_OTHER_S)

    def new_set(self, width: int, height: int) -> CalibrationSet:
        """A new set in the place of the one that may be there. Raises EngineError when no frames come."""
        folder = Path(self._wish.folder)
        while True:
            with set_lock(folder) as free:
                if free:
                    return self._collected(folder, InputSpec(width=width, height=height))
            self._report.tell("waiting", 0, "another process collects this camera's calibration frames")
            self._report.pause(WAIT_FOR_OTHER_S)

    def _fits(self, found: CalibrationSet, size: InputSpec) -> bool:
        record = found.record
        enough = record.holdout >= self._wish.holdout and len(record.files) >= self._wish.frames + self._wish.holdout
        return enough and (record.width, record.height) == (size.width, size.height)

    def _collected(self, folder: Path, size: InputSpec) -> CalibrationSet:
        with SetWriter(folder) as writer:
            if self._wish.images is not None:
                self._from_images(Path(self._wish.images), writer, size)
            else:
                self._from_rings(writer, size)
            return writer.commit(self._wish.holdout)

    def _from_images(self, images: Path, writer: SetWriter, size: InputSpec) -> None:
        from edgeagent.engine.images import collect_images

        def progress(percent: float, text: str) -> None:
            self._report.tell("collecting", percent, text)
            self._check_network()

        collect_images(images, writer, size.width, size.height, self._wish.frames, self._wish.holdout, progress)

    def _from_rings(self, writer: SetWriter, size: InputSpec) -> None:
        """Look at frames, each `interval_s` after the last or later, and keep those that differ most."""
        if not self._rings:
            raise EngineError(
                "there is nothing to calibrate with: no camera and no pictures",
                mend="name a camera or a directory of pictures",
                code="no_calibration",
            )
        count = self._wish.frames + self._wish.holdout
        writer.choose(count, self._wish.looks)
        with ExitStack() as stack:
            frames = RingsInTurn([stack.enter_context(_opened(fd, size)) for fd in self._rings])
            taken_s = time.monotonic()
            while True:
                while (frame := frames.next()) is None:
                    waited_s = time.monotonic() - taken_s
                    if writer.kept == count and waited_s > ENDED_S:
                        return  # a film that has ended: there are enough, if not as many to choose from
                    self._wait_for_frame(writer.offered, waited_s)
                taken_s = time.monotonic()
                writer.offer(frame)
                self._tell_collected(writer, count)
                self._check_network()
                if writer.settled:
                    return
                self._report.pause(taken_s + self._wish.interval_s - time.monotonic())

    def _looked_at(self, writer: SetWriter, count: int) -> float:
        """Percent of the frames that are looked at in a scene where something happens."""
        return min(100.0, 100.0 * writer.offered / (count * self._wish.looks))

    def _tell_collected(self, writer: SetWriter, count: int) -> None:
        text = f"{writer.kept} of {count} calibration frames from {self._cameras}"
        if writer.offered > count:
            text += f"; {writer.offered} looked at for those that differ most"
        self._report.tell("collecting", 100.0 if writer.settled else self._looked_at(writer, count), text)

    @property
    def _cameras(self) -> str:
        return "the camera" if len(self._rings) == 1 else f"{len(self._rings)} cameras"

    def _wait_for_frame(self, offered: int, waited_s: float) -> None:
        if waited_s > self._wish.patience_s:
            raise EngineError(
                f"the camera gave no frame to calibrate with for {self._wish.patience_s:g} s",
                mend="see the camera's health",
                code="no_calibration",
                retry=True,
            )
        if offered == 0 and waited_s > 1:
            self._report.tell("collecting", 0.001, "waiting for the camera's first frame")
        self._report.pause(LOOK_EVERY_S)
