"""Checks across tables: names that must exist, things that only one camera may hold. Pure.

They read the raw dict and pass over whatever has the wrong shape, so that they can be reported together with the
mistakes of single fields.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from edgeagent.config.mistake import Mistake
from edgeagent.config.toml_text import dotted, key_text, quoted
from edgeagent.thermal.steps import Step, StepError, parse_step


def cross_mistakes(data: Mapping[str, Any]) -> list[Mistake]:
    """What is wrong between the tables of `data`, whatever else may be wrong inside them."""
    return [*_unknown_names(data), *_wrong_ladders(data), *_shared_devices(data), *_broker_mistakes(data)]


def _table(data: object, key: str) -> dict[str, Any]:
    value = data.get(key) if isinstance(data, Mapping) else None
    return {str(name): inner for name, inner in value.items()} if isinstance(value, Mapping) else {}


def _unknown_names(data: Mapping[str, Any]) -> Iterator[Mistake]:
    for name, pipeline in _table(data, "pipelines").items():
        for key in ("camera", "model"):
            wanted = pipeline.get(key) if isinstance(pipeline, Mapping) else None
            known = _table(data, f"{key}s")
            if isinstance(wanted, str) and wanted not in known:
                message = f"no {key} has the id {quoted(wanted)}"
                yield Mistake(dotted(("pipelines", name, key)), message, _name_mend(key, wanted, known))


def _wrong_ladders(data: Mapping[str, Any]) -> Iterator[Mistake]:
    """Steps that are good in themselves, and wrong for their pipeline: a pause of a critical one, an unknown model."""
    models = _table(data, "models")
    for name, pipeline in _table(data, "pipelines").items():
        shed = pipeline.get("shed") if isinstance(pipeline, Mapping) else None
        for number, step in enumerate(_steps(shed)):
            where = dotted(("pipelines", name, "shed", str(number)))
            if step.kind == "pause" and pipeline.get("critical") is True:
                yield Mistake(where, "would stop a critical pipeline", "leave it out: the last rate is its floor")
            if step.kind == "model" and step.name not in models:
                message = f"no model has the id {quoted(step.name)}"
                yield Mistake(where, message, _name_mend("model", step.name, models))
            if step.kind == "model" and step.name == pipeline.get("model"):
                yield Mistake(where, "is the model that the pipeline has anyway", "name a smaller one")


def _steps(shed: object) -> Iterator[Step]:
    """The steps of a list that can be read; what cannot be is a mistake of its own."""
    for text in shed if isinstance(shed, list | tuple) else ():
        try:
            yield parse_step(text if isinstance(text, str) else "")
        except StepError:
            yield Step("rate")


def _name_mend(key: str, wanted: str, known: Mapping[str, Any]) -> str:
    close = get_close_matches(wanted, known, n=1)
    if close:
        return f"did you mean {quoted(close[0])}?"
    some = ", ".join(key_text(name) for name in sorted(known)[:10])
    return f"add a table [{key}s.{key_text(wanted)}]" + (f", or name one of: {some}" if known else "")


def _shared_devices(data: Mapping[str, Any]) -> Iterator[Mistake]:
    holder: dict[str, str] = {}
    for name, camera in _table(data, "cameras").items():
        device = _device_of(camera)
        first = holder.setdefault(device, name) if device else name
        if first != name:
            key = "sensor_id" if device.startswith("csi") else "device"
            message = f"camera {key_text(first)} already has {device}"
            yield Mistake(
                f"cameras.{name}.source.{key}", message, "give each camera its own, or set enabled = false on one"
            )


def _device_of(camera: object) -> str:
    """What only one open camera may hold, or "" for a source that can be shared or is not opened."""
    source = _table(camera, "source")
    enabled = camera.get("enabled") if isinstance(camera, Mapping) else False
    device = source.get("device")
    if enabled is False:
        return ""
    if source.get("type") == "v4l2" and isinstance(device, str):
        return posixpath.normpath(device)
    if source.get("type") == "csi" and isinstance(source.get("sensor_id"), int):
        return f"csi sensor {source['sensor_id']}"
    return ""


def _broker_mistakes(data: Mapping[str, Any]) -> Iterator[Mistake]:
    mqtt = _table(data, "mqtt")
    for key, needed, message in _TOGETHER:
        if mqtt.get(key) is not None and mqtt.get(needed) is None:
            yield Mistake(f"mqtt.{key}", message, f"add mqtt.{needed}")
    urls = [url for url in (mqtt.get("url"), *_texts(mqtt.get("fallback_urls"))) if isinstance(url, str)]
    if urls and not any(url.startswith(("mqtts://", "wss://")) for url in urls):
        for key in ("ca_file", "cert_file"):
            if mqtt.get(key) is not None:
                mend = "write mqtts:// or wss:// for the broker, or leave it out"
                yield Mistake(f"mqtt.{key}", "is set, and no broker is reached over TLS", mend)
    for place, url in enumerate(_texts(mqtt.get("fallback_urls"))):
        if url in (mqtt.get("url"), *_texts(mqtt.get("fallback_urls"))[:place]):
            yield Mistake(f"mqtt.fallback_urls.{place}", "is named before", "name each broker once")


_TOGETHER = (
    ("password_file", "username", "is set without a user name"),
    ("cert_file", "key_file", "is set without its key"),
    ("key_file", "cert_file", "is set without its certificate"),
)


def _texts(value: object) -> list[str]:
    return [text for text in value if isinstance(text, str)] if isinstance(value, list | tuple) else []
