"""A cache is whole or none, and nothing that is wrong with one is an error."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeagent.engine import caches
from edgeagent.engine.caches import CacheShelf


@pytest.fixture
def shelf(tmp_path: Path) -> CacheShelf:
    return CacheShelf(tmp_path / "timing", tmp_path / "lock", kept=3)


def only_file(tmp_path: Path) -> Path:
    (path,) = (tmp_path / "timing").iterdir()
    return path


def test_what_was_saved_last_is_loaded(shelf: CacheShelf) -> None:
    for data in (b"one", b"two\n{}\nthree", bytes(range(256)) * 100):
        assert shelf.save({"a": 1}, data)
        assert shelf.load({"a": 1}) == data


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:-1],
        lambda data: data + b"x",
        lambda data: data[:-1] + bytes([data[-1] ^ 1]),
        lambda data: data[:10],
        lambda data: data.split(b"\n", 1)[1],
        lambda data: b"x" * 2_000,
        lambda data: data.replace(b'"bytes":4', b'"bytes":99999999999999'),
        lambda data: data.replace(b'"bytes":4', b'"bytes":-1'),
        lambda data: data.replace(b"cache/1", b"cache/2"),
    ],
)
def test_a_damaged_one_counts_as_none_and_is_replaced(shelf: CacheShelf, tmp_path: Path, damage) -> None:
    assert shelf.save("facts", b"data")
    path = only_file(tmp_path)
    path.write_bytes(damage(path.read_bytes()))
    assert shelf.load("facts") is None
    assert shelf.save("facts", b"data") and shelf.load("facts") == b"data"


def test_what_is_empty_or_too_large_is_not_kept(shelf: CacheShelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caches, "MAX_BYTES", 1000)
    assert shelf.save("facts", b"x" * 1000)
    assert not shelf.save("facts", b"")
    assert not shelf.save("facts", b"y" * 1001)
    assert shelf.load("facts") == b"x" * 1000


def test_the_least_recently_saved_goes_when_there_are_too_many(shelf: CacheShelf, tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        assert shelf.save(name, name.encode())
    assert shelf.save("a", b"again")
    (tmp_path / "timing" / "junk").write_bytes(b"junk")
    assert shelf.save("d", b"d")
    assert [shelf.load(name) for name in ("a", "b", "c", "d")] == [b"again", None, b"c", b"d"]
    assert not (tmp_path / "timing" / "junk").exists()


def test_a_place_where_nothing_can_be_kept_costs_nothing(tmp_path: Path) -> None:
    (tmp_path / "timing").write_bytes(b"a file")
    shelf = CacheShelf(tmp_path / "timing", tmp_path / "lock")
    assert shelf.load("facts") is None
    assert not shelf.save("facts", b"data")
    shelf.sweep()
