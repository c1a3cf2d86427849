"""The build's voice: a percentage that never falls, an ear for the agent in every wait, a heartbeat in long ones."""

from __future__ import annotations

import itertools
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from edgeagent.engine.build import report as report_module
from edgeagent.engine.build.messages import Conditions, Pace
from edgeagent.engine.build.report import SHARES, BuildReport, Cancelled
from edgeagent.supervise.messages import Message, Stop
from edgeagent.supervise.program import AgentGone, ControlChannel


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, ControlChannel]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(10)
        yield ours, ControlChannel(theirs)


def heard(ours: socket.socket) -> list[dict[str, Any]]:
    """All that was said so far."""
    ours.setblocking(False)
    try:
        data = ours.recv(1 << 20)
    except BlockingIOError:
        data = b""
    return [json.loads(line) for line in data.splitlines()]


@pytest.mark.parametrize("backend", SHARES)
def test_the_shares_follow_one_another_and_end_at_100(backend: str) -> None:
    spans = [span for phase, span in SHARES[backend].items() if phase != "waiting"]
    assert spans[0][0] == 0 and spans[-1][1] == 100
    assert all(before[1] == after[0] for before, after in itertools.pairwise(spans))


def test_a_phase_becomes_its_share_of_the_whole(ends: tuple[socket.socket, ControlChannel]) -> None:
    ours, channel = ends
    report = BuildReport(channel, "onnxruntime")
    report.key = "k" * 32
    report.tell("calibrating", 100, "measuring")
    progress, beat = heard(ours)
    assert progress == {
        "kind": "progress",
        "phase": "calibrating",
        "percent": SHARES["onnxruntime"]["calibrating"][1],
        "text": "measuring",
        "key": "k" * 32,
    }
    assert beat["kind"] == "heartbeat" and beat["allow_s"] > 10


def test_the_percentage_never_falls(ends: tuple[socket.socket, ControlChannel]) -> None:
    """The wait for another build comes after the collecting, and a camera may stumble in the middle of it."""
    ours, channel = ends
    report = BuildReport(channel, "onnxruntime")
    for phase, percent in (("collecting", 0), ("collecting", 100), ("waiting", 0), ("preparing", 0), ("storing", 100)):
        report.tell(phase, percent, "")
    told = [word["percent"] for word in heard(ours) if word["kind"] == "progress"]
    assert len(told) == 5 and told == sorted(told) and told[-1] == 100


def test_small_steps_are_told_at_most_ten_times_a_second(ends: tuple[socket.socket, ControlChannel]) -> None:
    ours, channel = ends
    report = BuildReport(channel, "onnxruntime")
    started = time.monotonic()
    for step in range(1, 1000):
        report.tell("collecting", step / 10, "")
    took = time.monotonic() - started
    told = [word for word in heard(ours) if word["kind"] == "progress"]
    assert 1 <= len(told) <= 2 + took / 0.1


def test_any_word_of_the_agent_cancels(ends: tuple[socket.socket, ControlChannel]) -> None:
    ours, channel = ends
    ours.sendall(Stop().line())
    with pytest.raises(Cancelled):
        BuildReport(channel, "onnxruntime").tell("collecting", 0, "")
    ours.sendall(Stop().line())
    with pytest.raises(Cancelled):
        BuildReport(channel, "onnxruntime").pause(60)


def test_a_signal_is_heard_in_the_middle_of_a_long_pause(ends: tuple[socket.socket, ControlChannel]) -> None:
    """A wait goes on after a signal (PEP 475), and calibration_interval_s may be an hour."""
    _, channel = ends

    def stop(*_: object) -> None:
        channel.stopping = True

    before = signal.signal(signal.SIGUSR1, stop)
    timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1))
    timer.start()
    try:
        with pytest.raises(Cancelled):
            BuildReport(channel, "onnxruntime").pause(3600)  # longer than the test may last
    finally:
        timer.join()
        signal.signal(signal.SIGUSR1, before)


def test_a_long_pause_beats_its_heart(
    ends: tuple[socket.socket, ControlChannel], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, channel = ends
    monkeypatch.setattr(report_module, "BEAT_EVERY_S", 0.005)
    BuildReport(channel, "onnxruntime").pause(0.05)
    assert [word["kind"] for word in heard(ours)].count("heartbeat") >= 2


def test_an_agent_that_is_gone_ends_the_build(ends: tuple[socket.socket, ControlChannel]) -> None:
    ours, channel = ends
    ours.close()
    with pytest.raises(AgentGone):
        BuildReport(channel, "onnxruntime").pause(60)


def tell_it(ours: socket.socket, *words: Message) -> None:
    for word in words:
        ours.sendall(word.line())


def test_only_what_is_timed_under_signals_is_disturbed(ends: tuple[socket.socket, ControlChannel]) -> None:
    ours, channel = ends
    report = BuildReport(channel, "tensorrt")
    report.tell("calibrating", 0, "")
    tell_it(ours, Pace(duty=1.0, signals=True), Pace(duty=1.0, signals=False))
    report.pause(0.0)
    report.tell("building", 0, "")
    tell_it(ours, Pace(duty=0.4))
    report.pause(0.0)
    assert not report.disturbed, "it was slowed by signals before it timed anything, and by rest since"
    tell_it(ours, Pace(duty=0.4, signals=True))
    report.pause(0.0)
    assert report.disturbed
    tell_it(ours, Pace())
    report.pause(0.0)
    assert report.disturbed, "what was timed then stays doubtful"


def test_signals_from_before_count_as_soon_as_it_times(ends: tuple[socket.socket, ControlChannel]) -> None:
    ours, channel = ends
    report = BuildReport(channel, "tensorrt")
    tell_it(ours, Pace(signals=True))
    report.tell("calibrating", 0, "")
    assert not report.disturbed
    report.tell("building", 0, "")
    assert report.disturbed and report.paced_by == {"signals"}


def test_every_word_that_waits_is_heard_in_one_pause(ends: tuple[socket.socket, ControlChannel]) -> None:
    ours, channel = ends
    report = BuildReport(channel, "tensorrt")
    tell_it(ours, *(Conditions(stopped_s=float(n), headroom_c=20.0 - n) for n in range(10)))
    report.pause(0.0)
    assert report.stopped_s == 9.0 and report.headroom_least_c == 11.0
    assert report.paused_s == pytest.approx(9.0)


def test_how_it_rests_is_told_when_it_changes(ends: tuple[socket.socket, ControlChannel]) -> None:
    ours, channel = ends
    report = BuildReport(channel, "tensorrt")
    report.pause(0.0)
    report.rest.active = True
    for _ in range(3):
        report.pause(0.0)
    report.rest.active = False
    report.pause(0.0)
    told = [word["active"] for word in heard(ours) if word["kind"] == "resting"]
    assert told == [True, False]
