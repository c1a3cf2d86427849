"""Several brokers in order of preference: the way to a fallback, and the way back."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from test_link_kit import (
    EVENT,
    STATUS,
    Ear,
    free_port,
    mosquitto,
    needs_mosquitto,
    running,
    settings,
    subscriber,
)
from test_link_scripted import (
    ACCEPTED,
    BUSY,
    CONNECT,
    NOT_AUTHORISED,
    SLOW,
    Peer,
    Script,
    answering,
    hanging_up,
    scripted,
    until_closed,
)

from edgeagent.fleet.link_types import Address, Connected, LinkSettings, Lost, Published, Refused

PREFERRED_AFTER_S = 0.1


def two(first: int, second: int, **changes: Any) -> LinkSettings:
    fallbacks = (Address("127.0.0.1", second),)
    return settings(first, fallbacks=fallbacks, preferred_after_s=PREFERRED_AFTER_S, protocol="5", **changes)


def folder(parent: Path, name: str) -> Path:
    made = parent / name
    made.mkdir()
    return made


@needs_mosquitto
def test_a_fallback_is_used_and_left_again(tmp_path: Path) -> None:
    first, second = free_port(), free_port()
    with ExitStack() as stack:
        there = stack.enter_context(mosquitto(folder(tmp_path, "b"), second))
        seen = stack.enter_context(subscriber(second))
        link, heard = stack.enter_context(running(two(first, second)))
        assert heard.event(Lost).broker.endswith(f":{first}")
        connected = heard.event(Connected)
        assert (connected.preferred, connected.broker) == (False, f"mqtt://127.0.0.1:{second}")
        assert link.stats().broker == connected.broker
        link.publish(STATUS, b"ready", qos=1, retain=True)
        seen.wait(lambda line: line.endswith("ready"))
        stack.enter_context(mosquitto(folder(tmp_path, "a"), first))
        moved = heard.event(Lost)
        assert (moved.kind, moved.was_connected, moved.retry_in_s) == ("moved", True, 0.0)
        assert heard.event(Connected).preferred
        there.wait(lambda line: "Client bench disconnected" in line)
        link.publish(EVENT, b"event", qos=1, retain=False, tag=1)
        assert heard.event(Published).ok
        assert not any(line.endswith("lost") for line in seen.items), "a clean goodbye leaves no will"
        assert link.stats().losses == 0


@needs_mosquitto
def test_what_waits_goes_to_whichever_broker_answers(tmp_path: Path) -> None:
    first, second = free_port(), free_port()
    with ExitStack() as stack:
        stack.enter_context(mosquitto(folder(tmp_path, "b"), second))
        link, heard = stack.enter_context(running(two(first, second)))
        link.publish(EVENT, b"early", qos=1, retain=False, tag=1)
        assert heard.event(Published).ok


@needs_mosquitto
def test_a_connection_is_not_given_up_before_the_preferred_broker_answers_mqtt(tmp_path: Path) -> None:
    """A proxy that takes connections for a broker that is away is no reason to leave."""
    probed = Ear()

    def proxy(peer: Peer) -> None:
        kind, _, _ = peer.packet()
        probed(kind)
        peer.sock.close()

    second = free_port()
    with scripted(proxy) as (first, _), mosquitto(tmp_path, second), running(two(first, second)) as (link, heard):
        heard.event(Connected)
        for _ in range(6):
            probed.wait(lambda kind: kind == CONNECT)
        link.publish(EVENT, b"event", qos=1, retain=False, tag=1)
        assert heard.event(Published).ok
        assert link.stats().connects == 1


@needs_mosquitto
@pytest.mark.parametrize("said", [NOT_AUTHORISED, BUSY])
def test_a_broker_that_refuses_makes_room(tmp_path: Path, said: bytes) -> None:
    second = free_port()
    with scripted(answering(said, until_closed)) as (first, _), mosquitto(tmp_path, second):
        with running(two(first, second, refused=SLOW)) as (_, heard):
            refused = heard.event(Refused)
            assert (refused.code, refused.broker) == (said[3], f"mqtt://127.0.0.1:{first}")
            assert refused.retry_in_s <= 1.0, "the next broker is asked soon"
            assert not heard.event(Connected).preferred


@needs_mosquitto
def test_the_probe_has_a_name_of_its_own_and_a_fallback_that_it_does_not_disturb(tmp_path: Path) -> None:
    names: list[bytes] = []

    def preferred(peer: Peer) -> None:
        _, _, body = peer.packet()
        names.append(body)
        if len(names) == 1:
            return peer.sock.close()
        peer.send(ACCEPTED)
        return until_closed(peer)

    second = free_port()
    with scripted(preferred) as (first, _), mosquitto(tmp_path, second), running(two(first, second)) as (_, heard):
        assert not heard.event(Connected).preferred
        assert heard.event(Lost).kind == "moved"
        assert heard.event(Connected).preferred
    assert [b"bench-probe" in body for body in names] == [False, True, False]
    assert [STATUS.encode() in body for body in names] == [True, False, True], "the probe has no will"


def test_both_away_is_told_for_each_and_both_are_found_again() -> None:
    turns: list[int] = []

    def script(number: int, then: Script) -> Script:
        def noted(peer: Peer) -> None:
            turns.append(number)
            then(peer)

        return noted

    first_script = (*([script(0, hanging_up)] * 3), script(0, answering(ACCEPTED, until_closed)))
    with scripted(*first_script) as (first, _), scripted(script(1, hanging_up)) as (second, _):
        with running(two(first, second)) as (_, heard):
            assert heard.event(Connected).preferred
    assert turns[0] == 0
    assert 1 in turns
