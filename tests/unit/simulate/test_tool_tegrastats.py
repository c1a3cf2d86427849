"""The stand-in for tegrastats: a line at once and then one an interval, in the form of the release."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest
from toolbox import give_away, start

from edgeagent.simulate.board import VirtualBoard, make_board


def lines(board: VirtualBoard, count: int = 1) -> list[str]:
    """The first lines; the program ends by SIGTERM, without a word."""
    with start(board, "tegrastats", "--interval", "20") as child:
        assert child.stdout is not None
        found = [child.stdout.readline().rstrip("\n") for _ in range(count)]
        child.terminate()
        child.stdout.read()
        assert child.wait(30) == -signal.SIGTERM
    return found


def first_line(name: str, tmp_path: Path) -> str:
    return lines(make_board(name, tmp_path / "board", seed=11))[0]


def test_r36(tmp_path: Path) -> None:
    line = first_line("orin-nano", tmp_path)
    assert re.match(r"\d\d-\d\d-\d{4} \d\d:\d\d:\d\d RAM \d+/7607MB \(lfb \d+x4MB\) SWAP \d+/3803MB ", line)
    assert re.search(r" CPU \[(\d+%@\d+,){5}\d+%@\d+\] EMC_FREQ 0%@\d+ GR3D_FREQ 0%@\[\d+\] ", line)
    assert re.search(r" cpu@\d+(\.\d+)?C ", line)
    assert re.search(r" tj@\d+(\.\d+)?C ", line)
    assert re.search(r" VDD_IN (\d+)mW/\1mW ", line)


def test_zones_without_power_are_left_out(tmp_path: Path) -> None:
    assert "cv0@" not in first_line("orin-nano", tmp_path)


def test_r32_has_no_date_and_no_units(tmp_path: Path) -> None:
    line = first_line("nano-r32", tmp_path)
    assert line.startswith("RAM ")
    assert re.search(r" GR3D_FREQ \d+%@\d+ ", line)
    assert re.search(r" CPU@[0-9.]+C ", line)
    assert re.search(r" POM_5V_IN (\d+)/\1( |$)", line)


def test_r38_counts_maxima_and_thor_s_gpu_has_three_clocks_and_no_load(tmp_path: Path) -> None:
    line = first_line("thor-r38", tmp_path)
    assert re.search(r" CPU \[(\d+%,){13}\d+%\]@\d+ EMC_FREQ @\d+ GR3D_FREQ @\[(\d+),\2,\2\] ", line)
    assert re.search(r" tj@([0-9.]+)C/\1C ", line)
    assert re.search(r" VIN (\d+)mW/\1mW/\1mW", line)


def test_r39_on_orin_keeps_the_load(tmp_path: Path) -> None:
    line = first_line("orin-nano-r39", tmp_path)
    assert re.search(r" GR3D_FREQ \d+%@\[\d+\] ", line)
    assert re.search(r" VDD_IN (\d+)mW/\1mW/\1mW ", line)


def test_average_and_maximum_follow_the_readings(tmp_path: Path) -> None:
    board = make_board("orin-nano-r39", tmp_path / "board", seed=11)
    board.path("zone:cpu-thermal").write_text("90000\n")
    with start(board, "tegrastats", "--interval", "20") as child:
        assert child.stdout is not None
        assert " cpu@90C/90C " in child.stdout.readline()
        board.path("zone:cpu-thermal").write_text("50000\n")
        later = next(line for line in child.stdout if " cpu@90C/" not in line)
        child.kill()
        child.stdout.read()
    assert " cpu@50C/90C " in later


def test_an_ordinary_user_gets_fewer_fields(tmp_path: Path) -> None:
    board = make_board("orin-nano", tmp_path / "board", seed=11)
    give_away(board)
    assert " EMC_FREQ 0% GR3D_FREQ 0% " in lines(board)[0]


def test_cores_that_are_offline_are_off(tmp_path: Path) -> None:
    board = make_board("orin-nano", tmp_path / "board", seed=11)
    (board.root / "sys/devices/system/cpu/cpu5/online").write_text("0\n")
    assert ",off] " in lines(board)[0]


def test_it_goes_on_until_nobody_reads(tmp_path: Path) -> None:
    board = make_board("orin-nano", tmp_path / "board", seed=11)
    with start(board, "tegrastats", "--interval", "10") as child:
        assert child.stdout is not None
        assert [bool(child.stdout.readline()) for _ in range(3)] == [True] * 3
        child.stdout.close()
        assert child.wait(30) == -signal.SIGPIPE


OTHERS = [
    "xavier-nx-r35",
    "orin-nx16-r36",
    "agx-orin-r36",
    "agx-orin-r39",
    "unknown-carrier",
    "unknown-module",
    "container",
]


@pytest.mark.parametrize("name", OTHERS)
def test_every_board_has_readings(name: str, tmp_path: Path) -> None:
    line = first_line(name, tmp_path)
    assert re.search(r"RAM \d+/\d+MB .*CPU \[.*GR3D_FREQ .*@[0-9.-]+C", line)
