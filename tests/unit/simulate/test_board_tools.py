"""The stand-in tools: the same answers, refusals and side effects as the tools they stand for."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from edgeagent.simulate.board import VirtualBoard, make_board
from edgeagent.simulate.tools import jetson_clocks, nvpmodel


@pytest.fixture
def board(tmp_path: Path) -> VirtualBoard:
    return make_board("orin-nano", tmp_path / "board", seed=11)


def run(board: VirtualBoard, tool: str, *arguments: str, answer: str = "") -> subprocess.CompletedProcess[str]:
    command = [str(board.bin_dir / tool), *arguments]
    return subprocess.run(command, input=answer, capture_output=True, text=True, timeout=30, check=False)


def text(board: VirtualBoard, path: str) -> str:
    return (board.root / path).read_text()


def test_query_prints_name_and_number(board: VirtualBoard) -> None:
    done = run(board, "nvpmodel", "-q")
    assert (done.returncode, done.stdout, done.stderr) == (0, "NV Power Mode: 25W\n1\n", "")


def test_the_list_of_modes(board: VirtualBoard) -> None:
    assert run(board, "nvpmodel", "-p", "--verbose").stdout.splitlines() == [
        "NVPM VERB: PM_CONFIG: DEFAULT=25W(1)",
        "NVPM VERB: POWER_MODEL: ID=0 NAME=15W",
        "NVPM VERB: POWER_MODEL: ID=1 NAME=25W",
        "NVPM VERB: POWER_MODEL: ID=2 NAME=MAXN_SUPER",
        "NVPM VERB: POWER_MODEL: ID=3 NAME=7W",
    ]


def test_a_live_change_says_nothing_and_writes_sysfs(board: VirtualBoard) -> None:
    done = run(board, "nvpmodel", "-m", "0")
    assert (done.returncode, done.stdout) == (0, "")
    assert text(board, "var/lib/nvpmodel/status") == "pmode:0000"
    assert text(board, "sys/devices/system/cpu/cpu5/cpufreq/scaling_max_freq") == "1497600\n"
    assert text(board, "sys/class/devfreq/17000000.gpu/max_freq") == "612000000\n"
    assert text(board, "sys/class/devfreq/17000000.gpu/min_freq") == "306000000\n"
    assert text(board, "sys/kernel/nvpmodel_clk_cap/emc") == "2133000000\n"


def test_minus_one_means_the_top_of_the_table(board: VirtualBoard) -> None:
    run(board, "nvpmodel", "-m", "2")
    assert text(board, "sys/devices/system/cpu/cpu0/cpufreq/scaling_max_freq") == "1728000\n"
    assert text(board, "sys/class/devfreq/17000000.gpu/max_freq") == "1020000000\n"


def test_a_mode_with_fewer_cores_wants_a_reboot_and_end_of_input_refuses_it(board: VirtualBoard) -> None:
    done = run(board, "nvpmodel", "-m", "3")
    assert done.returncode == 234
    assert done.stdout.splitlines() == [
        "NVPM WARN: Golden image context is already created",
        "NVPM WARN: Reboot required for changing to this power mode: 3",
        "NVPM WARN: DO YOU WANT TO REBOOT NOW? enter YES/yes to confirm:",
        "NVPM ERROR: bad input!",
        "NVPM ERROR: optMask is 1, no request for power mode",
    ]
    assert text(board, "var/lib/nvpmodel/status") == "pmode:0001"
    assert text(board, "sys/devices/system/cpu/online") == "0-5\n"


def test_a_no_refuses_without_calling_it_bad_input(board: VirtualBoard) -> None:
    done = run(board, "nvpmodel", "-m", "3", answer="n\n")
    assert done.returncode == 234
    assert "bad input" not in done.stdout


@pytest.mark.parametrize(("arguments", "answer"), [((), "YES\n"), (("--force",), "")])
def test_an_agreed_reboot_takes_cores_away(board: VirtualBoard, arguments: tuple[str, ...], answer: str) -> None:
    done = run(board, "nvpmodel", "-m", "3", *arguments, answer=answer)
    assert done.returncode == 0
    assert "NVPM WARN: rebooting" in done.stdout
    assert text(board, "sys/devices/system/cpu/online") == "0-3\n"
    assert (board.root / "run/virtual-reboot").exists()


def test_the_same_mode_does_nothing(board: VirtualBoard) -> None:
    (board.root / "sys/kernel/nvpmodel_clk_cap/emc").write_text("1\n")
    assert run(board, "nvpmodel", "-m", "1").returncode == 0
    assert text(board, "sys/kernel/nvpmodel_clk_cap/emc") == "1\n"


def test_an_unknown_mode_is_an_error(board: VirtualBoard) -> None:
    done = run(board, "nvpmodel", "-m", "9")
    assert done.returncode == 255
    assert done.stderr.startswith("NVPM ERROR:")


def test_somebody_elses_board_is_refused(
    board: VirtualBoard, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: board.root.stat().st_uid + 1)
    assert nvpmodel.main([str(board.root), "-m", "0"]) == 255
    assert jetson_clocks.main([str(board.root), "--show"]) == 1
    captured = capsys.readouterr()
    assert "as a root user" in captured.out
    assert text(board, "var/lib/nvpmodel/status") == "pmode:0001"


def test_the_grammar_allows_loose_spacing(board: VirtualBoard) -> None:
    conf = board.root / "etc/nvpmodel.conf"
    conf.write_text(conf.read_text().replace("GPU MAX_FREQ 612000000", "GPU  MAX_FREQ   612000000  # a remark"))
    models = nvpmodel.load_conf(board.root).models
    assert models[0].values["GPU", "MAX_FREQ"] == "612000000"
    assert [model.name for model in models.values()] == ["15W", "25W", "MAXN_SUPER", "7W"]


def test_jetson_clocks_shows_the_tree(board: VirtualBoard) -> None:
    done = run(board, "jetson_clocks", "--show")
    lines = done.stdout.splitlines()
    assert done.returncode == 0
    assert lines[0].startswith("SOC family:tegra234  Machine:NVIDIA Jetson Orin Nano")
    assert lines[1] == "Online CPUs: 0-5"
    assert lines[2].startswith("cpu0:  Online=1 Governor=schedutil MinFreq=729600 MaxFreq=1344000 CurrentFreq=")
    assert "GPU MinFreq=306000000 MaxFreq=918000000 CurrentFreq=306000000" in lines
    assert "Active GPU TPCs: 4" in lines
    assert lines[-1] == "NV Power Mode: 25W"


def test_jetson_clocks_locks_nothing(board: VirtualBoard) -> None:
    assert run(board, "jetson_clocks").returncode == 1
