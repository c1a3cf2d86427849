"""A supervisor over real child processes that die, hang, rave, lie and refuse to go."""

from __future__ import annotations

import os
import resource
import select
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from test_supervisor_kit import WAIT_S, Play, Stage, act, eye_on, is_ours, spec, wait_gone

from edgeagent.errors import ChildError
from edgeagent.supervise.child import ChildSpec
from edgeagent.supervise.policy import RestartRules


def watch_until(make_spec: Callable[[], ChildSpec], fits: Callable[[Stage], bool], **kwargs: Any) -> Stage:
    async def whole() -> Stage:
        stage = Stage(make_spec, **kwargs)
        async with stage.open():
            await stage.until(lambda: fits(stage))
        return stage

    return anyio.run(whole)


def run_to_its_end(make_spec: Callable[[], ChildSpec]) -> Stage:
    async def whole() -> Stage:
        stage = Stage(make_spec)
        await stage.run()
        return stage

    stage = anyio.run(whole)
    assert not any(is_ours(pid) for pid in stage.pids)
    return stage


def has_failed(stage: Stage) -> bool:
    return "waiting" in stage.told()


def has_restarted(stage: Stage) -> bool:
    return stage.told()[:3] == ["starting", "waiting", "starting"]


def test_a_killed_child_is_started_again_and_the_owner_is_told() -> None:
    async def whole() -> None:
        stage = Stage(act("good"))
        async with stage.open():
            await stage.until(lambda: len(stage.hellos) == 1)
            os.kill(stage.hellos[0].pid, signal.SIGKILL)
            await stage.until(lambda: len(stage.hellos) == 2)
            assert stage.supervisor.pid == stage.hellos[1].pid != stage.hellos[0].pid
            assert stage.supervisor.restarts == 1
        assert stage.told() == ["starting", "waiting", "starting", "stopped"]
        assert stage.states[1].reason == "actor was ended by SIGKILL"
        assert (stage.states[1].restarts, stage.states[1].pid, stage.states[1].code) == (1, None, "")
        assert stage.states[-1].reason == ""

    anyio.run(whole)


def test_back_off_follows_the_rules_and_ends_in_failing() -> None:
    rules = RestartRules(base_s=0.01, cap_s=0.04, window_s=60.0, max_deaths=4, slow_s=0.02)
    stage = watch_until(
        lambda: spec(Play(part=""), module="children.quitter"), lambda s: s.told().count("failing") == 3, rules=rules
    )
    deaths = [state for state in stage.states if state.state in ("waiting", "failing")]
    assert [state.state for state in deaths] == ["waiting"] * 3 + ["failing"] * 3
    assert [state.restarts for state in deaths] == [1, 2, 3, 4, 5, 6]
    assert {state.reason for state in deaths} == {"actor exited with code 1"}


def test_back_off_really_waits() -> None:
    times: list[float] = []

    async def whole() -> None:
        stage = Stage(lambda: spec(Play(part=""), module="children.quitter"), rules=RestartRules(base_s=0.3, cap_s=0.3))
        stage.on_event = lambda: times.append(time.monotonic())
        async with stage.open():
            await stage.until(lambda: has_restarted(stage))

    anyio.run(whole)
    assert times[2] - times[1] >= 0.15  # the delay's lower half is certain, its upper half is jitter


def test_a_wrong_request_is_refused_for_good() -> None:
    stage = run_to_its_end(act("refuse"))
    assert stage.told() == ["starting", "refused"]
    last = stage.states[-1]
    assert (last.reason, last.code, last.mend) == ("this cannot be played", "no_such_part", "ask for another part")


def test_exit_0_is_the_end_of_the_work() -> None:
    assert run_to_its_end(act("code", 0)).told() == ["starting", "stopped"]


def test_exit_2_without_a_word_is_refused_too() -> None:
    stage = run_to_its_end(act("code", 2))
    assert (stage.told(), stage.states[-1].reason) == (["starting", "refused"], "actor exited with code 2")


def test_what_the_child_said_last_is_the_reason() -> None:
    stage = watch_until(act("fail"), has_failed)
    state = stage.states[1]
    assert (state.reason, state.code, state.mend) == ("the stage is dark", "dark", "switch the light on")


def test_a_crash_is_told_in_one_short_line(capfd: pytest.CaptureFixture[str]) -> None:
    state = watch_until(act("crash"), has_failed).states[1]
    assert state.reason.startswith("ZeroDivisionError: two lines xxx")
    assert len(state.reason) <= 500
    assert state.code == "crash"
    assert "ZeroDivisionError" in capfd.readouterr().err  # the whole of it is in the journal


def test_sigterm_from_outside_is_a_death_and_not_the_end_of_the_work() -> None:
    async def whole() -> None:
        stage = Stage(act("good"))
        async with stage.open():
            await stage.until(lambda: len(stage.hellos) == 1)
            os.kill(stage.hellos[0].pid, signal.SIGTERM)
            await stage.until(lambda: len(stage.hellos) == 2)
        assert stage.states[1].reason == "actor was ended by SIGTERM"

    anyio.run(whole)


@pytest.mark.parametrize(("number", "name"), [(signal.SIGSEGV, "SIGSEGV"), (41, "signal 41")])
def test_any_signal_can_be_named(number: int, name: str) -> None:
    assert watch_until(act("die", number), has_restarted).states[1].reason == f"actor was ended by {name}"


def test_silence_is_ended_when_the_promised_time_has_passed() -> None:
    times: dict[str, float] = {}

    async def whole() -> None:
        stage = Stage(act("mute", 0.4))

        def note() -> None:
            if stage.hellos:
                times.setdefault("hello", time.monotonic())
            if has_failed(stage):
                times.setdefault("ended", time.monotonic())

        stage.on_event = note
        async with stage.open():
            await stage.until(lambda: has_restarted(stage))
        assert stage.states[1].reason == "actor said nothing in its time and was killed"
        assert stage.states[1].code == "hung"

    anyio.run(whole)
    assert 0.35 <= times["ended"] - times["hello"] < 10.0


def test_words_that_wait_for_a_late_owner_are_heard_before_silence_is_judged() -> None:
    """The owner stands still for three allowances (stopped, swapped out): the child spoke all the while."""

    async def whole() -> None:
        stage = Stage(act("steady", 0.5))

        def stand_still(hello: object) -> None:
            if len(stage.hellos) == 2:
                select.select([], [], [], 1.5)

        stage.on_hello = stand_still
        async with stage.open():
            await stage.until(lambda: len(stage.hellos) >= 16)
        assert stage.told() == ["starting", "stopped"]
        assert len({hello.pid for hello in stage.hellos}) == 1

    anyio.run(whole)


@pytest.mark.parametrize("allow_s", ["0", "Infinity"])
def test_an_allowance_that_makes_no_sense_breaks_the_protocol(allow_s: str) -> None:
    assert watch_until(act("promise", padding=allow_s), has_failed).states[1].code == "protocol"


def test_a_child_that_never_reads_its_first_message_is_ended() -> None:
    long = "x" * (1 << 22)  # more than any socket buffer holds
    stage = watch_until(
        lambda: spec(Play(part="good", padding=long), ACTOR_NEVER_READS="1"), has_failed, start_allowance_s=0.5
    )
    assert stage.states[1].code == "hung"


def test_a_stopped_child_is_noticed_by_its_silence() -> None:
    async def whole() -> None:
        stage = Stage(act("good"), start_allowance_s=0.5)
        async with stage.open():
            await stage.until(lambda: bool(stage.pids))
            os.kill(stage.pids[0], signal.SIGSTOP)
            await stage.until(lambda: has_failed(stage))
        assert stage.states[1].code == "hung"

    anyio.run(whole)


def test_a_long_first_message_arrives_whole() -> None:
    stage = watch_until(act("good", padding="y" * 900_000), lambda s: bool(s.hellos))
    assert stage.hellos[0].heard == 900_000


def test_messages_of_many_senders_are_never_mixed() -> None:
    async def whole() -> None:
        stage = Stage(act("echo"))
        async with stage.open():
            await stage.until(lambda: bool(stage.hellos))
            async with anyio.create_task_group() as tasks:
                for length in range(300_000, 300_010):
                    tasks.start_soon(stage.supervisor.send, Play(part="", padding="z" * length))
            await stage.until(lambda: len(stage.hellos) == 11)
        assert [hello.heard for hello in stage.hellos[1:]] == list(range(300_000, 300_010))

    anyio.run(whole)


def test_a_cancelled_sender_leaves_no_half_line() -> None:
    async def whole() -> None:
        stage = Stage(act("echo"))
        async with stage.open():
            await stage.until(lambda: bool(stage.hellos))
            os.kill(stage.hellos[0].pid, signal.SIGSTOP)
            with anyio.move_on_after(0.05) as scope:
                await stage.supervisor.send(Play(part="", padding="a" * 900_000))
            assert scope.cancelled_caught  # the socket was full in the middle of the line
            os.kill(stage.hellos[0].pid, signal.SIGCONT)
            await stage.supervisor.send(Play(part="", padding="b" * 7))
            await stage.until(lambda: len(stage.hellos) == 3)
        assert [hello.heard for hello in stage.hellos[1:]] == [900_000, 7]

    anyio.run(whole)


def test_a_sender_that_waits_on_a_dying_child_is_let_go() -> None:
    async def whole() -> None:
        stage = Stage(act("deaf"))
        async with stage.open():
            await stage.until(lambda: bool(stage.hellos))
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(stage.supervisor.send, Play(part="", padding="a" * 900_000))
                await anyio.wait_all_tasks_blocked()
                os.kill(stage.hellos[0].pid, signal.SIGKILL)
            await stage.until(lambda: len(stage.hellos) == 2)

    anyio.run(whole)


def test_sending_to_no_child_is_no_error() -> None:
    anyio.run(Stage(act("good")).supervisor.send, Play(part=""))


@pytest.mark.parametrize("part", ["flood", "flood_of_nothing"])
def test_a_child_that_never_pauses_starves_nobody(part: str) -> None:
    """Other tasks run meanwhile, and cancelling ends it."""

    async def whole() -> None:
        stage = Stage(act(part), grace_s=0.1)
        async with stage.open():
            await stage.until(lambda: len(stage.hellos) >= 1)
            for _ in range(200):
                await anyio.lowlevel.checkpoint()
        assert stage.told() == ["starting", "stopped"]

    anyio.run(whole)


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ("endless_line", ""),
        ("nonsense", "this is no JSON"),
        ("nonsense", '{"kind":"hello"}'),
        ("nonsense", '{"kind":"heartbeat"}'),
        ("nonsense", '{"kind":"fault","code":7}'),
    ],
)
def test_a_child_that_breaks_the_protocol_is_killed_and_started_again(part: str, said: str) -> None:
    stage = watch_until(act(part, padding=said), has_restarted)
    assert stage.states[1].reason == "actor broke its protocol and was killed"
    assert stage.states[1].code == "protocol"


@pytest.mark.parametrize("error", [KeyError("pipeline"), IndexError("class 99"), ChildError("out of turn")])
def test_a_child_that_names_what_its_owner_does_not_know_breaks_the_protocol(error: Exception) -> None:
    def refuse(hello: object) -> None:
        raise error

    async def whole() -> None:
        stage = Stage(act("good"))
        stage.on_hello = refuse
        async with stage.open():
            await stage.until(lambda: has_restarted(stage))
        assert stage.states[1].code == "protocol"

    anyio.run(whole)


def test_an_error_of_the_owner_s_own_is_not_lost() -> None:
    """It ends the supervisor loudly, and the child with it: a callback of the event loop would only log it."""

    def stumble(hello: object) -> None:
        raise ZeroDivisionError

    async def whole() -> None:
        stage = Stage(act("flood"), grace_s=0.1)
        stage.on_hello = stumble
        with pytest.raises(ZeroDivisionError):
            await stage.run()
        assert len(stage.hellos) == 1  # nothing is handed over after it
        assert not any(is_ours(pid) for pid in stage.pids)

    anyio.run(whole)


def test_half_a_line_before_death_is_no_message() -> None:
    stage = watch_until(act("half_line"), has_restarted)
    assert stage.states[1].reason == "actor was ended by SIGKILL"
    assert all(hello.heard == 0 for hello in stage.hellos)


def test_an_end_that_takes_its_time_keeps_its_exit_code() -> None:
    stage = run_to_its_end(act("slow_end", 2))
    assert stage.told() == ["starting", "refused"]


def test_a_child_that_ignores_stop_is_killed_after_the_grace() -> None:
    async def whole() -> None:
        stage = Stage(act("deaf"), grace_s=0.3)
        async with stage.open():
            await stage.until(lambda: bool(stage.hellos))
            begun = time.monotonic()
        assert time.monotonic() - begun >= 0.3
        assert stage.told() == ["starting", "stopped"]

    anyio.run(whole)


@pytest.mark.timeout(60)
def test_a_stopped_child_hears_that_it_is_to_end() -> None:
    """SIGCONT comes before the message: it ends by itself, inside a grace that is longer than the test may last."""

    async def whole() -> None:
        stage = Stage(act("good"), grace_s=1000.0)
        async with stage.open():
            await stage.until(lambda: bool(stage.hellos))
            os.kill(stage.hellos[0].pid, signal.SIGSTOP)

    anyio.run(whole)


@pytest.mark.parametrize("own_death", [0, signal.SIGKILL])
def test_a_group_of_its_own_ends_as_a_whole(own_death: int) -> None:
    """Whether the child is told to end (and leaves without its own child) or is killed."""

    async def whole() -> None:
        stage = Stage(act("parent", own_death, own_group=True), rules=RestartRules(base_s=30.0, cap_s=30.0))
        async with stage.open():
            await stage.until(lambda: bool(stage.hellos))
            with eye_on(stage.hellos[0].other) as grandchild:
                if own_death:
                    await stage.until(lambda: has_failed(stage))
                else:
                    await stage.supervisor.send(Play(part="stop"))
                assert await anyio.to_thread.run_sync(wait_gone, grandchild)

    anyio.run(whole)


def test_fifty_restarts_leak_no_descriptor() -> None:
    async def whole() -> None:
        stage = Stage(lambda: spec(Play(part=""), module="children.quitter"))
        async with stage.open():
            await stage.until(lambda: stage.supervisor.restarts >= 2)
            before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
            await stage.until(lambda: stage.supervisor.restarts >= 52)
            assert len(os.listdir("/proc/self/fd")) <= before + 2  # noqa: PTH208  one child may be on stage

    anyio.run(whole)


def test_a_child_that_cannot_be_started_waits_like_one_that_died() -> None:
    """Out of descriptors: the agent lives, and the child comes once there are some again."""

    async def whole() -> None:
        stage = Stage(act("good"))
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        async with stage.open():
            await stage.until(lambda: bool(stage.hellos))
            resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))  # what is open stays open
            try:
                os.kill(stage.hellos[0].pid, signal.SIGKILL)
                await stage.until(lambda: any(state.code == "not_started" for state in stage.states))
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            await stage.until(lambda: len(stage.hellos) == 2)
        told = next(state for state in stage.states if state.code == "not_started")
        assert (told.state, told.reason) == ("waiting", "actor could not be started: Too many open files")

    anyio.run(whole)


def test_cancelling_at_any_word_leaves_nothing() -> None:
    """The scope is cancelled from within the n-th callback, for every n of two lives and the pause between."""

    async def one(number: int) -> int:
        stage = Stage(act("die", signal.SIGKILL), grace_s=0.2)
        events = 0
        with anyio.fail_after(20), anyio.CancelScope() as scope:

            def count() -> None:
                nonlocal events
                events += 1
                if events == number:
                    scope.cancel()

            stage.on_event = count
            await stage.supervisor.run()
        assert scope.cancelled_caught
        assert stage.told()[-1] == "stopped"
        assert not any(is_ours(pid) for pid in stage.pids)
        return events

    for number in range(1, 7):
        anyio.run(one, number)


@pytest.mark.parametrize("after_s", [0.0, 0.01, 0.05, 0.1, 0.2, 0.35])
@pytest.mark.parametrize("part", ["deaf", "mute"])
def test_cancelling_at_any_moment_leaves_nothing(part: str, after_s: float) -> None:
    async def one() -> None:
        stage = Stage(act(part, 0.05), grace_s=0.05)
        with anyio.fail_after(20), anyio.move_on_after(after_s) as scope:
            await stage.supervisor.run()
        assert scope.cancelled_caught
        assert not any(is_ours(pid) for pid in stage.pids)
        assert not stage.pids or stage.told()[-1] == "stopped"

    anyio.run(one)


def test_a_child_is_started_anew_in_good_order_and_at_once() -> None:
    """A planned end is no death: nothing is counted, nobody is told of a failure, no time passes."""

    async def never(delay_s: float) -> None:
        raise AssertionError("it waited")

    async def whole() -> None:
        stage = Stage(act("good"), wait=never)
        async with stage.open():
            for count in (1, 2, 3):
                await stage.until(lambda count=count: len(stage.hellos) == count)  # type: ignore[misc]
                await stage.supervisor.renew()
            await stage.until(lambda: len(stage.hellos) == 4)
            assert stage.supervisor.restarts == 0
        assert stage.told() == [*["starting"] * 4, "stopped"]
        assert len({hello.pid for hello in stage.hellos}) == 4

    anyio.run(whole)


def test_a_child_that_does_not_end_when_it_is_to_be_renewed_dies_of_its_silence() -> None:
    async def whole() -> None:
        stage = Stage(act("mute", 0.3))
        async with stage.open():
            await stage.until(lambda: len(stage.hellos) == 1)
            await stage.supervisor.renew()
            await stage.until(lambda: has_failed(stage))
        assert stage.states[1].code == "hung"

    anyio.run(whole)


def test_the_owner_passes_the_time_between_two_lives() -> None:
    asked: list[float] = []

    async def wait(delay_s: float) -> None:
        asked.append(delay_s)

    rules = RestartRules(base_s=100.0, cap_s=100.0, slow_s=900.0, max_deaths=3)
    watch_until(act("code", 1), lambda stage: len(asked) >= 4, rules=rules, wait=wait)
    assert [delay_s >= 450 for delay_s in asked[:4]] == [False, False, True, True]


def test_a_child_that_has_proven_itself_is_treated_as_if_it_had_never_died() -> None:
    asked: list[float] = []

    async def whole() -> None:
        async def wait(delay_s: float) -> None:
            asked.append(delay_s)
            if len(asked) == 3:
                stage.supervisor.proven()

        rules = RestartRules(base_s=100.0, cap_s=1600.0, slow_s=9000.0, max_deaths=3)
        stage = Stage(act("code", 1), rules=rules, wait=wait)
        async with stage.open():
            await stage.until(lambda: len(asked) >= 4)
        assert [state.state for state in stage.states if state.state in ("waiting", "failing")][:4] == [
            "waiting", "waiting", "failing", "waiting",
        ]  # fmt: skip
        assert asked[3] <= 100.0

    anyio.run(whole)


def test_a_child_that_holds_what_a_kill_would_leave_behind_is_asked_to_go_first(tmp_path: Path) -> None:
    word = tmp_path / "word"

    def silent() -> ChildSpec:
        return replace(spec(Play(part="parting", number=0.2, padding=str(word))), term_s=WAIT_S)

    stage = watch_until(silent, has_failed)
    assert stage.states[1].code == "hung"
    assert word.read_text() == "farewell"


def test_a_child_that_does_not_go_when_it_is_asked_to_is_killed() -> None:
    def deaf() -> ChildSpec:
        return replace(spec(Play(part="nonsense", padding="{}")), term_s=0.1)

    stage = watch_until(deaf, has_restarted)
    assert stage.states[1].code == "protocol"
