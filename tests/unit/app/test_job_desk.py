"""The desk of commands: one effect an id, refusals in words, turns, ends and new starts."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path

import anyio
import pytest
from job_bench import NOW, Bench

from edgeagent.app.jobs import BESIDE, WAITING
from edgeagent.app.jobs_past import TOPICS, TOPICS_MS
from edgeagent.config.remote_table import RemoteSettings
from edgeagent.fleet.job_verdict import Arrival


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def play(scene: Callable[[], Awaitable[None]]) -> None:
    anyio.run(scene)


def test_a_command_is_accepted_done_and_answered(bench: Bench) -> None:
    async def scene() -> None:
        async with bench.running():
            bench.send("count", by="me")
            last = await bench.said("one", "accepted", "running", "succeeded")
            assert last["result"] == {"what": "x"}
            assert last["by"] == "me"
            assert last["deadline_ts"] == NOW + 1_000_000
            assert last["ended_ts"] == NOW
            assert bench.acknowledged == ["one"]

    play(scene)


def test_the_same_id_has_one_effect_however_often_and_whenever_it_comes(bench: Bench) -> None:
    async def scene() -> None:
        async with bench.running():
            for _ in range(3):
                bench.send("count")
            await bench.until(lambda: len(bench.acknowledged) == 3)
            await bench.said("one", "succeeded")
        bench.restarted(boot=True)
        async with bench.running():
            bench.send("count")
            await bench.until(lambda: len(bench.acknowledged) == 4)
            assert bench.wire.jobs("one")[-1]["result"] == {"what": "x"}
        assert bench.effects == {"x": 1}

    play(scene)


def test_a_running_command_that_comes_again_is_told_that_it_runs(bench: Bench) -> None:
    async def scene() -> None:
        async with bench.running():
            bench.send("wait")
            await bench.said("one", "accepted", "running")
            bench.send("wait")
            await bench.said("one", "accepted", "running", "running")
            bench.release.set()
            await bench.said("one", "running", "running", "succeeded")
        assert bench.begun == {"x": 1}

    play(scene)


def test_an_id_of_another_command_is_refused_and_its_answer_stays(bench: Bench) -> None:
    async def scene() -> None:
        async with bench.running():
            bench.send("count")
            await bench.said("one", "succeeded")
            before = len(bench.wire.sent)
            bench.send("count", args={"what": "other"}, reply_to="answers")
            await bench.until(lambda: len(bench.wire.replies) == 2)
            assert [topic for topic, _, _ in bench.wire.replies] == ["edgeagent/v1/lab/one/job/one", "answers"]
            assert {(a["state"], a["code"]) for _, a, _ in bench.wire.replies} == {("refused", "id_reused")}
            assert len(bench.wire.sent) == before  # what is retained is still the first one's
        assert bench.effects == {"x": 1}

    play(scene)


@pytest.mark.parametrize(
    ("name", "more", "code"),
    [
        ("nothing", {}, "unknown_command"),
        ("count", {"args": {"what": 7}}, "bad_args"),
        ("count", {"args": {"whatever": 7}}, "bad_args"),
        ("count", {"arrival": Arrival(retained=True)}, "retained"),
        ("count", {"deadline_ts": NOW}, "expired"),
        ("count", {"reply_to": "edgeagent/v1/lab/two/cmd/reboot"}, "bad_reply_to"),
        ("count", {"surprise": 1}, "bad_message"),
        ("count", {"ts": -1}, "bad_message"),
    ],
)
def test_what_is_wrong_is_refused_in_words(bench: Bench, name: str, more: dict[str, object], code: str) -> None:
    async def scene() -> None:
        async with bench.running():
            bench.send(name, **more)  # type: ignore[arg-type]
            answer = await bench.said("one", "refused")
            assert answer["code"] == code
            assert answer["reason"]
            assert "\n" not in answer["reason"]
            await bench.until(lambda: bench.acknowledged == ["one"])
        assert not bench.effects

    play(scene)


def test_an_unknown_command_is_told_which_there_are(bench: Bench) -> None:
    async def scene() -> None:
        async with bench.running():
            bench.send("nothing")
            reason = (await bench.said("one", "refused"))["reason"]
            assert reason.endswith("there are: again, cancel, count, look, reborn, wait, wait-alone, wait-look")
            bench.forbidden = "not today"
            bench.send("count", "two")
            assert (await bench.said("two", "refused"))["reason"] == "not today"
            assert "count" not in bench.desk.obeyed()

    play(scene)


def test_a_device_that_takes_no_commands_says_so(bench: Bench) -> None:
    async def scene() -> None:
        bench.remote = RemoteSettings(commands=False)
        async with bench.running():
            bench.send("count")
            assert (await bench.said("one", "refused"))["code"] == "not_allowed"
            assert bench.desk.obeyed() == []

    play(scene)


def test_a_message_without_an_id_is_told_by_an_event_not_one_each(bench: Bench) -> None:
    async def scene() -> None:
        async with bench.running():
            for raw in (b"", b"\xff", b"{}", b"[" * 5000, b'{"id": "UPPER"}', b'{"id": "a"' + b" " * 40_000 + b"}"):
                bench.send("count", raw=raw)
            await bench.until(lambda: len(bench.acknowledged) == 6)
            assert [one["type"] for one in bench.wire.events()] == ["command-refused"]
            bench.clock.advance(11)
            bench.send("count", raw=b"")
            await bench.until(lambda: len(bench.wire.events()) == 2)
            assert bench.wire.events()[1]["facts"]["count"] == 6
        assert not bench.effects

    play(scene)


def test_a_failure_has_its_code_and_the_mend(bench: Bench) -> None:
    async def scene() -> None:
        async with bench.running():
            bench.send("count", "one", {"fail": True})
            last = await bench.said("one", "accepted", "running", "failed")
            assert (last["code"], last["reason"]) == ("never", "it cannot be (nothing helps)")
            bench.send("count", "two", {"crash": True})
            last = await bench.said("two", "accepted", "running", "failed")
            assert (last["code"], last["reason"]) == ("internal", "a fault of ours: RuntimeError: a fault of ours")
            bench.send("count", "three")
            await bench.said("three", "succeeded")

    play(scene)


def test_those_that_are_alone_wait_for_each_other_and_the_others_do_not(bench: Bench) -> None:
    async def scene() -> None:
        async with bench.running():
            bench.send("wait-alone", "a", {"what": "a"})
            bench.send("wait-alone", "b", {"what": "b"})
            for number in range(BESIDE + 1):
                bench.send("wait", f"w-{number}", {"what": f"w-{number}"})
            await bench.until(lambda: len(bench.begun) == BESIDE + 1 and bench.wire.states(f"w-{BESIDE}"))
            assert "a" in bench.begun
            assert bench.wire.states("b") == ["accepted"]
            assert sum(bench.wire.states(f"w-{n}") == ["accepted"] for n in range(BESIDE + 1)) == 1
            bench.release.set()
            await bench.said("b", "succeeded")

    play(scene)


def test_too_many_that_wait_are_refused(bench: Bench) -> None:
    async def scene() -> None:
        async with bench.running():
            for number in range(WAITING + 3):
                bench.send("wait-alone", f"w-{number}")
            refused = (await bench.said(f"w-{WAITING + 2}", "refused"))["code"]
            assert refused == "busy"
            bench.send("cancel", "stop", {"job": "w-5"})  # what is done at once is done all the same
            await bench.said("stop", "succeeded")

    play(scene)


def test_cancel_ends_one_that_runs_and_one_that_waits(bench: Bench) -> None:
    async def scene() -> None:
        async with bench.running():
            bench.send("wait-alone", "a")
            bench.send("wait-alone", "b")
            await bench.said("b", "accepted")
            for job in ("b", "a"):
                bench.send("cancel", f"stop-{job}", {"job": job})
                assert (await bench.said(f"stop-{job}", "succeeded"))["result"] == {"job": job, "state": "cancelled"}
            assert bench.wire.states("a") == ["accepted", "running", "cancelled"]
            assert bench.wire.states("b") == ["accepted", "cancelled"]
            bench.send("cancel", "late", {"job": "a"})
            assert (await bench.said("late", "failed"))["code"] == "job_over"
            bench.send("cancel", "never", {"job": "zzz"})
            assert (await bench.said("never", "failed"))["code"] == "no_job"
        assert not bench.effects

    play(scene)


def test_a_deadline_ends_it(bench: Bench) -> None:
    async def scene() -> None:
        async with bench.running():
            bench.send("wait-alone", "a", deadline_ts=NOW + 50)
            bench.send("wait-alone", "b", deadline_ts=NOW + 50)
            await bench.said("a", "accepted", "running", "timed_out")
            await bench.until(lambda: bench.wire.states("b")[-1] == "timed_out")
            bench.release.set()
        assert not bench.effects

    play(scene)


def test_progress_is_told_and_the_last_word_is_not_lost(bench: Bench) -> None:
    async def scene() -> None:
        async with bench.running():
            bench.send("wait")
            await bench.said("one", "accepted", "running")
            await bench.until(lambda: bench.progress)
            assert bench.progress is not None
            for number in range(100):
                bench.progress("working", number)
            last = await bench.said("one", "accepted", "running", "running")
            assert (last["phase"], last["percent"]) == ("working", 99)

    play(scene)


def test_answers_go_where_they_were_asked_for(bench: Bench) -> None:
    async def scene() -> None:
        async with bench.running():
            bench.send("count", "a", response_topic="answers/a", correlation=b"\0\x01")
            await bench.said("a", "succeeded")
            bench.send("count", "b", response_topic="answers/b", reply_to="payload/b")
            await bench.said("b", "succeeded")
        found = [(topic, answer["state"], mark) for topic, answer, mark in bench.wire.replies]
        assert found[:3] == [("answers/a", state, b"\0\x01") for state in ("accepted", "running", "succeeded")]
        assert {topic for topic, _, _ in found[3:]} == {"payload/b"}

    play(scene)


def test_one_that_asks_again_elsewhere_is_answered_there(bench: Bench) -> None:
    async def scene() -> None:
        async with bench.running():
            bench.send("count", reply_to="first")
            await bench.said("one", "succeeded")
            bench.send("count", reply_to="second")
            await bench.until(lambda: bench.wire.replies[-1][0] == "second")
            assert bench.wire.replies[-1][1]["state"] == "succeeded"

    play(scene)


# new starts


def test_what_a_restart_has_cut_off_is_settled(bench: Bench) -> None:
    async def scene() -> None:
        async with bench.running():
            bench.send("wait", "a", {"what": "a"})
            bench.send("again", "b", {"what": "b"})
            bench.send("reborn", "c", {"what": "c"})
            await bench.said("a", "accepted", "running")
            await bench.said("b", "accepted", "running")
            await bench.said("c", "accepted")
        bench.restarted()
        async with bench.running():
            assert (await bench.said("a", "failed"))["code"] == "interrupted"
            assert (await bench.said("c", "failed"))["code"] == "not_rebooted"
            await bench.said("b", "accepted", "running", "running")
            bench.release.set()
            await bench.said("b", "running", "succeeded")
        assert bench.effects == {"b": 1}

    play(scene)


def test_a_reboot_succeeds_by_the_boot_that_follows(bench: Bench) -> None:
    async def scene() -> None:
        async with bench.running():
            bench.send("reborn")
            await bench.said("one", "accepted", "running")
        bench.restarted(boot=True)
        async with bench.running():
            assert (await bench.said("one", "succeeded"))["result"] == {"boot": "boot-2"}

    play(scene)


@pytest.mark.parametrize(
    ("later_s", "wall_ms", "state", "code"),
    [(10, None, "running", ""), (2000, None, "timed_out", "timed_out"), (10, 40_000, "failed", "interrupted")],
)
def test_after_a_reboot_what_is_left_of_its_time_is_told_by_the_clock(
    bench: Bench, later_s: float, wall_ms: int | None, state: str, code: str
) -> None:
    async def scene() -> None:
        async with bench.running():
            bench.send("again")
            await bench.said("one", "accepted", "running")
        bench.restarted(boot=True)
        bench.clock.advance(later_s)
        if wall_ms is not None:
            bench.clock.set_wall(wall_ms)
        async with bench.running():
            await bench.until(lambda: len(bench.wire.states("one")) > 2)
            last = bench.wire.jobs("one")[-1]
            assert (last["state"], last["code"]) == (state, code)

    play(scene)


def test_within_a_boot_it_is_told_by_the_clock_that_never_jumps(bench: Bench) -> None:
    async def scene() -> None:
        async with bench.running():
            bench.send("again")
            await bench.said("one", "accepted", "running")
        bench.restarted()
        bench.clock.set_wall(NOW + 10**9)
        async with bench.running():
            await bench.said("one", "accepted", "running", "running")

    play(scene)


# the book


def test_without_a_memory_of_it_nothing_is_done(bench: Bench) -> None:
    async def scene() -> None:
        (bench.folder / "jobs.db").mkdir()
        async with bench.running():
            bench.send("count")
            await bench.until(lambda: bench.acknowledged)
            topic, answer, _ = bench.wire.replies[0]
            assert (topic, answer["state"], answer["code"]) == (
                "edgeagent/v1/lab/one/job/one", "refused", "jobs_not_stored",
            )  # fmt: skip
            (bench.folder / "jobs.db").rmdir()
            bench.send("count")
            await bench.said("one", "accepted", "running", "succeeded")
        assert bench.effects == {"x": 1}

    play(scene)


def answers(bench: Bench, job: str = "one") -> list[str]:
    """What was said of it without being retained."""
    assert not bench.wire.jobs(job), "nobody would take it off the broker"
    return [answer["state"] for topic, answer, _ in bench.wire.replies if topic.endswith(f"job/{job}")]


def test_what_only_looks_is_done_without_a_memory_of_it(bench: Bench) -> None:
    async def scene() -> None:
        (bench.folder / "jobs.db").mkdir()
        async with bench.running():
            bench.send("look")
            await bench.until(lambda: answers(bench) == ["accepted", "running", "succeeded"])
            assert bench.wire.replies[-1][1]["result"] == {"what": "x"}
            bench.send("look")
            await bench.until(lambda: answers(bench)[3:] == ["succeeded"])
            bench.send("look", args={"what": "other"})
            await bench.until(lambda: len(bench.acknowledged) == 3)
            assert bench.wire.replies[-1][1]["code"] == "id_reused"
            for job, more in (("two", {"args": {"no": 1}}), ("three", {"deadline_ts": NOW - 1})):
                bench.send("look", job, **more)
            await bench.until(lambda: len(bench.acknowledged) == 5)
            assert [answer["code"] for _, answer, _ in bench.wire.replies[-2:]] == ["bad_args", "expired"]
        assert bench.effects == {"x": 1}

    play(scene)


def test_one_that_only_looks_and_runs_without_a_record_is_told_as_running_also_once_the_disk_is_well(
    bench: Bench,
) -> None:
    async def scene() -> None:
        (bench.folder / "jobs.db").mkdir()
        async with bench.running():
            bench.send("wait-look")
            await bench.until(lambda: bench.begun["x"])
            (bench.folder / "jobs.db").rmdir()
            bench.send("wait-look")
            await bench.until(lambda: answers(bench) == ["accepted", "running", "running"])
            bench.release.set()
            await bench.until(lambda: answers(bench)[3:] == ["succeeded"])
            bench.send("count", "two")
            await bench.said("two", "accepted", "running", "succeeded")
        assert bench.begun == {"x": 1}

    play(scene)


def test_a_book_that_can_be_read_and_not_written_is_no_memory_either(bench: Bench) -> None:
    """As on a disk that has gone read-only while the agent runs."""

    async def scene() -> None:
        async with bench.running():
            bench.send("count", "before")
            await bench.said("before", "succeeded")
            with closing(sqlite3.connect(bench.folder / "jobs.db", isolation_level=None)) as base:
                base.execute("CREATE TRIGGER no BEFORE INSERT ON jobs BEGIN SELECT RAISE(ABORT, 'read-only'); END")
            for name, job in (("look", "one"), ("look", "one"), ("count", "two")):
                bench.send(name, job)
            await bench.until(lambda: len(bench.acknowledged) == 4)
            await bench.until(lambda: "succeeded" in answers(bench))
            assert answers(bench, "two") == ["refused"]
        assert bench.effects == {"x": 2}, "that before, and one look"

    play(scene)


def test_after_a_loss_of_the_book_what_may_have_been_done_is_refused(bench: Bench) -> None:
    async def scene() -> None:
        async with bench.running():
            bench.send("count")
            await bench.said("one", "succeeded")
        for path in bench.folder.glob("jobs.db*"):
            path.write_bytes(b"garbage" * 1000)
        async with bench.running():
            bench.send("count")
            assert (await bench.said("one", "refused"))["code"] == "forgotten"
            bench.clock.advance(1)
            bench.send("count", "two")
            await bench.said("two", "succeeded")
            assert [one["type"] for one in bench.wire.events()] == ["l"]
        assert bench.effects == {"x": 2}

    play(scene)


def test_old_answers_are_taken_off_the_broker(bench: Bench) -> None:
    async def scene() -> None:
        async with bench.running():
            for number in range(TOPICS + 2):
                bench.send("nothing", f"job-{number}")
                await bench.said(f"job-{number}", "refused")
            cleared = [("job/job-0", b"", True), ("job/job-1", b"", True)]
            await bench.until(lambda: all(one in bench.wire.sent for one in cleared))
        bench.clock.advance(TOPICS_MS / 1000 + 1)
        async with bench.running():
            await bench.until(
                lambda: len({topic for topic, payload, _ in bench.wire.sent if not payload}) == TOPICS + 2
            )

    play(scene)
