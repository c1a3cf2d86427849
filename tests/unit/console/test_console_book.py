"""What the console's book makes of messages: rows, and nothing of junk."""

from __future__ import annotations

import pytest
from console_kit import (
    NOW_S,
    OLD_SESSION,
    SESSION,
    Reader,
    alarm,
    engine,
    example_book,
    header,
    power,
    reported,
    status,
    summary,
    thermal,
    topics,
)

from edgeagent.console import fleet_book
from edgeagent.console.device import MOST_PARTS, STALE_S, TEXT, clip
from edgeagent.fleet.examples import examples
from edgeagent.fleet.states import Health, Info, Module

T = topics()


def test_every_message_of_the_contract_is_taken() -> None:
    reader = example_book()
    assert reader.book.junk == 0
    assert reader.book.messages == len(examples())
    device = reader.device()
    assert (device.state, device.engine, device.alarm, device.config_word) == (
        "degraded",
        "building 42%",
        "hot",
        "v8 rejected",
    )
    assert (device.module, device.version, device.reason) == (
        "Orin Nano 8GB",
        "0.1.0",
        "camera/yard: no frames for 12 s",
    )
    assert (device.temp_c(NOW_S), device.power_w(NOW_S), device.fps(NOW_S)) == (61.5, 11.42, 24.8)
    assert device.trouble


def test_numbers_grow_old_and_are_shown_no_more() -> None:
    reader = Reader()
    reader.take(T.measurement("thermal"), thermal(61.5))
    reader.take(T.measurement("power"), power(11.0))
    reader.take(T.summary("yard", "people"), summary(24.8))
    device, later_s = reader.device(), NOW_S + STALE_S + 1
    assert (device.temp_c(later_s), device.power_w(later_s), device.fps(later_s)) == (None, None, None)
    assert device.age_s(later_s) == STALE_S + 1


def test_the_frames_of_all_pipelines_are_added_up() -> None:
    reader = Reader()
    reader.take(T.summary("yard", "people"), summary(24.5))
    reader.take(T.summary("yard", "cars"), summary(10.0, "cars"))
    assert reader.device().fps(NOW_S) == 34.5


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        ("something/else", b"{}"),
        ("edgeagent/v1/plant-2/gate-07/status", b"not json"),
        ("edgeagent/v1/plant-2/gate-07/status", b'{"schema":"edgeagent.status/1"}'),
        ("edgeagent/v1/plant-2/gate-07/m/thermal", b'{"temp_max_c":NaN}'),
        ("edgeagent/v1/plant-2/gate-07/nothing/known", b"{}"),
        ("edgeagent/v1/PLANT/gate-07/status", b"{}"),
        ("", b""),
    ],
)
def test_junk_makes_no_device(topic: str, payload: bytes) -> None:
    reader = Reader()
    assert reader.take(topic, payload) is None
    assert (reader.book.devices, reader.book.junk) == ({}, 1)


def test_a_message_too_large_is_junk() -> None:
    reader = Reader()
    assert reader.take(T.status, b" " * (fleet_book.MOST_BYTES + 1)) is None


def test_lost_counts_in_the_session_that_was_heard_last() -> None:
    reader = Reader()
    reader.take(T.status, status("ready"))
    reader.take(T.status, status("lost", reason="the link broke"))
    assert (reader.device().state, reader.device().reason) == ("lost", "the link broke")
    assert not reader.device().present


def test_lost_of_an_earlier_session_is_ignored() -> None:
    reader = Reader()
    reader.take(T.status, status("ready"))
    reader.take(T.status, status("lost", OLD_SESSION))
    assert reader.device().state == "ready"


def test_a_stale_lost_on_the_broker_is_seen_through_by_what_came_later() -> None:
    reader = Reader()
    reader.take(T.status, status("lost", OLD_SESSION, ts=1000), retained=True)
    reader.take(T.engine("people"), engine("ready"), retained=True)
    assert reader.device().state == "?"
    reader.take(T.status, status("ready"))
    assert reader.device().state == "ready"


def test_what_an_earlier_session_left_on_the_broker_does_not_raise_the_dead() -> None:
    reader = Reader()
    reader.take(T.status, status("lost", SESSION, ts=2000), retained=True)
    old = engine("ready").model_copy(update={"session": OLD_SESSION, "ts": 1500})
    reader.take(T.engine("people"), old, retained=True)
    assert (reader.device().state, reader.device().session) == ("lost", SESSION)


def test_a_number_in_another_session_says_that_the_device_is_there_again() -> None:
    reader = Reader()
    reader.take(T.status, status("lost", OLD_SESSION))
    reader.take(T.measurement("thermal"), thermal(50))
    assert (reader.device().state, reader.device().age_s(NOW_S)) == ("?", 0.0)


def test_what_the_broker_kept_and_a_will_are_no_sign_of_life() -> None:
    reader = Reader()
    reader.take(T.status, status("ready"), retained=True)
    reader.take(T.status, status("lost"))
    assert reader.device().age_s(NOW_S) is None


def test_empty_payloads_clear() -> None:
    reader = example_book()
    reader.take(T.alarm("hot"), b"")
    reader.take(T.engine("people"), b"")
    assert (reader.device().alarm, reader.device().engine) == ("", "")
    reader.take(T.status, b"")
    assert reader.book.devices == {}


def test_the_worst_engine_stands_for_all() -> None:
    reader = Reader()
    reader.take(T.engine("a"), engine("ready", "a"))
    assert reader.device().engine == "ready"
    reader.take(T.engine("b"), engine("building", "b", 41.4))
    assert reader.device().engine == "building 41% (1 of 2)"
    reader.take(T.engine("c"), engine("failed", "c"))
    assert reader.device().engine == "failed (1 of 3)"


def test_alarms_stand_the_worst_first() -> None:
    reader = Reader()
    for kind, severity in (("a-note", "info"), ("hot", "warning"), ("gpu-lost", "error")):
        reader.take(T.alarm(kind), alarm(kind, severity))
    assert reader.device().alarm == "gpu-lost, hot, a-note"


@pytest.mark.parametrize(
    ("version", "state", "word", "trouble"),
    [
        (0, "none", "file", False),
        (8, "committed", "v8", False),
        (9, "trial", "v9 trial", False),
        (9, "rolled_back", "v9 rolled back", True),
        (9, "rejected", "v9 rejected", True),
    ],
)
def test_the_words_of_the_config(version: int, state: str, word: str, trouble: bool) -> None:
    reader = Reader()
    reader.take(T.status, status("ready"))
    reader.take(T.config_reported, reported(version, state))
    assert (reader.device().config_word, reader.device().trouble) == (word, trouble)


def test_a_reason_comes_from_the_health_where_the_status_has_none() -> None:
    reader = Reader()
    reader.take(T.status, status("degraded"))
    parts = [
        {"name": "camera/a", "health": "degraded", "reason": "slow", "since_ts": 1},
        {"name": "engine/b", "health": "failed", "since_ts": 1},
    ]
    reader.take(T.health, Health.model_validate({**header(), "overall": "failed", "components": parts}))
    assert reader.device().reason == "engine/b failed"


def test_a_device_stays_small_whatever_it_sends() -> None:
    reader = Reader()
    for number in range(3 * MOST_PARTS):
        reader.take(T.alarm(f"a{number}"), alarm(f"a{number}"))
        reader.take(T.engine(f"p{number}"), engine("ready", f"p{number}"))
        reader.take(T.summary("yard", f"p{number}"), summary(1, f"p{number}"))
    device = reader.device()
    assert (len(device.alarms), len(device.engines), len(device.summaries)) == (MOST_PARTS,) * 3


def test_a_broker_full_of_devices_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet_book, "MOST_DEVICES", 3)
    reader = Reader()
    for number in range(5):
        reader.take(topics(f"d{number}").status, status("ready"))
    assert (len(reader.book.devices), reader.book.junk) == (3, 2)


def test_text_of_a_device_cannot_steer_the_terminal() -> None:
    module = Module(name="Jetson \x1b[2J\nEvil" + "x" * 500, id="", soc="", memory_mb=1)
    reader = Reader()
    reader.take(T.info, Info(**header(), agent_version="\x1b]0;t\x07", module=module, uptime_s=1))
    for text in (reader.device().module, reader.device().version):
        assert text.isprintable()
        assert len(text) <= TEXT
    assert clip("a\u202eb\tc") == "a?b c"
