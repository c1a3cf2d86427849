"""The desired config's files, with the program killed, or the disk full, right before every step that changes them.

What is started afterwards is on the last good config or on the one that was committed, never on what was being tried;
a trial that was cut off is found, or has its answer.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from test_store_kit import stopped_at_each_step

from edgeagent.config.desired import Answer
from edgeagent.config.desired_store import DesiredStore, Stored

pytestmark = pytest.mark.timeout(180)

COMMON = """
from edgeagent.config.desired import Answer, Kept
from edgeagent.config.desired_store import Committed, DesiredStore
OLD, NEW = Kept(1, {"mqtt": {"keepalive_s": 20}}, "one"), Kept(2, {"mqtt": {"keepalive_s": 21}}, "two")

def before(folder):
    store = DesiredStore(folder)
    %s

def work(folder):
    store = DesiredStore(folder)
    %s
"""
GOOD = "store.commit(Committed(OLD, Kept()), Answer(1, 'committed', 'one'))"
TRYING = f"{GOOD}; store.keep_trial(NEW)"
COMMIT = "store.commit(Committed(NEW, OLD), Answer(2, 'committed', 'two'))"
UNDO = "store.answer(Answer(2, 'rolled_back', 'two', 'why'))"

SCENARIOS = {
    "the first trial ever": ("pass", "store.keep_trial(NEW)", {(0, "none", None), (0, "none", 2)}),
    "a trial": (GOOD, "store.keep_trial(NEW)", {(1, "committed", None), (1, "committed", 2)}),
    "a commit": (TRYING, COMMIT, {(1, "committed", 2), (2, "committed", None)}),
    "a rollback": (TRYING, UNDO, {(1, "committed", 2), (1, "rolled_back", None)}),
    "the first commit ever": ("store.keep_trial(NEW)", COMMIT, {(0, "none", 2), (2, "committed", None)}),
    "a rejection": (
        GOOD,
        "store.answer(Answer(2, 'rejected', 'two', 'why'))",
        {(1, "committed", None), (1, "rejected", None)},
    ),
    "a whole trial": (
        GOOD,
        f"store.keep_trial(NEW); {COMMIT}",
        {(1, "committed", None), (1, "committed", 2), (2, "committed", None)},
    ),
}


def seen(stored: Stored) -> tuple[int, str, int | None]:
    return stored.committed.kept.version, stored.answered.state, stored.trial.version if stored.trial else None


def goes_on(folder: Path) -> None:
    """As every start does: what is left of a trial gets its answer; and the next trial works."""
    store = DesiredStore(folder)
    stored = store.load()
    if stored.trial is not None:
        store.answer(Answer(stored.trial.version, "rolled_back", stored.trial.digest))
    elif store.has_trial():
        store.answer(stored.answered)
    tidy = store.load()
    assert (tidy.committed, tidy.trial, store.has_trial()) == (stored.committed, None, False)
    for kept in (stored.committed.kept, stored.trial):
        if kept is not None and kept.version:
            store.keep_trial(kept)
    assert not list((folder / "config").glob("*.damaged"))


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_kill_at_any_step(tmp_path: Path, name: str) -> None:
    before, work, states = SCENARIOS[name]
    *stopped, through = stopped_at_each_step(COMMON % (before, work), tmp_path, "kill")
    assert {step.end for step in stopped} == {"killed"} and through.end == "done"
    assert len(stopped) >= 6, "fewer steps than the work has: the kit sees nothing"
    found = set()
    for step in (*stopped, through):
        stored = DesiredStore(step.folder).load()
        assert stored.damaged == (), step.what
        assert seen(stored) in states, step.what
        found.add(seen(stored))
        goes_on(step.folder)
    assert found == states, "every state was met"
    print(f"{name}: {len(stopped)} kills")


@pytest.mark.parametrize("mode", ["once", "full"])
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_full_disk_at_any_step(tmp_path: Path, name: str, mode: str) -> None:
    before, work, states = SCENARIOS[name]
    lines = "\n    ".join(["try:", f"    {work}", "except OSError:", "    pass"])
    steps = stopped_at_each_step(COMMON % (before, lines), tmp_path, mode)
    for step in steps:
        stored = DesiredStore(step.folder).load()
        assert stored.damaged == (), step.what
        assert seen(stored) in states, step.what
        goes_on(step.folder)
