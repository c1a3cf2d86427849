"""Which protocol to try next and when: the link's decisions, apart from its sockets. Pure.

With `auto` MQTT 5 goes first. A broker that hangs up or stays silent (amqtt does either, as the packet happens to look
to it), or says that it does not know version 5, is tried with 3.1.1 at once, and what it has answered to is
remembered. A hang-up alone proves nothing (a proxy whose broker is still starting does that too), so unless 3.1.1 gets
an answer the next attempt is version 5 again; and after a few hang-ups in a row what was remembered is forgotten,
because another broker may stand there now.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random
from typing import Final, Literal

from edgeagent.fleet.backoff import Schedule, scheduled_delay
from edgeagent.fleet.link_types import EndKind, LinkSettings, Protocol

Pace = Literal["lost", "refused", "clock", "files"]
"""The schedules of the settings."""

_NO_WORD: Final = frozenset({"hung_up", "silent", "unsupported"})
_WAIT_CODES: Final = frozenset({0x80, 0x83, 0x88, 0x89, 0x97, 0x9F})
_UNSUPPORTED_CODE: Final = 0x84
TAKEN_OVER_CODE: Final = 0x8E
_FORGET_AFTER: Final = 3
_SCHEDULE_OF: Final[dict[EndKind, Pace]] = {
    "refused": "refused",
    "displaced": "refused",
    "unsupported": "refused",
    "untrusted": "refused",
    "clock": "clock",
    "files": "files",
}


@dataclass(frozen=True)
class Ending:
    """How a connection, or the attempt at one, ended. `held_s` is how long it stood."""

    kind: EndKind
    reason: str
    code: int = 0
    held_s: float = 0.0


@dataclass(frozen=True)
class Attempts:
    """`protocol` is tried next; `spoken` is what the broker has answered to; `failures` in a row at this pace;
    `hang_ups` in a row without an answer."""

    protocol: Protocol
    spoken: Protocol | None = None
    failures: int = 0
    hang_ups: int = 0
    pace: Pace = "lost"


def first_attempt(settings: LinkSettings) -> Attempts:
    return Attempts("5" if settings.protocol == "auto" else settings.protocol)


def kind_of_refusal(code: int) -> EndKind:
    """What a failure code in a CONNACK (MQTT 5 numbering) calls for."""
    if code == _UNSUPPORTED_CODE:
        return "unsupported"
    return "unavailable" if code in _WAIT_CODES else "refused"


def after(state: Attempts, ending: Ending, settings: LinkSettings, rng: Random) -> tuple[Attempts, float]:
    """What to try next and in how many seconds."""
    state = _learn(state, ending)
    if settings.protocol == "auto" and state.spoken is None:
        if state.protocol == "5" and ending.kind in _NO_WORD:
            return replace(state, protocol="3.1.1"), 0.0
        state = replace(state, protocol="5")
    pace = _SCHEDULE_OF.get(ending.kind, "lost")
    steady = ending.held_s >= settings.stable_s
    failures = state.failures if pace == state.pace and not steady else 0
    delay_s = scheduled_delay(_schedule(settings, pace), failures, rng)
    return replace(state, failures=failures + 1, pace=pace), delay_s


def _schedule(settings: LinkSettings, pace: Pace) -> Schedule:
    schedules = {"lost": settings.lost, "refused": settings.refused, "clock": settings.clock, "files": settings.files}
    return schedules[pace]


def _learn(state: Attempts, ending: Ending) -> Attempts:
    """What this ending says about the protocol that the broker speaks."""
    if ending.kind in {"lost", "displaced", "moved", "unavailable"} or (ending.kind == "refused" and ending.code):
        return replace(state, spoken=state.protocol, hang_ups=0)
    if ending.kind not in _NO_WORD:
        return replace(state, hang_ups=0)
    forget = state.hang_ups + 1 >= _FORGET_AFTER
    return replace(state, spoken=None if forget else state.spoken, hang_ups=state.hang_ups + 1)
