"""What a store remembers of its engines: quarantine, use, pins, the engines of pipelines, and what goes for space."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from engine_kit import KEY, OTHER_KEY, put_entry, put_signed

from edgeagent.engine.locks import hold_lock
from edgeagent.engine.store import EngineStore
from edgeagent.errors import StoreError

THIRD_KEY = "00112233445566778899aabbccddeeff"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "engines"


@pytest.fixture
def store(root: Path) -> EngineStore:
    return EngineStore(root)


def code_of(call: Callable[[], object]) -> str:
    with pytest.raises(StoreError) as caught:
        call()
    return caught.value.error_code


# quarantine


def test_an_engine_that_fails_twice_is_kept_listed_and_not_used(store: EngineStore, root: Path) -> None:
    entry = put_entry(store, KEY)
    assert store.note_failure(KEY, "crash", "signal 11") is False
    assert store.find(KEY) == entry and store.status(KEY) == "ready"
    assert store.note_failure(KEY, "crash", "signal 11") is True
    assert store.status(KEY) == "quarantined"
    assert store.quarantine_reason(KEY) == "it crashed its process twice: signal 11"
    with pytest.raises(StoreError) as caught:
        EngineStore(root).find(KEY)
    assert caught.value.error_code == "engine_quarantined"
    assert "signal 11" in caught.value.message and f"engine release {KEY[:12]}" in caught.value.mend
    assert store.entries() == [entry.manifest] and entry.plan_path.exists()


def test_a_quarantined_key_is_not_stored_anew(store: EngineStore) -> None:
    entry = put_entry(store, KEY)
    store.quarantine(KEY, "engine_disagrees", "it does not hold here")
    assert code_of(lambda: put_entry(store, KEY, b"another")) == "engine_quarantined"
    assert entry.plan_path.read_bytes() == b"plan" * 100


def test_release_gives_it_another_chance_with_nothing_held_against_it(store: EngineStore) -> None:
    entry = put_entry(store, KEY)
    for _ in range(2):
        store.note_failure(KEY, "load", "no magic")
    assert store.release(KEY) is True and store.release(KEY) is False
    assert store.find(KEY) == entry and store.quarantine_reason(KEY) == ""
    assert store.note_failure(KEY, "load", "no magic") is False


def test_good_service_wipes_out_a_failure_but_no_quarantine(store: EngineStore) -> None:
    put_entry(store, KEY)
    store.note_failure(KEY, "crash", "x")
    store.forget_failures(KEY)
    assert store.note_failure(KEY, "crash", "x") is False
    assert store.note_failure(KEY, "crash", "x") is True
    store.forget_failures(KEY)
    assert store.status(KEY) == "quarantined"


def test_what_is_not_there_is_not_blamed(store: EngineStore, root: Path) -> None:
    assert store.note_failure(KEY, "load", "x") is store.note_failure(KEY, "load", "x") is False
    store.quarantine(KEY, "c", "r")
    store.note_use(KEY)
    store.unpin(KEY)
    assert store.release(KEY) is False and store.status(KEY) == "absent"
    assert not (root / ".local").exists()


def test_a_rebuilt_engine_starts_with_a_clean_record(store: EngineStore) -> None:
    put_entry(store, KEY).plan_path.write_bytes(b"damaged")
    store.note_failure(KEY, "load", "x")
    store.pin(KEY)
    assert store.find(KEY) is None
    put_entry(store, KEY)
    assert store.record(KEY).load_failures == 0
    assert store.record(KEY).pinned, "a pin is a person's wish for the engine, not for its bytes"


@pytest.mark.parametrize("junk", [b"", b"{", b"[]", b'{"pinned": "perhaps"}', b"\xff\xfe"])
def test_a_record_that_cannot_be_read_counts_as_empty(store: EngineStore, root: Path, junk: bytes) -> None:
    put_signed(store, KEY)
    (root / ".local" / f"{KEY}.json").write_bytes(junk)
    assert store.status(KEY) == "ready" and store.origin(KEY) == "fetched"
    store.pin(KEY)
    assert store.record(KEY).pinned


def test_failures_noted_at_the_same_time_all_count(store: EngineStore, root: Path) -> None:
    put_entry(store, KEY)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: EngineStore(root).note_failure(KEY, "crash", str(n)), range(24)))
    assert store.record(KEY).crashes == 24


# use


def test_the_use_counter_rises_with_every_use_and_needs_no_clock(store: EngineStore) -> None:
    for key in (KEY, OTHER_KEY, THIRD_KEY):
        put_entry(store, key)
    store.note_use(KEY)
    used = {key: store.record(key).last_used for key in (KEY, OTHER_KEY, THIRD_KEY)}
    assert sorted(used, key=used.__getitem__) == [OTHER_KEY, THIRD_KEY, KEY]
    assert store.record(KEY).first_stored < store.record(OTHER_KEY).first_stored < store.record(THIRD_KEY).first_stored


# pipelines


def test_active_and_previous_survive_a_restart(store: EngineStore, root: Path) -> None:
    for key in (KEY, OTHER_KEY):
        put_entry(store, key)
    assert (store.active("line-1"), store.previous("line-1")) == (None, None)
    store.set_active("line-1", KEY)
    store.set_active("line-1", KEY)
    assert (store.active("line-1"), store.previous("line-1")) == (KEY, None)
    store.set_active("line-1", OTHER_KEY)
    again = EngineStore(root)
    assert (again.active("line-1"), again.previous("line-1")) == (OTHER_KEY, KEY)
    again.set_active("line-1", KEY)
    assert (store.active("line-1"), store.previous("line-1")) == (KEY, OTHER_KEY), "going back"
    assert store.active("line-2") is None


def test_only_an_engine_that_is_there_becomes_active(store: EngineStore) -> None:
    assert code_of(lambda: store.set_active("line-1", KEY)) == "no_engine"
    assert store.active("line-1") is None


@pytest.mark.parametrize("name", ["", ".hidden", "a/b", "../x", "x" * 200, "a\n"])
def test_a_pipelines_name_is_no_path(store: EngineStore, root: Path, name: str) -> None:
    put_entry(store, KEY)
    with pytest.raises(StoreError, match="is no pipeline's name"):
        store.set_active(name, KEY)
    with pytest.raises(StoreError, match="is no pipeline's name"):
        store.active(name)


def test_pipelines_that_are_no_more_can_be_forgotten(store: EngineStore) -> None:
    put_entry(store, KEY)
    for name in ("line-1", "line-2", "line-3"):
        store.set_active(name, KEY)
    assert store.forget_pipelines({"line-2"}) == ["line-1", "line-3"]
    assert store.roles() == {KEY: ["active on line-2"]}


# space


def fill(store: EngineStore, count: int) -> list[str]:
    keys = [f"{number:032x}" for number in range(count)]
    for key in keys:
        put_entry(store, key, b"x" * 10_000)
    return keys


def test_pruning_never_takes_what_a_pipeline_uses_or_what_is_pinned(store: EngineStore, root: Path) -> None:
    first, second, third, fourth, fifth = fill(store, 5)
    store.set_active("line-1", first)
    store.set_active("line-1", second)
    store.set_active("line-2", third)
    store.pin(fourth)
    assert [removal.name for removal in store.prune(0)] == [fifth]
    assert store.known_keys() == [first, second, third, fourth]
    store.unpin(fourth)
    store.set_active("line-1", third)
    assert [removal.name for removal in store.prune(0)] == [fourth, first]
    assert sorted(path.name for path in root.iterdir()) == sorted([second, third, ".locks", ".local", ".pipelines"])
    assert sorted(path.name for path in (root / ".local").iterdir()) == [f"{second}.json", f"{third}.json"]


def test_the_least_recently_used_goes_first_and_no_more_than_must(store: EngineStore) -> None:
    first, second, third = fill(store, 3)
    store.note_use(first)
    size = store.holdings()[0].bytes
    planned = store.plan_prune(2 * size + 10)
    assert store.known_keys() == [first, second, third]
    assert store.prune(2 * size + 10) == planned and [removal.name for removal in planned] == [second]
    assert store.prune(2 * size + 10) == []


def test_what_nothing_can_use_goes_first(store: EngineStore, root: Path) -> None:
    first, second, third, fourth = fill(store, 4)
    store.quarantine(fourth, "c", "r")
    (root / second / "plan").write_bytes(b"damaged" * 1000)
    assert store.find(second) is None
    manifest = root / third / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "schema": "edgeagent.engine/1"}))
    assert [(one.name, one.reason) for one in store.prune(0)] == [
        (f".damaged-{second}", "it is damaged"),
        (third, "no engine of this release"),
        (fourth, "in quarantine"),
        (first, "the least recently used"),
    ]


def test_an_engine_that_is_being_built_stays(store: EngineStore, root: Path) -> None:
    first, second = fill(store, 2)
    with EngineStore(root).build_lock(first) as free:
        assert free
        assert [removal.name for removal in store.prune(0)] == [second]
    assert [removal.name for removal in store.prune(0)] == [first]


def test_what_is_being_written_or_removed_is_not_pruned_and_no_engine(store: EngineStore, root: Path) -> None:
    (root / f".gone-{OTHER_KEY}-0011aabb").mkdir()
    (root / "notes").mkdir()
    with store.build_lock(KEY), store.staging(KEY) as staging:
        (staging / "plan").write_bytes(b"x" * 1000)
        assert store.holdings() == [] and store.prune(0) == []
        assert (staging / "plan").exists()


def test_what_is_pruned_can_be_stored_again(store: EngineStore) -> None:
    (key,) = fill(store, 1)
    store.note_failure(key, "load", "x")
    store.prune(0)
    assert store.find(key) is None
    put_entry(store, key)
    assert store.record(key).load_failures == 0


# what is left behind


def test_sweeping_removes_the_traces_of_the_dead(store: EngineStore, root: Path) -> None:
    put_entry(store, KEY)
    put_entry(store, OTHER_KEY)
    store.pin(OTHER_KEY)
    store.set_active("line-1", KEY)
    store.save_timing_cache({"soc": "x"}, b"timings")
    gone = root / f".gone-{THIRD_KEY}-0011aabb"
    gone.mkdir()
    (gone / "plan").write_bytes(b"x")
    (root / ".local" / f"{THIRD_KEY}.json").write_text('{"crashes": 1}')
    halves = [
        root / ".local" / f".{KEY}.json.4711.new",
        root / ".pipelines" / ".line-1.json.4711.new",
        root / ".timing" / ".0011.4711.new",
    ]
    for half in halves:
        half.write_bytes(b"half")
    with hold_lock(root / ".locks" / f"local-{KEY}"):
        assert store.sweep() == [gone.name]
    assert [half.exists() for half in halves] == [True, False, False], "the first may be somebody's who writes now"
    assert store.sweep() == []
    assert sorted(path.name for path in (root / ".local").iterdir()) == sorted([f"{KEY}.json", f"{OTHER_KEY}.json"])
    assert store.load_timing_cache({"soc": "x"}) == b"timings" and store.active("line-1") == KEY


def test_a_pin_of_an_engine_that_is_gone_stays_until_it_is_built_again(store: EngineStore) -> None:
    put_entry(store, KEY).plan_path.write_bytes(b"damaged")
    store.pin(KEY)
    assert store.find(KEY) is None
    store.sweep()
    put_entry(store, KEY)
    assert store.record(KEY).pinned


# caches


def test_caches_are_found_by_what_they_depend_on(store: EngineStore, root: Path) -> None:
    assert store.load_timing_cache({"soc": "x"}) is None
    assert store.save_timing_cache({"soc": "x", "l4t": "36"}, b"timings")
    assert EngineStore(root).load_timing_cache({"l4t": "36", "soc": "x"}) == b"timings"
    assert store.load_timing_cache({"soc": "y", "l4t": "36"}) is None
    where = ("model", "frames", "10.3.0")
    assert store.save_calibration_cache(*where, {"scale": 0.5}, b"scales")
    assert store.load_calibration_cache(*where, {"scale": 0.5}) == b"scales"
    assert store.load_calibration_cache(*where, {"scale": 0.25}) is None, "other scaling means other ranges"
    assert store.load_calibration_cache("model", "others", "10.3.0", {"scale": 0.5}) is None
