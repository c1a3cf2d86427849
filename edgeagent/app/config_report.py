"""What is said on config/reported: values for the message, made from the answer and from what is in force. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edgeagent.camera.spec import redact_url
from edgeagent.config.desired import MAX_MISTAKES, Answer, Kept, hash_of
from edgeagent.config.mistake import Mistake
from edgeagent.config.schema import Config

ACKS = {"none": 200, "committed": 200, "trial": 202, "rejected": 400, "ignored": 409, "rolled_back": 500}
MAX_REASON = 2000


def report_of(answer: Answer, in_force: Kept, config: Config) -> dict[str, object]:
    """The answer to the newest wish."""
    return {
        **_base(answer.state, in_force, config),
        "version": answer.version,
        "reason": answer.reason,
        "errors": [{"path": path, "message": message, "mend": mend} for path, message, mend in answer.errors],
        "restarted": answer.restarted,
        "by": answer.by,
        "since_ts": answer.since_ts,
    }


def trial_report(
    tried: Kept, in_force: Kept, config: Config, *, left_s: int, restarted: Sequence[str], reason: str, since_ts: int
) -> dict[str, object]:
    """A wish is on trial. `config` is what is tried."""
    return {
        **_base("trial", in_force, config),
        "version": tried.version,
        "reason": reason,
        "trial_left_s": left_s,
        "restarted": tuple(restarted),
        "by": tried.by,
        "since_ts": since_ts,
    }


def refused_report(
    state: str, version: int, reason: str, in_force: Kept, config: Config, *, answered: int, by: str, now_ms: int
) -> dict[str, object]:
    """A wish that is not remembered: it is older, or cannot be read."""
    return {
        **_base(state, in_force, config),
        "version": version,
        "reason": reason[:MAX_REASON],
        "answered": answered,
        "by": by,
        "since_ts": now_ms,
    }


def errors_of(mistakes: Sequence[Mistake]) -> tuple[tuple[str, str, str], ...]:
    """The first mistakes, as an answer keeps them; texts are of one line and not longer than needed."""
    return tuple((_line(m.path), _line(m.message), _line(m.mend)) for m in mistakes[:MAX_MISTAKES])


def _line(text: str) -> str:
    return " ".join(text.encode("utf-8", "backslashreplace").decode().split())[:500]


def _base(state: str, in_force: Kept, config: Config) -> dict[str, object]:
    return {
        "state": state,
        "ack": ACKS[state],
        "in_force": in_force.version,
        "hash": hash_of(config),
        "desired": _without_secrets(in_force.layer),
    }


def _without_secrets(value: Any) -> Any:  # noqa: ANN401 - whatever JSON holds
    if isinstance(value, dict):
        return {key: _without_secrets(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_without_secrets(inner) for inner in value]
    return redact_url(value) if isinstance(value, str) else value
