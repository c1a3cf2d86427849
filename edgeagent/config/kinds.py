"""Kinds of values that settings are made of: ids, paths, broker addresses, each with its check and its mend. Pure."""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, Field, StringConstraints

from edgeagent.camera.spec import refuse

ID_PATTERN = r"^[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?$"
SAMPLE_MODELS = ("conveyor",)


def _checked_absolute(path: str) -> str:
    if not path.startswith("/") or "\x00" in path:
        raise refuse("wants an absolute path", "start it with /")
    return path


def _checked_model_path(path: str) -> str:
    name = path.removeprefix("sample:")
    if not path.strip() or "\x00" in path:
        raise refuse("wants a model's directory", 'for example path = "/var/lib/edgeagent/models/belt"')
    if name != path and name not in SAMPLE_MODELS:
        known = ", ".join(f'"sample:{sample}"' for sample in SAMPLE_MODELS)
        raise refuse("no sample model of this name is shipped", f"the shipped ones are: {known}")
    return path


def _checked_broker_url(url: str) -> str:
    if "@" in url:
        raise refuse("holds a user name or password", "move them to mqtt.username and mqtt.password_file")
    mend = 'for example url = "mqtt://127.0.0.1:1883" or "mqtts://broker.example.org"'
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise refuse("the URL's host or port cannot be read", mend) from error
    if not url.startswith(("mqtt://", "mqtts://")):
        raise refuse("wants a URL that starts with mqtt:// or mqtts://", mend)
    if not parts.hostname or port == 0 or _more_than_host(parts) or re.search(r"[\s\x00-\x1f]", url):
        raise refuse("wants a host and perhaps a port, nothing more", mend)
    return url


def checked_not_bool(value: object) -> object:
    """Python takes true for 1; a person who writes true where a number stands has misread something."""
    if isinstance(value, bool):
        raise refuse("wants a number, got true or false", "write 0 or 1")
    return value


def _more_than_host(parts: SplitResult) -> bool:
    return parts.path not in {"", "/"} or bool(parts.query or parts.fragment)


Id = Annotated[str, StringConstraints(pattern=ID_PATTERN)]
AbsolutePath = Annotated[
    str, Field(max_length=4096, json_schema_extra={"pattern": "^/"}), AfterValidator(_checked_absolute)
]
BrokerUrl = Annotated[
    str, Field(max_length=2048, json_schema_extra={"pattern": "^mqtts?://"}), AfterValidator(_checked_broker_url)
]
ModelPath = Annotated[str, Field(max_length=4096), AfterValidator(_checked_model_path)]
