"""Slices of running and standing still, on an event loop whose time is moved by nothing but its own timers."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeagent.clock import ManualClock
from edgeagent.supervise.guardian import Guardian
from edgeagent.supervise.pace import (
    LEAST_SLICE_S,
    LONGEST_SLICE_S,
    PERIOD_S,
    Pace,
    RunningClock,
    plan_run,
    plan_stop,
    signal_group,
)

DUTIES = st.floats(0.011, 0.989)


class VirtualLoop(asyncio.SelectorEventLoop):
    """Waits for nothing: where it would wait for a timer, its clock is moved to it, and by `late_s` beyond."""

    def __init__(self, late_s: float = 0.0) -> None:
        super().__init__()
        self.clock = ManualClock()
        select = self._selector.select

        def hurry(timeout: float | None = None):
            if timeout:
                self.clock.advance(timeout + late_s)
            return select(0)

        self._selector.select = hurry

    def time(self) -> float:
        return self.clock.monotonic_ns() / 1e9


class Group:
    """A process group that notes when it ran. Raises for a signal that changes nothing: each costs."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self.runs = True
        self.slices: list[tuple[bool, float]] = []
        self._since_s = clock.monotonic_ns() / 1e9

    def __call__(self, sig: signal.Signals) -> None:
        assert sig == (signal.SIGSTOP if self.runs else signal.SIGCONT)
        now_s = self._clock.monotonic_ns() / 1e9
        self.slices.append((self.runs, now_s - self._since_s))
        self.runs, self._since_s = not self.runs, now_s

    def share(self) -> float:
        ran = sum(seconds for runs, seconds in self.slices if runs)
        return ran / sum(seconds for _, seconds in self.slices)


def paced(duties: list[tuple[float, float]], late_s: float = 0.0) -> tuple[Group, Pace, VirtualLoop]:
    """A group paced at each duty for so many seconds, one after the other."""
    loop = VirtualLoop(late_s)
    group = Group(loop.clock)
    pace = Pace(group, loop.clock)

    async def whole() -> None:
        task = asyncio.ensure_future(pace.run())
        for duty, seconds in duties:
            pace.set_duty(duty)
            await asyncio.sleep(seconds)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    try:
        loop.run_until_complete(whole())
    finally:
        loop.close()
    return group, pace, loop


@pytest.mark.parametrize("late_s", [0.0, 0.004, 0.03])
@pytest.mark.parametrize("duty", [0.02, 0.1, 0.38, 0.5, 0.62, 0.9, 0.98])
def test_the_share_of_the_time_is_kept_however_late_the_loop_wakes(duty: float, late_s: float) -> None:
    group, pace, loop = paced([(duty, 600.0)], late_s)
    assert group.share() == pytest.approx(duty, abs=0.01)
    ended_s = loop.clock.monotonic_ns() / 1e9 - 1.0
    assert pace.stopped_s == pytest.approx((1 - duty) * ended_s, rel=0.03)


def test_the_group_runs_afterwards_however_it_ended() -> None:
    for duty in (0.0, 0.3, 0.99, 1.0):
        group, pace, _ = paced([(duty, 7.3)])
        assert group.runs and not pace.is_stopped


def test_standstill_and_full_pace_come_at_once() -> None:
    group, _, _ = paced([(0.5, 2.1), (0.0, 100.0), (1.0, 100.0)])
    assert group.slices[-1] == (False, pytest.approx(100.0, abs=PERIOD_S))
    assert len([runs for runs, _ in group.slices if not runs]) <= 4


def test_at_its_ends_it_costs_no_wake_up() -> None:
    for duty in (0.0, 1.0):
        group, _, _ = paced([(duty, 3600.0)])
        assert len(group.slices) <= 2


@given(DUTIES, st.floats(-2.0, 2.0))
def test_no_slice_is_too_short_and_none_for_ever(duty: float, owed_s: float) -> None:
    assert plan_run(duty, owed_s) >= LEAST_SLICE_S
    assert LEAST_SLICE_S <= plan_stop(duty, owed_s) <= LONGEST_SLICE_S


@given(DUTIES)
def test_a_period_without_debts_comes_back_to_none(duty: float) -> None:
    run_s = plan_run(duty)
    stop_s = plan_stop(duty, (duty - 1.0) * run_s)
    assert run_s / (run_s + stop_s) == pytest.approx(duty, abs=0.01)


def test_a_clock_stands_still_for_what_is_lost() -> None:
    clock, lost = ManualClock(), [0.0]
    running = RunningClock(clock, lambda: lost[0])
    before = running.monotonic_ns()
    clock.advance(10.0)
    lost[0] = 10.0
    assert running.monotonic_ns() == before and running.wall_ms() == clock.wall_ms()


def test_a_group_that_is_gone_is_no_error() -> None:
    with subprocess.Popen([sys.executable, "-S", "-c", ""], start_new_session=True) as process:
        process.wait()
    signal_group(process.pid)(signal.SIGSTOP)


def test_a_guardian_that_is_dismissed_hurts_nobody() -> None:
    with subprocess.Popen(
        [sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True
    ) as process:
        guardian = Guardian(process.pid)
        os.kill(guardian.pid, 0)
        guardian.close()
        process.communicate(b"\n")
    assert process.returncode == 0
