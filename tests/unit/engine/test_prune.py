"""What goes when space is short: what nothing can use first, then the least recently used, never what is in use."""

from __future__ import annotations

from edgeagent.engine.prune import Holding, Removal, decide_prune

STORE = [
    Holding("new", "ready", 10, last_used=9),
    Holding("old", "ready", 10, last_used=2),
    Holding("oldest", "ready", 10, last_used=1, keep="previous on line-1"),
    Holding("bad", "quarantined", 10, last_used=8),
    Holding("strange", "unreadable", 10),
    Holding(".damaged-x", "damaged", 10),
    Holding("mine", "unreadable", 10, keep="pinned"),
]


def names(budget: int) -> list[str]:
    return [removal.name for removal in decide_prune(STORE, budget)]


def test_within_the_budget_nothing_goes() -> None:
    assert names(70) == names(1000) == []


def test_the_order_in_which_they_go() -> None:
    order = [".damaged-x", "strange", "bad", "old", "new"]
    for over in range(1, 6):
        assert names(70 - 10 * over) == order[:over]
    assert names(69) == order[:1], "one byte too much is too much"


def test_what_is_in_use_or_pinned_stays_whatever_the_budget() -> None:
    assert set(names(0)) == {"new", "old", "bad", "strange", ".damaged-x"}


def test_each_removal_says_why() -> None:
    assert decide_prune(STORE, 40) == [
        Removal(".damaged-x", 10, "it is damaged"),
        Removal("strange", 10, "no engine of this release"),
        Removal("bad", 10, "in quarantine"),
    ]
    assert decide_prune(STORE, 30)[-1].reason == "the least recently used"


def test_an_empty_store() -> None:
    assert decide_prune([], 0) == []
