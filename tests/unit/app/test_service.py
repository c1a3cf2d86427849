"""What systemd and the status file are told once a second, and what is not told when the link's thread has ended."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from test_publisher import Memory

from edgeagent import __version__
from edgeagent.app.publisher import Publisher
from edgeagent.app.release_news import FILE, ReleaseNews, read_rolled_back
from edgeagent.app.service import ServiceDesk
from edgeagent.app.session import only_agent
from edgeagent.app.status_words import command_status
from edgeagent.clock import ManualClock
from edgeagent.errors import OperatorError
from edgeagent.fleet.envelope import Stamp
from edgeagent.fleet.link_types import LinkStats
from edgeagent.fleet.topics import Topics
from edgeagent.supervise.systemd import Notifier


class World:
    """A desk, and what can happen around it."""

    def __init__(self, run_dir: Path) -> None:
        self.link = Memory()
        clock = ManualClock()
        self.publisher = Publisher(self.link, Topics("lab", "one"), Stamp("b-1", clock.wall_ms), clock, 0)
        self.said: list[str] = []
        self.link_alive = True
        self.run_dir = run_dir
        notifier = Notifier(self.said.append, watchdog_s=30)
        self.desk = ServiceDesk(notifier, (run_dir, run_dir), "b-1", self.publisher, lambda: self.link_alive)

    def second(self, *, connected: bool = True) -> None:
        counts = dict.fromkeys(LinkStats.__dataclass_fields__, 0)
        self.desk.second(LinkStats(**{**counts, "connected": connected, "protocol": None, "heard_age_s": None}))  # type: ignore[arg-type]

    def file(self) -> dict[str, object]:
        found: dict[str, object] = json.loads((self.run_dir / "status.json").read_text())
        return found


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_second_gives_a_sign_of_life(world: World) -> None:
    world.desk.started()
    world.second()
    world.desk.stopping()
    assert world.said == [
        "READY=1",
        "STATUS=init; broker reached; 0 results",
        "WATCHDOG=1",
        "STOPPING=1",
        "EXTEND_TIMEOUT_USEC=110000000",
    ]


def test_without_the_links_thread_there_is_no_sign_of_life(world: World) -> None:
    world.link_alive = False
    world.second()
    assert "WATCHDOG=1" not in world.said


def test_the_file_says_how_the_device_is(world: World) -> None:
    world.publisher.note("camera/belt", "failed", "no frames")
    world.publisher.started()
    world.second(connected=False)
    found = world.file()
    assert (found["state"], found["connected"], found["version"]) == ("degraded", False, __version__)
    assert found["components"] == {"camera/belt": {"health": "failed", "reason": "no frames"}}
    assert world.said[0] == "STATUS=degraded: camera/belt: no frames; no broker; 0 results"


def test_a_file_that_cannot_be_written_does_not_end_the_agent(tmp_path: Path) -> None:
    world = World(tmp_path / "gone")
    world.second()
    assert "WATCHDOG=1" in world.said


def test_an_upgrade_that_was_undone_is_told_and_its_event_once(world: World, tmp_path: Path) -> None:
    left = {"from_release": "2.0", "to_release": "1.0", "reason": "it crashed", "told": False}
    (tmp_path / FILE).write_text(json.dumps(left))
    for _ in range(2):
        ReleaseNews(tmp_path, world.publisher).tell()
    events = [json.loads(payload) for topic, payload, _, _ in world.link.sent if topic == "e/release-rolled-back"]
    assert [event["facts"] for event in events] == [{"from": "2.0", "to": "1.0", "reason": "it crashed"}]
    world.publisher.started()
    assert world.link.last("status")["reason"] == "release: rolled back from 2.0 to 1.0: it crashed"


def test_it_is_over_when_the_installer_has_taken_the_file_away(world: World, tmp_path: Path) -> None:
    left = {"from_release": "2.0", "to_release": "1.0", "reason": "it crashed", "told": False}
    (tmp_path / FILE).write_text(json.dumps(left))
    world.desk.started()
    world.publisher.started()
    world.second()
    assert world.file()["state"] == "degraded"
    (tmp_path / FILE).unlink()
    world.second()
    assert (world.file()["state"], world.link.last("status")["state"]) == ("ready", "ready")


@pytest.mark.parametrize("content", ["", "[]", '{"from_release": 1}'])
def test_a_damaged_file_is_none(tmp_path: Path, content: str) -> None:
    (tmp_path / FILE).write_text(content)
    assert read_rolled_back(tmp_path / FILE) is None
    assert read_rolled_back(tmp_path / "nothing") is None


def test_the_status_command_tells_what_the_file_says_and_whether_it_still_holds(world: World, tmp_path: Path) -> None:
    world.publisher.note("camera/belt", "failed", "no frames")
    world.publisher.note("link", "ok")
    world.publisher.started()
    world.second()
    with only_agent(tmp_path):
        code, text = command_status(tmp_path, as_json=False)
        assert json.loads(command_status(tmp_path, as_json=True)[1])["runs"] is True
    assert (code, text.splitlines()[1:]) == (0, ["  camera/belt          failed: no frames", "  1 component ok"])
    code, text = command_status(tmp_path, as_json=False)
    assert (code, text.startswith("edgeagent does not run; its last word: degraded")) == (1, True)


@pytest.mark.parametrize("content", [None, "", "[]", "{}"])
def test_the_status_command_without_a_status(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "status.json").write_text(content)
    with pytest.raises(OperatorError):
        command_status(tmp_path, as_json=False)
