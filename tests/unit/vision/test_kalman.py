"""Four small filters a box in closed form are the textbook's one with matrices."""

from __future__ import annotations

import numpy as np
import pytest

from edgeagent.vision import kalman

FRAME_S = 1 / 30
BOXES = np.array([[100.0, 50.0, 140.0, 80.0], [300.0, 200.0, 310.0, 290.0]])


class Textbook:
    """ByteTrack's filter for one box: state (x, y, w, h and their velocities a frame), covariance 8x8."""

    def __init__(self, box: np.ndarray) -> None:
        self.x = np.concatenate([self.measured(box), np.zeros(4)])
        size = self.size()
        self.p = np.diag([(2 * size / 20) ** 2] * 4 + [(10 * size / 160) ** 2] * 4)

    @staticmethod
    def measured(box: np.ndarray) -> np.ndarray:
        return np.array([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2, box[2] - box[0], box[3] - box[1]])

    def size(self) -> float:
        return float(np.sqrt(self.x[2] * self.x[3]))

    def predict(self) -> None:
        f = np.eye(8) + np.diag(np.ones(4), 4)
        size = self.size()
        noise = np.diag([(size / 20) ** 2] * 4 + [(size / 160) ** 2] * 4)
        self.x, self.p = f @ self.x, f @ self.p @ f.T + noise

    def update(self, box: np.ndarray) -> None:
        h = np.eye(4, 8)
        s = h @ self.p @ h.T + np.eye(4) * (self.size() / 20) ** 2
        gain = self.p @ h.T @ np.linalg.inv(s)
        self.x = self.x + gain @ (self.measured(box) - h @ self.x)
        self.p = (np.eye(8) - gain @ h) @ self.p


def test_it_is_the_textbook_s_filter() -> None:
    books = [Textbook(box) for box in BOXES]
    state = kalman.start(BOXES, FRAME_S)
    rng = np.random.default_rng(1)
    for number in range(12):
        state = kalman.predict(state, FRAME_S, FRAME_S)
        seen = BOXES + np.array([3.0 * number, 1.0, 3.2 * number, 2.0]) + rng.normal(0, 0.5, BOXES.shape)
        for book, box in zip(books, seen, strict=True):
            book.predict()
            book.update(box)
        state = kalman.update(state, seen)
        for row, book in enumerate(books):
            np.testing.assert_allclose(state[row, 0], book.x[:4], rtol=1e-9)
            np.testing.assert_allclose(state[row, 1] * FRAME_S, book.x[4:], rtol=1e-7, atol=1e-9)
            np.testing.assert_allclose(state[row, 2], np.diag(book.p)[:4], rtol=1e-9)
            np.testing.assert_allclose(state[row, 4] * FRAME_S**2, np.diag(book.p)[4:], rtol=1e-9)


def moving(steps: int) -> kalman.State:
    state = kalman.start(BOXES, FRAME_S)
    for number in range(1, steps):
        state = kalman.update(kalman.predict(state, FRAME_S, FRAME_S), BOXES + 4.0 * number)
    return state


@pytest.mark.parametrize("frames", [2, 5, 30])
def test_over_a_gap_a_thing_goes_as_far_as_step_by_step(frames: int) -> None:
    at_once = stepped = moving(20)
    for _ in range(frames):
        stepped = kalman.predict(stepped, FRAME_S, FRAME_S)
    at_once = kalman.predict(at_once, frames * FRAME_S, FRAME_S)
    np.testing.assert_allclose(at_once[:, :2], stepped[:, :2], rtol=1e-9)
    assert (at_once[:, 2] > moving(20)[:, 2]).all(), "what was not seen is less sure"


def test_a_steady_thing_is_where_it_should_be() -> None:
    ahead = kalman.to_boxes(kalman.predict(moving(40), 10 * FRAME_S, FRAME_S))
    np.testing.assert_allclose(ahead, BOXES + 4.0 * 49, atol=1.0)


def test_boxes_survive_the_way_there_and_back() -> None:
    np.testing.assert_allclose(kalman.to_boxes(kalman.start(BOXES, FRAME_S)), BOXES)


def test_a_box_that_shrinks_never_turns_inside_out() -> None:
    state = kalman.start(np.array([[0.0, 0.0, 50.0, 50.0]]), FRAME_S)
    for side in (40.0, 30.0, 20.0, 10.0):
        state = kalman.update(kalman.predict(state, FRAME_S, FRAME_S), np.array([[0.0, 0.0, side, side]]))
    box = kalman.to_boxes(kalman.predict(state, 5.0, FRAME_S))[0]
    assert box[2] > box[0] and box[3] > box[1]


def test_no_boxes_are_no_states() -> None:
    state = kalman.no_states()
    assert kalman.predict(state, 1.0, FRAME_S).shape == (0, 5, 4)
    assert kalman.update(state, np.zeros((0, 4))).shape == (0, 5, 4)
    assert kalman.to_boxes(state).shape == (0, 4)
