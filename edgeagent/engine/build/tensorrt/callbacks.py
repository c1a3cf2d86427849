"""The objects that TensorRT calls back: logger, progress monitor, calibrator. Made from the module that is given.

TensorRT calls them from its own threads, out of C++: none of them raises, and each calls its base's `__init__`,
without which the bindings end the process.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from edgeagent.engine.build.rest import StepRest
from edgeagent.engine.build.tensorrt.capabilities import Trt
from edgeagent.engine.build.tensorrt.journal import Journal
from edgeagent.engine.build.tensorrt.progress import PhaseProgress

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Frames = npt.NDArray[np.uint8]

TrtObject = Any  # an object of the bindings


def make_logger(trt: Trt, journal: Journal) -> TrtObject:
    """An ILogger that writes into the journal."""

    class Logger(trt.ILogger):  # type: ignore[misc]  # the module has no types
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: TrtObject, msg: str) -> None:
            journal.add(int(severity), msg)

    return Logger()


def make_monitor(trt: Trt, phases: PhaseProgress, unwanted: threading.Event, rest: StepRest | None = None) -> TrtObject:
    """An IProgressMonitor that tells `phases`, ends the build at its next step once it is `unwanted`, and rests after
    each step as long as the pace wants it."""

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            phases.start(phase_name, parent_phase, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            phases.step(phase_name, step)
            if rest is not None and not unwanted.is_set():
                rest.step()
            return not unwanted.is_set()

        def phase_finish(self, phase_name: str) -> None:
            phases.finish(phase_name)

    return Monitor()


class PictureFeed:
    """What a calibrator is asked for: batches of pictures on the GPU, one by one, and the scales before and after.

    `upload` puts uint8 (N, H, W, 3) into a buffer on the GPU and returns its address. `cache` are scales measured
    before; with them no picture is asked for. What goes wrong while TensorRT asks stands in `failure` afterwards.
    """

    def __init__(
        self,
        pictures: Sequence[Frames],
        batch: int,
        upload: Callable[[Sequence[Frames]], int],
        *,
        cache: bytes | None = None,
        told: Callable[[float], None] = lambda percent: None,
        unwanted: threading.Event | None = None,
    ) -> None:
        self.batch = batch
        self.cache = cache
        self.written: bytes | None = None
        self.failure: Exception | None = None
        self._pictures = pictures
        self._upload = upload
        self._told = told
        self._unwanted = unwanted or threading.Event()
        self._next = 0

    def next_batch(self) -> int | None:
        """The address of the next whole batch, None at the end."""
        if self._next + self.batch > len(self._pictures) or self._unwanted.is_set() or self.failure:
            return None
        try:
            address = self._upload([self._pictures[self._next + index] for index in range(self.batch)])
        except Exception as error:  # noqa: BLE001  C++ is calling: kept for the thread that asked for the build
            self.failure = error
            return None
        self._next += self.batch
        self._told(100.0 * self._next / len(self._pictures))
        return address


def make_calibrator(trt: Trt, feed: PictureFeed) -> TrtObject:
    """An IInt8EntropyCalibrator2, the only kind that a DLA takes too."""

    class Calibrator(trt.IInt8EntropyCalibrator2):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IInt8EntropyCalibrator2.__init__(self)

        def get_batch_size(self) -> int:
            return feed.batch

        def get_batch(self, names: list[str]) -> list[int] | None:
            address = feed.next_batch()
            return None if address is None else [address]

        def read_calibration_cache(self) -> bytes | None:
            return feed.cache

        def write_calibration_cache(self, cache: bytes) -> None:
            feed.written = bytes(cache)

    return Calibrator()
