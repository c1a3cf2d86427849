"""The proof run: what it compares, and what becomes of an engine that dies, hangs or does not load in it."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from engine_kit import Frames, Net, noise_frames, write_bundle
from onnx import helper

from edgeagent.engine.batching import with_batch
from edgeagent.engine.build.compare import compare
from edgeagent.engine.build.proof import ProofRun
from edgeagent.engine.build.verify import VerifyRequest, verify_engine
from edgeagent.engine.calibration import SetWriter
from edgeagent.engine.graft import graft_bundle
from edgeagent.engine.quantise import quantise
from edgeagent.errors import EngineError
from edgeagent.vision.detections import Candidates

NET = Net(width=64, height=64)


def candidates(*rows: tuple[float, float, float, float, float, int]) -> Candidates:
    """Candidates of (x1, y1, x2, y2, score, class) rows, padded with rows that score nothing."""
    padded = [*rows, *([(0, 0, 1, 1, 0.001, 0)] * (20 - len(rows)))]
    table = np.array(padded, np.float32)
    return Candidates(table[:, :4], table[:, 4], table[:, 5].astype(np.int32))


SEEN = [candidates((10, 10, 50, 50, 0.9, 1), (60, 10, 90, 40, 0.7, 0)), candidates((5, 5, 25, 45, 0.8, 2))]
NOTHING = [candidates(), candidates()]


def moved(frames: list[Candidates], dx: float, less: float = 0.0) -> list[Candidates]:
    shift = np.array([dx, 0, dx, 0], np.float32)
    return [Candidates(c.boxes + shift, np.maximum(c.scores - np.float32(less), 0), c.class_ids) for c in frames]


def test_an_engine_that_says_the_same_agrees_fully() -> None:
    found = compare(SEEN, SEEN, 2.0, 3.0)
    assert (found.value, found.basis, found.frames, found.reference_detections) == (1.0, "detections", 2, 3)
    assert (found.mean_iou, found.mean_score_difference) == (1.0, 0.0)
    assert (found.engine_ms, found.reference_ms) == (2.0, 3.0)


def test_small_shifts_cost_overlap_and_not_agreement() -> None:
    found = compare(moved(SEEN, 2, less=0.05), SEEN, 1, 1)
    assert found.value == 1.0
    assert found.mean_iou == pytest.approx(0.88, abs=0.03)
    assert found.mean_score_difference == pytest.approx(0.05, abs=1e-3)


def test_large_shifts_cost_agreement() -> None:
    assert compare(moved(SEEN, 30), SEEN, 1, 1).value == 0.0


def test_a_class_that_is_lost_costs_its_share() -> None:
    blind = [SEEN[0], candidates()]
    assert compare(blind, SEEN, 1, 1).value == pytest.approx(2 / 3, abs=1e-3)


def test_an_engine_that_sees_nothing_does_not_agree() -> None:
    assert compare(NOTHING, SEEN, 1, 1).value == 0.0


def test_false_alarms_cost_agreement() -> None:
    alarmed = [candidates((0, 50, 30, 90, 0.95, 1), (10, 10, 50, 50, 0.9, 1), (60, 10, 90, 40, 0.7, 0)), SEEN[1]]
    assert compare(alarmed, SEEN, 1, 1).value < 0.9


def test_where_the_reference_sees_nothing_scores_are_compared() -> None:
    found = compare(NOTHING, NOTHING, 1, 1)
    assert (found.value, found.basis, found.reference_detections) == (1.0, "scores", 0)
    found = compare(SEEN, NOTHING, 1, 1)
    assert found.basis == "scores" and found.value == pytest.approx(1 - (1.6 + 0.8) / 20, abs=0.01)


@pytest.mark.parametrize("reference", [NOTHING, SEEN])
def test_an_engine_that_gives_no_numbers_never_agrees(reference: list[Candidates]) -> None:
    nan = [Candidates(np.full_like(c.boxes, np.nan), np.full_like(c.scores, np.nan), c.class_ids) for c in reference]
    assert compare(nan, reference, 1, 1).value == 0.0


# the process


def mixing(folder: Path) -> onnx.ModelProto:
    """A network that takes each frame for the mean of all: for one alone it is the plain one."""
    model = NET.model()
    for node in model.graph.node:
        node.output[:] = ["was" if name == "output0" else name for name in node.output]
    model.graph.node.append(helper.make_node("ReduceMean", ["was"], ["mean"], axes=[0], keepdims=1))
    model.graph.node.append(helper.make_node("Sub", ["was", "mean"], ["apart"]))
    model.graph.node.append(helper.make_node("Sub", ["was", "apart"], ["output0"]))
    return graft_bundle(write_bundle(folder, NET, model))


@pytest.fixture(scope="module")
def request_for(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., VerifyRequest]:
    folder = tmp_path_factory.mktemp("proof")
    frames: list[Frames] = noise_frames(8, 64, 64)
    network = graft_bundle(write_bundle(folder / "model", NET))
    (folder / "reference").write_bytes(network.SerializeToString())
    (folder / "plan").write_bytes(quantise(network, frames, 1, lambda percent: None).SerializeToString())
    (folder / "junk").write_bytes(b"this is no engine")
    (folder / "float").write_bytes(NET.model().SerializeToString())
    other = graft_bundle(write_bundle(folder / "other", Net(width=32, height=32)))
    (folder / "other-size").write_bytes(other.SerializeToString())
    (folder / "three").write_bytes(with_batch(network, 3, fixed=False).SerializeToString())
    (folder / "three-padded").write_bytes(with_batch(network, 3, fixed=True).SerializeToString())
    (folder / "mixing").write_bytes(with_batch(mixing(folder / "mix"), 3, fixed=False).SerializeToString())
    for name, holdout in (("set", 4), ("none-held-out", 0)):
        with SetWriter(folder / "calibration" / name) as writer:
            for frame in frames:
                writer.add(frame)
            writer.commit(holdout)

    def make(plan: str = "plan", calibration: str = "set") -> VerifyRequest:
        return VerifyRequest(
            backend="onnxruntime",
            plan=str(folder / plan),
            reference=str(folder / "reference"),
            calibration=str(folder / "calibration" / calibration),
            threads=1,
        )

    return make


def no_pause(seconds: float) -> None:
    select.select([], [], [], seconds)


def test_the_process_finds_what_the_function_finds(request_for: Callable[..., VerifyRequest]) -> None:
    with ProofRun() as proof:
        found = proof.judge(request_for(), no_pause)
    times = {"engine_ms": 0.0, "reference_ms": 0.0}
    assert found.model_copy(update=times) == verify_engine(request_for()).model_copy(update=times)
    assert found.frames == 4 and found.engine_ms > 0 and found.reference_ms > 0


def test_the_reference_agrees_with_itself(request_for: Callable[..., VerifyRequest]) -> None:
    assert verify_engine(request_for("reference")).value == 1.0


@pytest.mark.parametrize("plan", ["three", "three-padded"])
def test_an_engine_for_several_frames_is_asked_for_each_number_of_them(
    request_for: Callable[..., VerifyRequest], plan: str
) -> None:
    found = verify_engine(request_for(plan).model_copy(update={"min_agreement": 0.9}))
    assert (found.value, found.frames) == (1.0, 4) and found.engine_ms > 0


def test_one_that_is_right_for_single_frames_only_is_named_as_that(request_for: Callable[..., VerifyRequest]) -> None:
    wanted = request_for("mixing").model_copy(update={"min_agreement": 0.99})
    with pytest.raises(EngineError, match=r"1\.000 where frames go through it one by one.* 2 go together") as caught:
        verify_engine(wanted)
    assert caught.value.error_code == "batch_unsupported"
    assert verify_engine(request_for("mixing")).value < 0.99, "without a demand the worst is told"


@pytest.mark.parametrize(
    ("plan", "calibration", "code"),
    [
        ("junk", "set", "engine_load"),
        ("missing", "set", "engine_load"),
        ("float", "set", "engine_load"),
        ("other-size", "set", "engine_run"),
        ("plan", "missing", "no_calibration"),
        ("plan", "none-held-out", "no_calibration"),
    ],
)
def test_what_cannot_be_proven(
    request_for: Callable[..., VerifyRequest], plan: str, calibration: str, code: str
) -> None:
    with pytest.raises(EngineError) as caught:
        verify_engine(request_for(plan, calibration))
    assert caught.value.error_code == code
    assert "\n" not in caught.value.line()


def test_the_process_passes_the_reason_on(request_for: Callable[..., VerifyRequest]) -> None:
    with ProofRun() as proof, pytest.raises(EngineError) as caught:
        proof.judge(request_for("junk"), no_pause)
    assert caught.value.error_code == "engine_load"
    assert "ONNX Runtime does not load the engine" in caught.value.message


def test_an_engine_that_takes_the_process_along(request_for: Callable[..., VerifyRequest]) -> None:
    with ProofRun() as proof, pytest.raises(EngineError) as caught:
        os.kill(proof.pid, signal.SIGSEGV)
        proof.judge(request_for(), no_pause)
    assert caught.value.error_code == "engine_crashed"
    assert "signal 11" in caught.value.message


def test_an_engine_that_hangs(request_for: Callable[..., VerifyRequest]) -> None:
    with ProofRun() as proof, pytest.raises(EngineError) as caught:
        os.kill(proof.pid, signal.SIGSTOP)
        proof.judge(request_for(), no_pause, within_s=0.1)
    assert (caught.value.error_code, caught.value.retry) == ("engine_hung", True)
    assert not Path(f"/proc/{proof.pid}").exists()


def test_a_build_that_is_cancelled_leaves_no_process(request_for: Callable[..., VerifyRequest]) -> None:
    class Enough(Exception):
        pass

    def cancel(seconds: float) -> None:
        raise Enough

    with pytest.raises(Enough), ProofRun() as proof:
        proof.judge(request_for(), cancel)
    assert not Path(f"/proc/{proof.pid}").exists()
