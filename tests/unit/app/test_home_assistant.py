"""The desk for Home Assistant: when it speaks, what it remembers over restarts, how it takes everything back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from wire_kit import Remembering, publisher_over

from edgeagent.app.dashboards import Dashboards
from edgeagent.app.home_assistant import FILE, GATHER_S, REPEAT_CLEARED_S, HomeAssistant, topics_of_others
from edgeagent.clock import ManualClock
from edgeagent.config.schema import Config
from edgeagent.fleet.examples import TOPICS, examples
from edgeagent.fleet.states import Info

TOPIC = "homeassistant/device/edgeagent-plant-2-gate-07/config"
CLEARED = TOPICS.alarm("throttling")


def config(discovery: bool = True, prefix: str = "homeassistant", **device: str) -> Config:
    return Config.model_validate(
        {"device": {"id": "gate-07", **device}, "home_assistant": {"discovery": discovery, "prefix": prefix}}
    )


class World:
    """One state directory over several lives of the agent."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = ManualClock()
        self.link = Remembering()

    def desk(self, wanted: Config | None = None) -> HomeAssistant:
        return HomeAssistant(wanted or config(), self.link, TOPICS, self.folder, self.clock)

    def later(self, desk: HomeAssistant, seconds: float = GATHER_S) -> None:
        self.clock.advance(seconds)
        desk.tick()

    def announced(self) -> list[bytes]:
        return self.link.on(TOPIC)

    @property
    def file(self) -> Path:
        return self.folder / FILE


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def tell(desk: HomeAssistant) -> None:
    for topic, message in examples().items():
        desk.hear(topic, message)


def components(payload: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(payload)["components"]
    return found


def test_a_burst_of_messages_is_one_announcement_and_no_repetition(world: World) -> None:
    desk = world.desk()
    tell(desk)
    desk.tick()
    assert world.announced() == []
    world.later(desk)
    assert len(components(*world.announced())) == 11
    assert world.link.sent[-1][2:4] == (1, True)
    for _ in range(3):
        tell(desk)
        world.later(desk)
    assert len(world.announced()) == 1


def test_nothing_is_said_before_the_device_has_said_what_it_is(world: World) -> None:
    desk = world.desk()
    desk.hear(CLEARED, None)
    world.later(desk)
    assert world.announced() == []


def test_when_home_assistant_starts_it_is_told_again_and_of_cleared_alarms_too(world: World) -> None:
    desk = world.desk()
    tell(desk)
    desk.hear(CLEARED, None)
    world.later(desk)
    world.later(desk, REPEAT_CLEARED_S)
    assert world.link.on(CLEARED) == [b""]
    assert world.link.on(TOPICS.alarm("hot")) == []  # it is raised, and retained
    desk.again()
    world.later(desk)
    world.later(desk, REPEAT_CLEARED_S)
    assert len(world.announced()) == 2
    assert world.link.on(CLEARED) == [b"", b""]


def test_after_a_restart_the_same_is_announced_at_once(world: World) -> None:
    desk = world.desk()
    tell(desk)
    world.later(desk)
    again = world.desk()
    again.hear(TOPICS.info, examples()[TOPICS.info])
    world.later(again)
    first, second = world.announced()
    assert first == second


def test_a_camera_that_went_while_the_agent_was_off_is_taken_back(world: World) -> None:
    desk = world.desk()
    tell(desk)
    world.later(desk)
    again = world.desk()
    info = examples()[TOPICS.info]
    assert isinstance(info, Info)
    again.hear(TOPICS.info, info.model_copy(update={"cameras": (), "pipelines": ()}))
    world.later(again)
    assert components(world.announced()[-1])["camera_yard"] == {"platform": "binary_sensor"}


def test_switched_off_it_takes_everything_back_and_forgets_once_that_is_sent(world: World) -> None:
    desk = world.desk()
    tell(desk)
    world.later(desk)
    off = world.desk(config(discovery=False))
    assert world.announced()[-1] == b""
    tell(off)
    world.later(off)
    assert world.file.exists()  # the link is not up: it may not have been sent
    world.link.come_up()
    world.later(off)
    assert not world.file.exists()
    sent = len(world.announced())
    world.desk(config(discovery=False))
    assert len(world.announced()) == sent


def test_off_from_the_beginning_it_says_and_writes_nothing(world: World) -> None:
    desk = world.desk(config(discovery=False))
    tell(desk)
    world.later(desk)
    assert world.link.sent == []
    assert not world.file.exists()
    assert topics_of_others(config(discovery=False)) == ()


def test_another_prefix_takes_the_old_announcement_back(world: World) -> None:
    desk = world.desk()
    tell(desk)
    world.later(desk)
    other = world.desk(config(prefix="home/ha"))
    assert world.announced()[-1] == b""
    tell(other)
    world.later(other)
    assert len(world.link.on(TOPIC.replace("homeassistant", "home/ha"))) == 1
    assert topics_of_others(config(prefix="home/ha")) == ("home/ha/status",)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"topic": 1}', b"\xff"])
def test_a_damaged_file_costs_nothing_but_what_it_held(world: World, content: bytes) -> None:
    world.file.write_bytes(content)
    desk = world.desk()
    tell(desk)
    world.later(desk)
    assert len(world.announced()) == 1


def test_a_disk_that_cannot_be_written_costs_the_memory_only(world: World) -> None:
    desk = HomeAssistant(config(), world.link, TOPICS, world.folder / "gone", world.clock)
    tell(desk)
    world.later(desk)
    assert len(world.announced()) == 1


# Both together, as the agent has them


def test_a_change_of_the_config_switches_it_on_and_off(world: World) -> None:
    publisher = publisher_over(world.link, TOPICS, world.clock)
    publisher.note("engine/people", "ok")
    publisher.info({key: value for key, value in examples()[TOPICS.info].model_dump().items() if key in INFO_VALUES})
    wanted = config(discovery=False, state_dir=str(world.folder))
    boards = Dashboards(wanted, publisher, world.link, TOPICS, world.clock)
    boards.start()
    boards.apply(config(state_dir=str(world.folder)))
    world.clock.advance(GATHER_S)
    boards.tick()
    assert list(components(*world.announced())) == ["health"]  # what was said before it was switched on
    boards.take("homeassistant/status", b"offline")
    boards.take("homeassistant/other", b"online")
    world.clock.advance(GATHER_S)
    boards.tick()
    assert len(world.announced()) == 1
    boards.take("homeassistant/status", b"online")
    world.clock.advance(GATHER_S)
    boards.tick()
    assert len(world.announced()) == 2
    publisher.again()
    world.clock.advance(GATHER_S)
    boards.tick()
    assert len(world.announced()) == 3
    boards.apply(wanted)
    assert world.announced()[-1] == b""
    boards.stop()
    boards.tick()


INFO_VALUES = {"agent_version", "module", "uptime_s"}
