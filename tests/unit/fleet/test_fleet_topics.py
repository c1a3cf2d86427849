"""Topics: what is built, what is refused, what a host name becomes."""

from __future__ import annotations

import pytest

from edgeagent.errors import ConfigError
from edgeagent.fleet.topics import KINDS, Topic, TopicError, Topics, check_id, parse_topic, slug, topic_shapes

TOPICS = Topics("plant-2", "gate-07")
BRANCH = "edgeagent/v1/plant-2/gate-07/"


@pytest.mark.parametrize(
    ("topic", "tail"),
    [
        (TOPICS.status, "status"),
        (TOPICS.info, "info"),
        (TOPICS.health, "health"),
        (TOPICS.engine("people"), "engine/people"),
        (TOPICS.shedding("people"), "shedding/people"),
        (TOPICS.result("yard", "people"), "r/yard/people"),
        (TOPICS.summary("yard", "people"), "s/yard/people"),
        (TOPICS.measurement("thermal"), "m/thermal"),
        (TOPICS.camera_measurement("yard"), "m/cam/yard"),
        (TOPICS.event("engine-failed"), "e/engine-failed"),
        (TOPICS.alarm("hot"), "a/hot"),
    ],
)
def test_every_topic_stands_under_the_devices_branch(topic: str, tail: str) -> None:
    assert topic == BRANCH + tail
    assert str(parse_topic(topic)) == topic


def test_the_branch_and_its_filter() -> None:
    assert TOPICS.branch == BRANCH
    assert TOPICS.everything == BRANCH + "#"


def test_every_kind_has_a_shape() -> None:
    assert set(topic_shapes()) == set(KINDS)
    assert topic_shapes()["result"] == "r/<camera>/<pipeline>"


def test_a_parsed_topic_names_its_ids() -> None:
    topic = parse_topic(BRANCH + "r/yard/people")
    assert (topic.fleet, topic.device, topic.kind) == ("plant-2", "gate-07", "result")
    assert (topic.camera, topic.pipeline, topic.name("group")) == ("yard", "people", "")


@pytest.mark.parametrize("text", ["a", "0", "a-b", "a" * 64])
def test_ids_that_are_accepted(text: str) -> None:
    assert check_id(text) == text


@pytest.mark.parametrize("text", ["", "A", "a_b", "-a", "a-", "a/b", "a+", "#", "ä", "a" * 65, "a\n", "a b", "$sys"])
def test_ids_that_are_refused_with_a_mend(text: str) -> None:
    with pytest.raises(TopicError) as caught:
        check_id(text, "camera")
    assert isinstance(caught.value, ConfigError)
    assert "camera" in caught.value.line()
    assert "a-z" in caught.value.mend


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "edgeagent/v1",
        BRANCH,
        BRANCH + "nothing",
        BRANCH + "r/yard",
        BRANCH + "r/yard/people/more",
        BRANCH + "r//people",
        BRANCH + "m/cam",
        "/" + BRANCH + "status",
        "edgeagent/v2/plant-2/gate-07/status",
        "edgeagent/v1/Plant/gate-07/status",
        BRANCH + "status/",
    ],
)
def test_topics_that_are_not_ours_are_refused(topic: str) -> None:
    with pytest.raises(TopicError):
        parse_topic(topic)


def test_a_topic_needs_the_right_number_of_names() -> None:
    with pytest.raises(TopicError, match="2 names"):
        Topic("plant-2", "gate-07", "result", ("yard",))


def test_a_bad_fleet_is_refused_when_the_topics_are_made() -> None:
    with pytest.raises(TopicError, match="fleet"):
        Topics("Plant 2", "gate-07")


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("Jetson_Orin.local", "jetson-orin-local"),
        ("  Tor Süd 3 ", "tor-sud-3"),
        ("a" * 80, "a" * 64),
        ("x" * 63 + "-y", "x" * 63),
        ("--a--", "a"),
    ],
)
def test_host_names_become_ids(text: str, made: str) -> None:
    assert slug(text) == made


@pytest.mark.parametrize("text", ["", "___", "東京"])
def test_a_name_of_which_nothing_is_left_is_refused(text: str) -> None:
    with pytest.raises(TopicError, match="no topic id"):
        slug(text)
