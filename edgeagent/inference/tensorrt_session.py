"""Engines on TensorRT: plans that the store has verified, run on the GPU or on a DLA core.

A plan is code: nothing here may be handed one whose digest was not compared first; the store's `find` does that.
Everything a frame needs is allocated once: a stream of its own, each tensor on the GPU with a pinned twin on the
host. A frame then costs a copy into pinned memory, one launch and one wait, and no address is ever set again, which a
DLA would want announced. `_run` is where a CUDA graph, or frames read in place, would go.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgeagent.errors import EngineError
from edgeagent.inference.cuda import DeviceBuffer, Gpu, open_gpu, translated
from edgeagent.inference.halves import Halves
from edgeagent.vision.detections import Candidates

Frames = npt.NDArray[np.uint8]
Trt = Any
BOXES, SCORES, CLASSES = "boxes", "scores", "classes"
OUTPUTS = (BOXES, SCORES, CLASSES)
LINES_KEPT = 5


class TensorRtSession(Halves):
    """A grafted engine (see edgeagent/engine/graft.py). `dla_core`: the core for an engine that was built for a DLA;
    `plugins`: libraries whose layers are in it. `trt` and `gpu` are given only by tests and tools."""

    def __init__(
        self,
        plan: Path,
        *,
        dla_core: int | None = None,
        plugins: Sequence[Path] = (),
        trt: Trt = None,
        gpu: Gpu | None = None,
    ) -> None:
        super().__init__()
        self._trt = trt or _import_tensorrt()
        self._gpu = gpu or open_gpu()
        self._driver = self._gpu.driver
        self._said: list[str] = []
        self._buffers: dict[str, DeviceBuffer] = {}
        self._stream: Any = None
        self._context: Any = None
        with self._gpu:
            try:
                self._open(plan, dla_core, plugins)
            except BaseException:
                self._release()
                raise
        self._shape = self._buffers[self._input].host.shape
        self.batch, self.height, self.width = self._shape[:3]

    def run(self, frames: Frames) -> list[Candidates]:
        if self._context is None:
            raise EngineError("the engine is closed", code="engine_run")
        if frames.dtype != np.uint8 or frames.shape != self._shape:
            raise EngineError(
                f"the engine takes uint8 {self._shape}, not {frames.dtype} {frames.shape}", code="engine_run"
            )
        np.copyto(self._buffers[self._input].host, frames)
        with self._gpu, translated(self._driver, "engine_run"):
            self._run()
        boxes, scores, classes = (self._buffers[name].host.copy() for name in OUTPUTS)
        return [Candidates(b, s, c) for b, s, c in zip(boxes, scores, classes, strict=True)]

    def close(self) -> None:
        if self._context is not None:
            with self._gpu:
                self._release()

    def _run(self) -> None:
        """One pass from pinned host memory to pinned host memory. The context is current."""
        self._buffers[self._input].push(self._stream)
        if not self._context.execute_async_v3(self._stream.handle):
            raise EngineError(f"the engine failed: {self._last_words()}", code="engine_run", retry=True)
        for name in OUTPUTS:
            self._buffers[name].pull(self._stream)
        self._stream.synchronize()

    def _open(self, plan: Path, dla_core: int | None, plugins: Sequence[Path]) -> None:
        try:
            data = plan.read_bytes()
        except OSError as error:
            raise EngineError(f"the plan cannot be read: {error}", code="engine_load") from error
        logger = _logger(self._trt, self._said)
        for library in plugins:
            try:
                ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
            except OSError as error:
                raise EngineError(f"a plugin library does not load: {error}", code="engine_load") from error
        self._trt.init_libnvinfer_plugins(logger, "")
        runtime = self._runtime(logger, dla_core)
        engine = runtime.deserialize_cuda_engine(data) if data else None
        if engine is None:
            raise EngineError(
                f"TensorRT {self._trt.__version__} does not load the plan: {self._last_words()}",
                mend="it is built anew for this release",
                code="engine_load",
            )
        self._input = self._checked_input(engine)
        context = engine.create_execution_context()
        if context is None:
            raise self._no_context()
        self._allocate(engine, context)
        self._context = context

    def _runtime(self, logger: Any, dla_core: int | None) -> Any:  # noqa: ANN401  the bindings have no types
        try:
            runtime = self._trt.Runtime(logger)
        except (TypeError, RuntimeError) as error:  # the bindings' words for a null pointer
            raise EngineError(f"TensorRT cannot start: {self._last_words()}", code="driver_error") from error
        if dla_core is None:
            return runtime
        if dla_core >= int(runtime.num_DLA_cores):
            raise EngineError(
                f"the engine is for core {dla_core} of the DLA, and there are {runtime.num_DLA_cores}",
                code="engine_load",
            )
        runtime.DLA_core = dla_core
        return runtime

    def _checked_input(self, engine: Any) -> str:  # noqa: ANN401
        """The name of the one input. Raises EngineError when the plan is no grafted engine."""
        mode = self._trt.TensorIOMode
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        inputs = [name for name in names if engine.get_tensor_mode(name) == mode.INPUT]
        outputs = [name for name in names if engine.get_tensor_mode(name) == mode.OUTPUT]
        takes_frames = len(inputs) == 1 and engine.get_tensor_dtype(inputs[0]) == self._trt.DataType.UINT8
        shape = tuple(int(side) for side in engine.get_tensor_shape(inputs[0])) if takes_frames else ()
        if len(shape) != 4 or min(shape) < 1 or shape[3] != 3:
            raise EngineError("the plan is no grafted engine: it does not take uint8 frames", code="engine_load")
        if set(outputs) != set(OUTPUTS):
            raise EngineError("the plan is no grafted engine: it does not give candidates", code="engine_load")
        return str(inputs[0])

    def _allocate(self, engine: Any, context: Any) -> None:  # noqa: ANN401
        kinds = self._trt.DataType
        numpy_kinds = {kinds.UINT8: np.uint8, kinds.FLOAT: np.float32, kinds.INT32: np.int32}
        with translated(self._driver, "driver_error"):
            self._stream = self._driver.Stream()
        for name in (self._input, *OUTPUTS):
            kind = numpy_kinds.get(engine.get_tensor_dtype(name))
            if kind is None:
                raise EngineError(f"the plan is no grafted engine: {name} is of another type", code="engine_load")
            shape = tuple(int(side) for side in engine.get_tensor_shape(name))
            buffer = self._buffers[name] = DeviceBuffer(self._gpu, shape, kind)
            if not context.set_tensor_address(name, buffer.address):
                raise EngineError(f"TensorRT does not take {name}: {self._last_words()}", code="engine_load")

    def _no_context(self) -> EngineError:
        return EngineError(
            f"the engine does not start: {self._last_words()}",
            mend="stop what else uses the GPU: its memory may be full",
            retry=True,
            code="engine_load",
        )

    def _release(self) -> None:
        """Give everything back, last first. The context is current."""
        self._context = None
        self._stream = None
        for buffer in self._buffers.values():
            buffer.free()
        self._buffers = {}

    def _last_words(self) -> str:
        return self._said[-1][:300] if self._said else "it says nothing"


def _logger(trt: Trt, said: list[str]) -> Any:  # noqa: ANN401
    """A logger that keeps the last errors."""

    class Logger(trt.ILogger):  # type: ignore[misc]  # the module has no types
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, msg: str) -> None:  # noqa: ANN401
            if int(severity) <= int(trt.ILogger.ERROR):
                said.append(" ".join(msg.split()))
                del said[:-LINES_KEPT]

    return Logger()


def _import_tensorrt() -> Trt:
    try:
        import tensorrt
    except (ImportError, OSError) as error:
        raise EngineError(
            f"TensorRT cannot be imported: {error}", mend="see `edgeagent doctor`", code="engine_load"
        ) from error
    return tensorrt
