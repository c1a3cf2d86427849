"""Registries that are a directory: what is put there, what is found there, full disks, and subjects."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from test_store_kit import small_disk

sys.path.append(str(Path(__file__).parents[1] / "unit" / "engine"))
from registry_kit import (
    CACHE,
    FACTS,
    KEY,
    LIMITS,
    NOW_MS,
    OTHERS,
    OURS,
    PLAN_BYTES,
    STRANGERS,
    TRUSTED,
    Ground,
    ground,
    put_engine,
)

from edgeagent.engine.key import key_of_facts
from edgeagent.engine.registry.errors import (
    RegistryDataError,
    RegistryError,
    RegistrySetupError,
    RegistryTransportError,
)
from edgeagent.engine.registry.layout import SIGNATURE
from edgeagent.engine.registry.publish import publish_engine
from edgeagent.engine.registry.signing import verify_signature
from edgeagent.engine.store import EngineStore
from edgeagent.engine.subject import subject_of_facts
from edgeagent.errors import OperatorError, StoreError

OTHER_FACTS = {**FACTS, "calibration_digest": "d" * 64}
OTHER_KEY = key_of_facts(OTHER_FACTS)
SUBJECT = subject_of_facts(FACTS)


@pytest.fixture
def place(tmp_path):
    return ground(tmp_path)


def code_of(place: Ground, **options) -> str:
    with pytest.raises(RegistryError) as caught:
        place.fetch(**options)
    place.assert_nothing_stored()
    return caught.value.error_code


def test_an_engine_comes_whole_with_its_signature(place):
    fetched = place.fetch()
    folder = fetched.entry.plan_path.parent
    assert (folder / "plan").read_bytes() == PLAN_BYTES
    assert (folder / "calibration.cache").read_bytes() == CACHE
    data, signature = (folder / "manifest.json").read_bytes(), (folder / SIGNATURE).read_bytes()
    assert data == (place.folder() / "manifest.json").read_bytes()
    assert verify_signature(data, signature, TRUSTED) == OURS.key_id == fetched.key_id
    assert place.store.find(KEY).manifest.published.issued_ms == NOW_MS
    assert fetched.bytes == len(PLAN_BYTES) + len(CACHE) and fetched.notes == ()


def test_no_registries_and_an_empty_registry_have_nothing(tmp_path):
    place = ground(tmp_path, pushed=False)
    assert place.fetch() is None
    assert list((tmp_path / "registry").iterdir()) == []


def test_a_registry_that_is_not_mounted_is_told_from_an_empty_one(place):
    place.registry.rename(place.registry.with_name("gone"))
    assert code_of(place) == "registry_unreachable"


def test_names_that_are_no_keys_lead_nowhere(place):
    for key in ("../../../../etc", KEY[:-1], KEY.upper(), ""):
        with pytest.raises((RegistrySetupError, StoreError)):
            place.fetch(key=key)


@pytest.mark.parametrize("kind", ["directory", "pipe", "dangling link"])
def test_odd_things_in_a_files_place(place, kind):
    path = place.folder() / "manifest.json"
    path.unlink()
    if kind == "directory":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("nowhere")
        assert place.fetch() is None
        return
    assert code_of(place) == "registry_unreachable"


@pytest.mark.parametrize("content", [b"", PLAN_BYTES[:-1], PLAN_BYTES + b"x", PLAN_BYTES[:-1] + b"\0"])
def test_a_plan_that_is_not_the_signed_one(place, content):
    place.plan_file().write_bytes(content)
    assert code_of(place) in ("registry_truncated", "registry_oversized", "registry_digest")
    place.plan_file().write_bytes(PLAN_BYTES)
    assert place.fetch() is not None, "and after it was mended, it comes"


def test_a_manifest_that_was_edited(place):
    path = place.folder() / "manifest.json"
    path.write_bytes(path.read_bytes().replace(b'"int8"', b'"fp16"'))
    assert code_of(place) == "registry_unsigned", "signatures are found by the manifest's digest"


def test_an_entry_under_another_name(place):
    place.folder().rename(place.folder().with_name(OTHER_KEY))
    assert code_of(place, key=OTHER_KEY) == "registry_wrong_key"


def test_an_expired_entry_is_refused_and_a_new_push_mends_it(place):
    later = NOW_MS + 40 * 86_400_000
    assert code_of(place, now_ms=later) == "registry_expired"
    assert place.push(days=None) == "replaced"
    assert place.fetch(now_ms=later) is not None


# pushing


def pushed_by(place: Ground, key, trusted=()):
    return publish_engine(KEY, place.url, key, place.source, 30, NOW_MS, trusted=trusted, limits=LIMITS)


def test_another_keys_entry_is_not_overwritten(place):
    before = (place.folder() / "manifest.json").read_bytes()
    with pytest.raises(RegistrySetupError) as caught:
        pushed_by(place, OTHERS)
    assert caught.value.error_code == "registry_conflict"
    assert pushed_by(place, OTHERS, trusted=[OURS.public_text]).outcome == "there"
    with pytest.raises(RegistrySetupError):
        pushed_by(place, OTHERS, trusted=[STRANGERS.public_text])
    assert (place.folder() / "manifest.json").read_bytes() == before


def test_rubbish_in_its_place_needs_a_person(place):
    (place.folder() / "manifest.json").write_bytes(b"<html>")
    with pytest.raises(RegistrySetupError) as caught:
        place.push()
    assert caught.value.error_code == "registry_conflict"


def test_a_push_repairs_a_damaged_plan(place):
    place.plan_file().write_bytes(b"damaged")
    assert place.push() == "replaced"
    assert place.fetch() is not None


def test_what_cannot_be_pushed(place, tmp_path):
    with pytest.raises(OperatorError) as caught:
        place.push("0" * 32)
    assert caught.value.error_code == "no_engine"
    with pytest.raises(RegistrySetupError) as caught:
        publish_engine(KEY, place.url, OURS, place.source, 30, 1_000, limits=LIMITS)
    assert caught.value.error_code == "registry_clock"
    with pytest.raises(RegistryTransportError):
        place.push(url=f"file://{tmp_path}/not/there")
    for url in ("ftp://x/y", "plain"):
        with pytest.raises(RegistrySetupError) as caught:
            place.push(url=url)
        assert caught.value.error_code == "registry_url"


def test_an_engine_whose_key_is_not_that_of_its_facts_is_not_pushed(tmp_path):
    place = ground(tmp_path, pushed=False)
    folder = tmp_path / "source" / KEY
    record = json.loads((folder / "manifest.json").read_bytes())
    (folder / "manifest.json").write_text(json.dumps({**record, "facts": {"other": 1}}), encoding="utf-8")
    with pytest.raises((RegistryDataError, OperatorError)):
        place.push()
    assert list(place.registry.iterdir()) == []


def test_what_is_put_can_be_served_by_another_user(place):
    assert {path.stat().st_mode & 0o444 for path in place.registry.rglob("*")} == {0o444}
    assert not list(place.registry.rglob(".*")), "nothing half is left"


def test_a_full_registry_is_told(tmp_path):
    with small_disk(tmp_path / "disk", "256k") as disk:
        place = ground(tmp_path, pushed=False)
        with pytest.raises(RegistryTransportError) as caught:
            place.push(url=f"file://{disk}")
        assert "no space" in caught.value.message
        assert [path for path in disk.rglob("*") if path.is_file()] == []


# subjects


def test_an_engine_that_differs_in_its_calibration_data_is_found(place):
    fetched = place.fetch(key=OTHER_KEY, subject=subject_of_facts(OTHER_FACTS))
    assert fetched is not None and fetched.key == KEY
    assert place.store.find(KEY) is not None and place.store.find(OTHER_KEY) is None


def test_the_very_engine_is_taken_first(place):
    put_engine(place.source, b"another plan", OTHER_FACTS)
    place.push(OTHER_KEY)
    fetched = place.fetch(subject=SUBJECT)
    assert fetched.key == KEY
    assert place.fetch(key="0" * 32, subject=SUBJECT).key == OTHER_KEY, "the last that was put"
    assert place.fetch(key="1" * 32, subject=SUBJECT) is None, "what is here already is no find"
    place.store.quarantine(OTHER_KEY, "engine_disagrees", "does not hold here")
    assert place.fetch(key="1" * 32, subject=SUBJECT) is None


def test_a_subjects_file_is_a_hint_and_no_more(place):
    pointer = place.registry / "subjects" / SUBJECT
    foreign = {**FACTS, "precision": "fp16"}
    put_engine(place.source, b"fp16 plan", foreign)
    place.push(key_of_facts(foreign))
    pointer.write_text(key_of_facts(foreign), encoding="utf-8")
    with pytest.raises(RegistryDataError) as caught:
        place.fetch(key=OTHER_KEY, subject=SUBJECT)
    assert caught.value.error_code == "registry_wrong_key"
    for junk in (b"", b"../../x", b"<html>", b"\xff" * 40, ("0" * 32).encode()):
        pointer.write_bytes(junk)
        assert place.fetch(key=OTHER_KEY, subject=SUBJECT) is None
    pointer.write_bytes(b"x" * 1000)
    with pytest.raises(RegistryDataError):
        place.fetch(key=OTHER_KEY, subject=SUBJECT)
    assert place.store.entries() == []


# our own disk


def test_a_disk_that_is_too_small_is_told_before_it_is_filled(tmp_path):
    place = ground(tmp_path)
    with small_disk(tmp_path / "disk", "600k") as disk:
        place.store, place.store_root = EngineStore(disk / "engines"), disk / "engines"
        with pytest.raises(StoreError) as caught:
            place.fetch()
        assert caught.value.error_code == "disk_full" and caught.value.retry
        place.assert_nothing_stored()
        assert sum(path.stat().st_size for path in disk.rglob("*.part")) == 0


def test_a_disk_that_fills_up_meanwhile(tmp_path):
    place = ground(tmp_path)
    with small_disk(tmp_path / "disk", "1500k") as disk:
        place.store, place.store_root = EngineStore(disk / "engines"), disk / "engines"

        def fill(percent: float, text: str) -> None:
            if 20 < percent < 60 and not (disk / "filler").exists():
                with (disk / "filler").open("wb", buffering=0) as filler, pytest.raises(OSError):
                    while True:
                        filler.write(b"z" * 4096)

        with pytest.raises(StoreError) as caught:
            place.fetch(progress=fill)
        assert caught.value.error_code == "disk_full"
        place.assert_nothing_stored()
        (disk / "filler").unlink()
        assert place.fetch() is not None


def test_part_files_of_long_ago_go(place):
    parts = place.store_root / ".parts"
    for number in range(8):
        (parts / f"{number:032x}").mkdir(parents=True)
        os.utime(parts / f"{number:032x}", (number, number))
    with place.store.build_lock(f"{1:032x}") as free:
        assert free
        place.fetch()
    assert sorted(int(path.name, 16) for path in parts.iterdir()) == [1, 4, 5, 6, 7], "one is in use, four are kept"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_root_fetches_and_pushes_belongs_to_the_directorys_owner(place):
    put_engine(place.source, b"another plan", OTHER_FACTS)
    for folder in (place.registry, place.store_root):
        for path in (folder, *folder.rglob("*")):
            os.chown(path, 4321, 4321)
    place.push(OTHER_KEY)
    place.fetch(key=OTHER_KEY)
    place.plan_file().write_bytes(PLAN_BYTES[:-1])
    with pytest.raises(RegistryDataError):
        place.fetch()
    for folder in (place.registry, place.store_root):
        assert {path.stat().st_uid for path in folder.rglob("*")} == {4321}
