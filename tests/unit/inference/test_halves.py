"""The two halves of a run, for sessions that do one batch after the other."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from edgeagent.errors import EngineError
from edgeagent.inference.halves import Halves
from edgeagent.vision.detections import Candidates

NONE = np.zeros(1, np.int32)


class Means(Halves):
    """The one score of a frame is its mean."""

    batch, width, height, pads = 2, 4, 3, True

    def _run(self, frames: npt.NDArray[np.uint8]) -> list[Candidates]:
        assert frames.shape == (2, 3, 4, 3)
        empty = np.zeros((1, 4), np.float32)
        return [Candidates(empty, np.array([f.mean()], np.float32), np.zeros(1, np.int32)) for f in frames]


def frame(value: int) -> npt.NDArray[np.uint8]:
    return np.full((3, 4, 3), value, np.uint8)


def means(session: Means) -> list[float]:
    return [float(found.scores[0]) for found in session.collect()]


def test_a_batch_gives_one_answer_a_frame_in_order() -> None:
    session = Means()
    session.submit([frame(3), frame(8)])
    assert means(session) == [3.0, 8.0]
    session.submit([frame(5)])
    assert means(session) == [5.0], "the place that was not used gives nothing"


def test_a_batch_of_several_is_put_together_when_it_is_submitted() -> None:
    session, given = Means(), frame(3)
    session.submit([given])
    given[:] = 9
    assert means(session) == [3.0]


def test_a_batch_of_one_is_not_copied() -> None:
    class One(Means):
        batch = 1

        def _run(self, frames: npt.NDArray[np.uint8]) -> list[Candidates]:
            assert frames.base is given
            return []

    session, given = One(), frame(3)
    session.submit([given])
    assert session.collect() == []


@pytest.mark.parametrize(
    "frames", [[], [frame(1)] * 3, [np.zeros((4, 3, 3), np.uint8)], [np.zeros((3, 4, 3), np.int8)]]
)
def test_other_frames_are_refused(frames: list[npt.NDArray[np.uint8]]) -> None:
    with pytest.raises(EngineError, match="1 to 2 frames"):
        Means().submit(frames)


def test_halves_come_in_pairs() -> None:
    session = Means()
    with pytest.raises(EngineError, match="no batch"):
        session.collect()
    session.submit([frame(1)])
    with pytest.raises(EngineError, match="1 of 1 batches are under way"):
        session.submit([frame(1)])


def test_a_session_that_takes_any_number_computes_no_more_than_there_are() -> None:
    class Open(Means):
        pads = False

        def _run(self, frames: npt.NDArray[np.uint8]) -> list[Candidates]:
            counts.append(len(frames))
            return [Candidates(np.zeros((1, 4), np.float32), np.array([f.mean()], np.float32), NONE) for f in frames]

    counts: list[int] = []
    session = Open()
    for values in ([3, 8], [5], [7, 1]):
        session.submit([frame(value) for value in values])
        assert means(session) == values
    assert counts == [2, 1, 2]


def test_a_run_is_a_whole_batch() -> None:
    session = Means()
    assert len(session.run(np.zeros((2, 3, 4, 3), np.uint8))) == 2
    with pytest.raises(EngineError, match="takes uint8"):
        session.run(np.zeros((1, 3, 4, 3), np.uint8))
    session.close()
    with pytest.raises(EngineError, match="closed"):
        session.run(np.zeros((2, 3, 4, 3), np.uint8))
