"""What agent and children say to each other: one JSON object a line, each a typed model.

The rooms add their own messages by subclassing `Message`; this module holds the words every child knows.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from edgeagent.errors import Who

MAX_LINE_BYTES = 1 << 20
MAX_ALLOWANCE_S = 3600.0


class Message(BaseModel):
    """Base of every control message. `kind` tells the models apart."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: str

    def line(self) -> bytes:
        return self.model_dump_json().encode() + b"\n"


class Stop(Message):
    """Agent to child: finish what you hold and exit 0."""

    kind: Literal["stop"] = "stop"


class Heartbeat(Message):
    """Child to agent, from its main loop. Each next word comes within `allow_s` seconds, or the child hangs."""

    kind: Literal["heartbeat"] = "heartbeat"
    allow_s: Annotated[float, Field(gt=0, le=MAX_ALLOWANCE_S, allow_inf_nan=False)]


class Fault(Message):
    """Child to agent: why it cannot go on. `retry` is False when only a changed request can help.

    One that `stays` does not end: it has let go of all that it held, and waits for a first message as if it were new.
    """

    kind: Literal["fault"] = "fault"
    code: str
    who: Who
    text: str
    mend: str = ""
    retry: bool = True
    stays: bool = False


class LineBuffer:
    """Cuts a byte stream into lines. A line over the limit raises ValueError: the peer is broken."""

    def __init__(self, limit: int = MAX_LINE_BYTES) -> None:
        self._limit = limit
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        parts = (self._rest + data).split(b"\n")
        if any(len(part) > self._limit for part in parts):
            raise ValueError(f"a control line is longer than {self._limit} bytes")
        self._rest = parts.pop()
        return [part for part in parts if part]
