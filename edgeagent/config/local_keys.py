"""What may not be set over MQTT unless the device's own file allows it: paths, trust, and this rule itself. Pure.

A device's link must not become a way to read its files, to run what it would not run, or to trust whom its owner does
not. `remote.allow` names keys, or tables above them, that are given free all the same; the table [remote] never is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from edgeagent.config.changes import fits
from edgeagent.config.layers import Path
from edgeagent.config.mistake import Mistake
from edgeagent.config.toml_text import dotted
from edgeagent.desired_layer import has_hidden

NEVER = "remote"
LOCAL: tuple[str, ...] = (
    "device.id",
    "device.fleet",
    "device.state_dir",
    "device.run_dir",
    "device.board_root",
    "mqtt.password_file",
    "mqtt.ca_file",
    "mqtt.cert_file",
    "mqtt.key_file",
    "cameras.*.source.path",
    "cameras.*.source.pipeline",
    "power.helper_socket",
    "power.profiles_dir",
    "engines.calibration_images",
    "engines.plugins",
    "registry.trusted_keys",
    "registry.signing_key_file",
)
LOCAL_SOURCES = ("file", "gstreamer")
TLS_SCHEMES = ("mqtts", "wss")


def local_mistakes(layer: Mapping[str, Any], file: Mapping[str, Any], allow: Sequence[str]) -> list[Mistake]:
    """Every key of a desired layer that only the device's file may set. `file`: what the device has without it."""
    free = [tuple(entry.split(".")) for entry in allow]
    found = []
    for path, value in _leaves(layer):
        why = _why_local(path, value, file)
        if why and (path[0] == NEVER or not any(path[: len(entry)] == entry for entry in free)):
            mend = "it can be set in the device's own file only"
            if path[0] != NEVER:
                mend = f"set it in the device's own file, or name it there in remote.allow: {dotted(path)}"
            found.append(Mistake(dotted(path), why, mend))
    return found


def _leaves(data: Mapping[str, Any], path: Path = ()) -> Iterator[tuple[Path, Any]]:
    for key, value in data.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, (*path, str(key)))
            if not value:
                yield (*path, str(key)), value
        else:
            yield (*path, str(key)), value


def _why_local(path: Path, value: object, file: Mapping[str, Any]) -> str:
    """Why this key is local; empty where it is not."""
    if path[0] == NEVER or any(fits(tuple(pattern.split(".")), path) for pattern in LOCAL):
        return "may not be set over MQTT"
    if value is None and any(_above(path, tuple(pattern.split("."))) for pattern in LOCAL):
        return "holds keys that may not be taken away over MQTT"
    if has_hidden(value):
        return "holds *** in place of a secret"
    return _why_value(path, value, file)


def _above(path: Path, pattern: Path) -> bool:
    """Whether taking `path` away would take such a key away that the device's file may have set. (A camera or a model
    that goes as a whole opens nothing.)"""
    return "*" not in pattern and len(path) < len(pattern) and path == pattern[: len(path)]


def _why_value(path: Path, value: object, file: Mapping[str, Any]) -> str:
    if fits(("cameras", "*", "source", "type"), path) and value in LOCAL_SOURCES:
        return f"a source of type {value} can open any file of the device, and may not be set over MQTT"
    if fits(("models", "*", "path"), path) and isinstance(value, str):
        return "" if value.startswith(("sample:", "registry:")) else "a path on the device may not be set over MQTT"
    if path == ("registry", "urls") and isinstance(value, list) and any(str(url).startswith("file:") for url in value):
        return "a directory of the device may not be set over MQTT"
    if path[:1] == ("mqtt",) and path[1:] in (("url",), ("fallback_urls",)) and _is_secure(file):
        urls = value if isinstance(value, list) else [value]
        if path[1] == "url" and value is None:
            urls = [""]  # the default, which has none
        if any(isinstance(url, str) and _scheme(url) not in TLS_SCHEMES for url in urls):
            return "would give up the encryption that the device's file asks for"
    return ""


def _is_secure(file: Mapping[str, Any]) -> bool:
    mqtt = file.get("mqtt")
    url = mqtt.get("url") if isinstance(mqtt, Mapping) else None
    return isinstance(url, str) and _scheme(url) in TLS_SCHEMES


def _scheme(url: str) -> str:
    try:
        return urlsplit(url).scheme
    except ValueError:
        return ""
