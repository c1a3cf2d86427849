"""What runs a TensorRT engine: one execution context for each number of frames that it is given.

A CUDA graph is good for the shapes that it was recorded with, and for a context that nobody changes afterwards; so each
number of frames has a context of its own, whose shape is set once. They share the memory in which the engine computes:
all that they do is on one stream, one pass after the other. An engine of a fixed batch has one context, with memory of
its own.
"""

from __future__ import annotations

import contextlib
from typing import Any

from edgeagent.errors import EngineError
from edgeagent.inference.cuda import Gpu, translated
from edgeagent.inference.tensorrt_plan import LoadedPlan, Trt

LEAST_BYTES = 256


class Contexts:
    """Made and freed with the CUDA context current. `numbers`: of frames, those that it has a context for."""

    def __init__(self, trt: Trt, gpu: Gpu, plan: LoadedPlan, stream: int) -> None:
        """Raises EngineError `engine_load` where TensorRT makes none."""
        self._words, self._input, self._sides = plan.words, plan.input, plan.frames.shape[1:]
        self._held = contextlib.ExitStack()
        self._of: dict[int, _Context] = {}
        self._whole = plan.frames.shape[0]
        self._open = plan.open
        if not plan.open:
            self._of[self._whole] = _Context(self._checked(plan.engine.create_execution_context()))
            return
        memory = _Memory(trt, gpu, plan.engine)
        self._held.callback(memory.free)
        try:
            for count in range(1, self._whole + 1):
                self._of[count] = _Context(self._sized(memory, count, stream))
        except BaseException:
            self.free()
            raise

    @property
    def numbers(self) -> list[int]:
        return list(self._of)

    def passed(self, count: int) -> int:
        """How many frames the engine computes when it is given so many."""
        return count if self._open else self._whole

    def enqueue(self, count: int, addresses: dict[str, int], stream: int) -> str:
        """One pass of `passed` frames over the tensors at these addresses; what is wrong where it does not start."""
        context = self._of[count]
        for name, where in addresses.items():
            if not context.bind(name, where):
                return f"it does not take {name} at this address"
        self._words.forget()
        if not context.object.execute_async_v3(stream):
            return self._words.all or "it says nothing"
        return ""

    def free(self) -> None:
        """Nothing may be running. The memory goes after those who compute in it."""
        self._of.clear()
        self._held.close()

    def _sized(self, memory: _Memory, count: int, stream: int) -> Any:  # noqa: ANN401  no types
        context = self._checked(memory.context())
        if context.active_optimization_profile != 0 and not context.set_optimization_profile_async(0, stream):
            raise self._refused(f"no second context for {count} frames")
        if not context.set_input_shape(self._input, (count, *self._sides)):
            raise self._refused(f"it does not take {count} frames")
        return context

    def _checked(self, context: Any) -> Any:  # noqa: ANN401
        if context is None:
            raise self._refused("")
        return context

    def _refused(self, why: str) -> EngineError:
        return EngineError(
            f"the engine does not start: {why or self._words.last}",
            mend="stop what else uses the GPU: its memory may be full",
            retry=True,
            code="engine_load",
        )


class _Context:
    """A context, and what is bound to it."""

    def __init__(self, made: Any) -> None:  # noqa: ANN401
        self.object = made
        self._bound: dict[str, int] = {}

    def bind(self, name: str, where: int) -> bool:
        if self._bound.get(name) == where:
            return True
        self._bound[name] = where
        return bool(self.object.set_tensor_address(name, where))


class _Memory:
    """The memory that contexts compute in, one after the other. From 10 on they are told so when they are made."""

    def __init__(self, trt: Trt, gpu: Gpu, engine: Any) -> None:  # noqa: ANN401
        self._engine = engine
        self._strategy = getattr(trt, "ExecutionContextAllocationStrategy", None)
        size = engine.device_memory_size if self._strategy is None else engine.device_memory_size_v2
        self._size = max(LEAST_BYTES, int(size))
        with translated(gpu.driver):
            self._memory = gpu.driver.mem_alloc(self._size)
        self._address = int(self._memory)

    def context(self) -> Any:  # noqa: ANN401
        """A context that computes in this memory, None where TensorRT makes none."""
        if self._strategy is None:
            context = self._engine.create_execution_context_without_device_memory()
            if context is not None:
                context.device_memory = self._address
            return context
        context = self._engine.create_execution_context(self._strategy.USER_MANAGED)
        if context is not None:
            context.set_device_memory(self._address, self._size)
        return context

    def free(self) -> None:
        self._memory.free()
