"""The store: entries are whole or absent; damage is set aside; what the disk says becomes one clear line."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest
from engine_kit import KEY, OTHER_KEY, SIGNATURE, manifest_for, put_entry, put_signed, stage

from edgeagent.engine.manifest import Manifest
from edgeagent.engine.record import Provenance
from edgeagent.engine.store import MANIFEST, PLAN, EngineStore, sha256_of, store_error
from edgeagent.engine.store import SIGNATURE as SIGNATURE_FILE
from edgeagent.errors import StoreError

DAMAGED = f".damaged-{KEY}"
FILES = {"calibration.cache": b"TRT-8601-EntropyCalibration2\n", "build.log": b"a line\n"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "engines"


@pytest.fixture
def store(root: Path) -> EngineStore:
    return EngineStore(root)


def names(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir() if path.name not in (".locks", ".local"))


def test_an_empty_store_has_nothing(store: EngineStore) -> None:
    assert store.find(KEY) is None
    assert store.entries() == []
    assert store.sweep() == []


def test_what_was_put_in_comes_out(store: EngineStore, root: Path) -> None:
    entry = put_entry(store, KEY, b"the plan")
    assert entry.plan_path.read_bytes() == b"the plan"
    assert EngineStore(root).find(KEY) == entry
    assert store.entries() == [entry.manifest]
    assert names(root) == [KEY]
    assert sorted(path.name for path in (root / KEY).iterdir()) == [MANIFEST, PLAN]


def test_files_that_the_manifest_lists_are_part_of_an_entry(store: EngineStore, root: Path) -> None:
    entry = put_entry(store, KEY, files=FILES)
    assert store.find(KEY) == entry
    assert sorted(path.name for path in entry.folder.iterdir()) == sorted([MANIFEST, PLAN, *FILES])
    for name, data in FILES.items():
        path = entry.file(name)
        assert path is not None and path.read_bytes() == data
    assert entry.file("layers.json") is None


def test_what_was_signed_is_kept_byte_for_byte(store: EngineStore, root: Path) -> None:
    entry, signed = put_signed(store, KEY)
    assert store.find(KEY) == entry
    assert store.manifest_bytes(KEY) == (root / KEY / MANIFEST).read_bytes() == signed
    assert store.signature(KEY) == (root / KEY / SIGNATURE_FILE).read_bytes() == SIGNATURE
    assert store.record(KEY).provenance == Provenance(
        origin="fetched", url="https://engines.example.org", signer="0011"
    )
    assert store.origin(KEY) == "fetched"
    put_entry(store, OTHER_KEY)
    assert store.signature(OTHER_KEY) is None and store.origin(OTHER_KEY) == "built"


def test_an_entry_that_lost_its_record_is_still_known_to_be_fetched(store: EngineStore, root: Path) -> None:
    put_signed(store, KEY)
    (root / ".local" / f"{KEY}.json").unlink()
    assert (store.origin(KEY), store.status(KEY)) == ("fetched", "ready")


def test_what_is_signed_and_no_manifest_is_refused(store: EngineStore, root: Path) -> None:
    with store.staging(KEY) as staging:
        with pytest.raises(StoreError, match="is no manifest"):
            store.commit_signed(staging, b"{}", SIGNATURE, url="file:///srv", signer="0011")
    assert names(root) == []


def test_what_was_staged_is_compared_before_it_becomes_an_entry(store: EngineStore, root: Path) -> None:
    with store.staging(KEY) as staging:
        manifest = stage(store, staging, KEY, b"plan", FILES)
        (staging / "build.log").write_bytes(b"another\n")
        with pytest.raises(StoreError, match=r"cannot be stored: its build\.log"):
            store.commit(staging, manifest)
    assert names(root) == [] and store.find(KEY) is None


@pytest.mark.parametrize("taken", [MANIFEST, SIGNATURE_FILE, PLAN])
def test_a_file_may_not_have_a_name_of_the_stores_own(store: EngineStore, root: Path, taken: str) -> None:
    with store.staging(KEY) as staging:
        manifest = stage(store, staging, KEY, b"plan")
        record = manifest.model_dump()["files"] | {taken: {"bytes": 4, "sha256": manifest.plan_sha256}}
        told = Manifest.model_validate({**manifest.model_dump(by_alias=True), "files": record})
        with pytest.raises(StoreError, match="cannot be stored"):
            store.commit(staging, told)
    assert names(root) == []


def test_entries_of_another_release_are_no_entries_and_harm_nothing(store: EngineStore, root: Path) -> None:
    """Version 0.1 wrote manifests of schema 1."""
    put_entry(store, KEY)
    put_entry(store, OTHER_KEY)
    manifest_of_another_schema(root / KEY)
    assert [manifest.key for manifest in store.entries()] == [OTHER_KEY]
    assert store.problem(KEY) == "made by another release of edgeagent (edgeagent.engine/1)"
    assert [(one.name, one.state) for one in store.holdings()] == [(KEY, "unreadable"), (OTHER_KEY, "ready")]
    assert store.sweep() == []
    assert store.known_keys() == [KEY, OTHER_KEY]


def test_looking_at_a_damaged_entry_leaves_it_where_it_is(store: EngineStore, root: Path) -> None:
    put_entry(store, KEY, files=FILES)
    assert store.problem(KEY) == ""
    flip_a_bit(root / KEY)
    assert store.problem(KEY) == "its plan is not the one that its manifest names"
    assert names(root) == [KEY]


def test_a_signed_entry_without_its_signature_has_a_problem(store: EngineStore, root: Path) -> None:
    put_signed(store, KEY)
    assert store.problem(KEY) == ""
    (root / KEY / SIGNATURE_FILE).unlink()
    assert store.problem(KEY) == "its manifest was signed, and the signature is gone"


@pytest.mark.parametrize("look", ["manifest_bytes", "signature", "problem"])
def test_looking_at_what_is_not_there(store: EngineStore, look: str) -> None:
    with pytest.raises(StoreError) as caught:
        getattr(store, look)(KEY)
    assert caught.value.error_code == "no_engine"


def test_scratch_files_do_not_become_part_of_an_entry(store: EngineStore, root: Path) -> None:
    with store.staging(KEY) as staging:
        (staging / PLAN).write_bytes(b"plan")
        (staging / "reference.onnx").write_bytes(b"x")
        (staging / "scratch").mkdir()
        (staging / "scratch" / "deep").write_bytes(b"x")
        store.commit(staging, manifest_for(KEY, b"plan", sha256_of(staging / PLAN)))
    assert sorted(path.name for path in (root / KEY).iterdir()) == [MANIFEST, PLAN]


def test_without_a_commit_nothing_stays(store: EngineStore, root: Path) -> None:
    class Crash(Exception):
        pass

    with pytest.raises(Crash), store.staging(KEY) as staging:
        (staging / PLAN).write_bytes(b"half")
        raise Crash
    assert names(root) == []


def test_an_entry_that_is_there_stays(store: EngineStore, root: Path) -> None:
    first = put_entry(store, KEY, b"first")
    assert put_entry(store, KEY, b"second") == first
    assert (root / KEY / PLAN).read_bytes() == b"first"
    assert names(root) == [KEY]


def test_an_entry_that_came_in_the_meantime_stays(store: EngineStore, root: Path) -> None:
    with store.staging(KEY) as late:
        (late / PLAN).write_bytes(b"late")
        first = put_entry(store, KEY, b"first")
        assert store.commit(late, manifest_for(KEY, b"late", sha256_of(late / PLAN))) == first
    assert names(root) == [KEY]


def test_entries_are_listed_by_key(store: EngineStore) -> None:
    put_entry(store, OTHER_KEY)
    put_entry(store, KEY)
    assert [manifest.key for manifest in store.entries()] == [KEY, OTHER_KEY]


@pytest.mark.parametrize("key", ["", "x" * 32, KEY[:-1], KEY + "0", "../" + KEY, KEY.upper(), KEY + "\n"])
def test_what_is_no_key_touches_nothing(store: EngineStore, root: Path, key: str) -> None:
    with pytest.raises(StoreError, match="is no engine key"):
        store.find(key)
    with pytest.raises(StoreError, match="is no engine key"), store.build_lock(key):
        pass
    with pytest.raises(StoreError, match="is no engine key"), store.staging(key):
        pass
    assert names(root) == []


# damage


def flip_a_bit(folder: Path) -> None:
    data = bytearray((folder / PLAN).read_bytes())
    data[1] ^= 1
    (folder / PLAN).write_bytes(data)


def cut_the_plan(folder: Path) -> None:
    (folder / PLAN).write_bytes((folder / PLAN).read_bytes()[:-1])


def lose_the_plan(folder: Path) -> None:
    (folder / PLAN).unlink()


def empty_the_plan(folder: Path) -> None:
    (folder / PLAN).write_bytes(b"")


def plan_is_a_directory(folder: Path) -> None:
    (folder / PLAN).unlink()
    (folder / PLAN).mkdir()


def lose_the_manifest(folder: Path) -> None:
    (folder / MANIFEST).unlink()


def empty_the_manifest(folder: Path) -> None:
    (folder / MANIFEST).write_bytes(b"")


def cut_the_manifest(folder: Path) -> None:
    (folder / MANIFEST).write_bytes((folder / MANIFEST).read_bytes()[:50])


def binary_manifest(folder: Path) -> None:
    (folder / MANIFEST).write_bytes(b"\xff\x00\xfe")


def manifest_of_another_key(folder: Path) -> None:
    told = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps({**told, "key": OTHER_KEY}))


def manifest_of_another_schema(folder: Path) -> None:
    told = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps({**told, "schema": "edgeagent.engine/1"}))


def manifest_lists_what_is_not_there(folder: Path) -> None:
    told = json.loads((folder / MANIFEST).read_text())
    lost = {"build.log": {"bytes": 0, "sha256": "0" * 64}}
    (folder / MANIFEST).write_text(json.dumps({**told, "files": {**told["files"], **lost}}))


def manifest_lists_the_plan_twice(folder: Path) -> None:
    told = json.loads((folder / MANIFEST).read_text())
    twice = {"plan": {"bytes": told["plan_bytes"], "sha256": told["plan_sha256"]}}
    (folder / MANIFEST).write_text(json.dumps({**told, "files": {**told["files"], **twice}}))


def flip_a_bit_of_a_file(folder: Path) -> None:
    data = bytearray((folder / "calibration.cache").read_bytes())
    data[0] ^= 1
    (folder / "calibration.cache").write_bytes(data)


def lose_a_file(folder: Path) -> None:
    (folder / "calibration.cache").unlink()


def longer_file(folder: Path) -> None:
    with (folder / "calibration.cache").open("ab") as file:
        file.write(b"x")


def a_file_instead(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    folder.write_bytes(b"junk")


def a_dangling_link_instead(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    folder.symlink_to("nowhere")


DAMAGES = [
    flip_a_bit,
    cut_the_plan,
    lose_the_plan,
    empty_the_plan,
    plan_is_a_directory,
    lose_the_manifest,
    empty_the_manifest,
    cut_the_manifest,
    binary_manifest,
    manifest_of_another_key,
    manifest_of_another_schema,
    manifest_lists_what_is_not_there,
    manifest_lists_the_plan_twice,
    flip_a_bit_of_a_file,
    lose_a_file,
    longer_file,
    a_file_instead,
    a_dangling_link_instead,
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_entry_is_set_aside_and_counts_as_absent(store: EngineStore, root: Path, damage) -> None:
    put_entry(store, KEY, files=FILES)
    damage(root / KEY)
    assert store.find(KEY) is None
    assert names(root) == [DAMAGED]
    assert store.find(KEY) is None


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_new_engine_takes_a_damaged_ones_place(store: EngineStore, root: Path, damage) -> None:
    put_entry(store, KEY, b"old", files=FILES)
    damage(root / KEY)
    assert put_entry(store, KEY, b"new").plan_path.read_bytes() == b"new"
    assert names(root) == [DAMAGED, KEY]


def test_only_the_last_damaged_entry_of_a_key_is_kept(store: EngineStore, root: Path) -> None:
    for damage in (flip_a_bit, a_file_instead, a_dangling_link_instead, cut_the_plan):
        put_entry(store, KEY)
        damage(root / KEY)
        assert store.find(KEY) is None
    assert names(root) == [DAMAGED]
    assert (root / DAMAGED / MANIFEST).exists()


def test_a_damaged_entry_does_not_hide_the_others(store: EngineStore, root: Path) -> None:
    put_entry(store, KEY)
    put_entry(store, OTHER_KEY)
    empty_the_manifest(root / KEY)
    assert [manifest.key for manifest in store.entries()] == [OTHER_KEY]


@pytest.mark.parametrize("error", [errno.EACCES, errno.EMFILE, errno.ENOMEM, errno.EINTR])
def test_an_entry_that_cannot_be_read_now_is_not_called_damaged(
    store: EngineStore, root: Path, error: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = put_entry(store, KEY)

    def no(path: Path, *rest: object, **more: object) -> object:
        raise OSError(error, os.strerror(error), str(path))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", no)
        with pytest.raises(StoreError) as caught:
            store.find(KEY)
    assert os.strerror(error).lower() in caught.value.message
    assert store.find(KEY) == entry


# locks and sweeping


def test_one_builder_at_a_time(store: EngineStore, root: Path) -> None:
    with store.build_lock(KEY) as mine:
        with EngineStore(root).build_lock(KEY) as yours, store.build_lock(OTHER_KEY) as another:
            assert (mine, yours, another) == (True, False, True)
    with store.build_lock(KEY) as again:
        assert again


def test_sweeping_removes_what_the_dead_left_and_nothing_of_the_living(store: EngineStore, root: Path) -> None:
    put_entry(store, KEY)
    dead, living = root / f".new-{OTHER_KEY}-abcdefgh", root / f".new-{KEY}-abcdefgh"
    for folder in (dead, living):
        folder.mkdir()
        (folder / PLAN).write_bytes(b"half")
    with store.build_lock(KEY) as free:
        assert free
        assert EngineStore(root).sweep() == [dead.name]
        assert names(root) == sorted([living.name, KEY])
    assert store.sweep() == [living.name]
    assert names(root) == [KEY]


def test_sweeping_leaves_strangers_alone(store: EngineStore, root: Path) -> None:
    for name in (".new-notes", "README", f"new-{KEY}-x"):
        (root / name).mkdir()
    assert store.sweep() == []
    assert names(root) == sorted([".new-notes", "README", f"new-{KEY}-x"])


# what the file system says


def test_a_store_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError) as caught:
        EngineStore(tmp_path / "file" / "engines")
    assert "cannot make" in caught.value.message and "not a directory" in caught.value.message


def test_an_entry_that_another_process_has_mended_meanwhile_stays(store: EngineStore, root: Path) -> None:
    """Between finding the damage and setting it aside, somebody else did that and stored a new one."""
    entry = put_entry(store, KEY)
    assert store._set_aside(KEY) == entry  # what `find` calls when it has seen damage
    assert names(root) == [KEY]
    assert store._set_aside(OTHER_KEY) is None


def test_a_store_that_is_gone(store: EngineStore, root: Path) -> None:
    (root / ".locks").rmdir()
    root.rmdir()
    with pytest.raises(StoreError):
        store.entries()
    with pytest.raises(StoreError), store.staging(KEY):
        pass


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_has_a_code_of_its_own(number: int) -> None:
    error = store_error("write", Path("/x"), OSError(number, os.strerror(number)))
    assert (error.error_code, error.retry) == ("disk_full", True)
    assert error.line() == "the disk is full: cannot write /x (free some space)"


def test_other_errors_keep_their_reason() -> None:
    error = store_error("write", Path("/x"), PermissionError(errno.EACCES, "Permission denied"))
    assert (error.error_code, error.retry) == ("store", False)
    assert error.message == "cannot write /x: permission denied"


@pytest.mark.parametrize("call", ["fsync", "rename"])
def test_an_error_on_the_way_leaves_nothing_half_written(
    store: EngineStore, root: Path, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object, **more: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(*((os, "fsync") if call == "fsync" else (Path, "rename")), full)
        with pytest.raises(StoreError) as caught:
            put_entry(store, KEY)
    assert caught.value.error_code == "disk_full"
    assert names(root) == []
    assert put_entry(store, KEY).manifest.key == KEY
