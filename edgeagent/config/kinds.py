"""Kinds of values that settings are made of: ids, paths, broker addresses, each with its check and its mend. Pure."""

from __future__ import annotations

import base64
import re
from ipaddress import IPv6Address
from typing import Annotated, Literal
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, BaseModel, Field, StringConstraints

from edgeagent.camera.spec import STRICT, refuse
from edgeagent.thermal.steps import StepError, parse_ladder, parse_step

ID_PATTERN = r"^[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?$"
SAMPLE_MODELS = ("conveyor",)
BROKER_PORTS = {"mqtt": 1883, "mqtts": 8883, "ws": 80, "wss": 443}
WEBSOCKET = ("ws", "wss")
_PATH = re.compile(r"/[A-Za-z0-9/._~%!$&'()*+,;=:-]*")
REGISTRY_SCHEMES = ("file", "http", "https", "s3")
MODEL_IN_REGISTRY = re.compile(r"registry:[0-9a-f]{64}")
PUBLIC_KEY_BYTES = 32
Placement = Literal["auto", "gpu", "dla", "dla0", "dla1"]


class Table(BaseModel):
    """Base of every table of the config: frozen, and no key that it does not know."""

    model_config = STRICT


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
    if path.startswith("registry:") and MODEL_IN_REGISTRY.fullmatch(path) is None:
        raise refuse(
            "wants a model's digest after registry:", "`edgeagent engine push --model` prints it: 64 hex digits"
        )
    return path


def _checked_file_reference(reference: str) -> str:
    name = reference.removeprefix("credential:")
    if name != reference:
        if re.fullmatch(r"[A-Za-z0-9_.-]{1,255}", name) is None or name in {".", ".."}:
            raise refuse("wants a credential's name after credential:", "use letters, digits, _ - and .")
        return reference
    if not reference.startswith("/") or "\x00" in reference:
        raise refuse("wants an absolute path or credential:NAME", "start it with / or credential:")
    return reference


def _checked_broker_url(url: str) -> str:
    if "@" in url:
        raise refuse("holds a user name or password", "move them to mqtt.username and mqtt.password_file")
    mend = 'for example url = "mqtt://127.0.0.1:1883" or "mqtts://broker.example.org"'
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise refuse("the URL's host or port cannot be read", mend) from error
    if not url.startswith(tuple(f"{scheme}://" for scheme in BROKER_PORTS)):
        raise refuse("wants a URL that starts with mqtt://, mqtts://, ws:// or wss://", mend)
    if not parts.hostname or port == 0 or _bad_host(parts) or re.search(r"[\s\x00-\x1f?#]", url):
        raise refuse("wants a host and perhaps a port, nothing more", mend)
    if parts.scheme in WEBSOCKET:
        if parts.path and _PATH.fullmatch(parts.path) is None:
            raise refuse("the path has characters that need %-encoding", 'for example "wss://broker.example.org/mqtt"')
    elif parts.path not in {"", "/"}:
        raise refuse("wants a host and perhaps a port, nothing more", "a path belongs to ws:// and wss:// only")
    return url


def _bad_host(parts: SplitResult) -> bool:
    """An IPv6 address without brackets, or brackets without one; what cannot be printed."""
    if not parts.netloc.isprintable():
        return True
    if "[" not in parts.netloc:
        return parts.netloc.count(":") > 1
    try:
        IPv6Address(parts.hostname or "")
    except ValueError:
        return True
    return False


def _checked_registry_url(url: str) -> str:
    mend = 'for example "https://engines.example.org/line", "file:///srv/engines" or "s3://bucket/engines"'
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise refuse("the URL's host or port cannot be read", mend) from error
    if parts.username or parts.password:
        mend = "a web server's go into a netrc file, object storage's into the environment: see docs/registry.md"
        raise refuse("holds a user name or password", mend)
    if parts.scheme not in REGISTRY_SCHEMES or parts.query or parts.fragment or re.search(r"[\s\x00-\x1f]", url):
        raise refuse("wants a URL that starts with file://, http://, https:// or s3://", mend)
    if port == 0 or (parts.scheme == "file" and (parts.netloc or not parts.path.startswith("/"))):
        raise refuse("wants a host and a path, or file:// and an absolute path", mend)
    if parts.scheme != "file" and not parts.hostname:
        raise refuse("wants a host and a path, or file:// and an absolute path", mend)
    return url


def _checked_public_key(text: str) -> str:
    mend = "`edgeagent engine keygen` prints it: ed25519: and 44 characters of base64"
    kind, _, body = text.partition(":")
    try:
        whole = len(base64.b64decode(body, validate=True)) == PUBLIC_KEY_BYTES
    except ValueError:
        whole = False
    if kind != "ed25519" or not whole:
        raise refuse("is no public key", mend)
    return text


def _checked_step(text: str) -> str:
    try:
        return parse_step(text).line()
    except StepError as error:
        raise refuse(error.message, error.mend) from error


def _checked_ladder(texts: tuple[str, ...]) -> tuple[str, ...]:
    try:
        parse_ladder(texts, critical=False)
    except StepError as error:
        raise refuse(error.message, error.mend) from error
    return texts


def checked_not_bool(value: object) -> object:
    """Python takes true for 1; a person who writes true where a number stands has misread something."""
    if isinstance(value, bool):
        raise refuse("wants a number, got true or false", "write 0 or 1")
    return value


Id = Annotated[str, StringConstraints(pattern=ID_PATTERN)]
AbsolutePath = Annotated[
    str, Field(max_length=4096, json_schema_extra={"pattern": "^/"}), AfterValidator(_checked_absolute)
]
FileReference = Annotated[
    str,
    Field(max_length=4096, json_schema_extra={"pattern": "^(/|credential:)"}),
    AfterValidator(_checked_file_reference),
]
BrokerUrl = Annotated[
    str,
    Field(max_length=2048, json_schema_extra={"pattern": "^(mqtts?|wss?)://"}),
    AfterValidator(_checked_broker_url),
]
ModelPath = Annotated[str, Field(max_length=4096), AfterValidator(_checked_model_path)]
RegistryUrl = Annotated[
    str,
    Field(max_length=2048, json_schema_extra={"pattern": "^(file|https?|s3)://"}),
    AfterValidator(_checked_registry_url),
]
Shed = Annotated[
    tuple[Annotated[str, Field(max_length=100), AfterValidator(_checked_step)], ...],
    Field(strict=False, max_length=20),
    AfterValidator(_checked_ladder),
]
PublicKey = Annotated[
    str, Field(max_length=64, json_schema_extra={"pattern": "^ed25519:"}), AfterValidator(_checked_public_key)
]
