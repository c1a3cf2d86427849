"""Simulated devices: plausible values, and answers to wishes and commands as the contract wants them."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from edgeagent.board.catalogue import find_module
from edgeagent.config.check import find_mistakes
from edgeagent.fleet.answers import ConfigReported, Job
from edgeagent.fleet.measurements import GROUPS, Summary
from edgeagent.simulate import fleet_values
from edgeagent.simulate.fleet import FleetOptions, shares
from edgeagent.simulate.fleet_child import Share
from edgeagent.simulate.fleet_jobs import BUILD_S, FleetJobs
from edgeagent.simulate.fleet_settings import TRIAL_S, FleetSettings, file_layer
from edgeagent.simulate.fleet_values import MODULES, Character, ModuleSpec, character

HEADER = {"session": "sim-1", "seq": 1, "ts": 1}


def of_kind(kind: str) -> Character:
    return next(who for who in map(character, range(1000)) if who.kind == kind)


def settings(who: Character | None = None) -> FleetSettings:
    return FleetSettings(file_layer(who or of_kind("well"), "default"))


def wish(version: int, **more: Any) -> bytes:
    return json.dumps({"version": version, **more}).encode()


def checked(values: dict[str, Any] | None) -> ConfigReported:
    assert values is not None
    return ConfigReported.model_validate({**HEADER, "since_ts": 1, **values})


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.name)
def test_its_modules_are_named_as_the_agent_names_them(module: ModuleSpec) -> None:
    known = find_module(module.id)
    assert known is not None
    assert (module.name, module.soc, module.dla_cores) == (known.name, known.soc, known.dla_cores)


def test_of_a_thousand_most_are_well() -> None:
    kinds = Counter(character(number).kind for number in range(1000))
    assert kinds == {"well": 850, "degraded": 50, "building": 40, "lost": 30, "hot": 25, "broken": 5}
    assert len({character(number).name for number in range(1000)}) == 1000


@pytest.mark.parametrize("kind", ["well", "degraded", "building", "hot", "broken"])
def test_values_are_messages(kind: str) -> None:
    who = of_kind(kind)
    for now_s in (0.0, 17.3, 4711.0):
        for group in ("thermal", "power", "cpu", "gpu", "memory", "agent"):
            GROUPS[group].model_validate({**HEADER, **getattr(fleet_values, group)(who, now_s)})
        Summary.model_validate({**HEADER, "camera": "yard", "pipeline": "people", **fleet_values.summary(who, now_s)})
        assert 35 < fleet_values.thermal(who, now_s)["temp_max_c"] < 105


def test_its_own_file_has_no_mistakes() -> None:
    assert find_mistakes(file_layer(character(2), "default")) == []


def test_a_good_wish_is_tried_and_committed() -> None:
    device = settings()
    before = checked(device.first())
    trial = checked(device.hear(wish(1, config={"pipelines": {"people": {"min_score": 0.4}}}, by="ops"), 10.0))
    assert (trial.state, trial.ack, trial.in_force, trial.by) == ("trial", 202, 0, "ops")
    assert device.tick(10.0 + TRIAL_S / 2) is None
    committed = checked(device.tick(10.0 + TRIAL_S))
    assert (committed.state, committed.in_force) == ("committed", 1)
    assert before.hash != committed.hash
    assert device.hear(wish(1, config={}), 20.0) is None  # the broker repeats it at every connection


def test_a_wish_with_mistakes_is_rejected_by_path() -> None:
    rejected = checked(settings().hear(wish(1, config={"pipelines": {"people": {"min_score": 7, "x": 1}}}), 0.0))
    assert (rejected.state, rejected.ack) == ("rejected", 400)
    assert {each.path for each in rejected.errors} == {"pipelines.people.min_score", "pipelines.people.x"}


def test_a_wish_that_cuts_the_link_is_rolled_back() -> None:
    device = settings()
    device.hear(wish(1, config={"mqtt": {"url": "mqtt://elsewhere"}}, trial_s=1), 0.0)
    assert checked(device.tick(1.0)).state == "rolled_back"


def test_old_wishes_bad_patches_and_junk_are_answered() -> None:
    device = settings()
    device.hear(wish(2, config={}), 0.0)
    device.tick(10.0)
    assert checked(device.hear(wish(1, config={}), 11.0)).state == "ignored"
    assert checked(device.hear(wish(3, base=1, patch={}), 11.0)).ack == 409
    assert checked(device.hear(wish(2**53 - 1, config={}), 12.0)).state == "ignored"
    assert checked(device.hear(wish(4, config={}), 13.0)).state == "trial"
    assert checked(device.hear(b"junk", 11.0)).state == "rejected"
    assert device.hear(b"", 11.0) is None


def jobs(kind: str = "well") -> FleetJobs:
    return FleetJobs(of_kind(kind), dict)


def ask(device: FleetJobs, name: str, retained: bool = False, **more: Any) -> list[Job]:
    payload = json.dumps({"id": "j-1", **more}).encode()
    told = device.hear(name, "device", payload, retained=retained, wall_ms=1000, now_s=0.0)
    return [Job.model_validate({**HEADER, **values}) for values in told]


def test_short_commands_succeed_at_once() -> None:
    assert [each.state for each in ask(jobs(), "doctor")] == ["accepted", "succeeded"]


def test_a_build_takes_its_time_and_fails_where_it_must() -> None:
    for kind, end in (("well", "succeeded"), ("broken", "failed")):
        device = jobs(kind)
        assert [each.state for each in ask(device, "build")] == ["accepted"]
        middle = device.tick(BUILD_S / 2, 1)
        assert (middle[0]["state"], middle[0]["percent"]) == ("running", 50.0)
        assert device.tick(BUILD_S / 2 + 0.01, 1) == []
        assert device.tick(BUILD_S, 1)[0]["state"] == end


def test_what_must_not_be_done_is_refused() -> None:
    codes = [
        ask(jobs(), "reboot")[0].code,
        ask(jobs(), "dance")[0].code,
        ask(jobs(), "doctor", retained=True)[0].code,
        ask(jobs(), "doctor", deadline_ts=999)[0].code,
    ]
    assert codes == ["not_allowed", "unknown_command", "retained", "expired"]


def test_an_id_has_one_effect() -> None:
    device = jobs()
    ask(device, "doctor")
    assert [each.state for each in ask(device, "build")] == ["succeeded"]
    assert device.hear("doctor", "device", b"{}", retained=False, wall_ms=1, now_s=0.0) == []


def test_the_lost_ones_are_in_a_process_that_dies() -> None:
    made = shares(FleetOptions(devices=1000, broker="mqtt://h", fleet="f", rate=4.0, per_process=250))
    assert [(len(each.numbers), each.dies) for each in made] == [(250, False)] * 3 + [(220, False), (30, True)]
    assert sorted(number for each in made for number in each.numbers) == list(range(1000))
    assert Share.from_line(made[0].to_line()) == made[0]
