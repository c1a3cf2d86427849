"""Whether pipelines get their frames through, against what they do when nothing is built."""

from __future__ import annotations

import pytest

from edgeagent.app.sensing import Streams
from edgeagent.app.stream_watch import LEARNT_AFTER, StreamWatch


def seconds(watch: StreamWatch, count: int, fps: float, p95_ms: float = 30.0, *, free: bool, name: str = "p") -> None:
    for _ in range(count):
        watch.take(name, {"fps": fps, "lat_p95_ms": p95_ms}, undisturbed=free)


def test_nothing_runs_and_nothing_is_usual_yet() -> None:
    watch = StreamWatch()
    assert watch.streams() == Streams() and watch.knows_all
    seconds(watch, LEARNT_AFTER - 1, 20.0, free=True)
    assert watch.streams() == Streams() and not watch.knows_all


def test_a_small_board_that_never_gets_all_through_keeps_all_it_ever_kept() -> None:
    watch = StreamWatch()
    seconds(watch, 10, 12.0, free=True)  # of a camera that gives 30
    seconds(watch, 10, 12.0, free=False)
    assert watch.streams() == Streams(1.0, 1.0)


def test_a_build_that_takes_frames_away_is_seen_within_seconds() -> None:
    watch = StreamWatch()
    seconds(watch, 10, 20.0, free=True)
    seconds(watch, 3, 15.0, 60.0, free=False)
    streams = watch.streams()
    assert streams.frames_kept == pytest.approx(0.75) and streams.latency == pytest.approx(2.0)


def test_what_a_build_does_to_a_pipeline_never_becomes_usual() -> None:
    watch = StreamWatch()
    seconds(watch, 10, 20.0, free=True)
    seconds(watch, 10_000, 10.0, 90.0, free=False)
    assert watch.streams().frames_kept == pytest.approx(0.5)


def test_the_worst_pipeline_counts() -> None:
    watch = StreamWatch()
    for name, fps in (("a", 20.0), ("b", 18.0)):
        seconds(watch, 5, 20.0, free=True, name=name)
        seconds(watch, 3, fps, free=False, name=name)
    assert watch.streams().frames_kept == pytest.approx(0.9)


def test_a_still_scene_that_gives_few_results_is_no_loss() -> None:
    watch = StreamWatch()
    seconds(watch, 5, 20.0, free=True)
    for _ in range(3):
        watch.take("p", {"fps": 0.1, "looked_fps": 20.0}, undisturbed=False)
    assert watch.streams().frames_kept == 1.0


def test_a_rate_that_was_asked_for_is_no_loss() -> None:
    watch = StreamWatch()
    seconds(watch, 5, 20.0, free=True)
    watch.ask("p", 5.0)
    seconds(watch, 3, 5.0, free=False)
    assert watch.streams().frames_kept == 1.0
    watch.ask("p", None)
    assert watch.streams().frames_kept == 0.25


def test_another_engine_makes_nothing_usual() -> None:
    watch = StreamWatch()
    seconds(watch, 5, 20.0, free=True)
    watch.forget("p")
    assert watch.streams() == Streams()


def test_a_pipeline_that_stands_still_by_itself_is_no_measure() -> None:
    watch = StreamWatch()
    seconds(watch, 10, 0.0, free=True)
    assert watch.streams().frames_kept is None
