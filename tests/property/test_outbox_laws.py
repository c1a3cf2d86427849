"""Laws of the outbox: backlog and file together against a model that is a few lists, through kills and power cuts."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from edgeagent.clock import ManualClock
from edgeagent.fleet.outbox_backlog import Backlog
from edgeagent.fleet.outbox_keeper import Keeper
from edgeagent.fleet.outbox_policy import OVERHEAD_BYTES, Budget, Entry, Kind, on_disk

BRANCH = "edgeagent/v1/lab/one/"
TOPICS = {Kind.EVENT: ("e/a", "e/b"), Kind.STATE: ("a/a", "a/b", "job/1"), Kind.RESULT: ("r/a/b",)}
BUDGET = Budget(12_000)
LIFE_S = {Kind.EVENT: 86_400.0, Kind.STATE: None, Kind.RESULT: 600.0}


class OutboxMachine(RuleBasedStateMachine):
    """What was published and not answered, dropped or superseded is there, in order, whatever ends the process."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="outbox-laws-"))
        self.path = self.folder / "outbox.db"
        self.boot = 1
        self.number = 0
        self.clock = ManualClock()
        self.expected: dict[int, Entry] = {}  # what the file must bring back after a kill
        self.durable: dict[int, Entry] = {}  # what it must bring back after a power cut
        self.snapshot: Path | None = None
        self.start()

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            self.keeper.close()
            shutil.rmtree(self.folder)

    def start(self) -> tuple[Entry, ...]:
        self.keeper = Keeper(self.path, f"boot{self.boot}", self.clock)
        found = self.keeper.open()
        self.backlog = Backlog(BUDGET)
        gone = self.backlog.restore(found)
        self.keeper.take((), [entry.number for entry in gone])
        for entry in gone:
            self.expected.pop(entry.number, None)
        return found

    @rule(kind=st.sampled_from(Kind), which=st.integers(0, 5), size=st.integers(0, 1500))
    def publish(self, kind: Kind, which: int, size: int) -> None:
        self.number += 1
        topic = BRANCH + TOPICS[kind][which % len(TOPICS[kind])]
        made = self.clock.monotonic_ns()
        entry = Entry(self.number, kind, topic, bytes(size), kind is Kind.STATE, made, 0, LIFE_S[kind])
        admission = self.backlog.put(entry)
        self.keeper.take([entry] if admission.taken else [], [old.number for old in admission.gone])
        for old in admission.gone:
            self.expected.pop(old.number, None)
            self.durable.pop(old.number, None)
            assert old.kind >= kind or old.topic == topic  # nothing of a higher rank is displaced
        if admission.taken:
            self.expected[entry.number] = entry
        self.keeper.work(online=True)

    @rule()
    def hand_out(self) -> None:
        entry = self.backlog.next()
        if entry is not None:
            self.backlog.hand_out(entry)

    @precondition(lambda self: self.backlog.out)
    @rule(choice=st.integers(0, 100))
    def answer(self, choice: int) -> None:
        out = sorted(self.backlog._out)
        number = out[choice % len(out)]
        assert self.backlog.remove(number) is not None
        self.keeper.take((), [number])
        self.expected.pop(number)
        self.durable.pop(number, None)
        self.keeper.work(online=True)

    @rule()
    def flush(self) -> None:
        self.keeper.work(online=True, sync=True)
        self.durable = dict(self.expected)
        self.snapshot = self.folder / "snapshot"
        shutil.rmtree(self.snapshot, ignore_errors=True)
        self.snapshot.mkdir()
        for part in self.folder.glob("outbox.db*"):
            shutil.copy(part, self.snapshot)

    @rule(seconds=st.sampled_from([0.1, 1.0, 6.0, 70.0]), wall=st.integers(-(10**9), 10**12))
    def time_passes(self, seconds: float, wall: int) -> None:
        self.clock.advance(seconds)
        self.clock.set_wall(max(0, wall))
        self.keeper.work(online=True)

    @rule(reboot=st.booleans())
    def killed(self, reboot: bool) -> None:
        """The page cache is the disk's content for the next process."""
        away = self.folder / "away"
        away.mkdir()
        for part in self.folder.glob("outbox.db*"):
            shutil.copy(part, away)
        self.keeper.close()
        self.put_in_place(away)
        shutil.rmtree(away)
        self.boot += reboot
        self.check(self.start(), self.expected)

    @precondition(lambda self: self.snapshot is not None)
    @rule()
    def power_cut(self) -> None:
        """Everything after the last sync is gone: the worst that can happen to a disk that keeps its promises."""
        assert self.snapshot is not None
        self.keeper.close()
        self.put_in_place(self.snapshot)
        self.boot += 1
        self.clock = ManualClock(monotonic_ns=5_000_000_000, wall_ms=0)
        found = self.start()
        missing = [number for number in self.durable if number not in {entry.number for entry in found}]
        assert not missing
        self.expected = {entry.number: entry for entry in self.backlog}  # answered ones may be back
        self.durable = dict(self.expected)

    def put_in_place(self, folder: Path) -> None:
        for part in self.folder.glob("outbox.db*"):
            part.unlink()
        for part in folder.iterdir():
            shutil.copy(part, self.folder)

    def check(self, found: tuple[Entry, ...], expected: dict[int, Entry]) -> None:
        """Answered ones may come back, because deletions wait; everything else is exactly what was kept."""
        numbers = [entry.number for entry in found]
        assert numbers == sorted(set(numbers))
        assert expected.keys() <= set(numbers)
        for entry in found:
            if entry.number in expected:
                kept = expected[entry.number]
                assert (entry.topic, entry.payload, entry.kind) == (kept.topic, kept.payload, kept.kind)
        self.expected = {entry.number: entry for entry in self.backlog}

    @invariant()
    def bounds_hold(self) -> None:
        if not hasattr(self, "backlog"):
            return
        entries = list(self.backlog)
        assert self.backlog.bytes == sum(entry.size for entry in entries) <= BUDGET.total
        for kind in Kind:
            assert sum(entry.size for entry in entries if entry.kind is kind) <= BUDGET.of(kind)
        states = [entry.topic for entry in entries if entry.kind is Kind.STATE]
        assert len(states) == len(set(states))
        assert {entry.number for entry in entries} == set(self.expected)
        assert self.keeper.view.on_disk
        assert self.keeper.view.set_aside == ()


TestOutbox = OutboxMachine.TestCase
TestOutbox.settings = settings(
    max_examples=40, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)

ENTRIES = st.lists(
    st.tuples(st.sampled_from(Kind), st.integers(0, 2), st.integers(0, 3000), st.booleans()), min_size=1, max_size=60
)


@given(ENTRIES, st.integers(2000, 30_000))
def test_one_topics_messages_are_handed_out_in_the_order_in_which_they_came(
    wanted: list[tuple[Kind, int, int, bool]], total: int
) -> None:
    backlog = Backlog(Budget(total))
    handed: list[Entry] = []
    given_up = 0
    for number, (kind, which, size, hand) in enumerate(wanted, start=1):
        topic = f"{BRANCH}{kind.name}/{which}"
        entry = Entry(number, kind, topic, bytes(size), kind is Kind.STATE, 0, 0, LIFE_S[kind])
        admission = backlog.put(entry)
        given_up += not admission.taken
        given_up += sum(old.kind is not Kind.STATE or old.topic != topic for old in admission.gone)
        following = backlog.next()
        if hand and following is not None:
            backlog.hand_out(following)
            handed.append(following)
    assert given_up == backlog.losses.full
    for topic in {entry.topic for entry in handed}:
        numbers = [entry.number for entry in handed if entry.topic == topic]
        assert numbers == sorted(numbers)


@given(st.sampled_from(Kind), st.floats(1, 1e6), st.integers(0, 10**15))
def test_a_message_is_good_until_its_time_and_then_over(kind: Kind, life_s: float, made_ns: int) -> None:
    entry = Entry(1, kind, "t", b"", False, made_ns, 0, life_s)
    expires_ns = entry.expires_ns
    assert expires_ns is not None
    assert not entry.over(expires_ns - 1)
    assert entry.over(expires_ns)
    assert not replace(entry, life_s=None).over(10**20)
    assert entry.size == len("t") + OVERHEAD_BYTES
    assert on_disk(entry) == (kind is not Kind.RESULT or life_s > 60)
