"""Whatever is killed or full while the store or a calibration set is written: entries are whole or absent."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from test_store_kit import KIT, killed_at_each_step, killed_at_random, small_disk

from edgeagent.engine.calibration import SetWriter, find_set, set_lock, sweep_sets
from edgeagent.engine.store import EngineStore
from edgeagent.errors import StoreError

sys.path.append(str(KIT))
from engine_kit import KEY, OTHER_KEY, noise_frames, put_entry

COMMIT = """
from engine_kit import KEY, put_entry
from edgeagent.engine.store import EngineStore

def before(folder):
    pass

def work(folder):
    store = EngineStore(folder)
    with store.build_lock(KEY) as free:
        assert free
        put_entry(store, KEY, b"plan" * 5000)
"""

REPLACE_DAMAGED = """
from engine_kit import KEY, put_entry
from edgeagent.engine.store import EngineStore

def before(folder):
    put_entry(EngineStore(folder), KEY, b"damaged" * 100)
    (folder / KEY / "plan").write_bytes(b"flipped")
    (folder / f".damaged-{KEY}").mkdir()
    (folder / f".damaged-{KEY}" / "plan").write_bytes(b"an older one")

def work(folder):
    store = EngineStore(folder)
    with store.build_lock(KEY) as free:
        assert free and store.find(KEY) is None
        put_entry(store, KEY, b"plan" * 5000)
"""

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

COMMIT_FOREVER = """
from engine_kit import put_entry
from edgeagent.engine.store import EngineStore

def work(folder, turn):
    key = f"{turn % 7:032x}"
    store = EngineStore(folder)
    with store.build_lock(key) as free:
        assert free
        put_entry(store, key, b"plan" * (turn % 7) * 5000)
    entry = store.find(key)
    if turn % 3 == 2:
        entry.plan_path.write_bytes(b"")
"""


def assert_whole(root: Path) -> EngineStore:
    """After a sweep there is nothing but whole entries, and building goes on."""
    store = EngineStore(root)
    store.sweep()
    assert not list(root.glob(".new-*"))
    for folder in root.iterdir():
        if not folder.name.startswith("."):
            store.find(folder.name)
    for manifest in store.entries():
        assert store.find(manifest.key) is not None
    return store


@pytest.mark.parametrize("work", [COMMIT, REPLACE_DAMAGED], ids=["commit", "replace-damaged"])
def test_a_kill_at_any_step_of_a_commit_leaves_an_entry_whole_or_absent(tmp_path: Path, work: str) -> None:
    folders = killed_at_each_step(work, tmp_path)
    assert len(folders) >= 12, "fewer steps than a commit has: the hook sees nothing"
    there = []
    for folder in folders:
        store = assert_whole(folder)
        entry = store.find(KEY)
        there.append(entry is not None)
        assert entry is None or entry.plan_path.read_bytes() == b"plan" * 5000
        with store.build_lock(KEY) as free:
            assert free
            assert put_entry(store, KEY).manifest.key == KEY
    assert there[0] is False and there[-1] is True
    assert there == sorted(there), "an entry was there and then gone"


def test_a_kill_at_any_step_of_saving_a_set_leaves_a_set_or_none(tmp_path: Path) -> None:
    folders = killed_at_each_step(COLLECT, tmp_path)
    assert len(folders) >= 20
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


def test_kills_at_random_moments_of_a_busy_store(tmp_path: Path) -> None:
    seen = set()
    for _ in killed_at_random(COMMIT_FOREVER, tmp_path, kills=50, longest_s=0.03, seed=7):
        store = assert_whole(tmp_path)
        seen |= {manifest.key for manifest in store.entries()}
    assert seen, "the killed program never came to anything"


# full disks


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
        assert sorted(path.name for path in (disk / "engines").iterdir() if path.name != ".locks") == kept


def test_a_damaged_entry_on_a_full_disk_still_counts_as_absent(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "256k") as disk:
        store = EngineStore(disk / "engines")
        entry = put_entry(store, KEY, b"x" * 50_000)
        put_entry(store, OTHER_KEY, b"x" * 50_000)
        entry.plan_path.write_bytes(b"y" * 50_000)
        with (disk / "filler").open("wb", buffering=0) as filler, pytest.raises(OSError):
            while True:
                filler.write(b"z" * 4096)
        assert store.find(KEY) is None
        assert store.find(OTHER_KEY) is not None


def test_a_full_disk_while_collecting(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "256k") as disk:
        with pytest.raises(StoreError) as caught, SetWriter(disk / "calibration" / "cam") as writer:
            for frame in noise_frames(50, 96, 96):
                writer.add(frame)
        assert caught.value.error_code == "disk_full"
        assert list((disk / "calibration").iterdir()) == []
