"""Whatever is killed or full while the store or a calibration set is written: entries are whole or absent.

Run with `-s` to see how many were killed, and where. The kills at random moments are many and marked slow.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE, Popen

import pytest
from test_store_kit import KIT, Step, killed_at_each_step, killed_at_random, small_disk, stopped_at_each_step, table

from edgeagent.engine.calibration import SetWriter, find_set, set_lock, sweep_sets
from edgeagent.engine.store import EngineStore
from edgeagent.errors import StoreError

sys.path.append(str(KIT))
from engine_kit import KEY, OTHER_KEY, noise_frames, put_entry

THIRD_KEY = "00112233445566778899aabbccddeeff"
PLAN = b"plan" * 5000
FINGERPRINT = {"soc": "tegra234"}

# what is stopped: `before` makes the store, `work` is stopped; both see these names
COMMON = f"""
from engine_kit import KEY, OTHER_KEY, put_entry, put_signed
from edgeagent.engine.store import EngineStore
THIRD_KEY, PLAN, FINGERPRINT = {THIRD_KEY!r}, b"plan" * 5000, {FINGERPRINT!r}
FILES = {{"calibration.cache": b"scales" * 500, "build.log": b"a line\\n" * 500}}

def opened(folder):
    return EngineStore(folder / "engines")

def before(folder):
    pass
"""


def scenario(before: str, work: str) -> str:
    """Code for the kit: the lines of `before` and `work` have `store` and `folder`."""
    blocks = [COMMON]
    for name, lines in (("before", before), ("work", work)):
        body = ["store = opened(folder)", *lines.strip().splitlines()]
        blocks.append(f"def {name}(folder):\n" + "\n".join(f"    {line}" for line in body))
    return "\n\n".join(blocks if before else [blocks[0], blocks[2]])


Check = Callable[[EngineStore], object]


def look_at_key(store: EngineStore) -> object:
    """Whether the entry is there; what is there is whole."""
    entry = store.find(KEY)
    assert entry is None or entry.plan_path.read_bytes() == PLAN
    return entry is not None


def look_at_signed(store: EngineStore) -> object:
    there = look_at_key(store)
    assert not there or (store.signature(KEY), store.origin(KEY)) != (None, "built")
    return there


def look_at_failure(store: EngineStore) -> object:
    assert store.manifest_bytes(KEY) and store.problem(KEY) == "", "kept, whatever is noted about it"
    return store.status(KEY), store.record(KEY).crashes


def look_at_active(store: EngineStore) -> object:
    assert store.find(KEY) is not None and store.find(OTHER_KEY) is not None
    return store.active("line-1"), store.previous("line-1")


def look_at_pin(store: EngineStore) -> object:
    assert store.find(KEY) is not None
    return store.record(KEY).pinned


def look_at_use(store: EngineStore) -> object:
    return store.record(KEY).last_used > store.record(OTHER_KEY).last_used


def look_after_pruning(store: EngineStore) -> object:
    assert store.active("line-1") == KEY and store.find(KEY) is not None, "it was active"
    assert store.previous("line-1") == OTHER_KEY and store.find(OTHER_KEY) is not None, "it was the previous one"
    assert store.record(THIRD_KEY).pinned and store.find(THIRD_KEY) is not None, "it was pinned"
    left = [key for key in (f"{number:032x}" for number in range(3)) if store.status(key) != "absent"]
    for key in left:
        assert store.problem(key) == ""
    return 3 - len(left)


def look_at_timings(store: EngineStore) -> object:
    found = store.load_timing_cache(FINGERPRINT)
    assert found in (b"old" * 3000, b"new" * 3000), "there is always one of the two"
    return found == b"new" * 3000


def look_at_scales(store: EngineStore) -> object:
    found = store.load_calibration_cache("model", "frames", "10.3.0", {})
    assert found in (None, b"scales" * 3000)
    return found is not None


def look_after_sweeping(store: EngineStore) -> object:
    assert store.find(KEY) is not None
    return None


@dataclass(frozen=True)
class Scenario:
    """`states`: what `look` may see after a stop, in the order in which the work brings it about."""

    setup: str
    look: Check
    states: list[object]
    steps: int = 5


TWO = "put_entry(store, KEY, PLAN)\nput_entry(store, OTHER_KEY, PLAN)"
SCENARIOS = {
    "first commit ever": Scenario(
        scenario("", "with store.build_lock(KEY) as free:\n    assert free\n    put_entry(store, KEY, PLAN, FILES)"),
        look_at_key,
        [False, True],
        steps=30,
    ),
    "commit into a store": Scenario(
        scenario("put_entry(store, OTHER_KEY, PLAN)", "put_entry(store, KEY, PLAN, FILES)"),
        look_at_key,
        [False, True],
        steps=25,
    ),
    "commit as signed": Scenario(
        scenario("put_entry(store, OTHER_KEY, PLAN)", "put_signed(store, KEY, PLAN)"),
        look_at_signed,
        [False, True],
        steps=20,
    ),
    "commit over an old record": Scenario(
        scenario(
            "put_entry(store, KEY, PLAN)\nstore.quarantine(KEY, 'c', 'r')\n"
            "(folder / 'engines' / KEY).rename(folder / 'x')",
            "put_entry(store, KEY, PLAN)",
        ),
        look_at_key,
        [False, True],
        steps=15,
    ),
    "set aside and replace": Scenario(
        scenario(
            "put_entry(store, KEY, b'damaged').plan_path.write_bytes(b'flipped')\n"
            "(folder / 'engines' / f'.damaged-{KEY}').mkdir()\n"
            "(folder / 'engines' / f'.damaged-{KEY}' / 'plan').write_bytes(b'an older one')",
            "assert store.find(KEY) is None\nput_entry(store, KEY, PLAN)",
        ),
        look_at_key,
        [False, True],
        steps=20,
    ),
    "a failure": Scenario(
        scenario("put_entry(store, KEY, PLAN)", "assert not store.note_failure(KEY, 'crash', 'signal 11')"),
        look_at_failure,
        [("ready", 0), ("ready", 1)],
    ),
    "quarantine": Scenario(
        scenario(
            "put_entry(store, KEY, PLAN)\nstore.note_failure(KEY, 'crash', 'signal 11')",
            "assert store.note_failure(KEY, 'crash', 'signal 11')",
        ),
        look_at_failure,
        [("ready", 1), ("quarantined", 2)],
    ),
    "release": Scenario(
        scenario("put_entry(store, KEY, PLAN)\nstore.quarantine(KEY, 'c', 'r')", "assert store.release(KEY)"),
        look_at_failure,
        [("quarantined", 0), ("ready", 0)],
    ),
    "first active": Scenario(
        scenario(TWO, "store.set_active('line-1', KEY)"), look_at_active, [(None, None), (KEY, None)], steps=15
    ),
    "next active": Scenario(
        scenario(f"{TWO}\nstore.set_active('line-1', KEY)", "store.set_active('line-1', OTHER_KEY)"),
        look_at_active,
        [(KEY, None), (OTHER_KEY, KEY)],
        steps=15,
    ),
    "back to the previous": Scenario(
        scenario(
            f"{TWO}\nstore.set_active('line-1', KEY)\nstore.set_active('line-1', OTHER_KEY)",
            "store.set_active('line-1', KEY)",
        ),
        look_at_active,
        [(OTHER_KEY, KEY), (KEY, OTHER_KEY)],
        steps=15,
    ),
    "pin": Scenario(scenario("put_entry(store, KEY, PLAN)", "store.pin(KEY)"), look_at_pin, [False, True]),
    "note of use": Scenario(scenario(TWO, "store.note_use(KEY)"), look_at_use, [False, True]),
    "prune": Scenario(
        scenario(
            f"{TWO}\nput_entry(store, THIRD_KEY, PLAN)\n"
            "for number in range(3):\n    put_entry(store, f'{number:032x}', PLAN, FILES)\n"
            "store.set_active('line-1', OTHER_KEY)\nstore.set_active('line-1', KEY)\nstore.pin(THIRD_KEY)",
            "assert len(store.prune(0)) == 3",
        ),
        look_after_pruning,
        [0, 1, 2, 3],
        steps=30,
    ),
    "timing cache": Scenario(
        scenario(
            "assert store.save_timing_cache(FINGERPRINT, b'old' * 3000)",
            "store.save_timing_cache(FINGERPRINT, b'new' * 3000)",
        ),
        look_at_timings,
        [False, True],
    ),
    "calibration cache": Scenario(
        scenario("", "store.save_calibration_cache('model', 'frames', '10.3.0', {}, b'scales' * 3000)"),
        look_at_scales,
        [False, True],
    ),
    "sweep": Scenario(
        scenario(
            "put_entry(store, KEY, PLAN)\nroot = folder / 'engines'\n"
            "for name in (f'.new-{THIRD_KEY}-abcdefgh', f'.gone-{THIRD_KEY}-0011aabb'):\n"
            "    (root / name / 'deep').mkdir(parents=True)\n    (root / name / 'plan').write_bytes(b'x')\n"
            "(root / '.local' / f'{THIRD_KEY}.json').write_text('{}')\n"
            "(root / '.local' / f'.{KEY}.json.1.new').write_text('half')",
            "store.sweep()",
        ),
        look_after_sweeping,
        [None],
        steps=10,
    ),
}
COLLECT = """
from engine_kit import noise_frames
from edgeagent.engine.calibration import SetWriter, set_lock
FRAMES = noise_frames(4, 48, 48, seed=1)
OLD = noise_frames(3, 48, 48, seed=2)

def save(folder, frames):
    with set_lock(folder / "cam") as free, SetWriter(folder / "cam") as writer:
        assert free
        for frame in frames:
            writer.add(frame)
        writer.commit(1)

def before(folder):
    save(folder, OLD)

def work(folder):
    save(folder, FRAMES)
"""


@pytest.fixture(scope="module")
def kills() -> Iterator[Counter[str]]:
    """All kills of this module, told at its end."""
    counts: Counter[str] = Counter()
    yield counts
    works, steps = Counter[str](), Counter[str]()
    for what, count in counts.items():
        work, _, step = what.partition(": ")
        works[work] += count
        steps[step] += count
    print(f"\n{sum(counts.values())} programs killed with SIGKILL, while at work on:\n{table(works)}")
    print(f"right before this step:\n{table(steps)}")


def assert_whole(root: Path) -> EngineStore:
    """After a sweep, as every start makes one, there is nothing but whole entries, records of them, and locks."""
    store = EngineStore(root)
    store.sweep()
    for path in root.rglob("*"):
        assert not path.name.startswith((".new-", ".gone-")) and not path.name.endswith(".new"), path
    for key in store.known_keys():
        assert store.problem(key) == "", "a name of an entry that is none"
    for manifest in store.entries():
        assert store.status(manifest.key) == "quarantined" or store.find(manifest.key) is not None
    return store


def assert_goes_on(store: EngineStore) -> None:
    """The next one can build, fail, serve and prune."""
    key = "f" * 32
    with store.build_lock(key) as free:
        assert free
        assert put_entry(store, key).manifest.key == key
    store.note_failure(key, "load", "x")
    store.set_active("line-9", key)
    store.prune(0)
    assert store.find(key) is not None and store.active("line-9") == key


def damaged_before(step: Step) -> bool:
    """Whether the damaged entry that the scenario starts with is still in its place."""
    plan = step.folder / "engines" / KEY / "plan"
    return plan.exists() and plan.read_bytes() == b"flipped"


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_kill_at_any_step_leaves_the_state_before_or_after(tmp_path: Path, kills: Counter[str], name: str) -> None:
    case = SCENARIOS[name]
    *stopped, through = stopped_at_each_step(case.setup, tmp_path, "kill")
    assert {step.end for step in stopped} == {"killed"} and through.end == "done"
    assert len(stopped) >= case.steps, "fewer steps than the work has: the kit sees nothing"
    kills.update(f"{name}: {step.what}" for step in stopped)
    seen = []
    for step in (*stopped, through):
        if damaged_before(step):
            assert EngineStore(step.folder / "engines").find(KEY) is None
        store = assert_whole(step.folder / "engines")
        seen.append(case.states.index(case.look(store)))
        assert_goes_on(store)
    assert seen == sorted(seen), "it was there and then gone"
    assert seen[0] == 0 and seen[-1] == len(case.states) - 1


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["once", "full"])
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_full_disk_at_any_step_leaves_the_state_before_or_after(tmp_path: Path, name: str, mode: str) -> None:
    """The call fails with "no space left", once or from there on. What was there stays, and the next start goes on."""
    case = SCENARIOS[name]
    *stopped, through = stopped_at_each_step(case.setup, tmp_path, mode)
    assert through.end == "done"
    assert {step.end for step in stopped} <= {"disk_full", "done"}
    for step in (*stopped, through):
        if damaged_before(step):
            assert EngineStore(step.folder / "engines").find(KEY) is None
        store = assert_whole(step.folder / "engines")
        assert case.look(store) in case.states
        assert_goes_on(store)


def test_a_kill_at_any_step_of_saving_a_set_leaves_a_set_or_none(tmp_path: Path, kills: Counter[str]) -> None:
    folders = killed_at_each_step(COLLECT, tmp_path)
    assert len(folders) >= 20
    kills["calibration set: any step"] += len(folders) - 1
    sizes = []
    for folder in folders:
        found = find_set(folder / "cam")
        sizes.append(len(found.record.files) if found else 0)
        if found:
            assert len([*found.to_calibrate(), *found.held_out()]) == len(found.record.files)
        sweep_sets(folder)
        assert {path.name for path in folder.iterdir()} <= {"cam", ".locks"}
        with set_lock(folder / "cam") as free:
            assert free
    assert sizes[0] == 3 and sizes[-1] == 4
    assert sizes.count(0) <= 1, "only between two renames there is none"


# kills at random moments

# One child does whatever a store can do, in an order that its turn decides, and writes down what it has been told is
# done ("put K") and, ahead of it, what it is about to undo ("pruning"). A line counts when it is in the file: SIGKILL
# loses nothing that write(2) has taken.
BUSY = (
    COMMON
    + """
import os, random

def noted(folder, *words):
    with open(folder / "acts", "ab", buffering=0) as file:
        file.write((" ".join(words) + "\\n").encode())

def work(folder, turn):
    store, dice = opened(folder), random.Random(turn)
    key, line = f"{dice.randrange(9):032x}", f"line-{dice.randrange(2)}"
    act = dice.choice(["put", "put", "put", "signed", "fail", "release", "active", "active", "pin", "unpin", "prune",
                       "timings", "sweep", "damage"])
    if act in ("put", "signed"):
        with store.build_lock(key) as free:
            assert free
            if store.status(key) != "quarantined":
                plan = key.encode() * 1000
                put_entry(store, key, plan, FILES) if act == "put" else put_signed(store, key, plan)
                noted(folder, "put", key)
    elif store.status(key) == "absent" or (act == "active" and store.status(key) == "quarantined"):
        return
    elif act == "fail":
        noted(folder, "failing", key)
        noted(folder, "quarantined" if store.note_failure(key, "crash", "x") else "failed", key)
    elif act == "release":
        noted(folder, "failing", key)
        store.release(key)
    elif act == "active":
        noted(folder, "activating", line, key)
        store.set_active(line, key)
        noted(folder, "active", line, key)
    elif act == "pin":
        store.pin(key)
        noted(folder, "pinned", key)
    elif act == "unpin":
        noted(folder, "unpinning", key)
        store.unpin(key)
    elif act == "prune":
        noted(folder, "pruning")
        store.prune(dice.choice([0, 100_000, 200_000]))
    elif act == "timings":
        store.save_timing_cache(FINGERPRINT, bytes([turn % 256]) * 50_000)
    elif act == "sweep":
        store.sweep()
    elif act == "damage" and key not in store.roles() and not store.record(key).pinned:
        noted(folder, "damaging", key)
        with open(folder / "engines" / key / "plan", "r+b") as file:
            file.write(b"damaged")
        store.status(key) == "quarantined" or store.find(key)
"""
)


class Acts:
    """What must be true of the store, from what the killed programs have written down."""

    def __init__(self, path: Path) -> None:
        self._path, self._read = path, 0
        self.there: set[str] = set()
        self.damaged: set[str] = set()
        self.pinned: set[str] = set()
        self.quarantined: set[str] = set()
        self.active: dict[str, set[tuple[str, ...]]] = {}  # which may be the active and the previous one

    def read(self) -> None:
        data = self._path.read_bytes() if self._path.exists() else b""
        lines, self._read = data[self._read :].splitlines(), len(data)
        for line in lines:
            act, *words = line.decode().split()
            getattr(self, f"_{act}", self._nothing)(*words)

    def _put(self, key: str) -> None:
        self.there.add(key)
        self.damaged.discard(key)

    def _failing(self, key: str) -> None:
        self.quarantined.discard(key)

    def _quarantined(self, key: str) -> None:
        self.quarantined.add(key)

    def _activating(self, line: str, key: str) -> None:
        self.active[line] = {*self.active.get(line, {()}), (key,)}

    def _active(self, line: str, key: str) -> None:
        self.active[line] = {(key,)}

    def _pinned(self, key: str) -> None:
        self.pinned.add(key)

    def _unpinning(self, key: str) -> None:
        self.pinned.discard(key)

    def _pruning(self) -> None:
        sure = {choice[0] for choices in self.active.values() if len(choices) == 1 for choice in choices if choice}
        self.there &= self.pinned | sure
        self.quarantined &= self.there

    def _damaging(self, key: str) -> None:
        self.there.discard(key)
        self.damaged.add(key)
        self.quarantined.discard(key)

    def _nothing(self, *words: str) -> None:
        pass

    def check(self, store: EngineStore) -> None:
        for key in self.there:
            assert store.status(key) != "absent", f"{key} was stored and is gone"
        for key in store.known_keys():
            if key not in self.damaged:
                assert store.problem(key) == "", key
            elif store.status(key) == "ready":
                entry = store.find(key)
                assert entry is None or entry.plan_path.read_bytes() == key.encode() * 1000
        for key in self.quarantined:
            assert store.status(key) == "quarantined", f"{key} was in quarantine"
        for key in self.pinned & self.there:
            assert store.record(key).pinned, f"{key} was pinned"
        for line, choices in self.active.items():
            active = store.active(line)
            assert ((active,) if active else ()) in choices
            assert active is None or store.status(active) != "absent", f"{active} was active and is gone"
        timings = store.load_timing_cache(FINGERPRINT)
        assert timings is None or len(timings) == 50_000


def kill_a_busy_store(folder: Path, kills: Counter[str], count: int, seed: int) -> None:
    acts, seen = Acts(folder / "acts"), set()
    for _ in killed_at_random(BUSY, folder, kills=count, longest_s=0.06, seed=seed):
        if not (folder / "engines").exists():
            continue
        store = EngineStore(folder / "engines")
        store.sweep()
        acts.read()
        acts.check(store)
        seen |= set(store.known_keys())
        kills["anything: a random moment"] += 1
    assert len(seen) > 4, "the killed programs never came to anything"
    acted = Counter(line.split()[0] for line in (folder / "acts").read_text().splitlines())
    assert {"put", "active"} <= set(acted), acted  # how far they come depends on how busy the machine is
    print(f"\nwhat the programs had done before they were killed:\n{table(acted)}")


def test_kills_at_random_moments_of_a_busy_store(tmp_path: Path, kills: Counter[str]) -> None:
    kill_a_busy_store(tmp_path, kills, 60, seed=7)


@pytest.mark.slow
def test_many_kills_at_random_moments_of_a_busy_store(tmp_path: Path, kills: Counter[str]) -> None:
    kill_a_busy_store(tmp_path, kills, 400, seed=11)


# several at once

AT_ONCE = (
    COMMON
    + """
import sys
from pathlib import Path

folder, number = Path(sys.argv[2]), int(sys.argv[3])
store, own = opened(folder), f"{int(sys.argv[3]) + 1:032x}"
with store.build_lock(own) as free:  # the others sweep and prune already
    assert free
    put_entry(store, own, PLAN)
    store.set_active(f"line-{number}", own)
for turn in range(30):
    shared = f"{turn % 3 + 100:032x}"
    with store.build_lock(shared) as free:
        if free and store.status(shared) == "absent":
            put_entry(store, shared, PLAN, FILES)
    store.note_failure(own, "load", "x")
    store.release(own)
    store.note_use(own)
    assert store.find(own) is not None
    store.prune(60_000)
    store.save_timing_cache(FINGERPRINT, bytes([number]) * 10_000)
    store.sweep()
"""
)


def test_several_processes_use_and_prune_one_store_at_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", f"import sys; sys.path.append(sys.argv[1])\n{AT_ONCE}", str(KIT), str(tmp_path)]
    running = [Popen([*command, str(number)], stderr=PIPE) for number in range(4)]
    errors = [process.communicate(timeout=100)[1].decode() for process in running]
    assert [process.returncode for process in running] == [0] * 4, errors
    store = assert_whole(tmp_path / "engines")
    for number in range(4):
        own = f"{number + 1:032x}"
        assert store.active(f"line-{number}") == own and store.find(own) is not None
        assert store.record(own).load_failures == 0


# full disks


def fill_up(disk: Path, leave: int) -> None:
    """Fill a small disk, all but so many bytes."""
    with (disk / "filler").open("wb", buffering=0) as filler:
        try:
            while True:
                filler.write(b"z" * 4096)
        except OSError:
            filler.truncate(max(0, filler.tell() // 4096 * 4096 - leave))


WORKS: dict[str, Callable[[EngineStore], object]] = {
    "commit": lambda store: put_entry(store, THIRD_KEY, PLAN, files={"build.log": b"x" * 9000}),
    "active": lambda store: store.set_active("line-1", OTHER_KEY),
    "quarantine": lambda store: store.quarantine(OTHER_KEY, "c", "r"),
    "pin": lambda store: store.pin(OTHER_KEY),
    "prune": lambda store: store.prune(0),
    "timings": lambda store: store.save_timing_cache(FINGERPRINT, b"new" * 5000),
}


@pytest.mark.parametrize("work", WORKS)
@pytest.mark.parametrize("short_of", ["bytes", "inodes"])
def test_a_disk_that_has_less_and_less_left(tmp_path: Path, work: str, short_of: str) -> None:
    """The kernel itself says no, one page or one name later each time, until there is enough."""
    failed = 0
    for left in range(40):
        with small_disk(tmp_path / "disk", "256k", "" if short_of == "bytes" else f",nr_inodes={10 + left}") as disk:
            try:
                store = EngineStore(disk / "engines")
                put_entry(store, KEY, PLAN)
                put_entry(store, OTHER_KEY, PLAN)
                store.set_active("line-1", KEY)
                assert store.save_timing_cache(FINGERPRINT, b"old" * 5000)
            except (StoreError, AssertionError):
                assert short_of == "inodes", "the disk is too small for the test"
                continue
            if short_of == "bytes":
                fill_up(disk, left * 4096)
            try:
                done = WORKS[work](store) is not False
            except StoreError as error:
                assert error.error_code == "disk_full"
                done = False
            failed += not done
            (disk / "filler").unlink(missing_ok=True)
            again = assert_whole(disk / "engines")
            assert again.find(KEY) is not None and again.active("line-1") in (KEY, OTHER_KEY)
            assert again.load_timing_cache(FINGERPRINT) in (b"old" * 5000, b"new" * 5000)
            if done:
                break
            assert again.find(OTHER_KEY) is not None and not again.record(OTHER_KEY).pinned
    else:
        pytest.fail("it never had enough")
    assert failed or work == "prune", "it never was too little: a prune alone needs no space"


def test_a_full_disk_is_told_and_leaves_whole_entries(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "256k") as disk:
        store = EngineStore(disk / "engines")
        codes = []
        for number in range(20):
            try:
                put_entry(store, f"{number:032x}", bytes([number]) * 50_000)
            except StoreError as error:
                codes.append(error.error_code)
        assert len(codes) > 10 and set(codes) == {"disk_full"}
        kept = [manifest.key for manifest in store.entries()]
        assert len(kept) == 20 - len(codes) and all(store.find(key) for key in kept)
        assert store.known_keys() == kept
        assert [path.name for path in (disk / "engines").glob(".new-*")] == []


def test_a_damaged_entry_on_a_full_disk_still_counts_as_absent(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "256k") as disk:
        store = EngineStore(disk / "engines")
        entry = put_entry(store, KEY, b"x" * 50_000)
        put_entry(store, OTHER_KEY, b"x" * 50_000)
        entry.plan_path.write_bytes(b"y" * 50_000)
        fill_up(disk, 0)
        assert store.find(KEY) is None
        assert store.find(OTHER_KEY) is not None


def test_a_full_disk_while_collecting(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "256k") as disk:
        with pytest.raises(StoreError) as caught, SetWriter(disk / "calibration" / "cam") as writer:
            for frame in noise_frames(50, 96, 96):
                writer.add(frame)
        assert caught.value.error_code == "disk_full"
        assert list((disk / "calibration").iterdir()) == []
