"""The gate's arithmetic on cases made by hand; the cases of plain detections are in test_build_proof.py."""

from __future__ import annotations

import numpy as np
import pytest

from edgeagent.engine.build.compare import compare
from edgeagent.errors import EngineError
from edgeagent.vision.detections import Candidates

FRAME = (0.0, 0.0, 64.0, 64.0)


def classified(*scores: tuple[int, float]) -> Candidates:
    boxes = np.array([FRAME] * len(scores), np.float32)
    return Candidates(boxes, np.array([s for _, s in scores], np.float32), np.array([c for c, _ in scores], np.int32))


def detected(*rows: tuple[float, float, float, float, float, int]) -> Candidates:
    table = np.array(rows, np.float32).reshape(-1, 6)
    return Candidates(table[:, :4], table[:, 4], table[:, 5].astype(np.int32))


CATS = [classified((3, 0.9), (1, 0.05)), classified((1, 0.6), (3, 0.3)), classified((2, 0.5), (0, 0.4))]


def test_a_classifier_is_judged_by_its_best_class() -> None:
    engine = [classified((3, 0.8), (1, 0.1)), classified((3, 0.5), (1, 0.4)), classified((2, 0.5), (1, 0.4))]
    found = compare(engine, CATS, 1, 1, task="classify", nms=False)
    assert (found.basis, found.frames, found.reference_detections) == ("classes", 3, 3)
    assert found.value == pytest.approx(2 / 3, abs=1e-4)
    assert found.mean_score_difference == pytest.approx((0.1 + 0.2 + 0.0) / 3, abs=1e-4)
    assert found.mean_iou is None and found.cosine is not None and 0.9 < found.cosine < 1.0


def test_the_reference_s_class_that_the_engine_does_not_name_scores_0() -> None:
    found = compare([classified((9, 0.7))], [classified((3, 0.9))], 1, 1, task="classify", nms=False)
    assert (found.value, found.mean_score_difference) == (0.0, 0.9)


def test_overlapping_boxes_of_a_network_without_nms_all_count() -> None:
    pair = detected((0, 0, 20, 20, 0.9, 0), (1, 0, 21, 20, 0.8, 0))
    lost = [detected((0, 0, 20, 20, 0.9, 0))]
    assert compare([pair], [pair], 1, 1, nms=False).reference_detections == 2
    assert compare([pair], [pair], 1, 1).reference_detections == 1
    assert compare(lost, [pair], 1, 1, nms=False).value == 0.5
    assert compare(lost, [pair], 1, 1).value == 1.0


SEEN = [detected((0, 0, 20, 20, 0.9, 0)), detected((0, 0, 20, 20, 0.8, 0))]


@pytest.mark.parametrize(
    ("score", "hint", "value"), [(0.9, 0.0, 0.5), (0.49, 0.0, 1.0), (0.9, 0.3, 1.0), (0.9, 0.1, 0.5)]
)
def test_a_class_that_only_the_engine_sees(score: float, hint: float, value: float) -> None:
    """Such a class has no truth and no AP of its own; without a rule for it, an engine could see ghosts unpunished."""
    ghost = (40.0, 40.0, 60.0, 60.0)
    engine = [detected((0, 0, 20, 20, 0.9, 0), (*ghost, score, 5)), SEEN[1]]
    reference = [detected((0, 0, 20, 20, 0.9, 0), (*ghost, hint, 5)), SEEN[1]]
    assert compare(engine, reference, 1, 1).value == value


def test_scores_beyond_0_to_1_do_not_leave_the_range() -> None:
    far = [detected((0, 0, 9, 9, 0.2, 0))]
    farther = [detected((0, 0, 9, 9, 12.0, 0))]
    assert compare(farther, far, 1, 1).value == 0.0


def test_infinite_boxes_are_lost_boxes_and_not_worse() -> None:
    good = detected((0, 0, 20, 20, 0.9, 0), (30, 30, 50, 50, 0.01, 1))
    wild = detected((0, 0, 20, 20, 0.9, 0), (30, 30, np.inf, 50, 0.01, 1))
    assert compare([wild], [good], 1, 1).value == 1.0
    lost = detected((0, 0, np.inf, 20, 0.9, 0), (30, 30, 50, 50, 0.01, 1))
    assert compare([lost], [good], 1, 1).value == 0.0


def test_cosine_of_scores_that_differ() -> None:
    one, other = [detected((0, 0, 9, 9, 0.8, 0))], [detected((0, 0, 9, 9, 0.8, 0), (0, 0, 9, 9, 0.6, 0))]
    assert compare(one, other, 1, 1).cosine == pytest.approx(0.8)
    assert compare([detected()], other, 1, 1).cosine is None


@pytest.mark.parametrize("engine", [[], SEEN[:1], [*SEEN, *SEEN]])
def test_frames_that_do_not_belong_together(engine: list[Candidates]) -> None:
    with pytest.raises(EngineError) as caught:
        compare(engine, SEEN, 1, 1)
    assert caught.value.error_code == "no_frames"


def test_no_frames_at_all() -> None:
    with pytest.raises(EngineError) as caught:
        compare([], [], 1, 1)
    assert caught.value.error_code == "no_frames"
