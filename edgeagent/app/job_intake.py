"""From a message on a command's topic to a verdict on it: taken, known already, or refused. Pure.

What only the device can tell (whether it obeys the command, what its arguments mean) is the desk's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

from pydantic import JsonValue, TypeAdapter, ValidationError

from edgeagent.app.command_kind import Life
from edgeagent.clock import Clock
from edgeagent.fleet.answers import JobWord
from edgeagent.fleet.envelope import Id, MessageError, Part
from edgeagent.fleet.inbound import Command, Scope, parse_command
from edgeagent.fleet.job_machine import step
from edgeagent.fleet.job_record import JobRecord, digest_of
from edgeagent.fleet.job_reply import reply_problem
from edgeagent.fleet.job_verdict import Arrival, Stale, judge, judge_after_loss

MAX_BYTES = 32_768
MAX_CORRELATION = 1024
FRESH = Arrival()


class _Named(Part):
    """What has an id, whatever else is wrong with it."""

    id: Id
    by: str = ""


_NAMED: TypeAdapter[_Named] = TypeAdapter(_Named)


@dataclass(frozen=True)
class Arrived:
    """A message on a command's topic. `acknowledge`: it is stored, or will never be."""

    name: str
    scope: Scope
    payload: bytes
    arrival: Arrival = FRESH
    response_topic: str = ""
    correlation: bytes | None = None
    acknowledge: Callable[[], None] = lambda: None

    @cached_property
    def parsed(self) -> Command | MessageError:
        if len(self.payload) > MAX_BYTES:
            return MessageError(f"it has {len(self.payload)} bytes, and {MAX_BYTES} are allowed", code="too_large")
        try:
            return parse_command(self.payload)
        except MessageError as error:
            return error

    @cached_property
    def id(self) -> str:
        """Which job; empty where the message does not say."""
        if isinstance(self.parsed, Command):
            return self.parsed.id
        if len(self.payload) > MAX_BYTES:
            return ""
        try:
            return _NAMED.validate_json(self.payload).id
        except ValidationError:
            return ""

    @property
    def reply_to(self) -> str:
        """Where the answer shall go beside the job's topic: what the payload says counts before MQTT 5's property."""
        named = self.parsed.reply_to if isinstance(self.parsed, Command) else None
        return named or self.response_topic


@dataclass(frozen=True)
class Known:
    """The same command was here before: its last word once more."""

    arrived: Arrived
    record: JobRecord

    def asked(self, record: JobRecord) -> JobRecord:
        """`record` for whoever asks now: a repeated command may want its answer elsewhere."""
        reply_to = self.arrived.reply_to
        if not reply_to or reply_problem(reply_to):
            return record
        return replace(record, reply_to=reply_to, correlation=_correlation(self.arrived))


@dataclass(frozen=True)
class Refusal:
    """Nothing is done. Without an `id` nobody can be answered."""

    arrived: Arrived
    id: str
    code: str
    reason: str

    def record(self, life: Life, clock: Clock) -> JobRecord:
        command = self.arrived.parsed if isinstance(self.arrived.parsed, Command) else None
        return _record(
            self.arrived, command, self.id, step("new", "refuse"), life, clock, 0.0, code=self.code, reason=self.reason
        )


@dataclass(frozen=True)
class Taken:
    """It may be done, if the device can and will: within `left_s`."""

    arrived: Arrived
    command: Command
    left_s: float

    @property
    def name(self) -> str:
        return self.arrived.name

    @property
    def args(self) -> dict[str, JsonValue]:
        return self.command.args

    def refusal(self, code: str, reason: str) -> Refusal:
        return Refusal(self.arrived, self.command.id, code, reason)

    def record(self, life: Life, clock: Clock, left_s: float) -> JobRecord:
        return _record(self.arrived, self.command, self.command.id, step("new", "accept"), life, clock, left_s)


def judge_arrived(
    arrived: Arrived, known: JobRecord | None, lost_ms: int | None, now_ms: int
) -> Taken | Known | Refusal:
    """`known`: what the book says of its id; `lost_ms`: when the book was lost, None for never."""
    command = arrived.parsed
    if isinstance(command, MessageError):
        return Refusal(arrived, arrived.id, _code_of(command), command.message)
    if known is not None and known.digest == digest_of(arrived.name, command.args):
        return Known(arrived, known)
    found = _no_good(arrived, command, known) or judge_after_loss(command, lost_ms, now_ms)
    verdict = found or judge(command, arrived.arrival, now_ms)
    if isinstance(verdict, Stale):
        return Refusal(arrived, command.id, verdict.code, verdict.reason)
    return Taken(arrived, command, verdict.left_s)


def _no_good(arrived: Arrived, command: Command, known: JobRecord | None) -> Stale | None:
    if known is not None:
        reason = f"the id {command.id} is that of another command, {known.name}; every command wants its own"
        return Stale("id_reused", reason)
    if arrived.reply_to and (problem := reply_problem(arrived.reply_to)):
        return Stale("bad_reply_to", f"no answer can go to that topic: {problem}")
    return None


def _code_of(error: MessageError) -> str:
    return "bad_message" if error.error_code == "message" else error.error_code


def _record(
    arrived: Arrived,
    command: Command | None,
    job: str,
    state: JobWord,
    life: Life,
    clock: Clock,
    left_s: float,
    *,
    code: str = "",
    reason: str = "",
) -> JobRecord:
    now_ms, args = clock.wall_ms(), command.args if command is not None else {}
    reply_to = "" if reply_problem(arrived.reply_to) else arrived.reply_to
    refused = state == "refused"
    fallback = None if refused else now_ms + round(left_s * 1000)
    return JobRecord(
        id=job,
        name=arrived.name,
        args={} if refused else args,
        digest=digest_of(arrived.name, args),
        state=state,
        scope=arrived.scope,
        by=command.by if command is not None else "",
        accepted_ms=now_ms,
        deadline_ms=fallback,
        until_ns=clock.monotonic_ns() + round(left_s * 1e9),
        boot=life.boot,
        session=life.session,
        ended_ms=now_ms if refused else None,
        code=code,
        reason=" ".join(reason.split())[:600],
        reply_to=reply_to,
        correlation=_correlation(arrived),
    )


def _correlation(arrived: Arrived) -> bytes | None:
    """Cut off where it is longer than anybody needs."""
    return (arrived.correlation or b"")[:MAX_CORRELATION] or None
