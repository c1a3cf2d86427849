"""The build's calibration set: the one that is there, or a new one from the camera's ring or from a directory.

Two builds for one camera collect it once. `network` is asked for now and then while frames come, so that a network
that cannot be used is told at once and not after the last frame.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from edgeagent.engine.build.messages import CalibrationWish
from edgeagent.engine.build.report import BuildReport
from edgeagent.engine.bundle import InputSpec
from edgeagent.engine.calibration import CalibrationSet, SetWriter, find_set, set_lock
from edgeagent.errors import EngineError

LOOK_EVERY_S = 0.02
WAIT_FOR_OTHER_S = 0.5
ENDED_S = 3.0  # without a frame


class Collector:
    """Gets one build its set. `check_network` raises when the network turned out to be unusable."""

    def __init__(
        self, wish: CalibrationWish, ring_fd: int | None, report: BuildReport, check_network: Callable[[], None]
    ) -> None:
        self._wish = wish
        self._ring_fd = ring_fd
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
                self._from_ring(writer, size)
            return writer.commit(self._wish.holdout)

    def _from_images(self, images: Path, writer: SetWriter, size: InputSpec) -> None:
        from edgeagent.engine.images import collect_images

        def progress(percent: float, text: str) -> None:
            self._report.tell("collecting", percent, text)
            self._check_network()

        collect_images(images, writer, size.width, size.height, self._wish.frames, self._wish.holdout, progress)

    def _from_ring(self, writer: SetWriter, size: InputSpec) -> None:
        """Look at frames, each `interval_s` after the last or later, and keep those that differ most."""
        import numpy as np

        from edgeagent.camera.ring import RingReader

        if self._ring_fd is None:
            raise EngineError(
                "there is nothing to calibrate with: no camera and no pictures",
                mend="name a camera or a directory of pictures",
                code="no_calibration",
            )
        count = self._wish.frames + self._wish.holdout
        writer.choose(count, self._wish.looks)
        with RingReader(self._ring_fd) as ring:
            layout = ring.layout
            if (layout.width, layout.height) != (size.width, size.height):
                raise EngineError(
                    f"the ring holds {layout.width}x{layout.height}, the model takes {size.width}x{size.height}"
                )
            frame = np.empty((layout.height, layout.width, 3), np.uint8)
            last, taken_s = 0, time.monotonic()
            while True:
                while (meta := ring.read_newest(frame, after=last)) is None:
                    waited_s = time.monotonic() - taken_s
                    if writer.kept == count and waited_s > ENDED_S:
                        return  # a film that has ended: there are enough, if not as many to choose from
                    self._wait_for_frame(writer.offered, waited_s)
                last, taken_s = meta.sequence, time.monotonic()
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
        text = f"{writer.kept} of {count} calibration frames from the camera"
        if writer.offered > count:
            text += f"; {writer.offered} looked at for those that differ most"
        self._report.tell("collecting", 100.0 if writer.settled else self._looked_at(writer, count), text)

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
