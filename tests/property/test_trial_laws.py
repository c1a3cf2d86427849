"""Laws of a trial, for any order of events, with the power cut at any step: what is begun ends committed or taken back,
and a device is never without its last good config.

The machine here is the desk in small: the real table, the real files, and a power cut between any two actions.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from edgeagent.config.desired import Answer, Kept
from edgeagent.config.desired_store import Committed, DesiredStore
from edgeagent.config.trial import (
    Action,
    Applied,
    Begin,
    Course,
    Drop,
    Event,
    Failed,
    Found,
    Look,
    Stored,
    Times,
    Undone,
    Word,
    step,
)

WORDS: st.SearchStrategy[Word] = st.sampled_from(("met", "waiting", "unmet", "hopeless"))
TIMES = st.builds(Times, st.floats(1, 100), st.floats(1, 1000))


@given(TIMES, st.lists(st.tuples(st.floats(0.1, 30.0), WORDS), max_size=200), WORDS)
def test_every_trial_ends_in_time(times: Times, looks: list[tuple[float, Word]], last: Word) -> None:
    course, _ = step(Course(), Begin(times))
    course, _ = step(course, Applied(0.0))
    now_s, longest_s = 0.0, 30.0
    for pause_s, word in [*looks, *((1.0, last) for _ in range(1200))]:
        now_s += pause_s
        course, actions = step(course, Look(word, "", now_s))
        if actions:
            break
    assert course.state in ("keeping", "undoing")
    # All may be met from the first look after the limit on, and one look later that has been so for long enough.
    assert now_s <= times.limit_s + times.trial_s + 2 * longest_s


@given(TIMES, st.lists(st.tuples(st.floats(0.1, 30.0), WORDS), max_size=100))
def test_only_what_was_met_for_long_enough_is_kept(times: Times, looks: list[tuple[float, Word]]) -> None:
    course = step(step(Course(), Begin(times))[0], Applied(0.0))[0]
    now_s, met_since_s = 0.0, None
    for pause_s, word in looks:
        now_s += pause_s
        met_since_s = (met_since_s if met_since_s is not None else now_s) if word == "met" else None
        course, actions = step(course, Look(word, "", now_s))
        if "commit" in actions:
            assert met_since_s is not None and now_s - met_since_s >= times.trial_s
        if actions:
            return


class Trial(RuleBasedStateMachine):
    """`good`: the version that the device must be able to come back to; `in_force`: what it is set to now."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.good = self.in_force = 0
        self.newest = 0
        self.start()

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    def start(self) -> None:
        """As the agent does: what the disk says, and the answer that a cut has left open."""
        self.store = DesiredStore(self.folder)
        stored = self.store.load()
        assert stored.damaged == ()
        self.committed, self.answered = stored.committed, stored.answered
        self.in_force, self.trying, self.course = self.committed.kept.version, stored.trial, Course()
        self.now_s = 0.0
        if stored.trial is not None:
            self.course, _ = step(self.course, Found("cut"))
            self.settle()
        elif self.store.has_trial():
            self.store.answer(stored.answered)

    def go(self, event: Event, cut_after: int = 99) -> None:
        """The event's actions, or only the first of them before the power is cut."""
        self.course, actions = step(self.course, event)
        for number, action in enumerate(actions):
            if number >= cut_after:
                return self.start()
            self.do(action)
        return None

    def do(self, action: Action) -> None:
        assert self.trying is not None or action == "settle"
        if action == "keep":
            self.store.keep_trial(self.trying or Kept())
        elif action == "apply":
            self.in_force = (self.trying or Kept()).version
        elif action == "commit" and self.trying is not None:
            self.committed = Committed(self.trying, self.committed.kept)
            self.store.commit(self.committed, Answer(self.trying.version, "committed", self.trying.digest))
            self.good = self.trying.version
        elif action == "finish":
            self.answered, self.trying = self.store.load().answered, None
        elif action == "undo":
            self.in_force = self.committed.kept.version
        elif action == "settle":
            self.settle()

    def settle(self) -> None:
        assert self.trying is not None
        self.answered = Answer(self.trying.version, "rolled_back", self.trying.digest)
        self.store.answer(self.answered)
        self.trying = None

    @precondition(lambda self: self.course.state == "idle")
    @rule(times=TIMES, cut=st.integers(0, 4))
    def wish(self, times: Times, cut: int) -> None:
        self.newest += 1
        self.trying = Kept(self.newest, {"v": self.newest}, f"d{self.newest}")
        self.go(Begin(times), cut)

    @precondition(lambda self: self.course.state == "applying")
    @rule(works=st.booleans())
    def applied(self, works: bool) -> None:
        self.go(Applied(self.now_s) if works else Failed("x"))

    @precondition(lambda self: self.course.state == "trial")
    @rule(word=WORDS, pause_s=st.floats(0.5, 200.0), cut=st.integers(0, 3))
    def look(self, word: Word, pause_s: float, cut: int) -> None:
        self.now_s += pause_s
        self.go(Look(word, "why", self.now_s), cut)

    @precondition(lambda self: self.course.state == "trial")
    @rule()
    def newer(self) -> None:
        self.go(Drop("newer"))

    @precondition(lambda self: self.course.state == "keeping")
    @rule()
    def stored(self) -> None:
        self.go(Stored())

    @precondition(lambda self: self.course.state == "undoing")
    @rule(works=st.booleans())
    def undone(self, works: bool) -> None:
        self.go(Undone() if works else Failed("x"))

    @precondition(lambda self: self.course.state == "broken")
    @rule()
    def another_process(self) -> None:
        self.start()

    @rule()
    def power_cut(self) -> None:
        self.start()

    @invariant()
    def the_last_good_one_is_there(self) -> None:
        assert self.store.load().committed.kept.version == self.good

    @invariant()
    def what_is_in_force_is_good_or_on_trial(self) -> None:
        trying = self.trying.version if self.trying is not None else None
        assert self.in_force in (self.good, trying)
        if self.course.state == "idle":
            assert self.in_force == self.good and self.trying is None and not self.store.has_trial()

    @invariant()
    def a_config_on_trial_is_on_the_disk(self) -> None:
        if self.in_force != self.good:
            assert self.store.has_trial(), "a crash now would not be found"


TestTrial = Trial.TestCase
TestTrial.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
