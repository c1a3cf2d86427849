"""What the demo makes of messages, and the report made of that."""

from __future__ import annotations

import io
import os

from rich.console import Console

from edgeagent.fleet.examples import examples
from edgeagent.fleet.measurements import GovernorMeasurement, Summary, ThermalMeasurement
from edgeagent.fleet.results import Event, Result
from edgeagent.fleet.states import EngineState
from edgeagent.simulate.demo_report import Cost, agent_cost, make_report, summary_text
from edgeagent.simulate.demo_state import DemoState
from edgeagent.simulate.demo_view import Surroundings, draw, plain_line

HEADER = {"session": "boot-1", "ts": 1}


def result(frame: int, lat_ms: float, seq: int = 1) -> Result:
    return Result(
        **HEADER, seq=seq, camera="belt", pipeline="parts", frame=frame, capture_ts=1, lat_ms=lat_ms, width=640,
        height=480, model="m", engine="k",
    )  # fmt: skip


def with_results(*frames: int) -> DemoState:
    state = DemoState()
    for number, frame in enumerate(frames):
        state.apply("r", result(frame, lat_ms=float(number + 1)), now_s=number / 10)
    return state


def test_frames_that_were_not_looked_at_count_as_dropped() -> None:
    tally = with_results(10, 11, 14).tally
    assert (tally.results, tally.frames) == (3, 5)


def test_frames_left_out_on_purpose_do_not() -> None:
    state = with_results(10, 11, 14)
    assert (state.dropped, state.shed) == (2, 0)
    summary = Summary(
        **HEADER, seq=1, camera="c", pipeline="p", interval_s=1, fps=3, results=3, detections=0, dropped=0, shed=2
    )  # fmt: skip
    state.apply("s", summary, 0.0)
    assert (state.dropped, state.shed) == (0, 2)
    assert ", 0 frames dropped, 2 left out on purpose, " in summary_text(make_report(state, 0.0, None, None))


def test_the_rate_is_over_the_time_between_the_first_and_the_last() -> None:
    assert with_results(*range(11)).tally.fps == 10.0
    assert with_results(1).tally.fps == 0.0


def test_the_report_of_nothing_has_its_fields_and_no_figures() -> None:
    report = make_report(DemoState(), 0.0, None, None)
    assert report["frames"] == 0
    assert report["latency_ms"] == {"p50": None, "p95": None, "p99": None}
    assert report["first_result_s"] is None


def test_the_report_takes_cpu_between_the_first_result_and_the_end() -> None:
    report = make_report(with_results(1, 2), -3.0, Cost(1.0, 50.0, 10.0), Cost(1.5, 60.0, 20.0))
    assert report["agent_cpu_percent"] == 5.0
    assert report["agent_rss_mb"] == 60.0
    assert report["first_result_s"] == 3.0
    assert report["latency_ms"] == {"p50": 1.0, "p95": 2.0, "p99": 2.0}


def test_every_message_there_is_can_be_shown() -> None:
    state = DemoState()
    around = Surroundings("mosquitto_sub ...", "synthetic", "127.0.0.1:1883")
    for size in ((80, 24), (150, 50)):
        assert draw(state, around, 0.0, *size)
    for topic, message in examples().items():
        state.apply(topic, message, now_s=1.0)
        for size in ((80, 24), (150, 50)):
            assert draw(state, around, 1.0, *size)


def test_an_alarm_goes_when_it_is_cleared() -> None:
    state = DemoState()
    topic, alarm = next((t, m) for t, m in examples().items() if "/a/" in t)
    state.apply(topic, alarm, 0.0)
    assert len(state.alarms) == 1
    state.apply(topic, None, 0.0)
    assert state.alarms == {}


def test_the_end_of_the_source_is_noticed() -> None:
    state = DemoState()
    state.apply("e", Event(**HEADER, seq=1, id="1", type="source-ended", severity="info", text="done"), 0.0)
    assert state.ended
    assert [event.text for event in state.take_news()] == ["done"]
    assert state.take_news() == []


def test_plain_lines_follow_the_engine_until_results_come() -> None:
    state = DemoState()
    assert plain_line(state) is None
    topic, engine = next((t, m) for t, m in examples().items() if "/engine/" in t)
    state.apply(topic, engine, 0.0)
    assert str(plain_line(state)).startswith("engine: ")
    state.apply("r", result(1, 1.0), 0.0)
    assert plain_line(state) is None


def test_the_cost_of_a_process_that_is_gone_is_nothing() -> None:
    assert agent_cost(os.getpid()) is not None
    assert agent_cost(2**22 + 1) is None


def building(duty: float | None, reason: str = "", percent: float = 72.0) -> EngineState:
    return EngineState(
        **HEADER, seq=1, pipeline="parts", state="building", percent=percent, duty=duty, level="warm", reason=reason,
        precision="int8", backend="onnxruntime",
    )  # fmt: skip


def test_a_slowed_build_is_told_with_its_pace_and_the_heat() -> None:
    state = DemoState()
    state.apply("thermal", ThermalMeasurement(**HEADER, seq=1, temp_max_c=90.6), 0.0)
    state.apply("engine", building(1.0), 0.0)
    assert plain_line(state) == "engine: building, 70 %"
    state.apply("engine", building(0.43, "gpu-thermal is 0.4 C below its set point"), 0.0)
    assert plain_line(state) == "engine: building, 70 %, at 40 % pace, hottest 91 C (warm, gpu-thermal)"
    state.apply("engine", building(0.71, "gpu-thermal is 0.9 C below its set point"), 0.0)
    report = make_report(state, 0.0, None, None)
    assert (report["least_duty"], report["hottest_c"]) == (0.43, 90.6)
    assert report["slowed_because"] == [f"gpu-thermal is 0.{n} C below its set point" for n in (4, 9)]


def test_the_screen_shows_the_pace_the_level_and_the_reason() -> None:
    state = DemoState()
    state.apply("governor", GovernorMeasurement(**HEADER, seq=1, level=1, allowance=1.0, set_point_c=91.0), 0.0)
    state.apply("engine", building(0.43, "gpu-thermal is close"), 0.0)
    console = Console(width=150, height=50, record=True, file=io.StringIO())
    console.print(draw(state, Surroundings("mosquitto_sub", "synthetic", "127.0.0.1:1883"), 1.0, 150, 50))
    text = console.export_text()
    assert "43 %: gpu-thermal is close" in text
    assert "warm" in text
    assert "held at 91 C" in text
