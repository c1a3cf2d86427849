"""Time that runs faster: for whoever asks, and for whoever waits."""

from __future__ import annotations

import asyncio
import time

import anyio
import pytest

from edgeagent.simulate.heat_clock import FastClock, FastLoop, loop_options


def test_a_fast_clock_is_the_monotonic_one_times_its_speed() -> None:
    before, told, after = time.monotonic_ns(), FastClock(10.0).monotonic_ns(), time.monotonic_ns()
    assert 10 * before - 10_000 <= told <= 10 * after + 10_000
    assert abs(FastClock(10.0).wall_ms() - time.time() * 1000) < 60_000


@pytest.mark.parametrize("speed", [1.0, 5000.0])
def test_waits_end_when_their_time_has_passed_in_the_loop(speed: float) -> None:
    seconds = speed / 100

    async def whole() -> tuple[float, bool]:
        loop = asyncio.get_running_loop()
        before_s = loop.time()
        await anyio.sleep(seconds)
        return loop.time() - before_s, isinstance(loop, FastLoop)

    passed_s, fast = anyio.run(whole, backend_options=dict(loop_options(speed)))
    assert fast
    assert passed_s >= seconds * 0.99


def test_timers_fire_in_their_order() -> None:
    async def whole() -> list[int]:
        fired: list[int] = []
        loop = asyncio.get_running_loop()
        for number in (3, 1, 2):
            loop.call_later(20.0 * number, fired.append, number)
        await anyio.sleep(80.0)
        return fired

    assert anyio.run(whole, backend_options=dict(loop_options(2000.0))) == [1, 2, 3]
