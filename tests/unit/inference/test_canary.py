"""The canary's frame, and when two answers count as the same."""

from __future__ import annotations

import numpy as np
import pytest

from edgeagent.inference.canary import answer_of, canary_frame, difference, is_known
from edgeagent.vision.detections import Candidates


def candidates(count: int = 40, seed: int = 1) -> Candidates:
    rng = np.random.default_rng(seed)
    corners = rng.uniform(0, 500, (count, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(5, 100, (count, 2))], 1).astype(np.float32)
    return Candidates(boxes, rng.uniform(0, 1, count).astype(np.float32), rng.integers(0, 3, count).astype(np.int32))


def answer(found: Candidates) -> tuple[float, ...]:
    return answer_of(found, 640, 640)


@pytest.mark.parametrize("size", [(1, 1), (64, 64), (480, 640), (1080, 1920)])
def test_the_frame_is_always_the_same_and_not_flat(size: tuple[int, int]) -> None:
    frame = canary_frame(*size)
    assert frame.dtype == np.uint8 and frame.shape == (*size, 3)
    assert (frame == canary_frame(*size)).all()
    assert size == (1, 1) or frame.std() > 20


def test_an_answer_does_not_depend_on_the_order_and_bears_rounding() -> None:
    found = candidates()
    order = np.random.default_rng(2).permutation(len(found))
    shuffled = Candidates(found.boxes[order], found.scores[order], found.class_ids[order])
    assert difference(answer(shuffled), answer(found)) == ""
    trembling = Candidates(found.boxes + 0.5, found.scores * np.float32(0.995), found.class_ids)
    assert difference(answer(trembling), answer(found)) == ""


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda c: Candidates(c.boxes, c.scores * np.float32(0.8), c.class_ids), "a score differs"),
        (lambda c: Candidates(c.boxes, np.zeros_like(c.scores), c.class_ids), "a score differs"),
        (lambda c: Candidates(c.boxes + 40, c.scores, c.class_ids), "boxes lie elsewhere"),
        (lambda c: Candidates(c.boxes, np.full_like(c.scores, np.nan), c.class_ids), "no numbers"),
        (lambda c: Candidates(np.full_like(c.boxes, np.inf), c.scores, c.class_ids), "no numbers"),
        (lambda c: Candidates(c.boxes[:0], c.scores[:0], c.class_ids[:0]), "a score differs"),
    ],
)
def test_another_answer_is_noticed(change, says: str) -> None:
    found = candidates()
    assert says in difference(answer(change(found)), answer(found))


def test_an_engine_that_gives_no_numbers_has_nothing_to_compare_with() -> None:
    found = candidates()
    assert not is_known(answer(Candidates(found.boxes, found.scores * np.float32(np.nan), found.class_ids)))
    assert not is_known(())
    assert is_known(answer(candidates(0)))
    assert "another form" in difference(answer(found), answer(found)[:-1])
