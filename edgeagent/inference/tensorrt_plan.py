"""A TensorRT plan made ready to run: loaded, checked to be one of ours, its tensors known. No memory, no streams.

A plan is code: nothing here may be handed one whose digest was not compared first; the store's `find` does that.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgeagent.errors import EngineError
from edgeagent.inference.io_set import OUTPUTS, Tensor

Trt = Any  # the module, which has no types
LINES_KEPT = 5
OPEN = -1  # TensorRT's word for a side that is not fixed


class Words:
    """The last errors that TensorRT said."""

    def __init__(self) -> None:
        self._said: list[str] = []

    def hear(self, line: str) -> None:
        self._said.append(" ".join(line.split()))
        del self._said[:-LINES_KEPT]

    def forget(self) -> None:
        self._said.clear()

    @property
    def last(self) -> str:
        return self._said[-1][:300] if self._said else "it says nothing"

    @property
    def all(self) -> str:
        return " ".join(self._said)


@dataclass(frozen=True)
class LoadedPlan:
    """`engine` is what makes the contexts that run it; `input` is the name of its one input, `frames` that tensor and
    `outputs` the others, for a whole batch. `open`: it takes any number of frames up to that."""

    engine: Any
    input: str
    frames: Tensor
    outputs: Mapping[str, Tensor]
    words: Words
    open: bool = False


def load_plan(trt: Trt, plan: Path, dla_core: int | None, plugins: Sequence[Path]) -> LoadedPlan:
    """Raises EngineError `engine_load`, or `driver_error` where TensorRT does not start. The context is current."""
    words = Words()
    data = _read(plan)
    logger = _logger(trt, words)
    for library in plugins:
        try:
            ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
        except OSError as error:
            raise EngineError(f"a plugin library does not load: {error}", code="engine_load") from error
    trt.init_libnvinfer_plugins(logger, "")
    runtime = _runtime(trt, logger, dla_core, words)
    engine = runtime.deserialize_cuda_engine(data) if data else None
    if engine is None:
        raise EngineError(
            f"TensorRT {trt.__version__} does not load the plan: {words.last}",
            mend="it is built anew for this release",
            code="engine_load",
        )
    name = _checked_input(trt, engine)
    is_open = int(engine.get_tensor_shape(name)[0]) == OPEN
    batch = _most_frames(engine, name) if is_open else int(engine.get_tensor_shape(name)[0])
    outputs = {output: _tensor(trt, engine, output, batch) for output in OUTPUTS}
    return LoadedPlan(engine, name, _tensor(trt, engine, name, batch), outputs, words, is_open)


def import_tensorrt() -> Trt:
    """The module. Raises EngineError `engine_load` where it cannot be imported."""
    try:
        import tensorrt
    except (ImportError, OSError) as error:
        raise EngineError(
            f"TensorRT cannot be imported: {error}", mend="see `edgeagent doctor`", code="engine_load"
        ) from error
    return tensorrt


def _read(plan: Path) -> bytes:
    try:
        return plan.read_bytes()
    except OSError as error:
        raise EngineError(f"the plan cannot be read: {error}", code="engine_load") from error


def _runtime(trt: Trt, logger: Any, dla_core: int | None, words: Words) -> Any:  # noqa: ANN401  no types
    try:
        runtime = trt.Runtime(logger)
    except (TypeError, RuntimeError) as error:  # the bindings' words for a null pointer
        raise EngineError(f"TensorRT cannot start: {words.last}", code="driver_error") from error
    if dla_core is None:
        return runtime
    if dla_core >= int(runtime.num_DLA_cores):
        raise EngineError(
            f"the engine is for core {dla_core} of the DLA, and there are {runtime.num_DLA_cores}",
            code="engine_load",
        )
    runtime.DLA_core = dla_core
    return runtime


def _checked_input(trt: Trt, engine: Any) -> str:  # noqa: ANN401
    """The name of the one input. Raises EngineError when the plan is no grafted engine."""
    mode = trt.TensorIOMode
    names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
    inputs = [name for name in names if engine.get_tensor_mode(name) == mode.INPUT]
    outputs = [name for name in names if engine.get_tensor_mode(name) == mode.OUTPUT]
    takes_frames = len(inputs) == 1 and engine.get_tensor_dtype(inputs[0]) == trt.DataType.UINT8
    shape = tuple(int(side) for side in engine.get_tensor_shape(inputs[0])) if takes_frames else ()
    if len(shape) != 4 or min(shape[1:]) < 1 or (shape[0] < 1 and shape[0] != OPEN) or shape[3] != 3:
        raise EngineError("the plan is no grafted engine: it does not take uint8 frames", code="engine_load")
    if set(outputs) != set(OUTPUTS):
        raise EngineError("the plan is no grafted engine: it does not give candidates", code="engine_load")
    return str(inputs[0])


def _most_frames(engine: Any, name: str) -> int:  # noqa: ANN401
    """Of an engine that takes any number of frames from one up. Raises EngineError where its profile says otherwise."""
    least, _, most = engine.get_tensor_profile_shape(name, 0)
    if int(least[0]) != 1 or int(most[0]) < 1:
        raise EngineError("the plan is no grafted engine: it does not take a single frame", code="engine_load")
    return int(most[0])


def _tensor(trt: Trt, engine: Any, name: str, batch: int) -> Tensor:  # noqa: ANN401
    """With `batch` where the side that counts the frames is open."""
    kinds = trt.DataType
    kind = {kinds.UINT8: np.uint8, kinds.FLOAT: np.float32, kinds.INT32: np.int32}.get(engine.get_tensor_dtype(name))
    if kind is None:
        raise EngineError(f"the plan is no grafted engine: {name} is of another type", code="engine_load")
    first, *rest = (int(side) for side in engine.get_tensor_shape(name))
    if min(rest, default=0) < 1:
        raise EngineError(f"the plan is no grafted engine: the size of {name} is open", code="engine_load")
    return Tensor((batch if first == OPEN else first, *rest), kind)


def _logger(trt: Trt, words: Words) -> Any:  # noqa: ANN401
    """A logger that keeps the last errors."""

    class Logger(trt.ILogger):  # type: ignore[misc]  # the module has no types
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, msg: str) -> None:  # noqa: ANN401
            if int(severity) <= int(trt.ILogger.ERROR):
                words.hear(msg)

    return Logger()
