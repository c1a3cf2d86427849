"""The check of the wire itself: it lets the examples pass, and finds what breaks the contract."""

from __future__ import annotations

import json

import pytest
from wire_check import WireCheck, check_wire, is_inbound

from edgeagent.fleet.examples import TOPICS, examples
from edgeagent.fleet.inbound_examples import inbound_examples
from edgeagent.fleet.messages import encode

POWER = TOPICS.measurement("power")


def said(topic: str, **changes: object) -> bytes:
    return json.dumps({**json.loads(encode(examples()[topic])), **changes}).encode()


def test_the_examples_pass() -> None:
    check_wire([(topic, encode(message)) for topic, message in examples().items()])
    check_wire([(TOPICS.alarm("hot"), b""), (TOPICS.job("0f6c2d1e-build"), b"")])


def test_what_is_said_to_devices_is_not_judged() -> None:
    assert all(map(is_inbound, inbound_examples()))
    assert not any(map(is_inbound, examples()))
    check_wire([(topic, b"{") for topic in inbound_examples()])


@pytest.mark.parametrize(
    ("topic", "payload", "what"),
    [
        ("edgeagent/v1/plant-2/gate-07/m/power/extra", b"{}", "is none of"),
        ("edgeagent/v1/plant-2/gate-07", b"{}", "does not begin with"),
        (TOPICS.status, b"", "was cleared"),
        (POWER, b'{"ts": NaN}', "is not JSON"),
        (POWER, b"\xff", "is not JSON"),
        (POWER, b"[]", "is not of type 'object'"),
        (POWER, said(TOPICS.measurement("gpu")), "edgeagent.measurement.power/1"),
        (POWER, said(POWER, power_total_w="11"), "power_total_w"),
        (POWER, said(POWER, power_rails_w=[1.0]), "power_rails_w is not flat"),
        (POWER, said(POWER, power_total_w=None), "power_total_w"),
        (TOPICS.camera_measurement("yard"), said(TOPICS.camera_measurement("yard"), camera="gate"), "its camera is"),
        (TOPICS.alarm("throttling"), said(TOPICS.alarm("hot")), "its type is"),
        (TOPICS.job("another"), said(TOPICS.job("0f6c2d1e-build")), "its id is"),
        (TOPICS.info, said(TOPICS.info, module={"name": 1}), "module"),
    ],
)
def test_a_breach_is_found(topic: str, payload: bytes, what: str) -> None:
    check = WireCheck()
    check.take(topic, payload)
    assert what in " ".join(check.troubles)


def test_a_key_that_changes_its_type_is_found() -> None:
    check = WireCheck()
    check.take(POWER, said(POWER, seq=1, oc1_new=0))
    check.take(POWER, said(POWER, seq=2, oc1_new=False))
    assert check.troubles == [f"{POWER}: oc1_new was a number and is now a bool"]


def test_a_number_that_goes_back_is_found_within_a_session_only() -> None:
    check = WireCheck()
    check.take(POWER, said(POWER, seq=2))
    check.take(POWER, said(POWER, seq=1, session="3f2a9c1e-5"))
    assert check.troubles == []
    check.take(POWER, said(POWER, seq=2))
    assert check.troubles == [f"{POWER}: number 2 came after 2"]


def test_a_busy_topic_is_sampled_from_its_beginning() -> None:
    check = WireCheck()
    for seq in range(1, 301):
        check.take(POWER, said(POWER, seq=seq))
    assert (check.checked[POWER], check.troubles) == (300, [])
