"""When a release on trial is healthy: every way in which one is not, and what is not held against it."""

from __future__ import annotations

from typing import Any

import pytest

from edgeagent.install.verdict import STEADY_S, Baseline, Seen, Verdict, Watch, judge

BEFORE = Baseline({"camera/belt": "ok", "camera/yard": "failed", "link": "ok"}, results=True, connected=True)
DEADLINE = 90.0


def status(state: str = "ready", *, results: int = 5, connected: bool = True, **components: str) -> dict[str, Any]:
    named = {name.replace("__", "/"): {"health": word, "reason": "why"} for name, word in components.items()}
    return {"state": state, "results": results, "connected": connected, "components": named}


def seen(pid: int = 7, active: str = "active", restarts: int = 0, **about: Any) -> Seen:
    return Seen(active, pid, restarts, status(**about))


def watched(*looks: tuple[float, Seen], baseline: Baseline = BEFORE) -> Verdict:
    """The verdict after these looks."""
    watch, verdict = Watch(), Verdict("wait")
    for now, found in looks:
        assert verdict.word == "wait", "it was judged before"
        watch, verdict = judge(baseline, watch, found, now, DEADLINE)
    return verdict


def test_one_that_stays_up_and_works_is_healthy_and_not_before_it_has_stayed_up() -> None:
    assert watched((1, seen())).word == "wait"
    assert watched((1, seen()), (0.9 + STEADY_S, seen())).word == "wait"
    assert watched((1, seen()), (1 + STEADY_S, seen())) == Verdict("healthy")


def test_a_process_that_was_replaced_has_to_stay_up_anew() -> None:
    assert watched((1, seen(7)), (4, seen(8, restarts=1)), (1 + STEADY_S, seen(8, restarts=1))).word == "wait"


def test_a_crash_loop_is_not_watched_to_the_end() -> None:
    verdict = watched((1, seen()), (6, seen(0, "activating", restarts=3)))
    assert (verdict.word, verdict.reason) == ("sick", "it crashed 3 times within its trial")
    assert watched((1, seen(0, "failed"))).word == "sick"


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (Seen("activating", 0, 0, None), "the service is activating"),
        (Seen("active", 7, 0, None), "it says nothing of its state"),
        (seen(state="init"), "it says init"),
        (seen(camera__belt="failed"), "camera/belt has failed: why"),
        (seen(connected=False), "the broker was reached before"),
        (seen(results=0), "there were results before"),
    ],
)
def test_what_is_lacking_is_waited_for_and_then_the_reason(found: Seen, reason: str) -> None:
    early, late = watched((1, found)), watched((1, found), (DEADLINE, found))
    assert (early.word, late.word) == ("wait", "sick")
    assert reason in early.reason and reason in late.reason


@pytest.mark.parametrize(
    "found", [seen(state="degraded"), seen(camera__yard="failed"), seen(camera__belt="degraded"), seen(new="failed")]
)
def test_what_was_ill_before_or_is_new_is_not_held_against_it(found: Seen) -> None:
    assert watched((1, found), (10, found)).word == "healthy"


def test_a_first_install_need_not_reach_a_broker_or_have_results() -> None:
    found = seen(results=0, connected=False)
    assert watched((1, found), (10, found), baseline=Baseline()).word == "healthy"


def test_one_that_never_stays_up_is_sick_in_the_end() -> None:
    looks = [(float(at), seen(pid=at, restarts=2)) for at in range(1, int(DEADLINE), 4)]
    assert watched(*looks, (DEADLINE, seen(999, restarts=2))) == Verdict("sick", "it has not stayed up")
