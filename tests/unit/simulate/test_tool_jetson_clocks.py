"""The stand-in for jetson_clocks: lock, store, restore, show, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
from toolbox import CPU, edit, give_away, put, run, sysfs, text

from edgeagent.simulate.board import VirtualBoard, make_board

GPU = "sys/class/devfreq/17000000.gpu"
DEBUG_EMC = "sys/kernel/debug/bpmp/debug/clk/emc"
NOT_ROOT = "Error: Run this script(/usr/bin/jetson_clocks) as a root user\n"


@pytest.fixture
def board(tmp_path: Path) -> VirtualBoard:
    return make_board("orin-nano", tmp_path / "board", seed=11)


def other(name: str, tmp_path: Path) -> VirtualBoard:
    return make_board(name, tmp_path / name, seed=11)


def show(board: VirtualBoard) -> list[str]:
    done = run(board, "jetson_clocks", "--show")
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def pinned(board: VirtualBoard) -> dict[str, bool]:
    """Whether minimum and maximum agree, for every clock of cores and GPU."""
    policies = sorted((board.root / CPU / "cpufreq").glob("policy*"))
    pairs = {path.name: (path / "scaling_min_freq", path / "scaling_max_freq") for path in policies}
    for path in sorted((board.root / "sys/class/devfreq").iterdir()):
        if "gpu" in path.name or path.name.endswith(("gv11b", "ga10b")):
            pairs[path.name] = (path / "min_freq", path / "max_freq")
    return {name: low.read_text() == high.read_text() for name, (low, high) in pairs.items()}


def emc(board: VirtualBoard, name: str) -> str:
    return text(board, f"{DEBUG_EMC}/{name}").strip()


# --- locking ---------------------------------------------------------------------------------------------------------


def test_without_options_every_clock_is_locked_where_the_mode_ends(board: VirtualBoard) -> None:
    done = run(board, "jetson_clocks")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert pinned(board) == {"policy0": True, "policy4": True, "17000000.gpu": True}
    assert text(board, f"{CPU}/cpu5/cpufreq/scaling_min_freq") == "1344000\n"
    assert text(board, f"{CPU}/cpu5/cpufreq/scaling_cur_freq") == "1344000\n"
    assert text(board, f"{GPU}/min_freq") == text(board, f"{GPU}/cur_freq") == "918000000\n"
    assert text(board, f"{GPU}/device/railgate_enable") == "0\n"


def test_the_memory_is_locked_at_the_mode_s_cap(board: VirtualBoard) -> None:
    run(board, "nvpmodel", "-m", "0")
    run(board, "jetson_clocks")
    assert (emc(board, "mrq_rate_locked"), emc(board, "rate")) == ("1", "2133000000")


def test_a_mode_without_a_memory_cap_locks_it_at_its_top(board: VirtualBoard) -> None:
    run(board, "nvpmodel", "-m", "2")
    run(board, "jetson_clocks")
    assert emc(board, "rate") == emc(board, "max_rate") == "3199000000"


def test_without_debugfs_the_rest_is_locked_all_the_same(board: VirtualBoard) -> None:
    (board.root / DEBUG_EMC / "mrq_rate_locked").unlink()
    assert run(board, "jetson_clocks").returncode == 0
    assert all(pinned(board).values())


def test_idle_states_are_forbidden_where_the_tree_has_them(board: VirtualBoard) -> None:
    put(board, f"{CPU}/cpu1/cpuidle/state0/name", "WFI\n")
    put(board, f"{CPU}/cpu1/cpuidle/state0/disable", "0\n")
    assert "IdleStates: WFI=1" in next(line for line in show(board) if line.startswith("cpu1"))
    run(board, "jetson_clocks")
    assert text(board, f"{CPU}/cpu1/cpuidle/state0/disable") == "1\n"
    assert "IdleStates: WFI=0" in next(line for line in show(board) if line.startswith("cpu1"))


def test_cores_that_are_offline_are_locked_with_their_policy(board: VirtualBoard) -> None:
    put(board, f"{CPU}/cpu5/online", "0\n")
    assert run(board, "jetson_clocks").returncode == 0
    assert pinned(board)["policy4"]


def test_a_gpu_without_frequency_scaling_is_an_error(board: VirtualBoard) -> None:
    (board.root / GPU).unlink()
    done = run(board, "jetson_clocks")
    assert (done.returncode, done.stdout) == (1, "Error! GPU frequency scaling not supported!\n")


def test_thor_locks_both_clocks_of_its_gpu_and_says_so(tmp_path: Path) -> None:
    thor = other("thor-r38", tmp_path)
    done = run(thor, "jetson_clocks")
    assert (done.returncode, done.stdout.splitlines()) == (
        0,
        ["Enabled Legacy persistence mode for GPU 00000000:01:00.0.", "All done."],
    )
    locked = pinned(thor)
    assert {"gpu-gpc-0", "gpu-nvd-0"} <= set(locked)
    assert all(locked.values())


def test_in_a_container_nothing_is_written_and_the_status_is_0(tmp_path: Path) -> None:
    container = other("container", tmp_path)
    before = sysfs(container)
    done = run(container, "jetson_clocks")
    assert done.returncode == 0
    assert "Error: Failed to max GPU frequency!" in done.stdout
    assert "Read-only file system" in done.stderr
    assert sysfs(container) == before


# --- the fan ---------------------------------------------------------------------------------------------------------


def pwm(board: VirtualBoard) -> str:
    return board.path("pwm").read_text()


def test_fan_runs_flat_out_and_nobody_controls_it(board: VirtualBoard) -> None:
    assert run(board, "systemctl", "is-active", "nvfancontrol").stdout == "active\n"
    assert run(board, "jetson_clocks", "--fan").returncode == 0
    assert pwm(board) == "255\n"
    assert run(board, "systemctl", "is-active", "nvfancontrol").stdout == "inactive\n"
    assert all(pinned(board).values())
    assert any(line.startswith("FAN Dynamic Speed Control=disabled") for line in show(board))


def test_r32_turns_its_fan_through_other_files(tmp_path: Path) -> None:
    nano = other("nano-r32", tmp_path)
    assert run(nano, "jetson_clocks", "--fan").returncode == 0
    assert text(nano, "sys/devices/pwm-fan/target_pwm") == "255\n"
    assert text(nano, "sys/devices/pwm-fan/temp_control") == "0\n"
    assert "Fan: PWM=255" in show(nano)


# --- storing and restoring -------------------------------------------------------------------------------------------


def test_what_is_stored_is_what_locking_changes(board: VirtualBoard, tmp_path: Path) -> None:
    store = tmp_path / "state" / "clocks.store"
    done = run(board, "jetson_clocks", "--store", str(store))
    assert (done.returncode, done.stdout) == (0, f"Storing system configuration in {store}\n")
    lines = store.read_text().splitlines()
    assert all(line.startswith("/") and line.count(":") == 1 for line in lines)
    assert {
        "/sys/devices/system/cpu/cpu0/online:1",
        "/sys/devices/system/cpu/cpu5/cpufreq/scaling_min_freq:729600",
        "/sys/class/devfreq/17000000.gpu/min_freq:306000000",
        "/sys/class/devfreq/17000000.gpu/device/railgate_enable:1",
        "/sys/kernel/debug/bpmp/debug/clk/emc/mrq_rate_locked:0",
    } <= set(lines)


def test_locks_are_undone_by_what_was_stored(board: VirtualBoard, tmp_path: Path) -> None:
    store = str(tmp_path / "clocks.store")
    run(board, "jetson_clocks", "--store", store)
    run(board, "jetson_clocks", "--fan")
    done = run(board, "jetson_clocks", "--restore", store)
    assert (done.returncode, done.stdout) == (0, f"Restoring system configuration from {store}\n")
    assert pinned(board) == {"policy0": False, "policy4": False, "17000000.gpu": False}
    assert text(board, f"{GPU}/device/railgate_enable") == "1\n"
    assert emc(board, "mrq_rate_locked") == "0"
    assert run(board, "systemctl", "is-active", "nvfancontrol").stdout == "active\n"


def speeds(board: VirtualBoard) -> dict[str, int]:
    cpus = {f"cpu{core}": f"{CPU}/cpu{core}/cpufreq/scaling_cur_freq" for core in (0, 5)}
    return {name: int(text(board, path)) for name, path in {**cpus, "gpu": f"{GPU}/cur_freq"}.items()}


def test_a_mode_with_lower_clocks_brings_locked_ones_down_at_once(board: VirtualBoard, tmp_path: Path) -> None:
    store = str(tmp_path / "clocks.store")
    run(board, "nvpmodel", "-m", "2")
    run(board, "jetson_clocks", "--store", store)
    run(board, "jetson_clocks")
    assert speeds(board) == {"cpu0": 1_728_000, "cpu5": 1_728_000, "gpu": 1_020_000_000}
    assert run(board, "nvpmodel", "-m", "1").returncode == 0
    run(board, "jetson_clocks", "--restore", store)
    assert speeds(board) == {"cpu0": 1_344_000, "cpu5": 1_344_000, "gpu": 918_000_000}


def test_a_restored_minimum_lifts_a_clock_that_runs_below_it(board: VirtualBoard, tmp_path: Path) -> None:
    store = tmp_path / "clocks.store"
    store.write_text(f"/{CPU}/cpu0/cpufreq/scaling_min_freq:1190400\n/{GPU}/min_freq:612000000\n")
    assert run(board, "jetson_clocks", "--restore", str(store)).returncode == 0
    assert speeds(board) == {"cpu0": 1_190_400, "cpu5": 729_600, "gpu": 612_000_000}


def test_without_a_file_the_store_lies_in_root_s_home(board: VirtualBoard) -> None:
    done = run(board, "jetson_clocks", "--store")
    assert done.stdout == "Storing system configuration in /root/.jetsonclocks_conf.txt\n"
    assert (board.root / "root/.jetsonclocks_conf.txt").exists()
    assert run(board, "jetson_clocks", "--restore").returncode == 0


@pytest.mark.parametrize("answer", ["", "n\n", "yes\n"])
def test_an_existing_store_is_not_overwritten_without_a_y(board: VirtualBoard, tmp_path: Path, answer: str) -> None:
    store = tmp_path / "clocks.store"
    store.write_text("mine\n")
    done = run(board, "jetson_clocks", "--store", str(store), answer=answer)
    assert (done.returncode, done.stdout.splitlines()) == (
        1,
        [
            f"File {store} already exists. Can I overwrite it? Y/N:",
            f"Error: file {store} already exists!",
        ],
    )
    assert store.read_text() == "mine\n"


@pytest.mark.parametrize("answer", ["y\n", "Y\n"])
def test_a_y_overwrites_the_store(board: VirtualBoard, tmp_path: Path, answer: str) -> None:
    store = tmp_path / "clocks.store"
    store.write_text("mine\n")
    assert run(board, "jetson_clocks", "--store", str(store), answer=answer).returncode == 0
    assert "mine" not in store.read_text()


def test_nothing_stored_nothing_restored(board: VirtualBoard, tmp_path: Path) -> None:
    done = run(board, "jetson_clocks", "--restore", str(tmp_path / "none"))
    assert (done.returncode, done.stdout) == (1, f"Error: {tmp_path / 'none'} file not found !\n")


def test_lines_that_cannot_be_restored_are_named_and_the_rest_is_restored(board: VirtualBoard, tmp_path: Path) -> None:
    store, outside = tmp_path / "clocks.store", tmp_path / "outside"
    outside.write_text("safe\n")
    store.write_text(f"/sys/none:1\nnonsense\n/..{outside}:1\n/sys/class/devfreq/17000000.gpu/min_freq:99000000000\n")
    done = run(board, "jetson_clocks", "--restore", str(store))
    assert done.returncode == 0
    assert [line for line in done.stdout.splitlines() if line.startswith("Error")] == [
        "Error: Failed to restore /sys/none",
        "Error: Failed to restore nonsense",
        f"Error: Failed to restore /..{outside}",
    ]
    assert outside.read_text() == "safe\n"
    assert text(board, f"{GPU}/min_freq") == text(board, f"{GPU}/max_freq")


# --- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("option", [[], ["--fan"], ["--store"], ["--restore"]])
def test_an_ordinary_user_is_refused(board: VirtualBoard, option: list[str]) -> None:
    give_away(board)
    before = sysfs(board)
    done = run(board, "jetson_clocks", *option)
    assert (done.returncode, done.stdout) == (1, NOT_ROOT)
    assert sysfs(board) == before


def test_an_ordinary_user_sees_the_headline_before_the_refusal(board: VirtualBoard) -> None:
    give_away(board)
    done = run(board, "jetson_clocks", "--show")
    assert done.returncode == 1
    assert done.stdout.splitlines()[0].startswith("SOC family:tegra234  Machine:NVIDIA Jetson Orin Nano")
    assert done.stdout.endswith(NOT_ROOT)


def test_an_unknown_option_prints_the_usage_and_is_no_failure(board: VirtualBoard) -> None:
    before = sysfs(board)
    done = run(board, "jetson_clocks", "--lock")
    assert (done.returncode, done.stdout) == (0, "Unknown option: --lock\n")
    assert run(board, "jetson_clocks", "--help").stderr.startswith("usage: jetson_clocks")
    assert sysfs(board) == before


# --- showing ---------------------------------------------------------------------------------------------------------


def test_show_on_r36(board: VirtualBoard) -> None:
    lines = show(board)
    assert lines[0].startswith("SOC family:tegra234  Machine:NVIDIA Jetson Orin Nano")
    assert lines[1] == "Online CPUs: 0-5"
    assert lines[2].startswith("cpu0:  Online=1 Governor=schedutil MinFreq=729600 MaxFreq=1344000 CurrentFreq=")
    assert lines[2].endswith("IdleStates: WFI=1 c7=1")
    assert "GPU MinFreq=306000000 MaxFreq=918000000 CurrentFreq=306000000" in lines
    assert "Active GPU TPCs: 4" in lines
    assert any(line.startswith("EMC MinFreq=") and line.endswith(" FreqOverride=0") for line in lines)
    fan = board.files["pwm"].split("/")[-2]
    assert [line for line in lines if line.startswith("FAN")] == [
        f"FAN Dynamic Speed Control=kernel {fan}_pwm1={int(pwm(board))}"
    ]
    assert lines[-1] == "NV Power Mode: 25W"


def test_show_on_r32(tmp_path: Path) -> None:
    lines = show(other("nano-r32", tmp_path))
    assert lines[0] == "SOC family:tegra210  Machine:NVIDIA Jetson Nano Developer Kit"
    assert lines[2].startswith("cpu0: Online=1 Governor=")
    assert any(line.startswith("GPU MinFreq=76800000 MaxFreq=921600000 ") for line in lines)
    assert not any(line.startswith("Active GPU TPCs") for line in lines)
    assert lines[-1] == "NV Power Mode: MAXN"


def test_show_on_r35(tmp_path: Path) -> None:
    lines = show(other("xavier-nx-r35", tmp_path))
    assert any(line.startswith("FAN Dynamic Speed control=active hwmon") for line in lines)
    assert any(line.startswith(("cpu5: Online=0 ", "cpu5: Online=1 ")) for line in lines)


def test_show_on_r39_lists_what_is_offline_and_leaves_it_out(tmp_path: Path) -> None:
    board = other("orin-nano-r39", tmp_path)
    lines = show(board)
    assert "Online CPUs: 0-5, Offline CPUs: " in lines
    assert any(line.startswith("cpu0:  Governor=schedutil MinFreq=") for line in lines)
    assert not any("FreqOverride" in line for line in lines)
    fan = board.files["pwm"].split("/")[-2]
    assert [line for line in lines if line.startswith("FAN")] == [
        f"FAN Dynamic Speed Control=nvfancontrol {fan}_pwm1={int(pwm(board))}",
        f"FAN Dynamic Speed Control=nvfancontrol {fan}_pwm1_enable=1",
    ]
    put(board, f"{CPU}/cpu5/online", "0\n")
    lines = show(board)
    assert any(line.endswith("Offline CPUs: 5") for line in lines)
    assert not any(line.startswith("cpu5") for line in lines)


def test_show_on_thor_after_a_lock(tmp_path: Path) -> None:
    thor = other("thor-r38", tmp_path)
    run(thor, "jetson_clocks")
    lines = show(thor)
    assert lines[0].startswith("SOC family:tegra264  Machine:NVIDIA Jetson AGX Thor")
    assert any(line.startswith("gpu-gpc-0 MinFreq=") for line in lines)
    assert any(line.startswith("gpu-nvd-0 MinFreq=") for line in lines)
    assert next(line for line in lines if line.startswith("cpu13:")).endswith("IdleStates: WFI=0 cc7=0")


@pytest.mark.parametrize("name", ["orin-nx16-r36", "agx-orin-r36", "agx-orin-r39", "unknown-carrier", "unknown-module"])
def test_every_board_can_be_locked_shown_and_restored(name: str, tmp_path: Path) -> None:
    board = other(name, tmp_path)
    store = str(tmp_path / "clocks.store")
    before = pinned(board)
    assert run(board, "jetson_clocks", "--store", store).returncode == 0
    assert run(board, "jetson_clocks").returncode == 0
    assert all(pinned(board).values())
    assert len(show(board)) > 6
    assert "Error" not in run(board, "jetson_clocks", "--restore", store).stdout
    assert pinned(board) == before


def test_the_mode_s_name_comes_from_the_conf(board: VirtualBoard) -> None:
    edit(board, "etc/nvpmodel.conf", r"ID=1 NAME=25W", "ID=1 NAME=MINE")
    assert show(board)[-1] == "NV Power Mode: MINE"
