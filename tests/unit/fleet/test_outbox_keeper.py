"""The outbox's file on real disks, good and bad: what it holds afterwards, what is told, and that nothing raises."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from outbox_kit import DAY_S, event, filled, keeper, reopened, rows, state

from edgeagent.clock import ManualClock
from edgeagent.fleet.outbox_aside import KEPT, damaged_files
from edgeagent.fleet.outbox_keeper import DELETE_WITHIN_S, LASTED_S, LATE_BASE, RETRY_S

HOUR_S = 3600.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.db"


def test_what_is_kept_is_there_for_the_next_run_byte_for_byte(path: Path) -> None:
    payload = bytes(range(256)) * 20
    filled(path, event(1, payload), state(2), event(3, life_s=None))
    found = reopened(path)
    assert [entry.number for entry in found] == [1, 2, 3]
    assert found[0].payload == payload
    assert found == (event(1, payload), state(2), event(3, life_s=None))


def test_only_its_owner_may_read_the_file_and_its_log(path: Path) -> None:
    one = keeper(path)
    one.open()
    one.take([event(1)], ())
    one.work(online=True)
    assert {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()} == {
        "outbox.db": 0o600,
        "outbox.db-wal": 0o600,
    }
    one.close()


def test_a_commit_survives_a_process_that_ends_without_a_word(path: Path, tmp_path: Path) -> None:
    one = keeper(path)
    one.open()
    one.take([event(1), event(2)], ())
    one.work(online=True)
    copy = tmp_path / "copy"
    shutil.copytree(path.parent, copy, ignore=shutil.ignore_patterns("copy"))  # what a SIGKILL would leave
    one.close()
    assert [entry.number for entry in reopened(copy / "outbox.db")] == [1, 2]


def test_what_is_forgotten_in_time_is_never_written(path: Path) -> None:
    one = keeper(path)
    one.open()
    one.take([event(1), event(2)], [1, 2])
    one.work(online=True)
    assert one.view.commits == 0
    one.close()
    assert rows(path) == []


def test_a_deletion_goes_along_with_the_next_commit(path: Path) -> None:
    clock = ManualClock()
    one = keeper(path, clock)
    one.open()
    one.take([event(1)], ())
    one.work(online=True)
    one.take((), [1])
    one.work(online=True)
    assert one.view.commits == 1
    one.take([event(2)], ())
    one.work(online=True)
    assert one.view.commits == 2
    assert one.view.rows == 1
    one.close()
    assert rows(path) == [2]


def test_or_follows_within_seconds(path: Path) -> None:
    clock = ManualClock()
    one = keeper(path, clock)
    one.open()
    one.take([event(1)], ())
    one.work(online=True)
    one.take((), [1])
    assert one.due_ns(online=True) == clock.monotonic_ns() + DELETE_WITHIN_S * 1e9
    clock.advance(DELETE_WITHIN_S)
    one.work(online=True)
    assert one.view.commits == 2
    assert one.due_ns(online=True) == clock.monotonic_ns() + LASTED_S * 1e9
    one.close()
    assert rows(path) == []


def test_syncs_are_as_seldom_as_promised(path: Path) -> None:
    clock = ManualClock()
    one = keeper(path, clock)
    one.open()
    for number in range(1, 101):  # ten seconds of ten events a second without a connection
        one.take([event(number)], ())
        one.work(online=False)
        clock.advance(0.1)
    assert one.view.commits == 100
    assert 10 <= one.view.syncs <= 11
    before = one.view.syncs
    for number in range(101, 201):  # and with one, where the broker answers at once
        one.take([event(number)], ())
        one.work(online=True)
        one.take((), [number])
        clock.advance(0.1)
    one.work(online=True)
    assert one.view.syncs <= before + 1  # for what was left of before
    one.work(online=True, sync=True)
    assert one.view.syncs <= before + 2
    one.close()


def test_events_age_by_proven_up_time_only(path: Path) -> None:
    """Neither the time switched off nor a wrong wall clock makes an event old."""
    clock = ManualClock(monotonic_ns=50 * 10**9)
    one = keeper(path, clock, "boot1")
    one.open()
    one.take([event(1, made_ns=clock.monotonic_ns())], ())
    one.work(online=False)
    clock.advance(2 * HOUR_S)
    one.work(online=False)  # writes down that this boot has lasted
    clock.advance(30.0)
    one.close()  # power cut: the last half minute is not proven
    second = ManualClock(monotonic_ns=40 * 10**9, wall_ms=5)
    two = keeper(path, second, "boot2")
    (found,) = two.open()
    assert found.remaining_s(second.monotonic_ns()) == DAY_S - 2 * HOUR_S
    second.advance(HOUR_S)
    two.work(online=False)
    two.close()
    third = ManualClock(monotonic_ns=10 * 10**9, wall_ms=10**15)
    three = keeper(path, third, "boot3")
    third.advance(600.0)
    (found,) = three.open()
    assert found.remaining_s(third.monotonic_ns()) == DAY_S - 3 * HOUR_S
    three.close()
    third.advance(60.0)
    (found,) = reopened(path, third, "boot3")
    assert found.remaining_s(third.monotonic_ns()) == DAY_S - 3 * HOUR_S - 60.0


def test_a_boot_without_a_name_is_another_one_each_time(path: Path) -> None:
    filled(path, event(1, made_ns=10**12), clock=ManualClock(monotonic_ns=10**12), boot="unknown")
    (found,) = reopened(path, ManualClock(monotonic_ns=10**15), boot="unknown")
    assert found.remaining_s(10**15) == DAY_S


def damage(path: Path, how: str) -> None:
    data = bytearray(path.read_bytes())
    if how == "garbage":
        path.write_bytes(os.urandom(5000))
    elif how == "text":
        path.write_text("this is a note")
    elif how == "header":
        path.write_bytes(b"\0" * 100 + data[100:])
    elif how == "cut short":
        path.write_bytes(data[: len(data) // 2])
    elif how == "zeros within":
        path.write_bytes(data[:4096] + b"\0" * 4096 + data[8192:])
    elif how == "all ones within":
        path.write_bytes(data[:3072] + b"\xff" * 1024 + data[4096:])
    elif how == "a topic that is no text":
        path.write_bytes(data.replace(b"e/testthe payload of 17", b"e/\xff\xfestthe payload of 17"))
    elif how == "one byte of a payload":
        path.write_bytes(data.replace(b"payload of 17", b"pAyload of 17"))
    else:
        statement = {"newer version": "PRAGMA user_version=2", "another program": "PRAGMA application_id=1",
                     "no table": "DROP TABLE waiting",
                     "boots without times": "UPDATE boots SET first_ns = 'never', last_ns = 1"}[how]  # fmt: skip
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            db.execute(statement)


DAMAGES = ["garbage", "text", "header", "cut short", "zeros within", "all ones within", "one byte of a payload",
           "a topic that is no text", "newer version", "another program", "no table",
           "boots without times"]  # fmt: skip


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_file_is_set_aside_and_the_outbox_goes_on(path: Path, how: str) -> None:
    filled(path, *(event(number, b"the payload of %d" % number) for number in range(1, 101)))
    damage(path, how)
    one = keeper(path)
    found = one.open()
    assert one.view.on_disk
    ((name, reason),) = one.view.set_aside
    assert name.startswith("outbox.db.damaged-")
    assert reason
    assert (path.parent / name).exists()
    assert all(entry.payload == b"the payload of %d" % entry.number for entry in found)
    one.take([event(1000)], ())
    one.work(online=False)
    one.close()
    assert rows(path) == [*(entry.number for entry in found), 1000]


def test_most_of_a_file_with_a_hole_is_saved(path: Path) -> None:
    filled(path, *(event(number, b"the payload of %d" % number) for number in range(1, 101)))
    damage(path, "all ones within")
    assert len(reopened(path)) > 80


def test_a_wrong_byte_costs_its_row_and_is_counted(path: Path) -> None:
    filled(path, *(event(number, b"the payload of %d" % number) for number in range(1, 101)))
    damage(path, "one byte of a payload")
    one = keeper(path)
    assert len(one.open()) == 99
    assert one.view.lost_rows == 1
    one.close()


def test_an_empty_file_is_a_new_one(path: Path) -> None:
    path.touch()
    filled(path, event(1))
    assert rows(path) == [1]
    assert damaged_files(path) == []


def test_only_a_few_damaged_files_are_kept_and_the_newest(path: Path) -> None:
    for turn in range(KEPT + 3):
        path.write_bytes(b"not a database %d" % turn * 100)
        clock = ManualClock(wall_ms=1_700_000_000_000 - turn * 10**6)  # a clock that goes backwards
        reopened(path, clock)
    kept = damaged_files(path)
    assert len(kept) == KEPT
    assert kept[-1].read_bytes().startswith(b"not a database %d" % (KEPT + 2))


def test_damage_while_running_costs_nothing(path: Path) -> None:
    """Everything is in memory too: a new file is written from there."""
    one = keeper(path)
    one.open()
    one.take([event(number, b"x" * 500) for number in range(1, 6001)], ())
    one.work(online=False)
    with path.open("r+b") as file:
        file.seek(200 * 1024)
        file.write(b"\xff" * (1 << 20))
    one.take([event(6001)], range(1, 3001))
    one.work(online=False)
    assert len(one.view.set_aside) == 1
    assert (one.view.on_disk, one.view.lost_rows) == (True, 0)
    one.close()
    assert rows(path) == list(range(3001, 6002))


def test_another_file_in_its_place_is_noticed_at_the_next_sync(path: Path) -> None:
    one = keeper(path)
    one.open()
    one.take([event(1)], ())
    one.work(online=False)
    other = path.with_name("other")
    filled(other, event(77))
    other.replace(path)
    one.take([event(2)], ())
    one.work(online=False, sync=True)
    assert len(one.view.set_aside) == 1
    one.close()
    assert rows(path) == [1, 2]


def test_without_a_place_everything_stays_in_memory_and_is_written_once_there_is_one(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    path = folder / "outbox.db"
    clock = ManualClock()
    one = keeper(path, clock)
    assert one.open() == ()
    assert not one.view.on_disk
    assert not one.loaded
    assert "unable to open" in one.view.reason
    one.take([event(LATE_BASE + 1), event(LATE_BASE + 2)], ())
    one.take((), [LATE_BASE + 1])
    one.work(online=True)
    folder.mkdir()
    one.work(online=True)
    assert not one.view.on_disk  # not tried at every message
    clock.advance(RETRY_S)
    one.work(online=True)
    assert (one.view.on_disk, one.view.reason, one.view.rows) == (True, "", 1)
    one.close()
    assert rows(path) == [LATE_BASE + 2]


def test_what_could_not_be_read_at_first_comes_later_and_before_the_rest(tmp_path: Path) -> None:
    folder, away = tmp_path / "state", tmp_path / "away"
    folder.mkdir()
    path = folder / "outbox.db"
    filled(path, event(5, b"old"), event(LATE_BASE + 9, b"older run without a disk"))
    folder.rename(away)
    clock = ManualClock()
    one = keeper(path, clock)
    assert one.open() == ()
    one.take([event(LATE_BASE + 1, b"new")], ())
    one.work(online=True)
    away.rename(folder)
    clock.advance(RETRY_S)
    late = one.work(online=True)
    assert [entry.payload for entry in late] == [b"old", b"older run without a disk"]
    assert all(entry.number < LATE_BASE for entry in late)
    assert one.view.rows == 3
    one.close()
    assert [entry.payload for entry in reopened(path)] == [b"old", b"older run without a disk", b"new"]


def test_a_log_without_its_file_is_set_aside_too(path: Path) -> None:
    path.with_name("outbox.db-wal").write_bytes(b"left over")
    one = keeper(path)
    assert one.open() == ()
    ((name, _),) = one.view.set_aside
    assert (path.parent / f"{name}-wal").read_bytes() == b"left over"
    one.close()
    assert rows(path) == []


def test_after_a_long_backlog_the_file_is_small_again(path: Path) -> None:
    clock = ManualClock()
    one = keeper(path, clock)
    one.open()
    numbers = range(1, 8001)
    one.take([event(number, b"x" * 400) for number in numbers], ())
    one.work(online=False)
    assert one.view.file_bytes > 3 << 20
    one.take((), numbers)
    clock.advance(DELETE_WITHIN_S)
    one.work(online=True)
    assert one.view.file_bytes < 64 << 10
    one.take([event(9000)], ())
    one.work(online=True)
    one.close()
    assert rows(path) == [9000]


def test_the_file_does_not_grow_with_what_goes_through_it(path: Path) -> None:
    clock = ManualClock()
    one = keeper(path, clock)
    one.open()
    for number in range(1, 3001):
        one.take([event(number, b"x" * 400)], [number - 1])
        one.work(online=True)
        clock.advance(0.5)
    assert one.view.file_bytes < 3 << 20
    assert path.stat().st_size < 64 << 10
    one.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(folder)], check=False, capture_output=True, text=True
    )
    if made.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {made.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_costs_the_file_and_nothing_else(small_disk: Path) -> None:
    path = small_disk / "outbox.db"
    clock = ManualClock()
    one = keeper(path, clock)
    one.open()
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"b" * (180 << 10))
    for number in range(1, 301):
        one.take([event(number, b"x" * 1000)], ())
        one.work(online=True)
        clock.advance(0.5)
    assert not one.view.on_disk
    assert "full" in one.view.reason
    assert one.view.rows == 300
    one.take((), range(1, 281))
    ballast.unlink()
    clock.advance(RETRY_S)
    one.work(online=False)
    assert one.view.on_disk
    one.close()
    assert [entry.number for entry in reopened(path, clock)] == list(range(281, 301))


def test_a_disk_that_becomes_read_only_costs_the_file_and_nothing_else(small_disk: Path) -> None:
    path = small_disk / "outbox.db"
    filled(path, event(1))
    clock = ManualClock()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    one = keeper(path, clock)
    one.open()
    assert not one.view.on_disk
    one.take([event(LATE_BASE + 1)], ())
    one.work(online=True)
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    clock.advance(RETRY_S)
    late = one.work(online=True)
    assert [entry.number for entry in late] == [LATE_BASE - 1]
    assert one.view.on_disk
    one.close()
    assert rows(path) == [LATE_BASE - 1, LATE_BASE + 1]


def test_a_file_that_somebody_else_holds_is_waited_for(path: Path) -> None:
    clock = ManualClock()
    one = keeper(path, clock)
    one.open()
    one.take([event(1)], ())
    one.work(online=True)
    two = keeper(path, clock)
    assert two.open() == ()
    assert "locked" in two.view.reason
    one.close()
    clock.advance(RETRY_S)
    assert len(two.work(online=True)) == 1
    two.close()
