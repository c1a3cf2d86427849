"""Whether a command may still be obeyed, and for how long: retained, expired, or said to a clock that is wrong. Pure.

A broker keeps commands for a device that is away, and a device boots in 1970. The rules, of which the first that fits
counts:

1. A retained command is refused: it would come again with every connection.
2. By a clock that is right, the deadline counts; without one, an hour from `ts`; without either, an hour from now.
3. A clock that says less than 2024, or that is more than five minutes behind the `ts` of the command, is wrong. Then
   nobody here can tell how old the command is, so it is obeyed only if somebody vouches that it is fresh: the broker,
   by MQTT 5's message expiry; or the connection, by having brought it well after it began or with no session from
   before.
   Its time is then counted from now: from `ts` to the deadline, and never longer than its message expiry.
4. A clock that is ahead makes commands look old. They are refused, and the answer says what time it is here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from edgeagent.fleet.inbound import Command

SANE_MS: Final = 1_704_067_200_000  # 2024-01-01
AHEAD_MS: Final = 300_000
STANDARD_S: Final = 3600.0
LONGEST_S: Final = 7 * 86_400.0


@dataclass(frozen=True)
class Arrival:
    """How a command came. `expiry_s`: what is left of its MQTT 5 message expiry; `live`: the connection vouches that
    it was not kept for us."""

    retained: bool = False
    expiry_s: float | None = None
    live: bool = False


@dataclass(frozen=True)
class Fresh:
    """It may run for so long from now."""

    left_s: float


@dataclass(frozen=True)
class Stale:
    """It must not be obeyed any more."""

    code: str
    reason: str


def judge(command: Command, arrival: Arrival, now_ms: int) -> Fresh | Stale:
    if arrival.retained:
        return Stale("retained", "it is retained on the broker, and would come again; publish commands without retain")
    if clock_is_wrong(command, now_ms):
        return _by_others(command, arrival)
    return _by_clock(command, arrival, now_ms)


def clock_is_wrong(command: Command, now_ms: int) -> bool:
    return now_ms < SANE_MS or (command.ts is not None and command.ts > now_ms + AHEAD_MS)


def _by_clock(command: Command, arrival: Arrival, now_ms: int) -> Fresh | Stale:
    due_ms = command.deadline_ts
    if due_ms is None:
        due_ms = (now_ms if command.ts is None else command.ts) + round(STANDARD_S * 1000)
    if due_ms <= now_ms:
        late_s = (now_ms - due_ms) / 1000
        return Stale("expired", f"its time was up {late_s:.0f} s ago by this device's clock, which says {now_ms}")
    return Fresh(_at_most((due_ms - now_ms) / 1000, arrival))


def _by_others(command: Command, arrival: Arrival) -> Fresh | Stale:
    if arrival.expiry_s is None and not arrival.live:
        return Stale(
            "clock",
            "this device's clock is wrong, and nothing else says how old the command is; send it with a new id, and "
            "with a message expiry (MQTT 5) or while the device is connected",
        )
    if command.deadline_ts is None:
        return Fresh(_at_most(STANDARD_S, arrival))
    if command.ts is None:
        return Stale("clock", "this device's clock is wrong, so the deadline says nothing without ts")
    if command.deadline_ts <= command.ts:
        return Stale("expired", "its deadline is before its ts")
    return Fresh(_at_most((command.deadline_ts - command.ts) / 1000, arrival))


def _at_most(left_s: float, arrival: Arrival) -> float:
    return min(left_s, LONGEST_S, LONGEST_S if arrival.expiry_s is None else max(1.0, arrival.expiry_s))


def judge_after_loss(command: Command, lost_ms: int | None, now_ms: int) -> Stale | None:
    """Whether a command must be refused because the memory of earlier ones was lost then (None: never): it may have
    been done.

    One that was sent after the loss is new. One without `ts` is taken for new an hour after the loss.
    """
    if lost_ms is None:
        return None
    dated = lost_ms >= SANE_MS and not clock_is_wrong(command, now_ms)
    if dated and (command.ts > lost_ms if command.ts is not None else now_ms > lost_ms + STANDARD_S * 1000):
        return None
    return Stale(
        "forgotten",
        "the memory of earlier commands was damaged, and this one may have been done already; see what is in force, "
        "and send it with a new id and the present time as ts",
    )
