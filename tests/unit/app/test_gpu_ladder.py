"""A GPU that is lost again and again: when a reboot is asked for, whether one is made, when all is well again."""

from __future__ import annotations

from collections.abc import Callable

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_publisher import Memory

from edgeagent.app.gpu_ladder import LOSSES, QUIET_S, WINDOW_S, GpuState, after_look, after_loss
from edgeagent.app.gpu_trouble import GpuTrouble
from edgeagent.app.publisher import Publisher
from edgeagent.clock import ManualClock
from edgeagent.fleet.envelope import Stamp
from edgeagent.fleet.topics import Topics


def lost_at(*times_s: float) -> tuple[GpuState, list[bool]]:
    state, asks = GpuState(), []
    for now_s in times_s:
        state, asked = after_loss(state, now_s, "gpu")
        asks.append(asked)
    return state, asks


def test_the_third_loss_asks_and_asks_once() -> None:
    assert lost_at(1, 2, 3, 4, 5)[1] == [False, False, True, False, False]


def test_processes_that_lose_it_together_have_lost_it_once() -> None:
    state, asks = GpuState(), []
    for now_s, by in ((10, "gpu"), (10.5, "dla0"), (11, "dla1"), (12, "dla0"), (13, "gpu"), (16, "gpu")):
        state, asked = after_loss(state, now_s, by)
        asks.append((len(state.lost_s), asked))
    assert asks == [(1, False), (1, False), (1, False), (2, False), (2, False), (3, True)]


def test_losses_that_lie_far_apart_do_not_ask() -> None:
    assert lost_at(0, WINDOW_S, 2 * WINDOW_S, 3 * WINDOW_S)[1] == [False] * 4


def test_an_engine_that_runs_for_long_takes_it_back_and_it_may_ask_anew() -> None:
    state, _ = lost_at(1, 2, 3)
    state, clears = after_look(state, 10, serves=True)
    assert not clears
    state, clears = after_look(state, 9 + QUIET_S, serves=False)
    state, clears = after_look(state, 10 + QUIET_S, serves=True)
    assert not clears  # it has not run all the time
    state, clears = after_look(state, 10 + 2 * QUIET_S, serves=True)
    assert clears
    state, clears = after_look(state, 10 + 3 * QUIET_S, serves=True)
    assert not clears
    for asks in (False, False, True):
        state, asked = after_loss(state, 5000, "gpu")
        assert asked == asks


@given(st.lists(st.tuples(st.floats(0, 2000), st.sampled_from(["lost", "serves", "idle"])), max_size=60))
def test_asking_and_taking_back_take_turns(steps: list[tuple[float, str]]) -> None:
    state, now_s, asked = GpuState(), 0.0, False
    for waited_s, what in steps:
        now_s += waited_s
        if what == "lost":
            state, asks = after_loss(state, now_s, "gpu")
            assert not (asks and asked)
            asked = asked or asks
        else:
            state, clears = after_look(state, now_s, serves=what == "serves")
            assert not clears or asked
            asked = asked and not clears
        assert state.asked == asked
        assert len(state.lost_s) <= LOSSES


@pytest.mark.parametrize("why_not", ["", "the operator has not allowed reboots (power.allow_reboot)"])
def test_the_alarm_says_whether_the_board_reboots(why_not: str) -> None:
    link, clock, calls = Memory(), ManualClock(), []
    publisher = Publisher(link, Topics("lab", "one"), Stamp("boot-1", clock.wall_ms), clock, results_qos=0)

    async def reboot() -> str:
        calls.append(1)
        return why_not

    trouble = GpuTrouble(publisher, clock, lambda: False, reboot)

    async def scene() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(trouble.run)
            for _ in range(5):
                trouble.lost("cuda says no", "gpu")
                await _until(lambda: True)
            await _until(lambda: bool(calls) and len([one for one in link.sent if one[0] == "a/gpu-lost"]) >= 3)
            tasks.cancel_scope.cancel()

    anyio.run(scene)
    assert calls == [1]
    alarm = link.last("a/gpu-lost")
    assert alarm["severity"] == "error"
    assert alarm["text"].startswith("the GPU was lost 3 times within 30 min and no process can mend it: cuda says no; ")
    assert alarm["text"].endswith("the board reboots" if not why_not else f"(not done by itself: {why_not})")


async def _until(is_so: Callable[[], bool]) -> None:
    with anyio.fail_after(10):
        await anyio.sleep(0)
        while not is_so():
            await anyio.sleep(0.001)
