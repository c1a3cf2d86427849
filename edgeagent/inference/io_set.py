"""What one batch needs on its way through a GPU, so that batches do not wait for each other's memory.

A batch's frames go up on one stream and run on another; the events of its set say how far it is. Two sets are enough
for a GPU that is never idle: one batch runs while the next one is brought.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgeagent.inference.cuda import DeviceBuffer, Gpu, MappedArray, translated
from edgeagent.inference.cuda_bindings import CudaGraph
from edgeagent.vision.detections import Candidates

ALIGNED = 256  # what TensorRT asks of a tensor's address
NON_BLOCKING = (
    1  # CU_STREAM_NON_BLOCKING: what others do on the default stream neither waits for it nor spoils a capture
)
OUTPUTS = BOXES, SCORES, CLASSES = ("boxes", "scores", "classes")


@dataclass(frozen=True)
class Tensor:
    """A tensor of the engine: its shape, batch first, and its kind."""

    shape: tuple[int, ...]
    kind: type[Any]

    @property
    def nbytes(self) -> int:
        return int(np.prod(self.shape)) * np.dtype(self.kind).itemsize


class Streams:
    """Up and run. `single`: both are one, for engines whose tensors must stay where they are."""

    def __init__(self, gpu: Gpu, *, single: bool) -> None:
        with translated(gpu.driver):
            self.run: Any = gpu.driver.Stream(NON_BLOCKING)
            self.up = self.run if single else gpu.driver.Stream(NON_BLOCKING)
        self.handle = int(self.run.handle)

    def synchronize(self) -> None:
        self.up.synchronize()
        self.run.synchronize()

    def free(self) -> None:
        self.up = self.run = None


def places(outputs: Mapping[str, Tensor]) -> tuple[dict[str, int], int]:
    """Where each output lies in memory that holds them all, and how much that is: one copy brings them all."""
    offsets, end = {}, 0
    for name, tensor in outputs.items():
        offsets[name] = end
        end += -(-tensor.nbytes // ALIGNED) * ALIGNED
    return offsets, end


class IoSet:
    """`memory_of`: the set whose memory on the GPU this one shares; its twins on the host are its own. `mapped`: the
    engine writes its results straight into memory of the host.

    Made and freed with the context current. `wait` sleeps: the CPU belongs to others. With `spin` it does not, to
    measure what that costs."""

    def __init__(
        self,
        gpu: Gpu,
        frames: Tensor,
        outputs: Mapping[str, Tensor],
        *,
        memory_of: IoSet | None = None,
        mapped: bool = True,
        spin: bool = False,
    ) -> None:
        driver = self._driver = gpu.driver
        offsets, size = places(outputs)
        self.graphs: dict[tuple[int, int], CudaGraph] = {}  # by where the frames lie and how many they are
        flags = driver.event_flags.DISABLE_TIMING
        with translated(driver):
            self._brought: Any = driver.Event(flags)
            self._done: Any = driver.Event(flags if spin else flags | driver.event_flags.BLOCKING_SYNC)
        inputs, results = (memory_of.input, memory_of._copied) if memory_of else (None, None)
        self.input: DeviceBuffer = DeviceBuffer(gpu, frames.shape, frames.kind, memory_of=inputs)
        try:
            self._copied: DeviceBuffer | None = (
                None if mapped else DeviceBuffer(gpu, (size,), np.uint8, memory_of=results)
            )
            self._outputs: DeviceBuffer | MappedArray = self._copied or MappedArray(gpu, size)
        except BaseException:
            self.input.free()
            raise
        self.addresses = {name: self._outputs.address + offset for name, offset in offsets.items()}
        self._results = [_view(self._outputs.host, offsets[name], outputs[name]) for name in OUTPUTS]
        self._frame_bytes = frames.nbytes // frames.shape[0]

    def bring(self, streams: Streams, frames: Sequence[npt.NDArray[np.uint8]], lent: Iterable[bool]) -> None:
        """Start the frames' copies. What is lent is read by the GPU itself, in the background; the rest is copied into
        the pinned twin first, for a copy from anywhere else would wait for what is on the stream."""
        for place, (frame, is_lent) in enumerate(zip(frames, lent, strict=True)):
            source = frame
            if not is_lent:
                source = self.input.host[place]
                np.copyto(source, frame)
            address = self.input.address + place * self._frame_bytes
            self._driver.memcpy_htod_async(address, source, streams.up)
        if streams.up is not streams.run:
            self._brought.record(streams.up)
            streams.run.wait_for_event(self._brought)

    def fetch(self, streams: Streams) -> None:
        """Have the results on the host when `wait` returns."""
        if self._copied is not None:
            self._copied.pull(streams.run)
        self._done.record(streams.run)

    def wait(self) -> None:
        self._done.synchronize()

    def candidates(self, count: int) -> list[Candidates]:
        """Of the first `count` frames; the arrays are the caller's."""
        boxes, scores, classes = self._results
        return [Candidates(boxes[n].copy(), scores[n].copy(), classes[n].copy()) for n in range(count)]

    def free(self) -> None:
        """Nothing of it may be running. Its graphs are freed by whoever put them there."""
        self._results = []
        self._brought = self._done = None
        self._outputs.free()
        self.input.free()


def _view(memory: npt.NDArray[np.uint8], offset: int, tensor: Tensor) -> npt.NDArray[Any]:
    seen: npt.NDArray[Any] = memory[offset : offset + tensor.nbytes].view(tensor.kind).reshape(tensor.shape)
    return seen
