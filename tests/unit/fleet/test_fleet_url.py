"""Broker addresses: what is understood, and that no error repeats a password."""

from __future__ import annotations

import pytest

from edgeagent.fleet.url import Broker, BrokerUrlError, parse_broker_url


@pytest.mark.parametrize(
    ("url", "broker"),
    [
        ("mqtt://broker.local", Broker("broker.local", 1883, False)),
        ("mqtts://broker.local", Broker("broker.local", 8883, True)),
        ("mqtt://10.0.0.1:2883/", Broker("10.0.0.1", 2883, False)),
        ("MQTT://Broker.Local:1", Broker("broker.local", 1, False)),
        ("mqtts://[fd00::1]", Broker("fd00::1", 8883, True)),
        ("mqtt://[::1]:65535", Broker("::1", 65535, False)),
        ("ws://broker.local", Broker("broker.local", 80, False, path="/mqtt")),
        ("wss://broker.local", Broker("broker.local", 443, True, path="/mqtt")),
        ("wss://broker.local:8084/a/b", Broker("broker.local", 8084, True, path="/a/b")),
        ("ws://[::1]/", Broker("::1", 80, False, path="/")),
    ],
)
def test_addresses_that_are_understood(url: str, broker: Broker) -> None:
    assert parse_broker_url(url) == broker


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("broker.local", "mqtt://"),
        ("broker.local:1883", "no scheme"),
        ("tcp://broker", "mqtt://"),
        ("ssl://broker", "mqtts://"),
        ("wss://broker?token=1", "query"),
        ("ws://broker#x", "fragment"),
        ("ws://broker/ä", "%-encoding"),
        ("ws://", "no host"),
        ("http://broker", "unknown scheme 'http'"),
        ("mqtt://", "no host"),
        ("mqtt://:1883", "no host"),
        ("mqtt://broker:0", "1 to 65535"),
        ("mqtt://broker:65536", "1 to 65535"),
        ("mqtt://broker:abc", "1 to 65535"),
        ("mqtt://broker/topic", "after host and port"),
        ("mqtt://broker?x=1", "after host and port"),
        ("mqtt://broker#x", "after host and port"),
        ("mqtt://fd00::1", "brackets"),
        ("mqtt://fd00::1:1883", "brackets"),
        ("mqtt://[fd00::1", "brackets"),
        ("mqtt://[zz]", "IPv6"),
        ("mqtt://bro ker", "spaces"),
        ("mqtt://broker\n", "spaces"),
        ("", "no scheme"),
    ],
)
def test_addresses_that_are_refused_say_why(url: str, says: str) -> None:
    with pytest.raises(BrokerUrlError) as caught:
        parse_broker_url(url)
    assert says in caught.value.line()


def test_credentials_in_the_address_only_with_leave() -> None:
    with pytest.raises(BrokerUrlError) as caught:
        parse_broker_url("mqtt://me:s3cret@broker")
    assert "s3cret" not in caught.value.line()
    broker = parse_broker_url("mqtt://me:s3cr%40t@broker:99", allow_credentials=True)
    assert (broker.username, broker.password, broker.host, broker.port) == ("me", "s3cr@t", "broker", 99)


@pytest.mark.parametrize(
    "url", ["http://me:s3cret@h", "mqtt://me:s3cret@h:x", "mqtt://me:s3cret@h/p", "mqtt://me:s3cret@[h"]
)
def test_no_error_repeats_a_password(url: str) -> None:
    with pytest.raises(BrokerUrlError) as caught:
        parse_broker_url(url, allow_credentials=True)
    assert "s3cret" not in caught.value.line()
    assert caught.value.__cause__ is None


def test_neither_text_nor_repr_shows_credentials() -> None:
    broker = parse_broker_url("mqtts://me:s3cret@[fd00::1]", allow_credentials=True)
    assert str(broker) == "mqtts://[fd00::1]:8883"
    assert "s3cret" not in repr(broker)
