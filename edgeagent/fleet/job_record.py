"""What is known of one command: its record, as the book keeps it and as its answer says it. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from pydantic import JsonValue

from edgeagent.fleet.answers import JobWord
from edgeagent.fleet.inbound import Scope
from edgeagent.fleet.job_machine import Event, is_final, step

MAX_RESULT_BYTES: Final = 80_000
MAX_REASON: Final = 600


@dataclass(frozen=True)
class JobRecord:
    """`until_ns` is the deadline on the monotonic clock of the boot `boot`, `session` the agent's run that took it.
    `told`: its topic is retained on the broker."""

    id: str
    name: str
    args: Mapping[str, JsonValue]
    digest: str
    state: JobWord
    scope: Scope
    by: str
    accepted_ms: int
    deadline_ms: int | None
    until_ns: int
    boot: str
    session: str
    ended_ms: int | None = None
    code: str = ""
    reason: str = ""
    result: Mapping[str, JsonValue] | None = None
    reply_to: str = ""
    correlation: bytes | None = field(default=None, repr=False)
    told: bool = True

    @property
    def final(self) -> bool:
        return is_final(self.state)

    def after(
        self,
        event: Event,
        now_ms: int,
        *,
        code: str = "",
        reason: str = "",
        result: Mapping[str, JsonValue] | None = None,
    ) -> JobRecord:
        """The record one step on. Raises IllegalStepError."""
        state = step(self.state, event)
        ended = now_ms if is_final(state) else None
        args = {} if is_final(state) else self.args  # nobody needs them any more, and they may be large
        return replace(
            self,
            args=args,
            state=state,
            ended_ms=ended,
            code=code,
            reason=_short(reason),
            result=_bounded(result),
            told=True,
        )

    def again(self, boot: str, session: str, until_ns: int) -> JobRecord:
        """The record of a job that another run of the agent takes up: it waits for its turn once more."""
        return replace(self, state="accepted", boot=boot, session=session, until_ns=until_ns)

    def answer(self, *, phase: str = "", percent: float | None = None) -> dict[str, Any]:
        """The values of the message that says how it goes."""
        return {
            "id": self.id,
            "name": self.name,
            "state": self.state,
            "phase": phase,
            "percent": percent,
            "code": self.code,
            "reason": self.reason,
            "result": None if self.result is None else dict(self.result),
            "scope": self.scope,
            "by": self.by,
            "accepted_ts": self.accepted_ms,
            "deadline_ts": self.deadline_ms,
            "ended_ts": self.ended_ms,
        }


def digest_of(name: str, args: Mapping[str, JsonValue]) -> str:
    """What makes a command the same one: its name and its arguments."""
    text = json.dumps([name, args], sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= MAX_REASON else line[: MAX_REASON - 3] + "..."


def _bounded(result: Mapping[str, JsonValue] | None) -> Mapping[str, JsonValue] | None:
    """A result that no broker would take is replaced by a word that says so."""
    if result is None:
        return None
    size = len(json.dumps(result).encode())
    return result if size <= MAX_RESULT_BYTES else {"too_large": True, "bytes": size}
