"""What holds for the tracker whatever it is shown."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("lap", reason="the extra tracking is not installed")

from edgeagent.vision.tracking import MOST, Tracker

sys.path.append(str(Path(__file__).parents[1] / "unit" / "vision"))
from tracking_kit import Thing, look

PIXEL = st.floats(-50, 700, width=32)
BOX = st.tuples(PIXEL, PIXEL, st.floats(0.25, 300, width=32), st.floats(0.25, 300, width=32))
ROW = st.tuples(BOX, st.sampled_from([0.1, 0.2, 0.5, 0.9, 1.0]), st.integers(0, 2))
GAP_NS = st.sampled_from([0, 1, 1_000_000, 33_000_000, 400_000_000, 5_000_000_000, 10**13, -33_000_000])
FILM = st.lists(st.tuples(st.lists(ROW, max_size=8), GAP_NS), max_size=12)

Row = tuple[tuple[float, float, float, float], float, int]


def follow(tracker: Tracker, rows: list[Row], at_ns: int) -> np.ndarray:
    boxes = np.array([(x, y, x + w, y + h) for (x, y, w, h), _, _ in rows], np.float32).reshape(-1, 4)
    scores = np.array([score for _, score, _ in rows], np.float32)
    return tracker.follow(boxes, scores, np.array([c for _, _, c in rows], np.int32), scores >= 0.35, at_ns)


@settings(deadline=None)
@given(FILM)
def test_numbers_are_each_thing_s_own_and_everything_stays_finite(film: list[tuple[list[Row], int]]) -> None:
    tracker, at_ns, class_of = Tracker(), 0, {}
    for rows, gap_ns in film:
        at_ns += gap_ns
        ids = follow(tracker, rows, at_ns)
        given_ids = ids[ids > 0].tolist()
        assert len(ids) == len(rows) and len(set(given_ids)) == len(given_ids)
        for number, (_, _, class_id) in zip(ids.tolist(), rows, strict=True):
            assert number == 0 or class_of.setdefault(number, class_id) == class_id
        assert all(number < tracker.next_id for number in given_ids)
        state = tracker.tracks.state
        assert np.isfinite(state).all() and (state[:, [2, 4]] >= 0).all()
        assert len(tracker.tracks) <= MOST
    assert sorted(class_of) == list(range(1, tracker.next_id)), "a number was left out"


@settings(deadline=None)
@given(FILM, st.randoms(use_true_random=False))
def test_the_order_of_the_boxes_does_not_matter(film: list[tuple[list[Row], int]], random: object) -> None:
    one, other, at_ns = Tracker(), Tracker(), 0
    for rows, gap_ns in film:
        distinct = list(dict.fromkeys(rows))  # of boxes that are alike in everything, nobody can say which is which
        at_ns += gap_ns
        shuffled = list(range(len(distinct)))
        random.shuffle(shuffled)  # type: ignore[attr-defined]
        ids = follow(one, distinct, at_ns)
        mixed = follow(other, [distinct[place] for place in shuffled], at_ns)
        assert [ids[place] for place in shuffled] == mixed.tolist()


@settings(deadline=None)
@given(st.floats(-6, 6), st.floats(-6, 6), st.floats(25, 120), st.lists(st.booleans(), min_size=4, max_size=40))
def test_a_straight_thing_has_one_number_however_often_it_is_missed(
    dx: float, dy: float, side: float, missed: list[bool]
) -> None:
    """Seen for ten frames, then missed now and then for less than a second."""
    tracker, thing = Tracker(), Thing(300, 300, dx, dy, side=side)
    seen = [look(tracker, [thing], frame)[0] for frame in range(10)]
    away = 0
    for frame, gone in enumerate(missed, start=10):
        away = away + 1 if gone and away < 20 else 0
        seen += look(tracker, [] if away else [thing], frame)
    assert set(seen[1:]) == {1}
