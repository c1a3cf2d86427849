"""The CPU's load from look to look, and the reason where there is none."""

from __future__ import annotations

from pathlib import Path

from sysfs_kit import Tree

from edgeagent.board.cpu_load import ALL, STILL_S, CpuLoads, next_loads
from edgeagent.board.telemetry import BoardReader
from edgeagent.clock import ManualClock


def stat(busy: int, idle: int) -> bytes:
    return f"cpu  {busy} 0 0 {idle} 0 0 0 0 0 0\ncpu0 {busy} 0 0 {idle} 0 0 0 0 0 0\n".encode()


FIRST = next_loads(CpuLoads(), stat(100, 100), "", 0.0)
SECOND = next_loads(FIRST, stat(130, 170), "", 1.0)


def test_a_load_needs_two_readings() -> None:
    assert (FIRST.loads, FIRST.absent, FIRST.cores) == ({}, "first", {0})
    assert (SECOND.loads, SECOND.absent) == ({ALL: 30.0, 0: 30.0}, "")


def test_counters_that_never_moved_are_a_reason_of_their_own() -> None:
    assert next_loads(FIRST, stat(100, 100), "", 0.3).absent == "still"


def test_a_load_holds_within_a_tick_and_not_for_ever() -> None:
    assert next_loads(SECOND, stat(130, 170), "", 1.0 + STILL_S) == SECOND
    late = next_loads(SECOND, stat(130, 170), "", 1.1 + STILL_S)
    assert (late.loads, late.absent, late.cores) == ({}, "still", {0})
    assert next_loads(late, stat(140, 260), "", 9.0).loads[ALL] == 10.0


def test_counters_that_went_backwards_begin_anew() -> None:
    assert next_loads(SECOND, stat(1, 1), "", 2.0).absent == "first"


def test_a_file_that_is_closed_or_junk_says_so() -> None:
    assert next_loads(SECOND, b"", "permission", 2.0).absent == "permission"
    junk = next_loads(SECOND, b"cpu x\n", "", 2.0)
    assert (junk.absent, junk.loads, junk.cores) == ("unreadable", {}, set())


def test_the_reader_says_why_there_is_no_load(tmp_path: Path) -> None:
    tree, clock = Tree(tmp_path), ManualClock()
    tree.write("proc/stat", stat(100, 100))
    with BoardReader(tmp_path, clock=clock) as reader:
        reasons = [reader.read().cpu_load_absent]
        for content in (stat(100, 100), stat(130, 170), b"junk\n"):
            tree.write("proc/stat", content)
            reasons.append(reader.read().cpu_load_absent)
    assert reasons == ["first", "still", "", "unreadable"]
