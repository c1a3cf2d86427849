"""Commands across the ends of an agent: killed, restarted, rebooted, away. One effect an id, whatever comes again."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from agent_kit import watching
from jobs_kit import Onlooker, Scene, scene, wait_for
from test_agent_power import helper
from test_link_kit import needs_mosquitto

from edgeagent.fleet.answers import ConfigReported, Job
from edgeagent.fleet.snapshots import Snapshot
from edgeagent.fleet.states import EngineState, Info, Status
from edgeagent.simulate.board import load_board, reboot_board

pytestmark = [needs_mosquitto, pytest.mark.timeout(400)]


def begun(place: Scene, runs: int) -> None:
    """Wait for the agent's n-th run to be ready."""
    place.watcher.ever(Status, lambda status: status.session.endswith(f"-{runs}") and status.state == "ready")
    place.watcher.ever(EngineState, lambda state: state.state == "ready" and state.session.endswith(f"-{runs}"))


def end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


def pictures(place: Scene) -> list[int]:
    return [item[1].frame for item in place.watcher.items if isinstance(item[1], Snapshot)]


def test_what_was_said_to_a_device_that_is_away_is_done_once_when_it_comes(tmp_path: Path) -> None:
    with scene(tmp_path, tmp_path / "state") as place:
        with place.agent() as process:
            begun(place, 1)
            end(process)
        job = place.commander.send("snapshot", {"pipeline": "parts"})
        now = time.time_ns() // 1_000_000
        late = place.commander.send("snapshot", {"pipeline": "parts"}, ts=now, deadline_ts=now + 1)
        with place.agent():
            answer = place.commander.answer(job)
            assert place.commander.answer(late).code == "expired"
            # It may come before a pipeline serves: then it fails in words, and is not tried behind anybody's back.
            assert answer.state == "succeeded" or answer.code == "no_pipeline"
            begun(place, 2)
            assert len(pictures(place)) == (answer.state == "succeeded")


def test_a_kill_between_delivery_and_acknowledgement_gives_one_effect(tmp_path: Path) -> None:
    with scene(tmp_path, tmp_path / "state") as place:
        with place.agent() as process:
            begun(place, 1)
            os.kill(process.pid, signal.SIGSTOP)
            job = place.commander.send("prune", {"max_mb": 10_000})  # delivered into its socket, never looked at
            end(process)
        with place.agent():
            assert place.commander.answer(job).state == "succeeded"
            begun(place, 2)
        done = [line for line in place.log().splitlines() if f"id={job}" in line and "state=accepted" in line]
        assert len(done) == 1


def test_kills_at_any_moment_give_at_most_one_effect_and_always_an_end(tmp_path: Path) -> None:
    """The agent is killed a little later after each command; each is sent twice, and once more after the new start."""
    with scene(tmp_path, tmp_path / "state") as place:
        jobs = []
        for run, later_s in enumerate((0.0, 0.01, 0.03, 0.06), start=1):
            with place.agent() as process:
                begun(place, run)
                for job in jobs[-1:]:
                    place.commander.send("snapshot", {"pipeline": "parts"}, job=job)
                jobs.append(place.commander.send("snapshot", {"pipeline": "parts"}, job=f"kill-{run}"))
                place.commander.send("snapshot", {"pipeline": "parts"}, job=f"kill-{run}")
                moment = time.monotonic() + later_s
                wait_for(lambda moment=moment: time.monotonic() >= moment)
                end(process)
        with place.agent():
            begun(place, 5)
            ends = [place.commander.answer(job) for job in jobs]
            assert all(one.state == "succeeded" or one.code in ("interrupted", "no_pipeline") for one in ends)
            frames = [one.result["frame"] for one in ends if one.result]
            assert len(frames) == len(set(frames))
            assert len(pictures(place)) <= len(jobs)
        accepted = [line for line in place.log().splitlines() if "state=accepted" in line]
        for job in jobs:
            assert sum(f"id={job}" in line for line in accepted) <= 2  # taken once; a repeat may say it once more


def test_a_build_that_a_kill_has_cut_off_is_taken_up_again(tmp_path: Path) -> None:
    with scene(tmp_path, tmp_path / "state") as place:
        with place.agent() as process:
            begun(place, 1)
            job = place.commander.send("build", {"pipeline": "parts", "force": True})
            other = place.commander.send("bench", {"seconds": 5})  # waits for its turn
            wait_for(lambda: any("engine.build.child" in command for command in place.family.members().values()))
            place.commander.answer(other, "accepted")
            end(process)
        with place.agent():
            answer = place.commander.answer(job)
            assert answer.state == "succeeded", answer
            assert answer.result is not None
            assert answer.result["engines"][0]["serves"]
            ended = place.commander.answer(other)
            assert (ended.state, ended.code) == ("failed", "interrupted")
            assert not list((tmp_path / "state" / "engines").glob(".apart-*"))


def test_restart_of_the_agent_is_done_by_its_new_start(tmp_path: Path) -> None:
    with scene(tmp_path, tmp_path / "state") as place, place.agent() as process:
        begun(place, 1)
        job = place.commander.send("restart", {"agent": True})
        answer = place.commander.answer(job)
        assert answer.state == "succeeded"
        assert answer.result is not None
        assert answer.result["session_before"].endswith("-1")
        assert answer.result["session"].endswith("-2")
        begun(place, 2)
        assert process.poll() is None  # the same process, begun anew
        place.commander.send("restart", {"agent": True}, job=job)
        place.commander.do("prune", {"dry_run": True})
        assert len([item for item in place.watcher.items if isinstance(item[1], Info)]) >= 2
        assert not any(isinstance(item[1], Status) and item[1].session.endswith("-3") for item in place.watcher.items)


def test_a_reboot_is_done_by_the_boot_that_follows(tmp_path: Path) -> None:
    tables = {
        "remote": {"allow_reboot": True},
        "power": {"helper_socket": str(tmp_path / "power.sock"), "intent": "max-performance"},
        "cameras__belt": {"source": {"type": "synthetic"}, "enabled": False},
        "pipelines__parts": {"camera": "belt", "model": "conveyor", "enabled": False},
    }
    with scene(tmp_path, tmp_path / "state", **tables) as place:
        board = load_board(place.board)
        (board.root / "proc/uptime").write_text("4000.00 4000.00\n")
        with helper(board, tmp_path / "power.sock"):
            with place.agent() as process:
                info = place.watcher.ever(Info, lambda one: one.power is not None and one.power.state == "applied")
                assert "reboot" in info.commands
                power = place.commander.do("power", {"intent": "balanced"})
                assert power.state == "succeeded", power
                assert place.watcher.ever(Info, lambda one: one.power.intent == "balanced").power.mode
                assert place.commander.do("power", {"intent": "warp"}).state == "failed"
                assert place.commander.do("power", {"intent": None}).result["intent"] == "max-performance"
                job = place.commander.send("reboot")
                wait_for(lambda: _asked_for_reboot(board.root))
                end(process)
            reboot_board(board.root)
            with place.agent() as process:
                answer = place.commander.answer(job)
                assert answer.state == "succeeded", answer
                assert answer.result["boot"] != answer.result["boot_before"]
                place.commander.send("reboot", job=job)  # comes once more: its last word, and no reboot
                place.commander.do("prune", {"dry_run": True})
                assert not _asked_for_reboot(board.root)


def _asked_for_reboot(root: Path) -> bool:
    return any(root.glob("run/virtual-reboot*"))


def test_the_answers_of_a_dead_broker_come_to_the_next_one(tmp_path: Path) -> None:
    """What is retained of the last fifty is there for a watcher that comes later."""
    with scene(tmp_path, tmp_path / "state") as place, place.agent():
        begun(place, 1)
        job = place.commander.send("prune", {"dry_run": True})
        place.commander.answer(job)
        with watching(place.port, kind=Onlooker) as late:
            found = late.ever(Job, lambda one: one.id == job)
            assert found.state == "succeeded"


def test_a_retained_command_is_refused_at_the_next_start(tmp_path: Path) -> None:
    with scene(tmp_path, tmp_path / "state") as place:
        job = place.commander.send("prune", {}, retain=True)
        with place.agent():
            answer = place.commander.answer(job)
            assert (answer.state, answer.code) == ("refused", "retained")


def test_rollback_of_the_config_lasts_and_the_wish_that_is_retained_is_not_tried_again(tmp_path: Path) -> None:
    with scene(tmp_path, tmp_path / "state", remote={"trial_s": 1.0}) as place, place.agent():
        begun(place, 1)
        for version, score in ((1, 0.5), (2, 0.7)):
            place.commander.wish({"version": version, "config": {"pipelines": {"parts": {"min_score": score}}}})
            place.watcher.ever(
                ConfigReported, lambda one, version=version: (one.version, one.state) == (version, "committed")
            )
        back = place.commander.do("rollback", {"config": True})
        assert (back.state, back.result) == ("succeeded", {"config": "version 1"})
        told = place.watcher.ever(ConfigReported, lambda one: (one.version, one.state) == (2, "rolled_back"))
        assert told.in_force == 1
        assert _score(place) == 0.5
        assert place.commander.do("restart", {"agent": True}).state == "succeeded"
        begun(place, 2)
        assert _score(place) == 0.5
        further = place.commander.do("rollback", {"config": True})
        assert (further.state, further.result) == ("succeeded", {"config": "the device's file alone"})
        assert place.commander.do("rollback", {"config": True}).code == "no_config"


def _score(place: Scene) -> float:
    answer = place.commander.do("config", {"only": "pipelines.parts.min_score"})
    assert answer.result is not None
    return float(answer.result["settings"]["pipelines.parts.min_score"]["value"])
