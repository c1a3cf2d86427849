"""Commands over a real mosquitto to a real agent: each has its effect, and says so."""

from __future__ import annotations

import base64
import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from agent_kit import DEVICE, FLEET
from jobs_kit import Scene, scene, wait_for
from test_link_kit import needs_mosquitto

from edgeagent.app.commands_all import KINDS
from edgeagent.engine.store import EngineStore
from edgeagent.fleet.answers import Job
from edgeagent.fleet.results import Event, Result
from edgeagent.fleet.snapshots import Snapshot
from edgeagent.fleet.states import EngineState, Info

pytestmark = [needs_mosquitto, pytest.mark.timeout(400)]

SECRET = "hunter2-Zx"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """An agent that serves, for all tests of this file."""
    folder = tmp_path_factory.mktemp("jobs")
    tables = {
        "cameras__gate": {"source": {"type": "rtsp", "url": f"rtsp://me:{SECRET}@127.0.0.1:9/x"}, "enabled": False},
        "device": {
            "id": DEVICE,
            "fleet": FLEET,
            "groups": ["entrances"],
            "state_dir": str(folder / "state"),
            "run_dir": str(folder / "run"),
            "board_root": str(folder / "board"),
        },
    }
    with scene(folder, folder / "state", **tables) as found, found.agent():
        found.watcher.ever(EngineState, lambda state: state.state == "ready")
        found.watcher.ever(Result)
        yield found


def succeeded(job: Job) -> dict:
    assert job.state == "succeeded", f"{job.state} {job.code} {job.reason}"
    return dict(job.result or {})


def store(place: Scene) -> EngineStore:
    return EngineStore(place.state / "engines")


# what it obeys


def test_info_tells_what_it_obeys_and_its_groups(place: Scene) -> None:
    info = place.watcher.ever(Info)
    assert set(info.commands) == set(KINDS) - {"reboot"}
    assert info.groups == ("entrances",)


def test_a_reboot_that_is_not_allowed_is_refused(place: Scene) -> None:
    answer = place.commander.do("reboot")
    assert (answer.state, answer.code) == ("refused", "not_allowed")
    assert "remote.allow_reboot" in answer.reason


def test_a_group_and_the_fleet_are_heard_and_strangers_are_not(place: Scene) -> None:
    everyone = place.commander.do("log-level", {"level": "info"}, device="")
    assert (everyone.state, everyone.scope) == ("succeeded", "all")
    group = place.commander.do("log-level", {"level": "info"}, group="entrances")
    assert (group.state, group.scope) == ("succeeded", "group")
    other = place.commander.send("log-level", {"level": "info"}, group="exits")
    another = place.commander.send("log-level", {"level": "info"}, device="bench-2")
    place.commander.do("log-level", {"level": "info"})  # what was said before has come by now
    assert place.commander.states(other) == place.commander.states(another) == []


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"retain": True}, "retained"),
        ({"deadline_ts": 1_000}, "expired"),
        ({"ts": 1_700_000_000_000}, "expired"),
        ({"args": {"level": "loud"}}, "bad_args"),
        ({"reply_to": "edgeagent/v1/lab/bench-2/cmd/restart"}, "bad_reply_to"),
        ({"extra": 1}, "bad_message"),
    ],
)
def test_what_must_not_be_obeyed_is_refused(place: Scene, more: dict, code: str) -> None:
    answer = place.commander.do("log-level", **{"args": {"level": "error"}, **more})
    assert (answer.state, answer.code) == ("refused", code)
    place.commander.clear("log-level")


def test_junk_is_told_once_and_hurts_nobody(place: Scene) -> None:
    for raw in (b"", b"\0\xff", b"[" * 20_000, b'{"id":' + b"9" * 30_000, b"x" * 100_000):
        place.commander.send("restart", raw=raw)
    place.watcher.ever(Event, lambda event: event.type == "command-refused")
    succeeded(place.commander.do("log-level", {"level": "info"}))


# answers


def test_answers_go_to_mqtt5s_response_topic_with_its_correlation(place: Scene) -> None:
    place.commander.listen("desk-7/answers")
    properties = {"ResponseTopic": "desk-7/answers", "CorrelationData": b"\0\x01\xff", "MessageExpiryInterval": 30}
    job = place.commander.send("log-level", {"level": "info"}, properties=properties)
    wait_for(lambda: any(b'"succeeded"' in payload for _, payload, _ in place.commander.heard))
    mine = [(json.loads(payload), mark) for topic, payload, mark in place.commander.heard if topic == "desk-7/answers"]
    assert {(answer["id"], mark) for answer, mark in mine} == {(job, b"\0\x01\xff")}
    assert mine[-1][0]["state"] == "succeeded"


def test_the_answer_is_retained_on_the_jobs_topic(place: Scene) -> None:
    job = place.commander.send("log-level", {"level": "info"})
    succeeded(place.commander.answer(job))
    place.commander.listen(f"edgeagent/v1/{FLEET}/{DEVICE}/job/{job}")
    wait_for(
        lambda: any(topic.endswith(job) and b'"succeeded"' in payload for topic, payload, _ in place.commander.heard)
    )


def test_the_same_id_has_one_effect_and_another_command_cannot_take_it(place: Scene) -> None:
    first = place.commander.do("restart", {"camera": "belt"}, job="once-1")
    pid = succeeded(first)["pid"]
    place.commander.send("restart", {"camera": "belt"}, job="once-1")
    place.commander.send("restart", {"pipeline": "parts"}, job="once-1")
    refused = place.commander.answer("once-1", "refused")
    assert refused.code == "id_reused"
    assert place.family.pid_of("capture_child") == pid
    assert [state for state in place.commander.states("once-1") if state == "succeeded"] == ["succeeded"] * 2


# the commands


def test_snapshot_shows_the_frame_that_it_names(place: Scene) -> None:
    for args in ({"camera": "belt"}, {"pipeline": "parts", "drawn": False}):
        result = succeeded(place.commander.do("snapshot", args))
        frame = result["frame"]
        picture = place.watcher.ever(Snapshot, lambda message, frame=frame: message.frame == frame)
        assert base64.b64decode(picture.jpeg)[:2] == b"\xff\xd8"
        assert picture.drawn == result["drawn"] == args.get("drawn", True)
        place.watcher.ever(Result, lambda message, frame=frame: message.frame == frame)
        assert result["topic"] == f"edgeagent/v1/{FLEET}/{DEVICE}/snap/belt/parts"


def test_restart_camera_and_pipeline(place: Scene) -> None:
    for args, part in (({"camera": "belt"}, "capture_child"), ({"pipeline": "parts"}, "infer_child")):
        before = place.family.pid_of(part)
        result = succeeded(place.commander.do("restart", args))
        assert (result["pid_before"], result["pid"]) == (before, place.family.pid_of(part))
        seen = len(place.watcher.items)
        wait_for(lambda seen=seen: any(isinstance(item[1], Result) for item in place.watcher.items[seen:]))
    assert place.commander.do("restart", {"camera": "none"}).code == "no_camera"
    assert place.commander.do("restart", {"camera": "belt", "agent": True}).code == "bad_args"


def test_logs_and_their_level(place: Scene) -> None:
    succeeded(place.commander.do("log-level", {"level": "info"}))
    lines = succeeded(place.commander.do("logs", {"lines": 50}))["lines"]
    assert any("event=command name=log-level" in line["text"] for line in lines)
    assert SECRET not in json.dumps(lines)
    succeeded(place.commander.do("log-level", {"level": "error", "for_s": 60}))
    quiet = place.commander.send("prune", {"dry_run": True})
    succeeded(place.commander.answer(quiet))
    lines = succeeded(place.commander.do("logs", {"lines": 500}))["lines"]
    assert not any(quiet in line["text"] for line in lines)
    succeeded(place.commander.do("log-level", {"level": "info"}))


def test_config_tells_each_setting_and_its_layer_and_no_secret(place: Scene) -> None:
    settings = succeeded(place.commander.do("config"))["settings"]
    assert settings["device.fleet"] == {"value": FLEET, "layer": "file"}
    assert settings["mqtt.keepalive_s"] == {"value": 30, "layer": "default"}
    assert "cameras.gate.source.url" in settings
    assert SECRET not in json.dumps(settings)
    assert set(succeeded(place.commander.do("config", {"only": "mqtt.keep"}))["settings"]) == {"mqtt.keepalive_s"}


def test_doctor_reports_of_the_devices_own_board(place: Scene) -> None:
    report = succeeded(place.commander.do("doctor"))["report"]
    assert report["root"] == str(place.board)
    assert any(check["name"] == "board" and check["state"] == "ok" for check in report["checks"])


def test_bench_gives_figures_and_leaves_nobody_behind(place: Scene) -> None:
    figures = succeeded(place.commander.do("bench", {"seconds": 1, "what": "null"}))["figures"]
    assert figures["engine_limit"]["fps"] > 0
    wait_for(lambda: not any(" bench " in command for command in place.family.members().values()))


def test_cancel_ends_a_bench_with_all_that_it_has_started(place: Scene) -> None:
    job = place.commander.send("bench", {"seconds": 60, "what": "null"})
    wait_for(lambda: any(" bench " in command for command in place.family.members().values()))
    assert succeeded(place.commander.do("cancel", {"job": job}))["state"] == "cancelled"
    assert place.commander.answer(job).state == "cancelled"
    wait_for(lambda: not any("bench" in command for command in place.family.members().values()))


def test_a_deadline_really_stops_it(place: Scene) -> None:
    now = time.time_ns() // 1_000_000
    job = place.commander.send("bench", {"seconds": 60, "what": "null"}, ts=now, deadline_ts=now + 2500)
    assert place.commander.answer(job).state == "timed_out"
    wait_for(lambda: not any("bench" in command for command in place.family.members().values()))


def test_prune_removes_what_nothing_uses(place: Scene) -> None:
    active = store(place).active("parts")
    assert active is not None
    shutil.copytree(place.state / "engines" / active, place.state / "engines" / f".damaged-{'0' * 32}")
    dry = succeeded(place.commander.do("prune", {"max_mb": 0, "dry_run": True}))
    assert dry["count"] >= 1
    assert (place.state / "engines" / f".damaged-{'0' * 32}").is_dir()
    done = succeeded(place.commander.do("prune", {"max_mb": 0}))
    assert done["count"] == dry["count"]
    assert not (place.state / "engines" / f".damaged-{'0' * 32}").exists()
    assert (place.state / "engines" / active).is_dir()


def test_calibrate_build_and_rollback(place: Scene) -> None:
    before = store(place).active("parts")
    sets = {path.name: (path / "set.json").read_text() for path in (place.state / "calibration").glob("belt-*")}
    collected = succeeded(place.commander.do("calibrate", {"camera": "belt"}))["sets"]
    assert [one["frames"] for one in collected] == [20]
    assert (place.state / "calibration" / collected[0]["set"] / "set.json").read_text() != sets[collected[0]["set"]]

    built = succeeded(place.commander.do("build", {"pipeline": "parts"}))["engines"][0]
    assert built["origin"] == "build"
    assert built["engine"] != before
    place.watcher.ever(Result, lambda result: result.engine == built["engine"])
    assert store(place).active("parts") == built["engine"]

    back = succeeded(place.commander.do("rollback", {"engine": "parts"}))
    assert (back["engine"], back["quarantined"], back["serves"]) == (before, built["engine"], True)
    assert store(place).status(built["engine"]) == "quarantined"
    seen = len(place.watcher.items)
    wait_for(lambda: _engine_of_last(place, seen) == before)

    plan = place.state / "engines" / built["engine"] / "manifest.json"
    inode = plan.stat().st_ino
    again = succeeded(place.commander.do("build", {"model": "conveyor", "force": True}))["engines"][0]
    assert (again["engine"], again["origin"], again["serves"]) == (built["engine"], "build", True)
    assert plan.stat().st_ino != inode  # made anew, and out of quarantine
    assert not list((place.state / "engines").glob(".apart-*"))


def _engine_of_last(place: Scene, seen: int) -> str:
    results = [item[1] for item in place.watcher.items[seen:] if isinstance(item[1], Result)]
    return results[-1].engine if results else ""


def test_cancel_of_a_build_kills_it_and_the_engine_serves_on(place: Scene) -> None:
    active = store(place).active("parts")
    job = place.commander.send("build", {"pipeline": "parts", "force": True})
    wait_for(lambda: any("engine.build.child" in command for command in place.family.members().values()))
    assert succeeded(place.commander.do("cancel", {"job": job}))["state"] == "cancelled"
    wait_for(lambda: not any("engine.build" in command for command in place.family.members().values()))
    assert (place.state / "engines" / str(active)).is_dir()
    assert store(place).active("parts") == active
    assert succeeded(place.commander.do("build", {"pipeline": "parts"}))["engines"][0]["origin"] == "store"


def test_cancel_of_calibrate_keeps_the_set_that_was_there(place: Scene) -> None:
    sets = {path.name: (path / "set.json").read_text() for path in (place.state / "calibration").glob("belt-*")}
    job = place.commander.send("calibrate", {"camera": "belt", "frames": 2000})
    wait_for(lambda: any("collect_child" in command for command in place.family.members().values()))
    succeeded(place.commander.do("cancel", {"job": job}))
    wait_for(lambda: not any("collect_child" in command for command in place.family.members().values()))
    assert {path.name: (path / "set.json").read_text() for path in (place.state / "calibration").glob("belt-*")} == sets
    wait_for(lambda: not list((place.state / "calibration").glob(".new-*")))


def test_rollback_of_a_config_that_is_not_there_fails_in_words(place: Scene) -> None:
    answer = place.commander.do("rollback", {"config": True})
    assert (answer.state, answer.code) == ("failed", "no_config")


def test_power_without_an_intent_is_left_alone(place: Scene) -> None:
    answer = place.commander.do("power", {"intent": "low-power"})
    assert (answer.state, answer.code) == ("failed", "not_in_force")


def test_the_book_is_readable_by_nobody_else(place: Scene) -> None:
    assert (place.state / "jobs.db").stat().st_mode & 0o077 == 0
    assert Path(place.state / "jobs.db").stat().st_uid == os.getuid()
