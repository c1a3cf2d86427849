"""What every inference backend must do. ONNX Runtime is the only one so far; the next joins `BACKENDS`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import onnx
import pytest

from edgeagent.engine.graft import graft_bundle
from edgeagent.engine.quantise import quantise
from edgeagent.errors import EngineError
from edgeagent.inference.session import InferenceSession, open_session

sys.path.append(str(Path(__file__).parents[1] / "unit" / "engine"))
from engine_kit import Net, noise_frames, write_bundle

BACKENDS = ["onnxruntime"]
FEW, MANY = Net(width=64, height=32, classes=3), Net(width=96, height=96, classes=2, strides=(4,))


@pytest.fixture(scope="module")
def plans(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Plans by name, and files that are none."""
    folder = tmp_path_factory.mktemp("plans")

    def put(name: str, content: onnx.ModelProto | bytes) -> None:
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.SerializeToString())

    few = graft_bundle(write_bundle(folder / "few-model", FEW))
    put("few-fp32", few)
    put("few-int8", quantise(few, noise_frames(4, 64, 32), 1, lambda percent: None))
    put("many-fp32", graft_bundle(write_bundle(folder / "many-model", MANY)))
    put("empty", b"")
    put("junk", b"\x08\x07junk" * 50)
    put("text", b"this is no engine\n")
    put("truncated", few.SerializeToString()[:-200])
    put("takes-floats", FEW.model())
    scores = onnx.ModelProto()
    scores.CopyFrom(few)
    del scores.graph.output[1]
    put("no-scores", scores)
    open_size = onnx.ModelProto()
    open_size.CopyFrom(few)
    open_size.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "height"
    put("open-size", open_size)
    return lambda name: folder / name


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["few-fp32", "few-int8"])
def session(request: pytest.FixtureRequest, backend: str, plans: Callable[[str], Path]) -> Iterator[InferenceSession]:
    with closing(open_session(backend, plans(request.param), 1)) as opened:
        yield opened


def frame(seed: int = 0) -> np.ndarray:
    return noise_frames(1, 64, 32, seed)[0][None]


def test_it_tells_its_size(session: InferenceSession) -> None:
    assert (session.batch, session.width, session.height) == (1, 64, 32)


def test_shapes_and_types(session: InferenceSession) -> None:
    (found,) = session.run(frame())
    assert (found.boxes.shape, found.scores.shape, found.class_ids.shape) == ((32, 4), (32,), (32,))
    assert (found.boxes.dtype, found.scores.dtype, found.class_ids.dtype) == (np.float32, np.float32, np.int32)
    assert len(found) == 32


def test_at_most_300_candidates_best_first(backend: str, plans: Callable[[str], Path]) -> None:
    with closing(open_session(backend, plans("many-fp32"), 1)) as session:
        (found,) = session.run(noise_frames(1, 96, 96)[0][None])
    assert len(found) == 300 < MANY.boxes
    assert (np.diff(found.scores) <= 0).all()
    assert ((found.scores >= 0) & (found.scores <= 1)).all()
    assert set(found.class_ids.tolist()) <= {0, 1}


def test_the_same_frame_gives_the_same_candidates(session: InferenceSession) -> None:
    first = session.run(frame())[0]
    session.run(frame(1))
    again = session.run(frame())[0]
    for one, two in zip(vars(first).values(), vars(again).values(), strict=True):
        np.testing.assert_array_equal(one, two)


def test_another_session_and_more_threads_give_the_same_candidates(backend: str, plans: Callable[[str], Path]) -> None:
    found = []
    for threads in (1, 2):
        with closing(open_session(backend, plans("few-fp32"), threads)) as session:
            found.append(session.run(frame())[0])
    np.testing.assert_allclose(found[0].scores, found[1].scores, atol=1e-5)
    np.testing.assert_allclose(found[0].boxes, found[1].boxes, atol=1e-3)


def test_what_run_returned_stays_when_it_runs_again(session: InferenceSession) -> None:
    first = session.run(frame())[0]
    kept = first.boxes.copy()
    session.run(frame(1))
    np.testing.assert_array_equal(first.boxes, kept)


def test_the_frame_itself_is_left_alone(session: InferenceSession) -> None:
    given = frame()
    given.setflags(write=False)
    session.run(given)


@pytest.mark.parametrize(
    "frames",
    [
        np.zeros((1, 32, 32, 3), np.uint8),
        np.zeros((1, 64, 32, 3), np.uint8),
        np.zeros((1, 3, 32, 64), np.uint8),
        np.zeros((2, 32, 64, 3), np.uint8),
        np.zeros((0, 32, 64, 3), np.uint8),
        np.zeros((32, 64, 3), np.uint8),
        np.zeros((1, 32, 64, 3), np.float32),
    ],
    ids=["narrow", "turned", "planes", "two", "none", "no batch", "floats"],
)
def test_frames_of_another_shape_are_refused(session: InferenceSession, frames: np.ndarray) -> None:
    with pytest.raises(EngineError, match="the engine takes uint8"):
        session.run(frames)
    assert len(session.run(frame())) == 1


def test_a_closed_session_runs_no_more_and_may_be_closed_again(session: InferenceSession) -> None:
    session.close()
    session.close()
    with pytest.raises(EngineError, match="closed"):
        session.run(frame())


@pytest.mark.parametrize(
    "plan", ["empty", "junk", "text", "truncated", "takes-floats", "no-scores", "open-size", "missing", "few-model"]
)
def test_a_file_that_is_no_plan(backend: str, plans: Callable[[str], Path], plan: str) -> None:
    with pytest.raises(EngineError) as caught:
        open_session(backend, plans(plan), 1)
    assert caught.value.error_code == "engine_load"
    assert "\n" not in caught.value.line() and len(caught.value.line()) < 400


def test_a_backend_that_does_not_exist(plans: Callable[[str], Path]) -> None:
    with pytest.raises(EngineError) as caught:
        open_session("tensorflow", plans("few-fp32"), 1)
    assert "there is no inference backend 'tensorflow'" in caught.value.message
    assert "onnxruntime" in caught.value.mend
