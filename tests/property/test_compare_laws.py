"""The gate's arithmetic: the same is 1, less is never more, and no numbers are 0."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeagent.engine.build.compare import compare
from edgeagent.errors import EngineError
from edgeagent.vision.detections import Candidates

CELL = 40  # pixels; boxes of different cells do not overlap

row = st.tuples(st.integers(0, 24), st.integers(5, 30), st.integers(5, 30), st.integers(0, 100), st.integers(0, 3))
frame_rows = st.lists(row, max_size=12)
frames = st.lists(frame_rows, min_size=1, max_size=4)
apart = st.lists(st.lists(row, max_size=12, unique_by=lambda one: one[0]), min_size=1, max_size=4)
tasks = st.sampled_from([("detect", True), ("detect", False), ("classify", False)])


def candidates(rows: list[tuple[int, int, int, int, int]]) -> Candidates:
    """One box a row: its cell, its sides, its score in hundredths, its class; best first, as an engine gives them."""
    ordered = sorted(rows, key=lambda one: -one[3])
    x = np.array([(one[0] % 5) * CELL for one in ordered], np.float32)
    y = np.array([(one[0] // 5) * CELL for one in ordered], np.float32)
    w = np.array([one[1] for one in ordered], np.float32)
    h = np.array([one[2] for one in ordered], np.float32)
    boxes = np.stack([x, y, x + w, y + h], axis=1).reshape(-1, 4)
    scores = np.array([one[3] / 100 for one in ordered], np.float32)
    return Candidates(boxes, scores, np.array([one[4] for one in ordered], np.int32))


def judged(engine: list[Candidates], reference: list[Candidates], how: tuple[Any, bool]) -> Any:
    return compare(engine, reference, 1.0, 2.0, task=how[0], nms=how[1])


@settings(deadline=None)
@given(frames, tasks)
def test_the_same_agrees_fully(rows: list[Any], how: tuple[Any, bool]) -> None:
    same = [candidates(one) for one in rows]
    found = judged(same, same, how)
    assert (found.value, found.frames) == (1.0, len(rows))
    assert found.mean_score_difference in (0.0, None)
    assert found.mean_iou in (1.0, None)
    assert found.cosine is None or found.cosine == pytest.approx(1.0)


@settings(deadline=None)
@given(frames, frames, tasks)
def test_agreement_lies_between_0_and_1(ours: list[Any], theirs: list[Any], how: tuple[Any, bool]) -> None:
    length = min(len(ours), len(theirs))
    engine = [candidates(one) for one in ours[:length]]
    reference = [candidates(one) for one in theirs[:length]]
    found = judged(engine, reference, how)
    assert 0.0 <= found.value <= 1.0
    assert found.cosine is None or -1.0 <= found.cosine <= 1.0
    assert found.mean_iou is None or 0.0 <= found.mean_iou <= 1.0


@settings(max_examples=60, deadline=None)
@given(apart, st.randoms(use_true_random=False), st.booleans())
def test_agreement_falls_as_detections_are_lost(rows: list[Any], random: Any, nms: bool) -> None:
    reference = [candidates(one) for one in rows]
    left, values = [list(one) for one in rows], []
    while any(left):
        values.append(judged([candidates(one) for one in left], reference, ("detect", nms)).value)
        fullest = random.choice([one for one in left if one])
        fullest.pop(random.randrange(len(fullest)))
    values.append(judged([candidates(one) for one in left], reference, ("detect", nms)).value)
    assert values[0] == 1.0
    assert values == sorted(values, reverse=True)
    seen = any(one[3] >= 35 for part in rows for one in part)
    assert values[-1] == 0.0 or not seen


@settings(deadline=None)
@given(frames, tasks, st.data())
def test_one_value_that_is_no_number_is_enough(rows: list[Any], how: tuple[Any, bool], data: st.DataObject) -> None:
    reference = [candidates(one) for one in rows]
    full = [place for place, one in enumerate(reference) if len(one)]
    if not full:
        return
    place = data.draw(st.sampled_from(full))
    boxes, scores = reference[place].boxes.copy(), reference[place].scores.copy()
    where = data.draw(st.integers(0, len(scores) - 1))
    if data.draw(st.booleans()):
        scores[where] = np.nan
    else:
        boxes[where, data.draw(st.integers(0, 3))] = np.nan
    engine = [*reference]
    engine[place] = Candidates(boxes, scores, reference[place].class_ids)
    assert judged(engine, reference, how).value == 0.0


@settings(deadline=None)
@given(frames, tasks)
def test_a_reference_without_numbers_proves_nothing(rows: list[Any], how: tuple[Any, bool]) -> None:
    good = [candidates([(0, 9, 9, 90, 0), *one]) for one in rows]
    bad = [Candidates(one.boxes, one.scores * np.float32(np.nan), one.class_ids) for one in good]
    with pytest.raises(EngineError) as caught:
        judged(good, bad, how)
    assert caught.value.error_code == "reference_not_finite"


@settings(deadline=None)
@given(apart)
def test_the_order_of_equal_frames_does_not_matter(rows: list[Any]) -> None:
    engine = [candidates(one[1:]) for one in rows]
    reference = [candidates(one) for one in rows]
    forward = judged(engine, reference, ("detect", True))
    backward = judged(engine[::-1], reference[::-1], ("detect", True))
    assert forward.value == pytest.approx(backward.value, abs=1e-3)
