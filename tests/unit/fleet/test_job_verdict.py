"""Whether a command may still be obeyed: each rule, and each clock that lies."""

from __future__ import annotations

import pytest

from edgeagent.fleet.inbound import Command
from edgeagent.fleet.job_verdict import SANE_MS, STANDARD_S, Arrival, Fresh, Stale, judge, judge_after_loss

NOW = 1_790_000_000_000
BOOT = 40_000  # a clock that began in 1970
LIVE, KEPT = Arrival(live=True), Arrival()


def said(ts: int | None = NOW, deadline: int | None = None) -> Command:
    return Command(id="one", ts=ts, deadline_ts=deadline)


def code_of(verdict: Fresh | Stale) -> str:
    return verdict.code if isinstance(verdict, Stale) else f"{verdict.left_s:g}"


@pytest.mark.parametrize(
    ("command", "arrival", "now_ms", "expected"),
    [
        (said(), Arrival(retained=True, live=True), NOW, "retained"),
        (said(deadline=NOW + 60_000), KEPT, NOW, "60"),
        (said(deadline=NOW + 60_000), KEPT, NOW + 59_000, "1"),
        (said(deadline=NOW + 60_000), LIVE, NOW + 60_000, "expired"),
        (said(), KEPT, NOW + 10_000, f"{STANDARD_S - 10:g}"),
        (said(), KEPT, NOW + 3_600_000, "expired"),
        (said(ts=None), KEPT, NOW, f"{STANDARD_S:g}"),
        (said(ts=None, deadline=NOW - 1), LIVE, NOW, "expired"),
        # the message expiry bounds it, too
        (said(deadline=NOW + 60_000), Arrival(expiry_s=20.0), NOW, "20"),
        # a clock from 1970: somebody must vouch
        (said(deadline=NOW + 60_000), KEPT, BOOT, "clock"),
        (said(deadline=NOW + 60_000), LIVE, BOOT, "60"),
        (said(deadline=NOW + 60_000), Arrival(expiry_s=30.0), BOOT, "30"),
        (said(), LIVE, BOOT, f"{STANDARD_S:g}"),
        (said(ts=None, deadline=NOW + 60_000), LIVE, BOOT, "clock"),
        (said(deadline=NOW - 1), LIVE, BOOT, "expired"),
        # a clock that is ten minutes behind the sender's
        (said(deadline=NOW + 60_000), KEPT, NOW - 600_000, "clock"),
        (said(deadline=NOW + 60_000), LIVE, NOW - 600_000, "60"),
        # one that is four minutes behind is good enough
        (said(deadline=NOW + 60_000), KEPT, NOW - 240_000, "300"),
        # one that is ahead makes it look old
        (said(deadline=NOW + 60_000), LIVE, NOW + 600_000, "expired"),
    ],
)
def test_judged(command: Command, arrival: Arrival, now_ms: int, expected: str) -> None:
    assert code_of(judge(command, arrival, now_ms)) == expected


def test_an_expired_command_is_told_the_time_here() -> None:
    verdict = judge(said(deadline=NOW), KEPT, NOW + 5000)
    assert isinstance(verdict, Stale)
    assert "5 s ago" in verdict.reason
    assert str(NOW + 5000) in verdict.reason


@pytest.mark.parametrize(
    ("ts", "lost_ms", "now_ms", "refused"),
    [
        (NOW + 1, None, NOW, False),
        (NOW + 1, NOW, NOW + 2, False),
        (NOW, NOW, NOW + 2, True),
        (NOW - 1, NOW, NOW + 10**9, True),
        (None, NOW, NOW + 3_600_000, True),
        (None, NOW, NOW + 3_600_001, False),
        (NOW + 1, SANE_MS - 1, NOW + 2, True),  # lost while the clock was wrong
        (NOW + 1, NOW, BOOT, True),  # the clock is wrong now
    ],
)
def test_after_a_loss_only_what_is_known_to_be_younger_is_obeyed(
    ts: int | None, lost_ms: int | None, now_ms: int, *, refused: bool
) -> None:
    verdict = judge_after_loss(said(ts=ts), lost_ms, now_ms)
    assert (verdict is not None) == refused
    assert verdict is None or verdict.code == "forgotten"
