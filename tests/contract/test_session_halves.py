"""`submit`, `collect` and `lend`: what every session does, whatever runs it.

TensorRT takes part as a stand-in in each of its ways, and as the real one where a GPU is (tests/gpu).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from cuda_stand_in import CudaStandIn
from halves_kit import HEIGHT, WIDTH, Pages, frame, mean_network, same
from trt_world import MARK, World

from edgeagent.errors import EngineError
from edgeagent.inference.cuda import retain
from edgeagent.inference.cuda_bindings import Bindings
from edgeagent.inference.session import InferenceSession, open_session
from edgeagent.inference.tensorrt_session import TensorRtSession

BATCHES = (1, 3)
RELEASE = "10.3.0"
Opener = Callable[[Path, int], InferenceSession]


def null(folder: Path, batch: int) -> InferenceSession:
    plan = {"batch": batch, "width": WIDTH, "height": HEIGHT, "candidates": 5}
    (folder / "plan").write_text(json.dumps(plan))
    return open_session("null", folder / "plan", 1)


def onnx_runtime(folder: Path, batch: int) -> InferenceSession:
    (folder / "plan").write_bytes(mean_network(batch).SerializeToString())
    return open_session("onnxruntime", folder / "plan", 1)


def tensorrt(*, bindings: bool = True, integrated: bool = False, dla: bool = False, capture: bool = True) -> Opener:
    def opener(folder: Path, batch: int) -> InferenceSession:
        world = World(RELEASE, CudaStandIn(integrated=integrated), dla_cores=1, no_capture=not capture)
        empty = (2).to_bytes(4, "little") + b"[]"
        plan = MARK + RELEASE.encode() + b"\n" + empty + mean_network(batch).SerializeToString()
        (folder / "plan").write_bytes(plan)
        gpu = retain(world.cuda.driver, Bindings(world.cuda.bindings) if bindings else None)
        return TensorRtSession(folder / "plan", trt=world.module(), gpu=gpu, dla_core=0 if dla else None)

    return opener


OPENERS: dict[str, Opener] = {
    "null": null,
    "onnxruntime": onnx_runtime,
    "tensorrt": tensorrt(),
    "tensorrt, without cuda-bindings": tensorrt(bindings=False),
    "tensorrt, no graph": tensorrt(capture=False),
    "tensorrt, shared memory": tensorrt(integrated=True),
    "tensorrt, shared memory, no graph": tensorrt(integrated=True, capture=False),
    "tensorrt, DLA": tensorrt(integrated=True, dla=True),
}


@pytest.fixture(params=list(OPENERS))
def opener(request: pytest.FixtureRequest) -> Opener:
    return OPENERS[str(request.param)]


@pytest.fixture(params=BATCHES)
def session(request: pytest.FixtureRequest, opener: Opener, tmp_path: Path) -> Iterator[InferenceSession]:
    with closing(opener(tmp_path, request.param)) as opened:
        yield opened


def answers(session: InferenceSession, values: range) -> list[list[np.ndarray]]:
    """What `run` says of frames of these values, one after the other."""
    found = []
    for value in values:
        (first, *_) = session.run(np.stack([frame(value)] * session.batch))
        found.append(first)
    return found


def test_it_answers_as_run_does_in_order(session: InferenceSession) -> None:
    wanted = answers(session, range(20))
    found = []
    for value in range(20):
        session.submit([frame(value)])
        found.extend(session.collect())
    assert len(found) == 20 and all(same(one, two) for one, two in zip(found, wanted, strict=True))
    assert not same(wanted[0], wanted[1])


def test_as_many_batches_as_its_depth_are_under_way(session: InferenceSession) -> None:
    wanted = answers(session, range(40))
    found, given = [], 0
    while len(found) < 40:
        while given < 40 and given - len(found) < session.depth:
            session.submit([frame(given)])
            given += 1
        found.extend(session.collect())
    assert all(same(one, two) for one, two in zip(found, wanted, strict=True))


def test_one_answer_a_frame_however_many_places_are_used(session: InferenceSession) -> None:
    wanted = answers(session, range(8))
    for count in range(1, session.batch + 1):
        session.submit([frame(4 + place) for place in range(count)])
        found = session.collect()
        assert len(found) == count
        assert all(same(one, two) for one, two in zip(found, wanted[4:], strict=False))


def test_what_was_collected_stays(session: InferenceSession) -> None:
    session.submit([frame(1)])
    (found,) = session.collect()
    kept = found.boxes.copy(), found.scores.copy(), found.class_ids.copy()
    for value in range(2, 2 + 2 * session.depth):
        session.submit([frame(value)])
        session.collect()
    for one, two in zip(vars(found).values(), kept, strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize(
    "frames",
    [[], [frame(1)] * 4, [frame(1, 32, 64)], [frame(1).astype(np.int8)], [frame(1)[None]], [frame(1)[..., 0]]],
    ids=["none", "too many", "turned", "signed", "a batch", "grey"],
)
def test_other_frames_are_refused_and_nothing_is_under_way(session: InferenceSession, frames: list[np.ndarray]) -> None:
    with pytest.raises(EngineError, match="the engine takes 1 to") as caught:
        session.submit(frames)
    assert caught.value.error_code == "engine_run"
    with pytest.raises(EngineError, match="no batch was submitted"):
        session.collect()
    session.submit([frame(1)])
    assert len(session.collect()) == 1


def test_one_wrong_frame_spoils_no_other_batch(opener: Opener, tmp_path: Path) -> None:
    with closing(opener(tmp_path, 3)) as session:
        (wanted,) = answers(session, range(7, 8))
        session.submit([frame(7)])
        if session.depth > 1:
            with pytest.raises(EngineError, match="the engine takes 1 to 3"):
                session.submit([frame(1), frame(2, 32, 64)])
        assert same(session.collect()[0], wanted)


def test_no_more_batches_than_its_depth(session: InferenceSession) -> None:
    for value in range(session.depth):
        session.submit([frame(value)])
    with pytest.raises(EngineError, match="were not collected") as caught:
        session.submit([frame(9)])
    assert caught.value.error_code == "engine_run"
    assert [len(session.collect()) for _ in range(session.depth)] == [1] * session.depth
    with pytest.raises(EngineError, match="no batch was submitted"):
        session.collect()


def test_closed_in_the_middle(session: InferenceSession) -> None:
    session.submit([frame(1)])
    session.close()
    session.close()
    for call in (lambda: session.submit([frame(1)]), session.collect, lambda: session.lend(memoryview(b""))):
        with pytest.raises(EngineError, match="the engine is closed"):
            call()
    with pytest.raises(EngineError, match="the engine is closed"):
        session.run(np.stack([frame(1)] * session.batch))


def test_frames_of_lent_memory_are_answered_like_others(session: InferenceSession) -> None:
    wanted = answers(session, range(12))
    with closing(Pages(4)) as pages:
        session.lend(pages.memory)
        for value in range(12):
            slot = pages.frames[value % 4]
            slot[:] = value
            session.submit([slot])
            assert same(session.collect()[0], wanted[value])
        session.close()


def test_lent_and_other_frames_in_one_batch(opener: Opener, tmp_path: Path) -> None:
    with closing(opener(tmp_path, 3)) as session, closing(Pages(2)) as pages:
        wanted = answers(session, range(3))
        session.lend(pages.memory)
        pages.frames[0][:], pages.frames[1][:] = 0, 2
        session.submit([pages.frames[0], frame(1), pages.frames[1]])
        assert all(same(one, two) for one, two in zip(session.collect(), wanted, strict=True))
        session.close()


def test_frames_that_lie_in_pieces(session: InferenceSession) -> None:
    """Every second column of a wider picture, mirrored: no copy that expects one piece may be used on it."""
    wide = np.arange(HEIGHT * 2 * WIDTH * 3, dtype=np.uint8).reshape(HEIGHT, 2 * WIDTH, 3)
    pieces = wide[:, ::-2]
    whole = np.ascontiguousarray(pieces)
    (wanted, *_) = session.run(np.stack([whole] * session.batch))
    session.submit([pieces])
    assert same(session.collect()[0], wanted)


def test_a_session_that_says_so_has_read_the_frames_when_they_are_submitted(session: InferenceSession) -> None:
    (wanted,) = answers(session, range(3, 4))
    given = frame(3)
    session.submit([given])
    if session.copies:
        given[:] = 77
    assert same(session.collect()[0], wanted)


def test_memory_that_is_lent_while_a_batch_is_under_way(session: InferenceSession) -> None:
    (wanted,) = answers(session, range(3, 4))
    session.submit([frame(3)])
    with closing(Pages(1)) as pages:
        session.lend(pages.memory)
        assert same(session.collect()[0], wanted)
        session.close()
