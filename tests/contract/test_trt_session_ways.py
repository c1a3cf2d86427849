"""How the TensorRT session runs a batch: graphs, lent memory, a DLA's addresses; and what it does when CUDA fails.

What it answers in each of these ways is in test_session_halves.py.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from cuda_stand_in import CudaStandIn, CUresult, LogicError, MemoryError
from halves_kit import Pages, frame, mean_network, same
from trt_world import MARK, World

from edgeagent.errors import EngineError
from edgeagent.inference.cuda import Gpu, retain
from edgeagent.inference.cuda_bindings import Bindings
from edgeagent.inference.tensorrt_session import GRAPHS_MOST, TensorRtSession

ILLEGAL = "an illegal memory access was encountered"


@dataclasses.dataclass
class Bench:
    """A TensorRT, its GPU, and a plan of batch 1 on disk."""

    world: World
    plan: Path
    gpu: Gpu

    def open(self, **options: object) -> TensorRtSession:
        return TensorRtSession(self.plan, trt=self.world.module(), gpu=self.gpu, **options)  # type: ignore[arg-type]

    @property
    def cuda(self) -> CudaStandIn:
        return self.world.cuda

    def nothing_is_left(self) -> bool:
        cuda = self.cuda
        return not cuda.allocated and not cuda.pinned and not cuda.registered and not cuda.graphs

    def launches(self) -> int:
        return self.cuda.calls.count("cuGraphLaunch")


def make_bench(folder: Path, *, integrated: bool = False, bindings: bool = True, batch: int = 1) -> Bench:
    world = World("8.6.0", CudaStandIn(integrated=integrated), dla_cores=1)
    plan = folder / "plan"
    plan.write_bytes(MARK + b"8.6.0\n" + (2).to_bytes(4, "little") + b"[]" + mean_network(batch).SerializeToString())
    gpu = retain(world.cuda.driver, Bindings(world.cuda.bindings) if bindings else None)
    return Bench(world, plan, gpu)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return make_bench(tmp_path)


@pytest.fixture
def pages() -> Iterator[Pages]:
    with closing(Pages(4)) as made:
        yield made


def one(session: TensorRtSession, picture: np.ndarray) -> float:
    session.submit([picture])
    return float(session.collect()[0].scores[0]) * 255


def code_of(call: Callable[[], object]) -> str:
    with pytest.raises(EngineError) as caught:
        call()
    return caught.value.error_code


# -- graphs


def test_a_graph_is_recorded_once_a_set_and_launched_once_a_batch(bench: Bench) -> None:
    with closing(bench.open()) as session:
        assert session.how == "a CUDA graph, frames copied by the GPU where they are lent"
        assert len(bench.cuda.graphs) == session.depth == 2
        before = bench.launches()
        for value in range(10):
            assert one(session, frame(value)) == pytest.approx(value)
        assert bench.launches() - before == 10 and len(bench.cuda.graphs) == 2
        assert all(graph.uploaded for graph in bench.cuda.graphs.values())
    assert bench.nothing_is_left()


def test_an_engine_that_cannot_be_recorded_runs_by_enqueue(bench: Bench) -> None:
    bench.world.no_capture = True
    with closing(bench.open()) as session:
        assert session.how.startswith("TensorRT's enqueue (no graph can be made of it: ")
        assert one(session, frame(7)) == pytest.approx(7)
        assert bench.cuda.calls.count("cuStreamBeginCapture") == 1, "it is not tried again"
    assert bench.nothing_is_left() and not bench.cuda.capturing


@pytest.mark.parametrize("call", ["cuStreamBeginCapture", "cuGraphInstantiate", "cuGraphUpload"])
def test_a_call_that_fails_while_recording(bench: Bench, call: str) -> None:
    bench.cuda.refuses[call] = CUresult.CUDA_ERROR_OUT_OF_MEMORY
    with closing(bench.open()) as session:
        assert f"{call} failed: out of memory" in session.how
        assert one(session, frame(7)) == pytest.approx(7)
    assert bench.nothing_is_left() and not bench.cuda.capturing


def test_without_cuda_bindings(tmp_path: Path, pages: Pages) -> None:
    bench = make_bench(tmp_path, bindings=False)
    with closing(bench.open()) as session:
        assert session.how.startswith("TensorRT's enqueue (cuda-bindings is not installed)")
        session.lend(pages.memory)
        assert session.how.endswith("frames copied twice (cuda-bindings is not installed)")
        pages.frames[1][:] = 9
        assert one(session, pages.frames[1]) == pytest.approx(9)


def test_a_dla_has_neither_graphs_nor_other_addresses(tmp_path: Path, pages: Pages) -> None:
    bench = make_bench(tmp_path, integrated=True)
    with closing(bench.open(dla_core=0)) as session:
        assert session.how == "TensorRT's enqueue (a DLA runs no graphs), frames copied by the GPU where they are lent"
        assert len(bench.cuda.allocated) == 2, "the tensors on the GPU are there once"
        session.lend(pages.memory)
        for value in range(8):  # the stand-in refuses an address that changes
            pages.frames[value % 4][:] = value
            assert one(session, pages.frames[value % 4]) == pytest.approx(value)
    assert bench.nothing_is_left()


def test_a_run_between_submit_and_collect(bench: Bench) -> None:
    with closing(bench.open()) as session:
        session.submit([frame(3)])
        for value in (4, 5):
            assert session.run(frame(value)[None])[0].scores[0] * 255 == pytest.approx(value)
        assert session.collect()[0].scores[0] * 255 == pytest.approx(3)
        for value in range(2):
            session.submit([frame(value)])
        with pytest.raises(EngineError, match="2 of 2 batches"):
            session.run(frame(1)[None])
        assert [float(session.collect()[0].scores[0]) * 255 for _ in range(2)] == pytest.approx([0, 1])


def test_the_engine_alone_can_be_run_over_and_over(bench: Bench) -> None:
    with closing(bench.open()) as session:
        copies, launches = len(bench.cuda.copied), bench.launches()
        session.replay(5)
        assert bench.launches() - launches == 5 and len(bench.cuda.copied) == copies
        assert one(session, frame(7)) == pytest.approx(7)


# -- lent memory


def test_lent_frames_go_to_the_gpu_without_a_copy_by_the_cpu(bench: Bench, pages: Pages) -> None:
    with closing(bench.open()) as session:
        session.lend(pages.memory)
        bench.cuda.copied.clear()
        one(session, pages.frames[2])
        assert bench.cuda.copied == [(pages.frames[2].ctypes.data, pages.frames[2].nbytes)]
        bench.cuda.copied.clear()
        other = frame(1)
        one(session, other)
        assert bench.cuda.copied[0][0] != other.ctypes.data, "what is not lent goes through pinned memory"


def test_frames_are_read_in_place_where_the_gpu_shares_the_memory(tmp_path: Path, pages: Pages) -> None:
    bench = make_bench(tmp_path, integrated=True)
    with closing(bench.open()) as session:
        assert session.how.endswith("frames read in place where they are lent")
        session.lend(pages.memory)
        bench.cuda.copied.clear()
        for value in range(40):
            pages.frames[value % 4][:] = value
            assert one(session, pages.frames[value % 4]) == pytest.approx(value)
        assert not bench.cuda.copied
        assert len(bench.cuda.graphs) == 2 + 4, "one a set, one for each pair of a set and a slot that met"
        session.submit([pages.frames[0]])
        pages.frames[0][:] = 99  # as a writer that overtakes does: it is seen, for nothing was copied
        assert session.collect()[0].scores[0] * 255 == pytest.approx(99)
    assert bench.nothing_is_left()


def test_a_frame_that_lies_crookedly_is_copied(tmp_path: Path) -> None:
    """Tensors begin at multiples of 256 bytes."""
    bench = make_bench(tmp_path, integrated=True)
    with closing(Pages(3)) as pages, closing(bench.open()) as session:
        session.lend(pages.memory)
        crooked = np.ndarray(pages.frames[0].shape, np.uint8, buffer=pages.memory, offset=100)
        crooked[:] = 8
        bench.cuda.copied.clear()
        assert one(session, crooked) == pytest.approx(8)
        assert bench.cuda.copied == [(crooked.ctypes.data, crooked.nbytes)]
        del crooked
        session.close()


def test_no_more_graphs_than_are_good(tmp_path: Path) -> None:
    bench = make_bench(tmp_path, integrated=True)
    slots = GRAPHS_MOST + 6
    with closing(Pages(slots)) as pages, closing(bench.open(depth=1)) as session:
        session.lend(pages.memory)
        for value in [*range(slots), *range(slots)]:
            pages.frames[value][:] = value
            assert one(session, pages.frames[value]) == pytest.approx(value)
        assert len(bench.cuda.graphs) == GRAPHS_MOST + 1  # that of the session's own tensors
        session.close()


def test_two_sessions_over_one_ring(bench: Bench) -> None:
    """The first lends it to the GPU, and the last one takes it back; its owner may be done with it meanwhile."""
    pages = Pages(4)
    first, second = bench.open(), bench.open()
    for session in (first, second):
        session.lend(pages.memory)
    assert bench.cuda.calls.count("cuMemHostRegister") == 1
    first.close()
    kept = pages.frames[1]
    kept[:] = 6
    pages.frames.clear()
    pages.memory.release()
    assert len(bench.cuda.registered) == 1 and one(second, kept) == pytest.approx(6)
    second.close()
    assert not bench.cuda.registered
    again = bench.open()
    with closing(Pages(1)) as others:
        again.lend(others.memory)
        assert len(bench.cuda.registered) == 1
        again.close()


def test_memory_that_cuda_does_not_take_is_copied(bench: Bench, pages: Pages) -> None:
    bench.cuda.refuses["cuMemHostRegister"] = CUresult.CUDA_ERROR_NOT_PERMITTED
    with closing(bench.open()) as session:
        session.lend(pages.memory)
        assert session.how.endswith("frames copied twice (cuMemHostRegister failed: operation not permitted)")
        pages.frames[1][:] = 9
        assert one(session, pages.frames[1]) == pytest.approx(9)


def test_memory_whose_address_cannot_be_had_is_not_kept(bench: Bench, pages: Pages) -> None:
    bench.cuda.refuses["cuMemHostGetDevicePointer"] = CUresult.CUDA_ERROR_INVALID_VALUE
    with closing(bench.open()) as session:
        session.lend(pages.memory)
        assert not bench.cuda.registered and "invalid argument" in session.how


@pytest.mark.parametrize("memory", [b"", b"x" * 100], ids=["empty", "no page"])
def test_memory_that_is_not_made_of_pages(bench: Bench, memory: bytes) -> None:
    with closing(bench.open()) as session:
        session.lend(memoryview(memory))
        assert session.how.endswith("(only whole pages of memory can be lent to a GPU)")
        assert one(session, frame(4)) == pytest.approx(4)


def test_results_that_are_copied_are_the_same(bench: Bench) -> None:
    with closing(bench.open()) as one_way, closing(bench.open(mapped=False)) as other:
        assert len(bench.cuda.allocated) == 2 + 4, "inputs, and the other's results"
        for value in range(10):
            picture = frame(value)
            one_way.submit([picture])
            other.submit([picture])
            assert same(one_way.collect()[0], other.collect()[0])
    assert bench.nothing_is_left() and not bench.cuda.mapped


# -- failures


def test_whatever_fails_at_the_opening_nothing_is_left(tmp_path: Path) -> None:
    calls = 0
    while True:
        calls += 1
        bench = make_bench(tmp_path, batch=2)
        bench.cuda.calls_until_failure = calls
        try:
            session = bench.open()
        except EngineError as error:
            assert error.error_code in ("driver_error", "engine_load"), calls
            assert bench.nothing_is_left(), calls
            continue
        session.close()
        if bench.cuda.calls_until_failure and bench.cuda.calls_until_failure > 0:
            break  # it was opened and closed before the call that fails
    assert calls > 25


def test_whatever_fails_once_in_a_batch_the_next_ones_are_right(tmp_path: Path) -> None:
    bench = make_bench(tmp_path)
    failures = 0
    with closing(bench.open()) as session:
        for calls in range(1, 30):
            bench.cuda.calls_until_failure = calls
            try:
                one(session, frame(200))
            except EngineError as error:
                failures += 1
                assert error.error_code in ("engine_run", "driver_error") and error.retry
            bench.cuda.calls_until_failure = None
            for value in range(5):
                assert one(session, frame(value)) == pytest.approx(value)
    assert failures > 6 and bench.nothing_is_left()


@pytest.mark.parametrize("when", ["before submit", "before collect"])
@pytest.mark.parametrize("graphs", [True, False], ids=["graph", "enqueue"])
def test_a_lost_gpu_has_a_code_of_its_own_and_the_session_closes(bench: Bench, when: str, graphs: bool) -> None:
    session = bench.open(graphs=graphs)
    if when == "before collect":
        session.submit([frame(1)])
    bench.cuda.lost = ILLEGAL
    first = session.collect if when == "before collect" else lambda: session.submit([frame(1)])
    assert code_of(first) == "gpu_lost"
    assert code_of(lambda: one(session, frame(1))) == "gpu_lost"
    assert code_of(lambda: session.replay(1)) == "gpu_lost"
    session.close()
    assert code_of(lambda: one(session, frame(1))) == "engine_run"


def test_a_gpu_is_lost_where_every_call_fails_whatever_the_words(bench: Bench) -> None:
    session = bench.open()
    bench.cuda.lost = "some error that nobody knows"
    assert code_of(lambda: one(session, frame(1))) == "gpu_lost"
    session.close()


def test_what_tensorrt_says_of_a_lost_gpu(bench: Bench) -> None:
    with closing(bench.open(graphs=False)) as session:
        bench.world.fails = f"1: [executor.cpp::enqueue] Error Code 1: Cuda Runtime ({ILLEGAL})"
        assert code_of(lambda: one(session, frame(1))) == "gpu_lost"


def test_tensorrt_refuses_a_batch_and_takes_the_next(bench: Bench) -> None:
    with closing(bench.open(graphs=False)) as session:
        bench.world.fails = "3: executionContext.cpp: Error Code 3: API Usage Error"
        with pytest.raises(EngineError, match="the engine failed: 3: executionContext") as caught:
            session.submit([frame(1)])
        assert caught.value.error_code == "engine_run" and caught.value.retry
        bench.world.fails = ""
        assert one(session, frame(2)) == pytest.approx(2)


def test_a_launch_that_fails(bench: Bench) -> None:
    with closing(bench.open()) as session:
        for status, code in [
            (CUresult.CUDA_ERROR_OUT_OF_MEMORY, "out_of_memory"),
            (CUresult.CUDA_ERROR_INVALID_VALUE, "engine_run"),
            (CUresult.CUDA_ERROR_ILLEGAL_ADDRESS, "gpu_lost"),
        ]:
            bench.cuda.refuses["cuGraphLaunch"] = status
            assert code_of(lambda: session.submit([frame(1)])) == code
        bench.cuda.refuses.clear()
        assert one(session, frame(2)) == pytest.approx(2)


def test_full_memory_is_told_as_such(bench: Bench) -> None:
    with closing(bench.open()) as session:
        bench.cuda.fail_next = MemoryError("full")
        assert code_of(lambda: session.submit([frame(1)])) == "out_of_memory"
    bench.cuda.free_mb = 0
    assert code_of(bench.open) == "out_of_memory"
    assert bench.nothing_is_left()


def test_an_error_while_lending(bench: Bench, pages: Pages) -> None:
    session = bench.open()
    bench.cuda.refuses["cuMemHostRegister"] = CUresult.CUDA_ERROR_ILLEGAL_ADDRESS
    assert code_of(lambda: session.lend(pages.memory)) == "gpu_lost"
    session.close()


def test_an_error_of_pop_does_not_hide_the_one_before(bench: Bench) -> None:
    with closing(bench.open()) as session:
        bench.cuda.fail_next = LogicError("of the copy")
        with pytest.raises(EngineError, match="of the copy"):
            session.submit([frame(1)])
        assert same(session.run(frame(3)[None])[0], session.run(frame(3)[None])[0])
