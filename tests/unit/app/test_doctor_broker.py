"""The doctor's look at the broker's files: what cannot be used, what everybody can read, what is sent unencrypted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgeagent.app.doctor_broker import check_broker
from edgeagent.config.mqtt_table import MqttSettings

SECRET = "hunter2"


def looked(**settings: Any) -> list[tuple[str, str]]:
    checks = list(check_broker(MqttSettings(**settings)))
    assert not any(SECRET in check.text + check.mend for check in checks)
    assert all(check.mend for check in checks if check.state != "ok")
    return [(check.state, check.text) for check in checks]


@pytest.fixture
def password(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text(f"{SECRET}\n")
    path.chmod(0o600)
    return path


def test_without_files_there_is_nothing_to_say() -> None:
    assert looked() == []


def test_a_password_that_only_its_user_can_read_is_well(password: Path) -> None:
    assert looked(username="u", password_file=str(password)) == [("ok", "password_file: can be used")]


def test_a_password_that_everybody_can_read_is_told(password: Path) -> None:
    password.chmod(0o644)
    (state, _), (warned, text) = looked(username="u", password_file=str(password))
    assert (state, warned, "everybody" in text) == ("ok", "warning", True)


@pytest.mark.parametrize(
    ("url", "told"), [("mqtt://h", True), ("ws://h", True), ("mqtts://h", False), ("mqtt://[::1]", False)]
)
def test_a_password_that_goes_unencrypted_is_told(password: Path, url: str, told: bool) -> None:
    found = looked(url=url, username="u", password_file=str(password))
    assert any("unencrypted" in text for _, text in found) is told


def test_what_cannot_be_used_is_a_problem_with_its_key(tmp_path: Path) -> None:
    rubbish = tmp_path / "rubbish.pem"
    rubbish.write_text("-----BEGIN RUBBISH-----\n")
    ((state, text),) = looked(url="mqtts://h", ca_file=str(tmp_path / "missing.pem"))
    assert (state, "mqtt.ca_file" in text, "no such file" in text) == ("problem", True, True)
    ((state, text),) = looked(url="mqtts://h", ca_file=str(rubbish))
    assert (state, "no certificate" in text) == ("problem", True)


def test_a_credential_is_the_service_s_own() -> None:
    ((state, text),) = looked(url="mqtts://h", username="u", password_file="credential:mqtt")
    assert (state, text) == ("ok", "none; password_file: a credential, which only the service can read")
