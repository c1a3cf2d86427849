"""A reboot of a virtual board: what it makes anew and what it keeps."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from board_kit import ALL, by_type

from edgeagent.errors import OperatorError
from edgeagent.power.client import private_helper
from edgeagent.simulate.board import VirtualBoard, load_board, make_board, reboot_board

CPUS = "sys/devices/system/cpu"


def boot_id(board: VirtualBoard) -> str:
    return (board.root / "proc/sys/kernel/random/boot_id").read_text()


def text(board: VirtualBoard, path: str) -> str:
    return (board.root / path).read_text()


def numbering(board: VirtualBoard) -> dict[str, str]:
    """Where each sensor and cooling device lies now."""
    return dict(board.files) | {path: path for path in board.fifos}


@pytest.mark.parametrize("name", ALL)
def test_numbers_and_boot_id_change(tmp_path: Path, name: str) -> None:
    made = make_board(name, tmp_path, seed=8)
    before = boot_id(made)
    again = reboot_board(tmp_path)
    assert boot_id(again) != before
    assert numbering(again) != numbering(made)
    assert set(again.files) == set(made.files)
    assert again == load_board(tmp_path)
    assert again.boots == 2


def uptime_s(board: VirtualBoard) -> float:
    return float(text(board, "proc/uptime").split()[0])


def test_a_board_that_stands_still_is_up_long_enough_for_another_reboot(tmp_path: Path) -> None:
    made = make_board("orin-nano-r36", tmp_path, seed=8)
    assert uptime_s(made) == 1800
    assert text(reboot_board(tmp_path), "proc/uptime") == "600.00 3492.00\n"
    with private_helper(tmp_path, state_dir=tmp_path / "run/edgeagent-power") as helper:
        assert helper.call("reboot").result == "rebooting"


def test_a_board_can_be_left_right_after_its_boot(tmp_path: Path) -> None:
    make_board("orin-nano-r36", tmp_path, seed=8)
    again = reboot_board(tmp_path, uptime_s=0)
    assert text(again, "proc/uptime") == "0.00 0.00\n"
    assert text(again, "proc/stat").startswith("cpu  0 0 0 0 ")
    assert uptime_s(reboot_board(tmp_path, uptime_s=12.5)) == 12.5


def test_no_old_number_is_left(tmp_path: Path) -> None:
    make_board("thor-r38", tmp_path, seed=8)
    for _ in range(3):
        board = reboot_board(tmp_path)
    assert len(list((tmp_path / "sys/class/hwmon").iterdir())) == 5
    assert len(by_type(board, "cooling_device", "type")) == 14


def test_a_seed_gives_the_same_boots(tmp_path: Path) -> None:
    boards = [make_board("agx-orin-r36", tmp_path / str(n), seed=4) for n in range(2)]
    again = [reboot_board(board.root) for board in boards]
    assert again[0].files == again[1].files
    assert boot_id(again[0]) == boot_id(again[1])


def test_the_saved_mode_comes_into_force(tmp_path: Path) -> None:
    board = make_board("orin-nano-r36", tmp_path, seed=8)
    (tmp_path / "var/lib/nvpmodel/status").write_text("pmode:0003")
    assert text(board, f"{CPUS}/online") == "0-5\n"
    board = reboot_board(tmp_path)
    assert (text(board, f"{CPUS}/online"), text(board, f"{CPUS}/offline")) == ("0-3\n", "4-5\n")
    assert text(board, f"{CPUS}/cpu5/online") == "0\n"
    assert text(board, "sys/devices/platform/gpu.0/tpc_pg_mask") == "252\n"
    assert text(board, f"{CPUS}/cpu0/cpufreq/scaling_max_freq") == "960000\n"
    assert [line.split()[0] for line in text(board, "proc/stat").splitlines()[:6]][-1] == "intr"
    assert text(board, "var/lib/nvpmodel/status") == "pmode:0003"


@pytest.mark.parametrize("status", ["pmode:0042", "", "nonsense"])
def test_an_unknown_saved_mode_falls_back_to_the_default(tmp_path: Path, status: str) -> None:
    make_board("agx-orin-r36", tmp_path, seed=8)
    (tmp_path / "var/lib/nvpmodel/status").write_text(status)
    board = reboot_board(tmp_path)
    assert text(board, "var/lib/nvpmodel/status") == "pmode:0002"
    assert text(board, f"{CPUS}/online") == "0-7\n"


def test_a_broken_table_leaves_the_board_without_limits(tmp_path: Path) -> None:
    make_board("agx-orin-r36", tmp_path, seed=8)
    (tmp_path / "etc/nvpmodel.conf").write_text("< POWER_MODEL ID=x NAME= >\n")
    board = reboot_board(tmp_path)
    assert text(board, f"{CPUS}/online") == "0-11\n"
    assert text(board, f"{CPUS}/offline") == "\n"
    assert text(board, f"{CPUS}/cpu0/cpufreq/scaling_max_freq") == "2201600\n"
    assert text(board, "var/lib/nvpmodel/status") == "pmode:0002"


def test_locked_clocks_are_free_again(tmp_path: Path) -> None:
    board = make_board("orin-nano-r36", tmp_path, seed=8)
    (tmp_path / CPUS / "cpu0/cpufreq/scaling_min_freq").write_text("1344000\n")
    (tmp_path / "sys/kernel/debug/bpmp/debug/clk/emc/mrq_rate_locked").write_text("1\n")
    board = reboot_board(tmp_path)
    assert text(board, f"{CPUS}/cpu0/cpufreq/scaling_min_freq") == "729600\n"
    assert text(board, "sys/kernel/debug/bpmp/debug/clk/emc/mrq_rate_locked") == "0\n"


def test_run_is_emptied_and_the_rest_kept(tmp_path: Path) -> None:
    make_board("orin-nano-r39", tmp_path, seed=8)
    kept = {
        "misbehave.json": "{}",
        "load.json": '{"cpu": 0.5}',
        "etc/edgeagent/config.toml": "x = 1\n",
        "var/lib/edgeagent/outbox.db": "kept",
        "usr/local/bin/tool": "kept",
        "etc/nvfancontrol.conf": "FAN_DEFAULT_PROFILE cool\n",
    }
    for path, content in kept.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(content)
    (tmp_path / "run/virtual-reboot").touch()
    reboot_board(tmp_path)
    assert {path: (tmp_path / path).read_text() for path in kept} == kept
    assert not (tmp_path / "run/virtual-reboot").exists()
    assert (tmp_path / "run").is_dir()
    assert (tmp_path / "bin/nvpmodel").exists()
    assert (tmp_path / "etc/nvpmodel.conf").is_symlink()


def test_a_directory_that_is_no_board_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "sys").mkdir()
    with pytest.raises(OperatorError, match="no virtual board"):
        reboot_board(tmp_path)
    assert (tmp_path / "sys").is_dir()


@pytest.mark.parametrize("content", ["[]", "{}", '{"name": "orin-nano"}', "{"])
def test_a_broken_marker_is_no_board(tmp_path: Path, content: str) -> None:
    (tmp_path / ".virtual-board.json").write_text(content)
    with pytest.raises(OperatorError, match="no virtual board"):
        load_board(tmp_path)


def test_another_board_may_take_the_place_of_one(tmp_path: Path) -> None:
    make_board("orin-nano-r39", tmp_path, seed=1)
    (tmp_path / "usr/local/bin").mkdir()
    board = make_board("nano-r32", tmp_path, seed=1)
    assert not (tmp_path / "etc/nvpmodel.conf").is_symlink()
    assert not (tmp_path / "etc/nvfancontrol.conf").exists()
    assert sorted(path.name for path in (tmp_path / "usr/local").glob("*")) == ["bin", "cuda", "cuda-10.2"]
    assert json.loads((tmp_path / ".virtual-board.json").read_text())["name"] == board.name == "nano-r32"
    make_board("pc", tmp_path, seed=1)
    assert not (tmp_path / "etc/nvpmodel.conf").exists()
