"""Laws of letting a share through: as many as were asked for, and evenly."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from edgeagent.camera.pace import Spacing, Turnstile
from edgeagent.inference.messages import Pace
from edgeagent.inference.pacing import Limit

shares = st.floats(0.01, 1.0)


@given(shares, st.integers(1, 500))
def test_a_share_is_kept_to_one_frame_and_its_gaps_to_one_frame(share: float, frames: int) -> None:
    turnstile = Turnstile(share)
    through = [number for number in range(frames) if turnstile.lets_through()]
    assert through[0] == 0, "whoever looks again sees something at once"
    assert abs(len(through) - frames * share) <= 1
    gaps = {after - before for before, after in itertools.pairwise(through)}
    assert max(gaps, default=1) - min(gaps, default=1) <= 1


def test_nothing_goes_through_a_pause() -> None:
    turnstile = Turnstile(0.0)
    assert not any(turnstile.lets_through() for _ in range(1000))


@given(
    st.floats(5, 60),
    st.floats(0.5, 60),
    st.integers(50, 400),
    st.lists(st.floats(-0.3, 0.3), min_size=400, max_size=400),
)
def test_no_more_than_so_many_a_second_go_through(
    camera_fps: float, per_s: float, frames: int, tremble: list[float]
) -> None:
    spacing = Spacing(1 / per_s)
    times = [10**12 + int((number + tremble[number]) / camera_fps * 1e9) for number in range(frames)]
    through = []
    for at_ns in times:
        if spacing.is_due(at_ns):
            spacing.passed(at_ns)
            through.append(at_ns)
    seconds = frames / camera_fps
    expected = min(camera_fps, per_s) * seconds
    assert len(through) <= min(frames, per_s * seconds + 2)
    assert len(through) >= 0.45 * expected - 2, "a camera that trembles costs some, never most of them"


@given(st.lists(st.tuples(st.integers(0, 40), st.floats(0, 1), st.none() | st.floats(0.5, 50)), max_size=8))
def test_every_frame_is_looked_at_or_shed(spells: list[tuple[int, float, float | None]]) -> None:
    limit, looked, number = Limit(), 0, 0
    for frames, share, per_s in spells:
        limit.take(Pace(pipeline="p", share=share, per_s=per_s))
        assert limit.paused == (share == 0)
        for _ in range(frames):
            number += 1
            looked += limit.lets_through(number * 33_333_333)
    assert looked + limit.shed == number
