"""INT8 scales, measured by TensorRT's calibrator on pictures.

Always on the GPU, whatever the engine is for: a DLA fuses layers before it could be measured. TensorRT measures in the
course of a build; that build ends as soon as the scales are there where a monitor can end it, and is made with the
least effort where none can.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from edgeagent.engine.build.tensorrt.bench import Bench
from edgeagent.engine.build.tensorrt.board import Abandoned
from edgeagent.engine.build.tensorrt.callbacks import PictureFeed, make_calibrator, make_monitor
from edgeagent.engine.build.tensorrt.configure import give_profile, make_config
from edgeagent.engine.build.tensorrt.network import Parsed
from edgeagent.engine.build.tensorrt.progress import PhaseProgress
from edgeagent.engine.build.tensorrt.settings import CALIBRATION_LEVEL
from edgeagent.errors import EdgeAgentError, EngineError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Frames = npt.NDArray[np.uint8]


class _Enough(threading.Event):
    """Set when the build is unwanted, and when the scales are there."""

    def __init__(self, unwanted: threading.Event, feed: PictureFeed) -> None:
        super().__init__()
        self._unwanted = unwanted
        self._feed = feed

    def is_set(self) -> bool:
        return self._unwanted.is_set() or self._feed.written is not None or self._feed.failure is not None


def measure_scales(bench: Bench, parsed: Parsed) -> bytes:
    """The calibration cache of the job's pictures, as TensorRT wrote it. Raises EngineError `no_calibration` without
    pictures or where one cannot be used, else what the builder failed with; `Abandoned` when unwanted."""
    job = bench.job
    if len(job.pictures) < job.batch:
        raise _unusable(f"there are {len(job.pictures)} pictures to calibrate with")
    from edgeagent.inference.cuda import DeviceBuffer

    # the calibrator keeps it for longer than the build: pinned memory would be freed on some other thread
    buffer = DeviceBuffer(bench.gpu, parsed.frames(parsed.batch), "uint8", pinned=False)
    try:
        feed = PictureFeed(
            job.pictures,
            job.batch,
            _uploader(buffer.host, buffer.push, buffer.address),
            told=_teller(bench),
            unwanted=bench.board.unwanted,
        )
        built = _calibrating_build(bench, parsed, feed)
    finally:
        buffer.free()
    return _result(bench, feed, built)


def _calibrating_build(bench: Bench, parsed: Parsed, feed: PictureFeed) -> bool:
    """Run a build for the sake of its scales; whether it came to its end."""
    settings = bench.settings
    flags = tuple(flag for flag in settings.builder_flags if flag != "GPU_FALLBACK")
    level = None if settings.level is None else CALIBRATION_LEVEL
    config = make_config(bench.trt, bench.can, bench.builder, replace(settings, builder_flags=flags, level=level))
    give_profile(bench.trt, bench.builder, config, parsed, calibrates=True)
    calibrator = make_calibrator(bench.trt, feed)
    config.int8_calibrator = calibrator
    monitor = None
    if bench.can.monitor:
        monitor = make_monitor(bench.trt, PhaseProgress(), _Enough(bench.board.unwanted, feed))
        config.progress_monitor = monitor
    _teller(bench)(0.0)
    return bench.builder.build_serialized_network(parsed.network, config) is not None


def _result(bench: Bench, feed: PictureFeed, built: bool) -> bytes:
    if bench.board.unwanted.is_set():
        raise Abandoned
    if isinstance(feed.failure, EdgeAgentError):
        raise feed.failure
    if feed.failure is not None:
        raise _unusable(f"a picture cannot be used: {feed.failure}") from feed.failure
    if feed.written is not None:
        return feed.written
    raise _unusable("TensorRT measured no scales") if built else bench.refusal()


def _uploader(host: Frames, push: Callable[[], None], address: int) -> Callable[[Sequence[Frames]], int]:
    def upload(pictures: Sequence[Frames]) -> int:
        for index, picture in enumerate(pictures):
            if picture.shape != host.shape[1:]:
                raise _unusable(f"a picture has the shape {picture.shape}, and the network takes {host.shape[1:]}")
            host[index] = picture
        push()
        return address

    return upload


def _teller(bench: Bench) -> Callable[[float], None]:
    text = f"measuring INT8 scales on {len(bench.job.pictures)} pictures"
    return lambda percent: bench.board.say("calibrating", percent, text)


def _unusable(message: str) -> EngineError:
    return EngineError(
        message, mend="collect pictures with the camera, or name a directory of them", code="no_calibration"
    )
