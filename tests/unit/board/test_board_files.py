"""Probes answer with a value or with a reason, never with an exception and never late."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from sysfs_kit import as_nobody, open_directory

from edgeagent.board.files import OpenFiles, Probe, list_names, numbered, read_bytes, read_int, read_text, reason_of


@pytest.fixture
def fifo(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "temp"
    os.mkfifo(path)
    yield path


def test_a_probe_reads_the_file_anew_each_time(tmp_path: Path) -> None:
    path = tmp_path / "temp"
    path.write_text("45000\n")
    probe = Probe(str(path))
    assert probe.read() == (b"45000\n", "")
    path.write_text("9500\n")
    assert probe.read() == (b"9500\n", "")
    probe.close()
    assert probe.read() == (b"", "vanished")


def test_a_fifo_with_a_writer_says_eagain_and_the_probe_offline(fifo: Path) -> None:
    held = os.open(fifo, os.O_RDWR | os.O_NONBLOCK)
    probe = Probe(str(fifo))
    with pytest.raises(BlockingIOError):
        os.read(held, 1)
    assert probe.read() == (b"", "offline")
    probe.close()
    os.close(held)


def test_a_fifo_without_a_writer_is_offline_too(fifo: Path) -> None:
    probe = Probe(str(fifo))
    assert probe.read() == (b"", "offline")
    probe.close()
    assert read_bytes(fifo) == b""


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.EAGAIN, "offline"),
        (errno.EACCES, "permission"),
        (errno.EPERM, "permission"),
        (errno.EBUSY, "offline"),
        (errno.ENODATA, "offline"),
        (errno.ENOENT, "vanished"),
        (errno.ENODEV, "vanished"),
        (errno.EIO, "unreadable"),
    ],
)
def test_reasons(number: int, reason: str) -> None:
    assert reason_of(OSError(number, os.strerror(number))) == reason


def test_a_missing_file_a_directory_and_a_strange_name(tmp_path: Path) -> None:
    for path, reason in ((tmp_path / "none", "not-given"), (tmp_path, "unreadable"), ("a\0b", "not-given")):
        probe = Probe(str(path))
        assert probe.read() == (b"", reason)
        probe.close()
        assert read_bytes(path) == b""


def test_a_closed_file() -> None:
    with open_directory() as directory:
        path = directory / "secret"
        path.write_text("1")
        path.chmod(0)
        with as_nobody():
            probe = Probe(str(path))
    assert not probe.is_open
    assert probe.read() == (b"", "permission")


def test_read_bytes_stops_at_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "long"
    path.write_bytes(b"x" * 100_000)
    assert len(read_bytes(path, 70_000)) == 70_000


def test_list_names_is_sorted_and_empty_for_nothing(tmp_path: Path) -> None:
    for name in ("b", "a"):
        (tmp_path / name).touch()
    assert list_names(tmp_path) == ("a", "b")
    assert list_names(tmp_path / "none") == ()


def test_open_files_close_together(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("7 mv\n")
    files = OpenFiles()
    probe, missing = files.open(str(tmp_path / "a")), files.open(str(tmp_path / "none"))
    assert (probe.read_int(), missing.read_int(), len(files)) == ((7, ""), (None, "not-given"), 1)
    files.close()
    assert (probe.read_int(), len(files)) == ((None, "vanished"), 0)


def test_the_first_that_opens_is_kept(tmp_path: Path) -> None:
    (tmp_path / "b").write_text("b")
    files = OpenFiles()
    found = files.open_first(str(tmp_path / "a"), str(tmp_path / "b"))
    assert found is not None
    assert found.read() == (b"b", "")
    assert files.open_first(str(tmp_path / "a")) is None
    files.close()


def test_small_texts_and_numbers(tmp_path: Path) -> None:
    (tmp_path / "name").write_bytes(b"ina3221\n")
    (tmp_path / "value").write_bytes(b"-12\n")
    assert (read_text(str(tmp_path / "name")), read_int(str(tmp_path / "value"))) == ("ina3221", -12)
    assert (read_text(str(tmp_path / "none")), read_int(str(tmp_path / "none"))) == ("", None)


def test_numbered_entries(tmp_path: Path) -> None:
    for name in ("hwmon10", "hwmon2", "hwmon", "hwmonx", "other3"):
        (tmp_path / name).mkdir()
    assert numbered(str(tmp_path), "hwmon") == [f"{tmp_path}/hwmon2", f"{tmp_path}/hwmon10"]
