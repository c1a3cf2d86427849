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
        """Put as many frames as are asked for into the set, each `interval_s` after the last or later."""
        import numpy as np

        from edgeagent.camera.ring import RingReader

        if self._ring_fd is None:
            raise EngineError(
                "there is nothing to calibrate with: no camera and no pictures",
                mend="name a camera or a directory of pictures",
                code="no_calibration",
            )
        count = self._wish.frames + self._wish.holdout
        with RingReader(self._ring_fd) as ring:
            layout = ring.layout
            if (layout.width, layout.height) != (size.width, size.height):
                raise EngineError(
                    f"the ring holds {layout.width}x{layout.height}, the model takes {size.width}x{size.height}"
                )
            frame = np.empty((layout.height, layout.width, 3), np.uint8)
            last, taken_s = 0, time.monotonic()
            for number in range(count):
                while (meta := ring.read_newest(frame, after=last)) is None:
                    self._wait_for_frame(100 * number / count, time.monotonic() - taken_s)
                last, taken_s = meta.sequence, time.monotonic()
                writer.add(frame)
                text = f"calibration frame {number + 1} of {count} from the camera"
                self._report.tell("collecting", 100 * (number + 1) / count, text)
                self._check_network()
                if number + 1 < count:
                    self._report.pause(taken_s + self._wish.interval_s - time.monotonic())

    def _wait_for_frame(self, percent: float, waited_s: float) -> None:
        if waited_s > self._wish.patience_s:
            raise EngineError(
                f"the camera gave no frame to calibrate with for {self._wish.patience_s:g} s",
                mend="see the camera's health",
                code="no_calibration",
                retry=True,
            )
        if percent == 0 and waited_s > 1:
            self._report.tell("collecting", 0.001, "waiting for the camera's first frame")
        self._report.pause(LOOK_EVERY_S)
