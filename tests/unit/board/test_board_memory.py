"""Memory, swap, processes killed for memory, pressure and disk."""

from __future__ import annotations

from pathlib import Path

import pytest
from sysfs_kit import Tree, as_nobody, open_directory

from edgeagent.board.memory import parse_oom_kills, parse_pressure
from edgeagent.board.telemetry import BoardReader


@pytest.mark.parametrize(
    ("raw", "kills"),
    [(b"nr_free_pages 5\noom_kill 3\n", 3), (b"oom_kill_x 3\n", None), (b"oom_kill x\n", None), (b"", None)],
)
def test_processes_killed_for_memory(raw: bytes, kills: int | None) -> None:
    assert parse_oom_kills(raw) == kills


@pytest.mark.parametrize(
    ("raw", "percent"),
    [
        (b"some avg10=1.25 avg60=0.50 avg300=0.10 total=9\nfull avg10=9.00 avg60=0.00 avg300=0.00 total=9\n", 1.25),
        (b"full avg10=9.00 avg60=0.00 avg300=0.00 total=9\n", None),
        (b"some avg10=100.00 avg60=0\n", 100.0),
        (b"some avg10=999.99 avg60=0\n", None),
        (b"some avg10=", None),
        (b"", None),
    ],
)
def test_pressure(raw: bytes, percent: float | None) -> None:
    assert parse_pressure(raw) == percent


def test_memory_and_uptime(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    tree.write("proc/meminfo", "MemTotal: 1000 kB\nMemAvailable: 400 kB\nSwapTotal: 500 kB\nSwapFree: 450 kB\n")
    tree.write("proc/uptime", "12.50 20.00\n")
    tree.write("proc/vmstat", "oom_kill 2\n")
    tree.write("proc/pressure/memory", "some avg10=0.50 avg60=0.50 avg300=0.10 total=9\n")
    reading = tree.read()
    assert (reading.memory.used_kb, reading.memory.swap_used_kb, reading.uptime_s) == (600, 50, 12.5)
    assert (reading.memory.oom_kills, reading.memory.pressure_percent) == (2, 0.5)


def test_what_the_kernel_does_not_give_is_none(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    tree.write("proc/meminfo", "MemTotal: 1000 kB\n")
    memory = tree.read().memory
    assert (memory.used_kb, memory.swap_used_kb, memory.oom_kills, memory.pressure_percent) == (None,) * 4


def test_the_disk_is_that_of_the_state_directory(tmp_path: Path) -> None:
    with BoardReader(tmp_path, state_dir=tmp_path / "not" / "made" / "yet") as reader:
        disk = reader.read().disk
    assert disk is not None
    assert 0 <= disk.free_bytes <= disk.total_bytes


LESS = "SwapTotal: 500 kB\nSwapFree: 450 kB\n"


@pytest.mark.parametrize(
    ("meminfo", "total_kb", "available_kb", "absent"),
    [
        ("MemTotal: 1000 kB\nMemAvailable: 400 kB\n", 1000, 400, ""),
        ("MemTotal: 99999999999999 kB\nMemAvailable: 400 kB\n", None, 400, "unreadable"),
        (f"MemTotal: {2**30} kB\nMemAvailable: {2**30 + 1} kB\n", 2**30, None, "unreadable"),
        ("MemTotal: 1000 kB\nMemAvailable: 1001 kB\n", 1000, None, "unreadable"),
        ("MemTotal: 0 kB\nMemAvailable: 0 kB\n", None, 0, "unreadable"),
        ("junk\n", None, None, "unreadable"),
    ],
)
def test_memory_that_cannot_be_says_why(
    tmp_path: Path, meminfo: str, total_kb: int | None, available_kb: int | None, absent: str
) -> None:
    tree = Tree(tmp_path)
    tree.write("proc/meminfo", meminfo + LESS)
    memory = tree.read().memory
    assert (memory.total_kb, memory.available_kb, memory.absent) == (total_kb, available_kb, absent)
    assert (memory.swap_used_kb, memory.swap_absent) == (50, "")


def test_what_is_closed_says_permission() -> None:
    with open_directory() as directory:
        tree = Tree(directory)
        for name in ("meminfo", "uptime", "stat", "vmstat", "pressure/memory"):
            tree.write(f"proc/{name}", "1.0 1.0\n").chmod(0)
        with as_nobody():
            reading = tree.read()
    memory = reading.memory
    reasons = (memory.absent, memory.swap_absent, memory.oom_kills_absent, memory.pressure_absent)
    assert {*reasons, reading.uptime_absent, reading.cpu_load_absent} == {"permission"}


@pytest.mark.parametrize(
    ("vmstat", "absent"), [("oom_kill 3\n", ""), ("nr_free_pages 3\n", "not-given"), ("oom_kill x\n", "unreadable")]
)
def test_a_kernel_that_does_not_count_its_kills(tmp_path: Path, vmstat: str, absent: str) -> None:
    tree = Tree(tmp_path)
    tree.write("proc/vmstat", vmstat)
    memory = tree.read().memory
    assert (memory.oom_kills_absent, memory.pressure_absent) == (absent, "not-given")


@pytest.mark.parametrize(("content", "uptime_s"), [("12.50 1.0\n", 12.5), ("999999999999 1\n", None), ("up\n", None)])
def test_an_uptime_of_centuries_is_unreadable(tmp_path: Path, content: str, uptime_s: float | None) -> None:
    tree = Tree(tmp_path)
    tree.write("proc/uptime", content)
    reading = tree.read()
    assert (reading.uptime_s, reading.uptime_absent) == (uptime_s, "" if uptime_s else "unreadable")
