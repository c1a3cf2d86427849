"""What may not be set over MQTT."""

from __future__ import annotations

from typing import Any

import pytest

from edgeagent.config import settings
from edgeagent.config.changes import fits
from edgeagent.config.local_keys import LOCAL, local_mistakes

FILE: dict[str, Any] = {"mqtt": {"url": "mqtts://broker.example.org", "ca_file": "/etc/ca.pem"}}


def paths(layer: dict[str, Any], *allow: str, file: dict[str, Any] | None = None) -> list[str]:
    return [mistake.path for mistake in local_mistakes(layer, file or {}, allow)]


@pytest.mark.parametrize(
    "layer",
    [
        {"device": {"id": "other"}},
        {"device": {"fleet": "other"}},
        {"device": {"state_dir": "/x"}},
        {"remote": {"allow": ["device"]}},
        {"mqtt": {"password_file": None}},
        {"mqtt": {"key_file": "credential:key"}},
        {"engines": {"plugins": []}},
        {"registry": {"trusted_keys": []}},
        {"registry": {"urls": ["https://ok.example.org", "file:///etc"]}},
        {"power": {"helper_socket": "/x"}},
        {"models": {"m": {"path": "/etc"}}},
        {"models": {"m": {"path": "etc"}}},
        {"cameras": {"c": {"source": {"path": "/etc/passwd"}}}},
        {"cameras": {"c": {"source": {"type": "file"}}}},
        {"cameras": {"c": {"source": {"type": "gstreamer"}}}},
        {"cameras": {"c": {"source": {"pipeline": "x ! appsink"}}}},
    ],
)
def test_a_local_key_is_refused_by_its_path(layer: dict[str, Any]) -> None:
    (found,) = paths(layer)
    assert found.split(".")[0] in layer


@pytest.mark.parametrize("table", ["mqtt", "device", "remote", "engines", "registry", "power"])
def test_a_table_with_local_keys_cannot_be_taken_away(table: str) -> None:
    assert paths({table: None}) == [table]


@pytest.mark.parametrize(
    "layer",
    [
        {},
        {"device": {"groups": ["a"]}},
        {"mqtt": {"url": "mqtt://other", "username": "x"}},
        {"cameras": {"c": None}},
        {"cameras": {"c": {"source": {"type": "rtsp", "url": "rtsp://user:secret@h/x"}}}},
        {"cameras": {"c": {"source": {"type": "v4l2", "device": "/dev/video1"}}}},
        {"models": {"m": {"path": "sample:conveyor"}, "n": {"path": "registry:" + "a" * 64}}},
        {"pipelines": {"p": {"classes": None, "regions": [{"name": "x"}]}}},
        {"registry": {"urls": ["https://engines.example.org"]}},
    ],
)
def test_everything_else_is_free(layer: dict[str, Any]) -> None:
    assert paths(layer) == []


def test_the_file_may_allow_a_key_or_a_table_above_it() -> None:
    layer = {"mqtt": {"ca_file": "/x", "key_file": "/y"}, "engines": {"plugins": ["/z"]}}
    assert paths(layer) == ["mqtt.ca_file", "mqtt.key_file", "engines.plugins"]
    assert paths(layer, "mqtt.ca_file") == ["mqtt.key_file", "engines.plugins"]
    assert paths(layer, "mqtt", "engines.plugins") == []
    assert paths({"mqtt": None}, "mqtt") == []


def test_the_rule_itself_is_never_free() -> None:
    assert paths({"remote": {"commands": True}}, "remote", "remote.commands") == ["remote.commands"]


def test_encryption_is_not_given_up() -> None:
    plain = {"mqtt": {"url": "mqtt://broker.example.org"}}
    assert paths(plain, file=FILE) == ["mqtt.url"]
    assert paths({"mqtt": {"fallback_urls": ["mqtts://ok", "ws://not"]}}, file=FILE) == ["mqtt.fallback_urls"]
    assert paths({"mqtt": {"url": "wss://other.example.org"}}, file=FILE) == []
    assert paths(plain, "mqtt.url", file=FILE) == []
    assert paths({"mqtt": {"url": None}}, file=FILE) == ["mqtt.url"]
    assert paths({"mqtt": {"url": None, "fallback_urls": None}}) == []


def test_a_hidden_secret_is_not_taken_for_one() -> None:
    assert paths({"cameras": {"c": {"source": {"url": "rtsp://***@h/x"}}}}) == ["cameras.c.source.url"]


def test_every_path_on_the_device_that_the_schema_has_is_local() -> None:
    """A new key that takes a path is local until somebody has thought about it."""
    known = {
        setting.path
        for path, node in settings.tables()
        for setting in settings.settings(path, node)
        if setting.wants == "an absolute path" or setting.name.endswith(("_file", "_dir"))
    }
    assert len(known) >= 8
    free = [path for path in known if not any(fits(tuple(pattern.split(".")), path) for pattern in LOCAL)]
    assert free == []
