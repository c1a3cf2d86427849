"""The desk of desired configs: what it does with wishes, the disk and an agent that does as it is told here."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from edgeagent.app.config_desk import ConfigDesk
from edgeagent.app.config_trial import ConfigLostError
from edgeagent.app.publisher import Publisher
from edgeagent.clock import ManualClock
from edgeagent.config.beginning import LocalConfig, read_beginning
from edgeagent.config.desired import Answer, Kept
from edgeagent.config.desired_store import Committed, DesiredStore
from edgeagent.config.mistake import Mistake
from edgeagent.config.schema import Config
from edgeagent.config.trial_facts import Changed, Facts
from edgeagent.desired_layer import MOST_VERSION
from edgeagent.errors import ConfigError, EdgeAgentError
from edgeagent.fleet.envelope import Stamp
from edgeagent.fleet.link_types import LinkStats, Outcome
from edgeagent.fleet.topics import Topics

FILE = """
[device]
id = "line-3"
state_dir = "{state}"
[cameras.belt.source]
type = "synthetic"
[models.parts]
path = "sample:conveyor"
[pipelines.all]
camera = "belt"
model = "parts"
"""
GOOD: dict[str, Any] = {"pipelines": {"all": {"min_score": 0.5}}}


class Wire:
    """A link that remembers what went out."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, dict[str, Any]]] = []

    def publish(self, topic: str, payload: bytes, *, qos: int, retain: bool, expiry_s: float | None = None) -> Outcome:
        self.sent.append((topic, json.loads(payload) if payload else {}))
        return Outcome.ACCEPTED

    def stats(self) -> LinkStats:
        raise NotImplementedError


class Obedient:
    """An applier that does well unless `trouble` says otherwise; each look takes a second of the clock."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.applied: list[Config] = []
        self.link = True
        self.refuse: Callable[[Config], None] = lambda config: None
        self.mistakes: list[Mistake] = []
        self.never_returns = False

    async def examine(self, config: Config) -> list[Mistake]:
        return self.mistakes

    def facts(self) -> Facts:
        self.clock.advance(1.0)
        return Facts(link=self.link or not self.applied)

    def changed(self, old: Config, new: Config) -> Changed:
        return Changed()

    async def bring_into_force(self, config: Config) -> list[str]:
        self.applied.append(config)
        self.refuse(config)
        if self.never_returns:
            await anyio.sleep_forever()
        return ["camera/belt"]


class Stage:
    """A desk with its file, its disk and an obedient agent."""

    def __init__(self, folder: Path) -> None:
        self.state = folder / "state"
        self.file = folder / "config.toml"
        self.file.write_text(FILE.format(state=self.state))
        self.clock = ManualClock()
        self.acknowledged: list[int] = []
        self.boot()

    def boot(self) -> None:
        source = LocalConfig(self.file, "host")
        self.desk = ConfigDesk(read_beginning(source), source, self.clock, look_s=0.001)
        self.bind()

    def bind(self) -> None:
        self.wire, self.agent = Wire(), Obedient(self.clock)
        stamp = Stamp("b-1", self.clock.wall_ms)
        self.desk.bind(Publisher(self.wire, Topics("lab", "line-3"), stamp, self.clock, 0), self.agent)

    def wish(self, version: int, config: Any = None, **more: Any) -> None:
        body = {"version": version, "trial_s": 5.0, **({} if config is None else {"config": config}), **more}
        self.take(json.dumps(body).encode(), version)

    def take(self, payload: bytes, number: int = 0) -> None:
        self.desk.take(payload, lambda: self.acknowledged.append(number))

    def reports(self) -> list[tuple[str, int, int]]:
        found = [body for topic, body in self.wire.sent if topic.endswith("config/reported")]
        return [(body["state"], body["version"], body["in_force"]) for body in found]

    def report(self) -> dict[str, Any]:
        return [body for topic, body in self.wire.sent if topic.endswith("config/reported")][-1]

    def events(self) -> list[str]:
        return [body["type"] for topic, body in self.wire.sent if "/e/" in topic]

    async def until(self, fits: Callable[[], object], desk: ConfigDesk | None = None) -> None:
        """Run the desk until that is so."""
        with anyio.fail_after(20):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon((desk or self.desk).run)
                while not fits():
                    await anyio.sleep(0.001)
                tasks.cancel_scope.cancel()

    def ended(self, *states: str) -> Callable[[], bool]:
        wanted = states or ("committed", "rolled_back", "rejected", "ignored")
        return lambda: bool(self.reports()) and self.reports()[-1][0] in wanted

    def go(self, fits: Callable[[], object]) -> None:
        anyio.run(self.until, fits)

    def disk(self) -> tuple[int, str, int | None]:
        stored = DesiredStore(self.state).load()
        return stored.committed.kept.version, stored.answered.state, stored.trial.version if stored.trial else None


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def test_a_good_wish_is_tried_and_committed(stage: Stage) -> None:
    stage.wish(1, GOOD, by="me")
    stage.go(stage.ended())
    assert [report for report in stage.reports() if report[0] != "trial"] == [("none", 0, 0), ("committed", 1, 1)]
    assert ("trial", 1, 0) in stage.reports()
    report = stage.report()
    assert (report["ack"], report["desired"], report["by"], report["restarted"]) == (200, GOOD, "me", ["camera/belt"])
    assert stage.disk() == (1, "committed", None)
    assert stage.events() == ["config-trial", "config-committed"]
    assert stage.desk.config.pipelines["all"].min_score == 0.5


def test_it_is_acknowledged_when_it_is_on_the_disk(stage: Stage) -> None:
    stage.agent.refuse = lambda config: stage.acknowledged.append(stage.disk()[2] or 0)
    stage.wish(1, GOOD)
    stage.go(stage.ended())
    assert stage.acknowledged == [1, 1], "acknowledged, and then applied"


def test_what_was_committed_is_there_at_the_next_start(stage: Stage) -> None:
    stage.wish(1, GOOD)
    stage.go(stage.ended())
    stage.boot()
    assert stage.desk.config.pipelines["all"].min_score == 0.5
    stage.go(stage.ended())
    assert stage.reports() == [("committed", 1, 1)]


def test_a_wish_that_does_not_hold_is_taken_back(stage: Stage) -> None:
    stage.agent.link = False
    stage.wish(1, GOOD)
    stage.go(stage.ended())
    assert [config.pipelines["all"].min_score for config in stage.agent.applied] == [0.5, 0.35]
    assert (stage.report()["ack"], "link" in stage.report()["reason"]) == (500, True)
    assert stage.disk() == (0, "rolled_back", None)


@pytest.mark.parametrize("error", [ConfigError("no such broker"), RuntimeError("a fault of ours")])
def test_what_cannot_be_applied_is_taken_back(stage: Stage, error: Exception) -> None:
    def refuse(config: Config) -> None:
        if config.pipelines["all"].min_score == 0.5:
            raise error

    stage.agent.refuse = refuse
    stage.wish(1, GOOD)
    stage.go(stage.ended())
    assert stage.reports()[-1] == ("rolled_back", 1, 0)
    assert str(error) in stage.report()["reason"]


def test_a_device_that_cannot_go_back_ends_its_process(stage: Stage) -> None:
    def refuse(config: Config) -> None:
        raise ConfigError("nothing works")

    stage.agent.refuse = refuse
    stage.wish(1, GOOD)
    with pytest.raises(BaseException) as caught:  # a group with one error
        stage.go(lambda: False)
    assert caught.value.split(ConfigLostError)[0] is not None  # type: ignore[attr-defined]
    assert stage.disk()[2] == 1, "the next process finds the trial"
    stage.boot()
    stage.go(stage.ended())
    assert stage.reports()[-1] == ("rolled_back", 1, 0)
    assert "ended during the trial" in stage.report()["reason"]


def test_a_full_disk_takes_a_wish_back_before_anything_is_applied(stage: Stage) -> None:
    stage.state.mkdir()
    (stage.state / "config").write_text("no directory")
    stage.wish(1, GOOD)
    stage.go(stage.ended())
    assert stage.reports()[-1] == ("rolled_back", 1, 0)
    assert "cannot be stored" in stage.report()["reason"]
    assert not [config for config in stage.agent.applied if config.pipelines["all"].min_score == 0.5]


def test_a_wrong_wish_is_answered_with_every_mistake(stage: Stage) -> None:
    stage.wish(1, {"nonsense": 1, "pipelines": {"all": {"min_score": 7}}, "device": {"id": "x"}})
    stage.go(stage.ended())
    assert [error["path"] for error in stage.report()["errors"]] == ["device.id"], "what is local goes first"
    stage.wish(2, {"nonsense": 1, "pipelines": {"all": {"min_score": 7}}})
    stage.go(lambda: stage.reports()[-1][1] == 2)
    assert [error["path"] for error in stage.report()["errors"]] == ["pipelines.all.min_score", "nonsense"]
    assert stage.disk() == (0, "rejected", None)
    assert stage.acknowledged == [1, 2]


def test_mistakes_are_counted_out(stage: Stage) -> None:
    stage.wish(1, {f"nonsense-{number}": 1 for number in range(200)})
    stage.go(stage.ended())
    assert len(stage.report()["errors"]) == 50
    assert "200 mistakes" in stage.report()["reason"]


def test_what_the_device_cannot_run_is_not_tried(stage: Stage) -> None:
    stage.agent.mistakes = [Mistake("pipelines.all", "no such model", "name another")]
    stage.wish(1, GOOD)
    stage.go(stage.ended())
    assert (stage.reports()[-1], stage.agent.applied) == (("rejected", 1, 0), [])


@pytest.mark.parametrize(
    ("payload", "version"),
    [
        (b"{", 0),
        (b"[]", 0),
        (b"null", 0),
        (b"\xff", 0),
        (b"x" * 200_000, 0),
        (b'{"version": 0, "config": {}}', 0),
        (b'{"version": true, "config": []}', 0),
        (b'{"version": 1}', 1),
        (b'{"version": 9, "config": {}, "trial_s": 5000}', 9),
        (b'{"version": 9, "config": {}, "more": 1}', 9),
    ],
)
def test_what_cannot_be_read_changes_nothing(stage: Stage, payload: bytes, version: int) -> None:
    stage.take(payload, 7)
    stage.go(stage.ended())
    assert stage.reports()[-1] == ("rejected", version, 0)
    assert (stage.acknowledged, stage.disk()) == ([7], (0, "none", None))


def test_what_cannot_be_read_during_a_trial_leaves_its_report(stage: Stage) -> None:
    stage.wish(3, GOOD, trial_s=3600.0)
    stage.go(stage.ended("trial"))
    stage.take(b"{", 7)
    stage.go(lambda: 7 in stage.acknowledged)
    assert stage.reports()[-2:] == [("rejected", 0, 0), ("trial", 3, 0)]


def test_an_old_wish_is_told_which_version_is_the_newest(stage: Stage) -> None:
    stage.wish(4, GOOD)
    stage.go(stage.ended())
    stage.wish(9, {"pipelines": {"all": {"iou": 7}}})
    stage.go(stage.ended("rejected"))
    stage.wish(2, {})
    stage.go(stage.ended("ignored"))
    assert (stage.report()["version"], stage.report()["in_force"], stage.report()["answered"]) == (2, 4, 9)


def test_no_wish_changes_nothing(stage: Stage) -> None:
    stage.take(b"", 7)
    stage.go(lambda: stage.acknowledged)
    assert (stage.reports(), stage.disk()) == ([("none", 0, 0)], (0, "none", None))


def test_the_same_and_older_wishes(stage: Stage) -> None:
    stage.wish(2, GOOD)
    stage.go(stage.ended())
    before = len(stage.agent.applied), stage.events()
    stage.wish(2, GOOD)
    stage.go(lambda: stage.acknowledged == [2, 2])
    assert stage.reports()[-1] == ("committed", 2, 2)
    stage.wish(2, {})
    stage.go(lambda: stage.reports()[-1] == ("ignored", 2, 2))
    stage.wish(1, {})
    stage.go(lambda: stage.reports()[-1] == ("ignored", 1, 2))
    assert (len(stage.agent.applied), stage.events()) == before


def test_a_newer_wish_ends_a_trial(stage: Stage) -> None:
    stage.wish(1, GOOD, trial_s=3600.0)
    stage.go(stage.ended("trial"))
    stage.wish(2, {"pipelines": {"all": {"iou": 0.4}}})
    stage.go(stage.ended("committed"))
    assert ("rolled_back", 1, 0) in stage.reports()
    assert stage.desk.config.pipelines["all"].min_score == 0.35


def test_the_same_wish_during_its_trial_and_an_older_one(stage: Stage) -> None:
    stage.wish(3, GOOD, trial_s=3600.0)
    stage.go(stage.ended("trial"))
    stage.wish(3, GOOD, trial_s=3600.0)
    stage.wish(2, {})
    stage.go(lambda: 2 in stage.acknowledged)
    assert stage.reports()[-2:] == [("ignored", 2, 0), ("trial", 3, 0)]


def test_a_version_that_leaves_too_few_to_others_counts_for_nothing(stage: Stage) -> None:
    for on_trial in (False, True):
        if on_trial:
            stage.wish(3, GOOD, trial_s=3600.0)
            stage.go(stage.ended("trial"))
        stage.wish(MOST_VERSION, {})
        stage.go(lambda n=on_trial + 1: stage.acknowledged.count(MOST_VERSION) == n)
    assert stage.reports()[-2:] == [("ignored", MOST_VERSION, 0), ("trial", 3, 0)]
    stage.boot()
    stage.wish(4, GOOD)
    stage.go(stage.ended("committed"))


def test_an_agent_that_is_set_up_anew_in_the_middle(stage: Stage) -> None:
    stage.agent.never_returns = True
    stage.wish(1, GOOD)
    stage.go(lambda: stage.agent.applied)
    stage.bind()
    stage.go(stage.ended())
    assert stage.reports()[-1] == ("committed", 1, 1)


def test_an_agent_that_cannot_be_made_of_it(stage: Stage) -> None:
    assert not stage.desk.could_not_start(EdgeAgentError("no"))
    stage.agent.never_returns = True
    stage.wish(1, GOOD)
    stage.go(lambda: stage.agent.applied)
    assert stage.desk.could_not_start(EdgeAgentError("no such board"))
    assert stage.desk.config.pipelines["all"].min_score == 0.35
    stage.bind()
    stage.go(stage.ended())
    assert stage.reports()[-1] == ("rolled_back", 1, 0)
    assert stage.report()["reason"] == "no such board"


def test_the_file_goes_through_a_trial_and_is_not_a_wish(stage: Stage) -> None:
    stage.file.write_text(stage.file.read_text() + "min_score = 0.6\n")
    stage.desk.reload()
    words: list[str] = []
    stage.desk.on_reload = words.append
    stage.go(lambda: "config-committed" in stage.events())
    assert stage.desk.config.pipelines["all"].min_score == 0.6
    assert (words, stage.disk()) == (["reloading", "ready"], (0, "none", None))
    assert stage.reports()[-1] == ("none", 0, 0)


@pytest.mark.parametrize("text", ["nonsense = 1", "[", "[device]\nid = 'x'\nstate_dir = '/elsewhere'"])
def test_a_file_that_is_no_good_changes_nothing(stage: Stage, text: str) -> None:
    stage.file.write_text(text)
    stage.desk.reload()
    stage.go(lambda: "config-file-refused" in stage.events())
    assert stage.agent.applied == []


def test_a_file_that_does_not_hold_is_taken_back(stage: Stage) -> None:
    stage.agent.link = False
    stage.file.write_text(stage.file.read_text() + "min_score = 0.6\n")
    stage.desk.reload()
    stage.go(lambda: "config-rolled-back" in stage.events())
    assert stage.desk.config.pipelines["all"].min_score == 0.35


def test_what_was_committed_and_does_not_fit_any_more(stage: Stage) -> None:
    stage.wish(1, {"pipelines": {"more": {"camera": "belt", "model": "parts"}}})
    stage.go(stage.ended())
    text = stage.file.read_text()
    stage.file.write_text(text.replace("cameras.belt", "cameras.other").replace('"belt"', '"other"'))
    stage.boot()
    stage.go(stage.ended("rejected"))
    assert stage.reports()[-1] == ("rejected", 1, 0)
    assert "config-misfit" in stage.events()
    stage.file.write_text(text)
    stage.desk.reload()
    stage.go(stage.ended("committed"))
    assert stage.reports()[-1] == ("committed", 1, 1), "it fits again"


def test_going_back_to_the_one_before(stage: Stage) -> None:
    async def back() -> str:
        said: list[str] = []

        async def ask() -> None:
            said.append(await stage.desk.go_back())

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(stage.desk.run)
            await ask()
            tasks.cancel_scope.cancel()
        return said[0]

    with pytest.raises(BaseException) as caught:
        anyio.run(back)
    assert caught.value.split(ConfigError)[0] is not None  # type: ignore[attr-defined]
    stage.wish(1, GOOD)
    stage.go(stage.ended("committed"))
    stage.wish(2, {"pipelines": {"all": {"min_score": 0.6}}})
    stage.go(lambda: stage.reports()[-1] == ("committed", 2, 2))
    assert anyio.run(back) == "version 1"
    assert stage.reports()[-1] == ("rolled_back", 2, 1)
    assert stage.desk.config.pipelines["all"].min_score == 0.5
    stage.boot()
    assert stage.desk.config.pipelines["all"].min_score == 0.5
    assert stage.disk() == (1, "rolled_back", None)
    assert anyio.run(back) == "the device's file alone"


def test_secrets_are_not_reported(stage: Stage) -> None:
    url = "rtsp://admin:swordfish@camera/x"
    stage.wish(1, {"cameras": {"gate": {"source": {"type": "rtsp", "url": url}}}})
    stage.go(stage.ended())
    assert "swordfish" not in json.dumps(stage.wire.sent)
    assert DesiredStore(stage.state).load().committed.kept.layer["cameras"]["gate"]["source"]["url"] == url
    assert (stage.state / "config" / "committed.json").stat().st_mode & 0o077 == 0


def test_remote_configs_can_be_forbidden(stage: Stage) -> None:
    stage.file.write_text(stage.file.read_text() + "[remote]\nconfig = false\n")
    stage.boot()
    stage.wish(1, GOOD)
    stage.go(stage.ended())
    assert stage.report()["reason"] == "remote.config is false in the device's file"


def test_damaged_files_are_told_and_set_aside(stage: Stage) -> None:
    folder = stage.state / "config"
    folder.mkdir(parents=True)
    for name in ("committed", "answered", "trial"):
        (folder / f"{name}.json").write_bytes(b"\0")
    stage.boot()
    stage.go(stage.ended("none"))
    assert stage.events() == ["config-damaged"] * 3
    assert sorted(path.name for path in folder.iterdir()) == [
        "answered.json.damaged", "committed.json.damaged", "trial.json.damaged",
    ]  # fmt: skip


def test_a_lost_answer_is_known_from_what_is_committed(stage: Stage) -> None:
    stage.wish(4, GOOD)
    stage.go(stage.ended())
    (stage.state / "config" / "answered.json").unlink()
    assert stage.disk() == (4, "committed", None)
    assert Kept() == DesiredStore(stage.state / "nowhere").load().committed.kept


@pytest.mark.parametrize("lose", [lambda path: path.unlink(), lambda path: path.write_bytes(b"\0")])
def test_a_wish_whose_layer_was_lost_is_not_called_committed_and_is_tried_again(
    stage: Stage, lose: Callable[[Path], object]
) -> None:
    stage.wish(4, GOOD)
    stage.go(stage.ended())
    lose(stage.state / "config" / "committed.json")
    stage.boot()
    stage.go(stage.ended("none"))
    assert stage.reports() == [("none", 0, 0)]
    stage.wish(4, GOOD)  # what the broker has retained
    stage.go(stage.ended())
    assert stage.reports()[-1] == ("committed", 4, 4)


def test_a_way_back_whose_answer_was_cut_off_is_known_from_what_is_committed(stage: Stage) -> None:
    stage.wish(1, GOOD)
    stage.go(stage.ended())
    stage.wish(2, {"pipelines": {"all": {"min_score": 0.6}}})
    stage.go(lambda: stage.reports()[-1] == ("committed", 2, 2))
    store = DesiredStore(stage.state)
    stored = store.load()
    (store.folder / "answered.json").rename(store.folder / "kept")
    store.commit(Committed(stored.committed.before), Answer(2, "rolled_back", stored.answered.digest))
    (store.folder / "kept").rename(store.folder / "answered.json")
    assert stage.disk() == (1, "rolled_back", None)
