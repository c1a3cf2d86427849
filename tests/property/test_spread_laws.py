"""Laws of choosing frames that differ, and of reading pictures' heads: whatever comes, in whatever order."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeagent.engine.picture_head import read_head
from edgeagent.engine.spread import NOISE, STILL_TIMES, SpreadChooser, describe, distance

Points = list[npt.NDArray[np.float32]]
VALUES = st.integers(0, 255).map(np.float32)
STREAMS = st.lists(st.lists(VALUES, min_size=4, max_size=4).map(lambda row: np.array(row, np.float32)), max_size=60)


def keep(stream: Points, count: int) -> tuple[list[int], SpreadChooser]:
    """Which frames are kept in the end."""
    chooser, kept = SpreadChooser(count), []
    for number, point in enumerate(stream):
        verdict = chooser.offer(point)
        if verdict.keep and verdict.replaces is None:
            kept.append(number)
        elif verdict.keep:
            kept[verdict.replaces] = number
    return kept, chooser


def closest(points: Points) -> float:
    return min(
        (float(distance(one, np.array([two]))[0]) for i, one in enumerate(points) for two in points[i + 1 :]),
        default=float("inf"),
    )


@given(STREAMS, st.integers(1, 12))
def test_no_more_are_kept_than_wanted_and_no_fewer_than_there_are(stream: Points, count: int) -> None:
    kept, _ = keep(stream, count)
    assert len(kept) == len(set(kept)) == min(count, len(stream))


@given(STREAMS, st.integers(2, 8))
def test_the_closest_pair_is_never_closer_than_among_the_first(stream: Points, count: int) -> None:
    kept, _ = keep(stream, count)
    assert closest([stream[i] for i in kept]) >= closest(stream[:count]) - 1e-3


@given(STREAMS, st.integers(2, 8))
@settings(max_examples=60)
def test_what_is_said_of_the_spread_is_what_it_is(stream: Points, count: int) -> None:
    kept, chooser = keep(stream, count)
    points = [stream[i] for i in kept]
    nearest = [
        min(float(distance(one, np.array([two]))[0]) for j, two in enumerate(points) if j != i)
        for i, one in enumerate(points)
        if len(points) > 1
    ]
    assert chooser.spread == pytest.approx(float(np.median(nearest)) if nearest else 0.0, abs=1e-3)


@given(STREAMS, st.integers(1, 8))
def test_the_same_stream_gives_the_same_choice(stream: Points, count: int) -> None:
    assert keep(stream, count)[0] == keep(stream, count)[0]


@given(st.integers(2, 12), st.integers(0, 1000))
def test_frames_that_differ_by_noise_never_take_a_place(count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    base = rng.uniform(20, 200, 48)
    stream = [(base + rng.uniform(-NOISE / 2, NOISE / 2, 48)).astype(np.float32) for _ in range(3 * count)]
    kept, chooser = keep(stream, count)
    assert kept == list(range(count))
    assert chooser.spread == 0 and not chooser.settled


@given(st.integers(1, 10), st.integers(1, 5), st.integers(0, 1000))
def test_every_stream_comes_to_an_end(count: int, looks: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    chooser = SpreadChooser(count, looks)
    height = rng.choice([0, 1, 255])  # a still scene, noise, anything
    for _ in range(looks * STILL_TIMES * count):
        chooser.offer(rng.uniform(0, 1, 12).astype(np.float32) * np.float32(height))
    assert chooser.settled


@given(st.integers(1, 200), st.integers(1, 200), st.integers(0, 255))
def test_a_frame_of_one_colour_is_described_by_it(width: int, height: int, value: int) -> None:
    descriptor = describe(np.full((height, width, 3), value, np.uint8))
    assert descriptor.dtype == np.float32 and descriptor.ndim == 1
    np.testing.assert_allclose(descriptor, value, atol=0.5)


@given(
    st.binary(max_size=300), st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"BM", b"RIFF1234WEBPVP8"])
)
def test_any_bytes_are_a_head_or_none(data: bytes, start: bytes) -> None:
    head = read_head(start + data)
    assert head is None or (head.width > 0 and head.height > 0)
