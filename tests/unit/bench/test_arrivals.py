"""What a subscriber hears becomes counts, losses and percentiles."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from edgeagent.bench.arrivals import Arrivals, latencies


def result(frame: int, pipeline: str = "look1", found: int = 2, **times: float) -> dict[str, Any]:
    head = {"pipeline": pipeline, "frame": frame, "capture_ts": 7, "width": 640}
    return {**head, "detections": [{}] * found, "lat_ms": 3.0, **times}


def test_frames_that_are_missing_between_two_are_lost() -> None:
    arrivals = Arrivals()
    for frame in (7, 8, 11, 9):
        arrivals.add(result(frame))
    arrivals.add(result(100, "look2"))
    assert (arrivals.results, arrivals.detections, arrivals.pipelines, arrivals.lost) == (5, 10, 2, 1)


def test_nothing_has_no_losses_and_no_times() -> None:
    assert (Arrivals().lost, Arrivals().latency_ms()) == (0, {})


def test_every_time_that_a_result_tells_has_its_percentiles() -> None:
    arrivals = Arrivals()
    for number in range(1, 101):
        arrivals.add(result(number, lat_ms=number, engine_ms=0.5))
    assert arrivals.latency_ms() == {
        "whole": {"p50": 50, "p95": 95, "p99": 99, "max": 100},
        "engine": {"p50": 0.5, "p95": 0.5, "p99": 0.5, "max": 0.5},
    }
    assert latencies(result(1, post_ms=0.25)) == [("whole", 3.0), ("post", 0.25)]


@given(st.sets(st.integers(1, 500), min_size=1), st.randoms())
def test_the_order_of_arrival_does_not_matter(frames: set[int], rng: Any) -> None:
    mixed = sorted(frames, key=lambda _: rng.random())
    arrivals = Arrivals()
    for frame in mixed:
        arrivals.add(result(frame))
    assert arrivals.lost == max(frames) - min(frames) + 1 - len(frames)
