"""A steered build as a real process group under real signals: slowed, stopped, continued, ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import anyio
import pytest
from test_build_steer_kit import COOL_C, HOT_C, Site, board
from test_supervisor_kit import WAIT_S, environment, eye_on, wait_gone

from edgeagent.clock import ManualClock


def test_a_build_that_is_too_hot_stands_still_and_goes_on_when_it_is_cool(tmp_path: Path) -> None:
    async def whole() -> None:
        site = Site(tmp_path)
        async with site.open():
            site.reading = board(HOT_C)
            await site.stopped()
            await site.until(lambda: "build-paused" in site.events)
            assert site.told[-1].duty == 0 and "cpu-thermal is 6.5 C above" in site.told[-1].line
            site.reading = board(COOL_C)
            await site.continued()
            site.go()
            await site.ended.wait()
        assert site.built is not None and site.error is None
        assert site.steer.clock.monotonic_ns() < site.clock.monotonic_ns(), "the standstill does not count"

    anyio.run(whole)


def test_it_hears_that_it_is_stopped_by_signals_before_it_is(tmp_path: Path) -> None:
    async def whole() -> None:
        site = Site(tmp_path)
        async with site.open():
            site.reading = board(HOT_C)
            await site.stopped()
            site.reading = board(COOL_C)
            await site.until(lambda: any(text.endswith("signals") for text in site.texts))
            site.go()
            await site.ended.wait()

    anyio.run(whole)


@pytest.mark.parametrize("part", ["works", "rests"])
def test_neither_silence_nor_the_time_limit_count_while_it_is_stopped(tmp_path: Path, part: str) -> None:
    """An hour passes while the build stands still: it allows 20 s of silence, and 60 s for the whole of it."""

    async def whole() -> None:
        clock = ManualClock()
        site = Site(tmp_path, part=part, clock=clock, timeout_s=60.0)
        async with site.open():
            site.reading = board(HOT_C)
            await looks_until(site, clock, lambda: site.steer.clock.monotonic_ns() < clock.monotonic_ns())
            await site.stopped()
            clock.advance(3600)
            with anyio.move_on_after(0.5):
                await site.ended.wait()
            assert not site.ended.is_set(), site.error
            site.reading = board(COOL_C)
            await looks_until(site, clock, lambda: site.desk.verdict is not None and site.desk.verdict.build_duty == 1)
            site.go()
            await site.ended.wait()
        assert site.error is None and site.built is not None

    anyio.run(whole)


async def looks_until(site: Site, clock: ManualClock, fits) -> None:
    """The governor looks every half second of a clock that is moved by hand, until `fits`."""
    with anyio.fail_after(WAIT_S):
        while not fits():
            clock.advance(0.5)
            site.desk.look_now()
            await anyio.sleep(0)  # the tasks that a look has woken


def test_without_steering_an_hour_of_silence_is_silence(tmp_path: Path) -> None:
    async def whole() -> None:
        clock = ManualClock()
        site = Site(tmp_path, clock=clock, pacing="off")
        async with site.open():
            os.killpg(site.pids[0], signal.SIGSTOP)  # somebody else stops it
            await site.stopped()
            clock.advance(3600)
            await site.ended.wait()
        assert site.error is not None and site.error.error_code == "hung"

    anyio.run(whole)


def test_falling_memory_ends_the_build_at_once(tmp_path: Path) -> None:
    async def whole() -> None:
        site = Site(tmp_path)
        async with site.open():
            site.reading = board(available_mb=100)
            await site.ended.wait()
            assert site.error is not None and site.error.error_code == "memory_falling"
            assert site.error.retry and "build-cancelled" in site.events
            assert not (tmp_path / "heard stop").exists(), "memory has no time for a last word"

    anyio.run(whole)


def test_falling_memory_ends_a_build_that_is_run_in_slices(tmp_path: Path) -> None:
    async def whole() -> None:
        site = Site(tmp_path, ceiling=0.5)
        async with site.open():
            await site.stopped()
            site.reading = board(available_mb=900)
            looks: list[float] = []
            site.desk.subscribe(lambda verdict: looks.append(site.clock.monotonic_ns() / 1e9))
            await site.stopped()
            await site.stopped()
            assert len(looks) >= 3, "slices of 1.2 s, looks of every 0.5 s as memory is near its floor"
            site.reading = board(available_mb=100)
            await site.ended.wait()
        assert site.error is not None and site.error.error_code == "memory_falling"

    anyio.run(whole)


def test_a_build_that_stays_critical_is_asked_to_stop_and_can_hear_it(tmp_path: Path) -> None:
    async def whole() -> None:
        clock = ManualClock()
        site = Site(tmp_path, clock=clock)
        async with site.open():
            site.reading = board(HOT_C)
            await looks_until(site, clock, lambda: "build-cancelled" in site.events)
            await site.ended.wait()
            assert site.error is not None and site.error.error_code == "too_hot"
            assert (tmp_path / "heard stop").exists(), "what it has measured could have been kept"

    anyio.run(whole)


def test_a_builder_with_steps_is_told_its_pace_and_not_stopped(tmp_path: Path) -> None:
    async def whole() -> None:
        site = Site(tmp_path, part="rests", ceiling=0.5)
        async with site.open():
            await site.until(lambda: "pace 0.5 free" in site.texts)
            site.go()
            await site.ended.wait()
        assert site.built is not None
        by_itself = site.texts[site.texts.index("pace 0.5 free") :]
        assert not any(text.endswith("signals") for text in by_itself)

    anyio.run(whole)


def test_a_pipeline_that_nobody_knows_yet_is_left_to_itself_for_a_moment(tmp_path: Path) -> None:
    """It began to run while the build did: what is usual for it is learnt while the build stands still."""

    async def whole() -> None:
        site = Site(tmp_path)
        second = {"fps": 20.0, "lat_p95_ms": 30.0}
        async with site.open():
            site.desk.streams_taken("gate", second)
            await site.stopped()
            await site.until(lambda: site.desk.build_stands_still)
            assert site.desk.streams.streams().frames_kept is None
            for _ in range(3):
                site.desk.streams_taken("gate", second)
            await site.continued()
            assert site.desk.streams.streams().frames_kept == 1.0
            for _ in range(3):
                site.desk.streams_taken("gate", {"fps": 12.0, "lat_p95_ms": 30.0})
            await site.until(lambda: site.told[-1].duty < 0.9 and "60 % of their frames" in site.told[-1].line)
            site.go()
            await site.ended.wait()

    anyio.run(whole)


def test_a_cancelled_agent_leaves_nothing_of_a_stopped_build(tmp_path: Path) -> None:
    async def whole() -> None:
        site = Site(tmp_path)
        async with site.open():
            site.reading = board(HOT_C)
            await site.stopped()
        assert (tmp_path / "heard stop").exists(), "it was continued before it was told to stop"

    anyio.run(whole)


def test_killing_the_agent_in_a_stopped_phase_leaves_no_stopped_orphan(tmp_path: Path) -> None:
    """The grandchild is tied to nobody, and a stopped process runs no code that could notice anything."""
    command = [sys.executable, "-m", "children.steering_agent", str(tmp_path)]
    kit = os.pathsep.join([environment()["PYTHONPATH"], str(Path(__file__).parent)])
    with subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": kit}) as agent:
        try:
            assert agent.stdout is not None
            pids = [int(word) for word in agent.stdout.readline().split()]
            assert len(pids) == 2
            states = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] for pid in pids]
            assert states == ["T", "T"]
            with ExitStack() as stack:
                eyes = [stack.enter_context(eye_on(pid)) for pid in pids]
                agent.send_signal(signal.SIGKILL)
                agent.wait(WAIT_S)
                assert [wait_gone(eye) for eye in eyes] == [True, True]
        finally:
            agent.kill()
