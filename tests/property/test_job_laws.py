"""Laws of commands, for messages, orders and ends that nobody thought of."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from edgeagent.app.command_kind import CommandError, Life, parse_args
from edgeagent.app.commands_all import KINDS
from edgeagent.app.job_intake import MAX_BYTES, Arrived, Known, Refusal, Taken, judge_arrived
from edgeagent.app.redact import HIDDEN, redact
from edgeagent.clock import ManualClock
from edgeagent.fleet.answers import LAST_WORDS, Job
from edgeagent.fleet.inbound import Command
from edgeagent.fleet.job_machine import EVENTS, IllegalStepError, is_final, step
from edgeagent.fleet.job_reply import reply_problem
from edgeagent.fleet.job_verdict import LONGEST_S, SANE_MS, Arrival, Fresh, judge

NOW = 1_790_000_000_000

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
TIMES = st.none() | st.integers(0, 2 * SANE_MS) | st.integers(NOW - 10**8, NOW + 10**8)
COMMANDS = st.fixed_dictionaries(
    {"id": st.sampled_from(["a", "b"]) | st.text(max_size=5)},
    optional={
        "args": st.dictionaries(st.text(max_size=5), JSON, max_size=2) | JSON,
        "ts": TIMES | JSON,
        "deadline_ts": TIMES,
        "reply_to": st.text(max_size=30),
        "by": st.text(max_size=5),
        "more": JSON,
    },
)
PAYLOADS = (
    st.binary(max_size=80)
    | COMMANDS.map(lambda data: json.dumps(data).encode())
    | JSON.map(lambda data: json.dumps(data).encode())
)
ARRIVALS = st.builds(Arrival, st.booleans(), st.none() | st.floats(0, 1e9), st.booleans())


@given(st.lists(st.sampled_from(EVENTS), max_size=8))
def test_a_last_word_never_changes(events: list[Any]) -> None:
    state: Any = "new"
    for event in events:
        before = state
        try:
            state = step(state, event)
        except IllegalStepError:
            assert state == before
        else:
            assert not is_final(before)
    assert is_final(state) == (state in LAST_WORDS)


@given(st.builds(Command, id=st.just("a"), ts=TIMES, deadline_ts=TIMES), ARRIVALS, st.integers(0, 4 * SANE_MS))
def test_what_is_fresh_has_time_left_and_is_not_retained(command: Command, arrival: Arrival, now_ms: int) -> None:
    verdict = judge(command, arrival, now_ms)
    if isinstance(verdict, Fresh):
        assert not arrival.retained
        assert 0 < verdict.left_s <= LONGEST_S
        if now_ms < SANE_MS:
            assert arrival.live or arrival.expiry_s is not None
        elif command.deadline_ts is not None and (command.ts is None or command.ts <= now_ms):
            assert command.deadline_ts > now_ms


@given(st.text(max_size=60))
def test_an_answers_topic_is_one_that_can_be_published_on_and_commands_nobody(topic: str) -> None:
    if not reply_problem(topic):
        assert topic
        assert not set(topic) & set("+#\0\n")
        assert "/cmd/" not in topic or not topic.startswith("edgeagent/v1/") or topic.split("/")[3] == "_reply"


@given(st.sampled_from(["build", "nope", "restart"]), PAYLOADS, ARRIVALS, st.none() | st.integers(0, 2 * NOW))
def test_any_message_gets_a_verdict_and_any_refusal_can_be_said(
    name: str, payload: bytes, arrival: Arrival, lost_ms: int | None
) -> None:
    arrived = Arrived(name, "device", payload, arrival, response_topic="answers", correlation=b"x" * 5000)
    verdict = judge_arrived(arrived, None, lost_ms, NOW)
    clock, life = ManualClock(wall_ms=NOW), Life("b-1", "boot")
    assert not isinstance(verdict, Known)
    if isinstance(verdict, Refusal) and verdict.id:
        record = verdict.record(life, clock)
        Job.model_validate({"session": "b-1", "seq": 1, "ts": 1, **record.answer()})
        assert record.state == "refused"
        assert not record.args
    if isinstance(verdict, Taken):
        assert len(payload) <= MAX_BYTES
        assert not arrival.retained
        data = json.loads(payload)
        assert set(data) <= {"id", "args", "ts", "deadline_ts", "reply_to", "by"}
        record = verdict.record(life, clock, verdict.left_s)
        Job.model_validate({"session": "b-1", "seq": 1, "ts": 1, **record.answer()})
        assert len(record.correlation or b"") <= 1024


@given(
    st.sampled_from(sorted(KINDS)), st.dictionaries(st.text(max_size=8) | st.sampled_from(["pipeline", "camera"]), JSON)
)
def test_arguments_are_understood_or_refused_in_one_line(name: str, args: dict[str, Any]) -> None:
    try:
        parse_args(KINDS[name], args)
    except CommandError as error:
        assert error.error_code == "bad_args"
        assert "\n" not in error.line()
        assert len(error.line()) < 600


@given(st.text(max_size=40), st.from_regex(r"[A-Za-z0-9]{6,12}", fullmatch=True))
def test_a_password_never_survives(around: str, secret: str) -> None:
    clean = "".join(ch for ch in around if ch not in "\"'" and ch.isprintable())
    for text in (f"{clean} rtsp://u:{secret}@h/x", f"{clean} password={secret} {clean}"):
        found = redact(text)
        assert HIDDEN in found
        assert secret not in found or secret in redact(clean)
