"""Memory, swap, processes killed for memory, pressure and disk."""

from __future__ import annotations

from pathlib import Path

import pytest
from sysfs_kit import Tree

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
        (b"some avg10=999.99 avg60=0\n", 100.0),
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
