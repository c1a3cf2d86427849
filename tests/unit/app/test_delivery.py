"""The table of deliveries, against what the publisher does."""

from __future__ import annotations

import pytest
from wire_kit import Remembering, publisher_over

from edgeagent.app.publisher import Publisher
from edgeagent.clock import ManualClock
from edgeagent.fleet.delivery import DELIVERY
from edgeagent.fleet.examples import TOPICS, examples
from edgeagent.fleet.topics import KINDS, Kind, parse_topic

HEADER = {"schema_", "session", "seq", "ts"}


def plain(kind: Kind) -> dict[str, object]:
    """The values of the example of that kind, as a desk gives them."""
    message = next(m for topic, m in examples().items() if parse_topic(topic).kind == kind)
    return {key: value for key, value in message.model_dump().items() if key not in HEADER}


def say_everything(publisher: Publisher) -> None:
    publisher.status("init")
    publisher.info(plain("info"))
    publisher.note("engine/people", "ok")
    publisher.engine(**plain("engine"))
    publisher.shedding(**plain("shedding"))
    publisher.config_reported(plain("config_reported"))
    publisher.job(plain("job"))
    publisher.result({}, b"[]", "yard", "people")
    publisher.snapshot("yard", "people", plain("snapshot"))
    publisher.summary("yard", "people", plain("summary"))
    publisher.camera("yard", plain("camera_measurement"))
    publisher.measurement("cpu", {"percent": 3.0})
    publisher.event("tried", "info", "it was tried")
    publisher.alarm("hot", "warning", "it is hot")


@pytest.fixture(scope="module")
def sent() -> dict[Kind, tuple[int, bool, float | None]]:
    link = Remembering()
    say_everything(publisher_over(link, TOPICS, ManualClock()))
    return {parse_topic(topic).kind: (qos, retain, expiry_s) for topic, _, qos, retain, expiry_s in link.sent}


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_contract_says_is_what_is_done(kind: Kind, sent: dict[Kind, tuple[int, bool, float | None]]) -> None:
    assert sent[kind] == (DELIVERY[kind].qos, DELIVERY[kind].retain, DELIVERY[kind].expiry_s)
