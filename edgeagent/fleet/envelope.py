"""What every outgoing message has in common: the four header fields, the rules of the wire, and the encoder.

Pure; standard library and pydantic. The rules, which hold for every message and which consumers may rely on:

- UTF-8 JSON objects. A field without a value is absent, never null, so a key never changes its type.
- Units are in the key: `_c`, `_w`, `_mhz`, `_mb`, `_s`, `_ms`, `percent`. `ts` and every `*_ts` are milliseconds since
  1970.
- A consumer ignores keys that it does not know. A change that breaks a consumer raises the number in `schema`.
- Python names that end in an underscore (`schema_`, `class_`) stand for the same word without it on the wire.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import cache
from typing import Annotated, Any, Final, TypedDict

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter

from edgeagent.errors import EdgeAgentError
from edgeagent.fleet.topics import ID_PATTERN

SESSION_PATTERN: Final = "[a-z0-9]+-[0-9]+"

Id = Annotated[str, StringConstraints(pattern=f"^{ID_PATTERN}$")]
SessionId = Annotated[str, StringConstraints(pattern=f"^{SESSION_PATTERN}$")]
Count = Annotated[int, Field(ge=0)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
EpochMs = Annotated[int, Field(ge=0)]


class MessageError(EdgeAgentError):
    """A payload is not the message that its topic promises."""

    code = "message"
    who = "network"


class Part(BaseModel):
    """A frozen piece of a message. Unknown keys are ignored, as every consumer must."""

    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        alias_generator=lambda name: name.rstrip("_"),
        populate_by_name=True,
        protected_namespaces=(),
    )


class Header(TypedDict):
    """The header's values, to be unpacked into a message: `Status(**stamp.header(topic), state="ready")`."""

    session: str
    seq: int
    ts: int


class Message(Part):
    """Base of all messages: which schema, which run of which device, which number, when."""

    schema_: str = Field(description="Name and major version of this message's schema")
    session: SessionId = Field(description="<boot>-<n>: changes with every start of the agent")
    seq: Count = Field(description="Counts the messages of this topic in this session, from 1: a gap means a loss")
    ts: EpochMs = Field(description="When the message was made")


class Stamp:
    """Hands out headers: one session, a sequence number for each topic, the wall clock. For one thread."""

    def __init__(self, session: str, wall_ms: Callable[[], int]) -> None:
        self.session = session
        self._wall_ms = wall_ms
        self._sent: Counter[str] = Counter()

    def header(self, topic: str) -> Header:
        self._sent[topic] += 1
        return {"session": self.session, "seq": self._sent[topic], "ts": self._wall_ms()}


def schema_name(model: type[Message]) -> str:
    """The schema's name, for example "edgeagent.status/1"."""
    return str(model.model_fields["schema_"].default)


@cache
def adapter_of(model: type[Message]) -> TypeAdapter[Any]:
    """The model's serialiser and validator, built once."""
    return TypeAdapter(model)


def encode(message: Message) -> bytes:
    """The message as it goes onto the wire."""
    return adapter_of(type(message)).dump_json(message, by_alias=True, exclude_none=True)
