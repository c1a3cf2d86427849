"""Which broker the operator means, and the small parts between link and screen."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeagent.console.broker import address_of
from edgeagent.console.fleet_ear import fleet_filters
from edgeagent.console.keys import split_keys
from edgeagent.console.mailbox import Letter, Mailbox, is_number
from edgeagent.console.operator_link import client_id
from edgeagent.errors import OperatorError


def environment(tmp_path: Path, text: str = "", **more: str) -> dict[str, str]:
    folder = tmp_path / "edgeagent"
    folder.mkdir(exist_ok=True)
    (folder / "fleet.toml").write_text(text)
    return {"XDG_CONFIG_HOME": str(tmp_path), **more}


def test_without_a_word_it_is_this_machine() -> None:
    address = address_of({}, {"HOME": "/nowhere"})
    assert (str(address.broker), address.fleet, address.fleet_or_default) == ("mqtt://127.0.0.1:1883", None, "default")


def test_options_before_environment_before_file(tmp_path: Path) -> None:
    env = environment(
        tmp_path, 'broker = "mqtt://c"\nfleet = "c"\nusername = "c"\n', EDGEAGENT_BROKER="mqtt://b", EDGEAGENT_FLEET="b"
    )
    address = address_of({"broker": "mqtt://a"}, env)
    assert (address.broker.host, address.fleet, address.username) == ("a", "b", "c")


def test_a_password_comes_from_a_file_or_the_address_and_is_not_shown(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("secret\nmore\n")
    address = address_of({"username": "ops", "password_file": str(file)}, {})
    assert address.link_settings("c").password == "secret"
    assert "secret" not in repr(address)
    within = address_of({"broker": "mqtt://me:secret@host"}, {})
    assert (within.username, within.password, "secret" in repr(within)) == ("me", "secret", False)


@pytest.mark.parametrize(
    "options",
    [
        {"broker": "host"},
        {"fleet": "Not An Id"},
        {"password_file": "/nowhere/at/all"},
        {"broker": "mqtt://h", "ca_file": "/ca.pem"},
    ],
)
def test_what_cannot_be_used_is_said(options: dict[str, str | None]) -> None:
    with pytest.raises(OperatorError):
        address_of(options, {})


@pytest.mark.parametrize("text", ["broker = 3", "bogus = 'x'", "[", "\x00"])
def test_a_broken_file_is_said_with_its_name(tmp_path: Path, text: str) -> None:
    with pytest.raises(OperatorError, match=r"fleet\.toml"):
        address_of({}, environment(tmp_path, text))


def test_tls_with_files() -> None:
    address = address_of({"broker": "mqtts://h", "ca_file": "/ca.pem"}, {})
    assert address.tls is not None
    assert address.tls.ca_file == "/ca.pem"


def test_a_guest_leaves_nothing_on_the_broker() -> None:
    settings = address_of({}, {}).link_settings(client_id())
    assert (settings.will, settings.session_expiry_s) == (None, 0)
    assert len(settings.client_id) <= 23
    assert client_id() != client_id()


def test_the_table_does_not_listen_to_results_and_pictures() -> None:
    filters = fleet_filters(None)
    assert filters[0] == "edgeagent/v1/+/+/status"
    assert "edgeagent/v1/+/+/engine/+" in filters
    assert not any("/r/" in each or "/snap/" in each or each.endswith("#") for each in filters)
    assert fleet_filters("plant-2")[0] == "edgeagent/v1/plant-2/+/status"


def letter(topic: str, payload: str) -> Letter:
    return Letter(topic, payload.encode(), retained=False)


def test_numbers_replace_each_other_and_states_do_not() -> None:
    box = Mailbox()
    for number in range(3):
        box.put(letter("edgeagent/v1/f/d/m/thermal", str(number)))
        box.put(letter("edgeagent/v1/f/d/status", str(number)))
    assert [each.payload for each in box.take(100)] == [b"0", b"1", b"2", b"2"]
    assert (box.received, box.take(100)) == (6, [])


def test_a_heap_is_taken_in_parts_and_states_go_first() -> None:
    box = Mailbox()
    for number in range(5):
        box.put(letter(f"edgeagent/v1/f/d{number}/m/thermal", ""))
        box.put(letter(f"edgeagent/v1/f/d{number}/status", ""))
    heaps = [len(box.take(4)) for _ in range(4)]
    assert heaps == [4, 4, 2, 0]


def test_which_topics_are_numbers() -> None:
    numbers = [is_number(f"edgeagent/v1/f/d/{rest}") for rest in ("m/thermal", "s/a/b", "status", "a/m", "r/a/b")]
    assert numbers == [True, True, False, False, False]
    assert not is_number("m/s")


def test_keys() -> None:
    assert split_keys("q\x1b[A\x1b[6~\r\x7f\x1b") == ["q", "up", "pgdn", "enter", "backspace", "esc"]
    assert split_keys("\x1b[15;5~x\x1b[Z") == ["x"]
    assert split_keys("ä/") == ["ä", "/"]
