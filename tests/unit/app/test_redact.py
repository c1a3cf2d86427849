"""What leaves the device has no secrets in it, whatever was logged."""

from __future__ import annotations

import pytest

from edgeagent.app.log_memory import LogLevel, LogMemory
from edgeagent.app.redact import redact

SECRET = "hunter2-Zx"


@pytest.mark.parametrize(
    "text",
    [
        f"rtsp://admin:{SECRET}@10.0.0.7/stream",
        f"mqtt://:{SECRET}@broker",
        f"https://{SECRET}@registry/x",
        f"rtsp://admin:p@ss/{SECRET}@10.0.0.7/stream",
        f"password={SECRET}",
        f"PASSWORD: {SECRET}",
        f'"password": "{SECRET}"',
        f"'secret': '{SECRET}'",
        f"mqtt_password='two words {SECRET}'",
        f"api-key={SECRET} next=1",
        f"access_token={SECRET}&x=1",
        f"Authorization: Bearer {SECRET}{SECRET}",
        f"header='Bearer {SECRET}{SECRET}'",
        f"-----BEGIN RSA PRIVATE KEY-----\n{SECRET}\n-----END RSA PRIVATE KEY-----",
        f"-----BEGIN PRIVATE KEY-----\n{SECRET}",
    ],
)
def test_secrets_are_hidden(text: str) -> None:
    assert SECRET not in redact(text)


@pytest.mark.parametrize("text", ["camera gate at rtsp://10.0.0.7/stream", "key=4fbaa5859cab", "a@b.example wrote"])
def test_other_text_is_as_it_was(text: str) -> None:
    assert redact(text) == text


def test_the_memory_keeps_the_last_lines_without_secrets() -> None:
    memory = LogMemory(lambda: 7)
    for number in range(3000):
        memory(None, "info", {"event": "camera", "url": f"rtsp://a:{SECRET}@h/{number}", "empty": ""})
    memory(None, "warning", {"event": "link", "reason": "lost"})
    last = memory.last(2)
    assert [line.text for line in last] == ["event=camera url=rtsp://***@h/2999", "event=link reason=lost"]
    assert [line.text for line in memory.last(500, "warning")] == ["event=link reason=lost"]
    assert len(memory.last(10_000)) == 2000


def test_another_level_lasts_for_a_while() -> None:
    level, now = LogLevel(), [0]
    level.start("warning")
    level.set_for("debug", 5, lambda: now[0])
    assert level.now == "debug"
    now[0] = 5_000_000_000
    assert level.now == "warning"
