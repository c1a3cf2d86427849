"""Engines on TensorRT: plans that the store has verified, run on the GPU or on a DLA core.

Everything a frame needs is made once: streams, and for each batch that may be under way a set of tensors (io_set.py).
While one batch runs, the next one's frames are brought; results are written by the engine itself into memory of the
host. The Python in between costs the GPU nothing as long as it is done in time.

The engine itself is started by one launch of a CUDA graph, recorded when the session is opened, one for each number of
frames that it takes (tensorrt_contexts.py), or else by TensorRT's own enqueue; `how` says which, and why. Frames of
memory that was lent are copied by the GPU itself or, where it shares its memory with the CPU and one frame goes through
alone, read where they lie: then there is a graph for each place that a frame may lie in. A DLA wants a tensor's address
never to change: there all batches share one set of tensors on the GPU and go one after the other.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgeagent.errors import EngineError
from edgeagent.inference.checks import check_batch, check_depth, check_frames, closed, nothing_submitted
from edgeagent.inference.cuda import Gpu, open_gpu
from edgeagent.inference.cuda_failure import is_sticky
from edgeagent.inference.io_set import ALIGNED, IoSet, Streams
from edgeagent.inference.lent_memory import Region
from edgeagent.inference.tensorrt_contexts import Contexts
from edgeagent.inference.tensorrt_plan import LoadedPlan, Trt, import_tensorrt, load_plan
from edgeagent.vision.detections import Candidates

Frames = npt.NDArray[np.uint8]
DEPTH = 2
NO_BINDINGS = "cuda-bindings is not installed"
VIEWS_MOST = 1024  # of frames that are lent
GRAPHS_MOST = 64  # of frames read in place: four slots of eight cameras, for two batches


class TensorRtSession:
    """A grafted engine (see edgeagent/engine/graft.py). `dla_core`: the core for an engine that was built for a DLA;
    `plugins`: libraries whose layers are in it. The rest is given only by tests and tools."""

    copies = False

    def __init__(
        self,
        plan: Path,
        *,
        dla_core: int | None = None,
        plugins: Sequence[Path] = (),
        depth: int = DEPTH,
        graphs: bool = True,
        spin: bool = False,
        mapped: bool = True,
        trt: Trt = None,
        gpu: Gpu | None = None,
    ) -> None:
        self.depth = depth
        trt = trt or import_tensorrt()
        self._gpu = gpu or open_gpu()
        self._errors: tuple[type[Exception], ...] = (*self._gpu.errors, _Refused)
        self._held = contextlib.ExitStack()
        self._fixed = dla_core is not None
        self._spin = spin
        self._mapped = mapped and not self._fixed
        self._plain = self._why_plain(graphs=graphs)
        self._not_lent = ""
        self._regions: list[Region] = []
        self._seen: dict[int, tuple[Frames, int]] = {}
        self._free: deque[IoSet] = deque()
        self._under_way: deque[tuple[IoSet, int, Sequence[Frames]]] = deque()
        self._all: list[IoSet] = []
        self._plan: LoadedPlan | None = None
        self._lent_graphs = 0
        with self._gpu:
            self._streams = Streams(self._gpu, single=self._fixed)
        self._held.callback(self._streams.free)
        try:
            with self._gpu:
                self._open(trt, load_plan(trt, plan, dla_core, plugins))
        except BaseException:
            self._give_up()
            raise
        self.batch, self.height, self.width = self._shape[:3]

    @property
    def how(self) -> str:
        """How it runs and where its frames come from, for the log."""
        starts = f"TensorRT's enqueue ({self._plain})" if self._plain else "a CUDA graph"
        if self._not_lent:
            return f"{starts}, frames copied twice ({self._not_lent})"
        return f"{starts}, frames {'read in place' if self._in_place else 'copied by the GPU'} where they are lent"

    @property
    def pads(self) -> bool:
        return self._plan is not None and not self._plan.open

    def run(self, frames: Frames) -> list[Candidates]:
        """It may run while batches are under way, as long as they are fewer than `depth`."""
        if self._plan is None:
            raise closed()
        check_batch(frames, self._shape)
        self.submit(list(frames))
        return self._finish(*self._under_way.pop())

    def lend(self, memory: memoryview) -> None:
        """Raises EngineError only for a GPU that is lost, and after `close`; `how` tells why memory was not taken."""
        if self._plan is None:
            raise closed()
        registry = self._gpu.registry
        if registry is None:
            self._not_lent = NO_BINDINGS
            return
        with self._gpu:
            try:
                region = registry.lend(memory)
            except self._gpu.errors as error:
                if is_sticky(str(error)):
                    raise self._gpu.failure(error, "driver_error") from error
                self._not_lent = str(error)
                return
        self._regions.append(region)
        self._held.callback(registry.give_back, region)

    def submit(self, frames: Sequence[Frames]) -> None:
        if self._plan is None:
            raise closed()
        check_depth(len(self._under_way), self.depth)
        check_frames(frames, self.batch, self._shape[1:])
        io = self._free[0]
        with self._gpu:
            try:
                self._start(self._plan, io, self._bring(io, frames), len(frames))
                io.fetch(self._streams)
            except self._errors as error:
                raise self._failure(error, "engine_run") from error
        self._free.popleft()
        self._under_way.append((io, len(frames), frames))

    def collect(self) -> list[Candidates]:
        if self._plan is None:
            raise closed()
        if not self._under_way:
            raise nothing_submitted()
        return self._finish(*self._under_way.popleft())

    def replay(self, passes: int) -> None:
        """Run the engine so many times in a row on whatever is in its tensors, and wait: its limit, without copies."""
        if self._plan is None:
            raise closed()
        check_depth(len(self._under_way), self.depth)
        io = self._free[0]
        with self._gpu:
            try:
                for _ in range(passes):
                    self._start(self._plan, io, io.input.address, self.batch)
                self._streams.synchronize()
            except self._errors as error:
                raise self._failure(error, "engine_run") from error

    def close(self) -> None:
        """Never raises: what a lost GPU still holds goes with the process."""
        if self._plan is not None:
            self._give_up()

    # -- a batch; the context is current

    def _bring(self, io: IoSet, frames: Sequence[Frames]) -> int:
        """Start the frames on their way to the GPU; the address at which it will find them."""
        seen = [self._seen_at(frame) for frame in frames]
        first = seen[0]
        if self._in_place and len(frames) == 1 and first is not None and first % ALIGNED == 0:
            return first
        io.bring(self._streams, frames, [address is not None for address in seen])
        return io.input.address

    def _seen_at(self, frame: Frames) -> int | None:
        """Where the GPU sees the frame, None where it cannot. A ring hands out the same views over and over: those are
        looked up once, and held, so that no other array can have their identity."""
        if (known := self._seen.get(id(frame))) is not None:
            return known[1]
        for region in self._regions:
            if (address := region.seen_at(frame)) is not None:
                if len(self._seen) < VIEWS_MOST:
                    self._seen[id(frame)] = frame, address
                return address
        return None

    def _start(self, plan: LoadedPlan, io: IoSet, address: int, count: int) -> None:
        """One pass over the `count` frames at `address`, behind what is on the stream."""
        count = self._contexts.passed(count)
        graph = io.graphs.get((address, count))
        if graph is None and not self._plain and self._lent_graphs < GRAPHS_MOST:
            self._record(plan, io, address, count)
            graph = io.graphs.get((address, count))
        if graph is not None:
            graph.launch()
        else:
            self._enqueue(plan, io, address, count)

    def _enqueue(self, plan: LoadedPlan, io: IoSet, address: int, count: int) -> None:
        refused = self._contexts.enqueue(count, {plan.input: address, **io.addresses}, self._streams.handle)
        if refused:
            raise _Refused(refused)

    def _record(self, plan: LoadedPlan, io: IoSet, address: int, count: int) -> None:
        """A graph for these frames. Where none can be made, what has none runs by enqueue from now on."""
        bindings = self._gpu.bindings
        if bindings is None:
            return
        try:
            graph = bindings.capture(self._streams.handle, lambda: self._enqueue(plan, io, address, count))
        except self._errors as error:
            if is_sticky(str(error)):
                raise
            self._plain = f"no graph can be made of it: {error}"
            return
        io.graphs[address, count] = graph
        self._lent_graphs += address != io.input.address
        self._held.callback(graph.free)

    def _finish(self, io: IoSet, count: int, frames: Sequence[Frames]) -> list[Candidates]:
        """Wait for a batch. Its frames are held until here."""
        self._free.append(io)
        with self._gpu:
            try:
                io.wait()
            except self._errors as error:
                raise self._failure(error, "engine_run") from error
        return io.candidates(count)

    # -- the beginning and the end; the context is current

    def _why_plain(self, *, graphs: bool) -> str:
        """Why no graph is to be tried, "" when one is."""
        if self._fixed:
            return "a DLA runs no graphs"
        if self._gpu.bindings is None:
            return NO_BINDINGS
        return "" if graphs else "as asked"

    def _open(self, trt: Trt, plan: LoadedPlan) -> None:
        self._plan = plan
        self._shape = plan.frames.shape
        self._contexts = Contexts(trt, self._gpu, plan, self._streams.handle)
        self._held.callback(self._contexts.free)
        self._in_place = self._gpu.integrated and self._contexts.passed(1) == 1 and not self._fixed
        for _ in range(self.depth):
            shared = self._all[0] if self._fixed and self._all else None
            io = IoSet(self._gpu, plan.frames, plan.outputs, memory_of=shared, mapped=self._mapped, spin=self._spin)
            self._all.append(io)
            self._held.callback(io.free)
        self._free.extend(self._all)
        try:
            self._warm(plan)
        except self._errors as error:
            raise self._failure(error, "engine_load") from error

    def _warm(self, plan: LoadedPlan) -> None:
        """What an engine does at its first run cannot be recorded, and no frame shall wait for it."""
        for count in self._contexts.numbers:
            self._enqueue(plan, self._all[0], self._all[0].input.address, count)
            self._streams.synchronize()
            for io in self._all:
                self._start(plan, io, io.input.address, count)
                io.fetch(self._streams)
                io.wait()

    def _failure(self, error: Exception, code: str) -> EngineError:
        if isinstance(error, _Refused):
            return self._gpu.failed(f"the engine failed: {error}", code)
        return self._gpu.failure(error, code)

    def _give_up(self) -> None:
        with contextlib.suppress(EngineError), self._gpu:
            self._release()
        self._plan = None

    def _release(self) -> None:
        """Give everything back, last first. On a GPU that is lost nothing can be given back, and all of it is tried."""
        with contextlib.suppress(*self._errors):
            self._streams.synchronize()
        self._plan = None
        with contextlib.suppress(*self._errors):
            self._held.close()
        self._under_way.clear()
        self._free.clear()
        self._all.clear()
        self._regions.clear()
        self._seen.clear()


class _Refused(Exception):
    """TensorRT did not start the engine; what it said."""
