"""The next process of a child waits while its time has not come yet: started ahead, or left over from before."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import anyio
from test_supervisor_kit import Stage, act, eye_on, is_ours, spec, wait_gone

from children.actor import Play  # isort: skip  found by the kit
from edgeagent.supervise.child import ChildSpec
from edgeagent.supervise.policy import RestartRules


def our_children() -> set[int]:
    text = Path(f"/proc/self/task/{os.getpid()}/children").read_text()
    return {int(pid) for pid in text.split()}


class Pause:
    """Passes the time before a start: as long as it takes to look at the processes that there are, and to act."""

    def __init__(self, act: Callable[[int], None] = lambda pid: None) -> None:
        self._before = our_children()
        self._act = act
        self.seen: list[int] = []

    async def __call__(self, delay_s: float) -> None:
        found = our_children() - self._before
        assert len(found) == 1, "one that waits, and nobody else"
        self.seen += found
        self._act(*found)


def plays(make_spec: Callable[[], ChildSpec], pause: Pause) -> Stage:
    """A child that is killed once it works, and is there again."""

    async def whole() -> Stage:
        stage = Stage(make_spec, wait=pause, starts_ahead=True)
        async with stage.open():
            await stage.until(lambda: len(stage.hellos) == 1)
            os.kill(stage.hellos[0].pid, signal.SIGKILL)
            await stage.until(lambda: len(stage.hellos) == 2)
            assert stage.supervisor.pid == stage.hellos[1].pid
        assert stage.told() == ["starting", "waiting", "starting", "stopped"]
        assert stage.supervisor.restarts == 1
        return stage

    stage = anyio.run(whole)
    assert not any(is_ours(pid) for pid in pause.seen)
    return stage


def test_the_process_that_waited_is_the_one_that_works() -> None:
    pause = Pause()
    assert [plays(act("good"), pause).hellos[1].pid] == pause.seen


def test_it_hears_what_is_to_be_done_when_the_time_has_come() -> None:
    """Not what it would have been when the process was started."""
    padding = ["x"]

    def make_spec() -> ChildSpec:
        return spec(Play(part="good", padding=padding[-1]))

    stage = plays(make_spec, Pause(lambda pid: padding.append("xxx")))
    assert [hello.heard for hello in stage.hellos] == [1, 3]


def test_one_that_ends_while_it_waits_is_no_failure_and_another_takes_its_place() -> None:
    def kill(pid: int) -> None:
        with eye_on(pid) as eye:
            os.kill(pid, signal.SIGKILL)
            assert wait_gone(eye)

    pause = Pause(kill)
    assert plays(act("good"), pause).hellos[1].pid not in pause.seen


def test_one_that_holds_other_descriptors_than_are_wanted_now_is_not_used() -> None:
    ends = os.pipe()
    wanted = [ends[0]]
    pause = Pause(lambda pid: wanted.append(ends[1]))
    stage = plays(lambda: replace(act("good")(), pass_fds=tuple(wanted)), pause)
    for end in ends:
        os.close(end)
    assert stage.hellos[1].pid not in pause.seen


def test_one_that_stays_after_a_fault_works_again() -> None:
    async def whole() -> None:
        stage = Stage(act("stay", 2))
        async with stage.open():
            await stage.until(lambda: len(stage.hellos) == 3)
            assert stage.supervisor.pid == stage.hellos[0].pid
        assert len({hello.pid for hello in stage.hellos}) == 1
        assert stage.told() == ["starting", "waiting", "starting", "waiting", "starting", "stopped"]
        assert (stage.states[1].code, stage.states[1].reason) == ("dark", "the stage is dark")
        assert stage.supervisor.restarts == 2

    anyio.run(whole)


def test_what_fails_too_often_in_one_process_is_tried_in_another() -> None:
    async def whole() -> None:
        rules = RestartRules(base_s=0.01, cap_s=0.02, slow_s=0.05, max_deaths=3)
        stage = Stage(act("stay", 100), rules=rules)
        async with stage.open():
            await stage.until(lambda: len(stage.hellos) == 4)
        assert stage.told()[:6] == ["starting", "waiting", "starting", "waiting", "starting", "failing"]
        first, *others = (hello.pid for hello in stage.hellos)
        assert [pid == first for pid in others] == [True, True, False]

    anyio.run(whole)


def test_one_that_ends_after_its_fault_is_replaced() -> None:
    async def whole() -> None:
        async def wait(delay_s: float) -> None:
            if len(stage.hellos) == 1:
                with eye_on(stage.hellos[0].pid) as eye:
                    os.kill(stage.hellos[0].pid, signal.SIGKILL)
                    assert wait_gone(eye)

        stage = Stage(act("stay", 1), wait=wait)
        async with stage.open():
            await stage.until(lambda: len(stage.hellos) == 3)
        first, second, third = (hello.pid for hello in stage.hellos)
        assert first != second == third
        assert stage.supervisor.restarts == 2

    anyio.run(whole)


def test_one_that_waits_ends_with_the_supervisor() -> None:
    found: list[int] = []

    async def whole() -> None:
        waits = anyio.Event()

        async def wait(delay_s: float) -> None:
            waits.set()
            await anyio.sleep_forever()

        before = our_children()
        stage = Stage(act("fail"), wait=wait, starts_ahead=True)
        async with stage.open():
            await waits.wait()
            found.extend(our_children() - before)

    anyio.run(whole)
    assert len(found) == 1
    assert not is_ours(found[0])
