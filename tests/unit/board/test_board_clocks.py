"""Clocks and loads of CPU, GPU, memory and DLA in the places where each release keeps them."""

from __future__ import annotations

from pathlib import Path

import pytest
from sysfs_kit import CPUFREQ, DEVFREQ, Tree, as_nobody, open_directory

from edgeagent.board.parts import ClockDomain, clocks_locked


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


@pytest.mark.parametrize("node", [b"gpu\0", b"ga10b\0", b"gv11b\0"])
def test_the_gpu_is_found_by_its_node(tree: Tree, node: bytes) -> None:
    tree.write(f"{DEVFREQ}/1.nvenc/cur_freq", 1)
    tree.devfreq(f"{DEVFREQ}/17000000.x", 612_000_000, 306_000_000, 918_000_000)
    tree.write(f"{DEVFREQ}/17000000.x/device/of_node/name", node)
    tree.write(f"{DEVFREQ}/17000000.x/device/load", 873)
    reading = tree.read()
    assert (reading.gpu.load_percent, reading.gpu.freq_khz, reading.gpu.absent) == (87.3, 612_000, "")
    assert reading.clocks == (ClockDomain("gpu", 612_000, 306_000, 918_000, 306_000, 918_000),)


@pytest.mark.parametrize(
    ("devfreq", "load"),
    [
        (f"{DEVFREQ}/57000000.gpu", "sys/devices/gpu.0/load"),
        ("sys/devices/57000000.gpu/devfreq/57000000.gpu", "sys/devices/gpu.0/load"),
        ("sys/devices/17000000.gv11b/devfreq/17000000.gv11b", "sys/devices/gpu.0/load"),
        (f"{DEVFREQ}/17000000.ga10b", "sys/devices/platform/gpu.0/load"),
        ("sys/devices/platform/bus@0/17000000.gpu/devfreq/17000000.gpu", "sys/devices/platform/gpu.0/load"),
    ],
)
def test_the_gpu_is_found_by_its_address_where_no_node_says_it(tree: Tree, devfreq: str, load: str) -> None:
    tree.devfreq(devfreq, 306_000_000, 306_000_000, 918_000_000)
    tree.write(load, 1040)
    gpu = tree.read().gpu
    assert (gpu.load_percent, gpu.freq_khz) == (100.0, 306_000)


def test_thor_has_two_gpu_clocks_and_no_load(tree: Tree) -> None:
    tree.devfreq(f"{DEVFREQ}/gpu-gpc-0", 918_000_000, 306_000_000, 918_000_000)
    tree.devfreq(f"{DEVFREQ}/gpu-nvd-0", 306_000_000, 306_000_000, 612_000_000)
    reading = tree.read()
    assert [clock.name for clock in reading.clocks] == ["gpu-gpc-0", "gpu-nvd-0"]
    assert (reading.gpu.freq_khz, reading.gpu.absent) == (918_000, "")
    assert (reading.gpu.load_percent, reading.gpu.load_absent) == (None, "not-given")


def test_a_board_without_a_gpu_says_so(tree: Tree) -> None:
    gpu = tree.read().gpu
    assert (gpu.absent, gpu.load_absent, gpu.freq_khz) == ("not-given", "not-given", None)


def test_a_load_that_is_not_there_now_says_why(tree: Tree) -> None:
    device = f"{DEVFREQ}/17000000.gpu"
    tree.devfreq(device, 306_000_000, 306_000_000, 918_000_000)
    tree.write(f"{device}/device/load", "")
    assert tree.read().gpu.load_absent == "offline"


def test_clocks_reach_all_cores_of_their_policy(tree: Tree) -> None:
    tree.policy(4, "4 5", 1_344_000, 729_600, 1_728_000)
    reading = tree.read()
    assert [(core.index, core.freq_khz) for core in reading.cores] == [(4, 1_344_000), (5, 1_344_000)]
    assert reading.clocks == (ClockDomain("cpu4", 1_344_000, 729_600, 1_728_000, 115_200, 2_201_600, cores=(4, 5)),)


LOCKED = ClockDomain("cpu0", 1_728_000, 1_728_000, 1_728_000, 115_200, 2_201_600, (0, 1))
FREE = ClockDomain("cpu0", 729_600, 729_600, 1_728_000, 115_200, 2_201_600, (0, 1))
SINGLE = ClockDomain("gpu", 306_000, 306_000, 306_000, 306_000, 918_000)
UNKNOWN = ClockDomain("gpu", 306_000, None, 306_000, 306_000, 918_000)
OFFLINE = ClockDomain("cpu4", None, None, None, 115_200, 2_201_600, (4, 5), "offline")


@pytest.mark.parametrize(
    ("clocks", "locked"),
    [
        ((LOCKED,), True),
        ((LOCKED, LOCKED), True),
        ((LOCKED, FREE), False),
        ((LOCKED, SINGLE), True),
        ((LOCKED, UNKNOWN), None),
        ((FREE, UNKNOWN), False),
        ((LOCKED, OFFLINE), True),
        ((SINGLE,), None),
        ((OFFLINE,), None),
        ((), None),
    ],
)
def test_clocks_are_locked_when_none_that_could_move_may(clocks: tuple[ClockDomain, ...], locked: bool | None) -> None:
    assert clocks_locked(clocks) is locked


def test_a_lock_that_somebody_undoes_shows(tree: Tree) -> None:
    for first in (0, 4):
        tree.policy(first, str(first), 1_728_000, 1_728_000, 1_728_000)
    tree.devfreq(f"{DEVFREQ}/17000000.gpu", 918_000_000, 918_000_000, 918_000_000)
    assert tree.read().clocks_locked is True
    tree.write(f"{CPUFREQ}/policy4/scaling_min_freq", 729_600)
    assert tree.read().clocks_locked is False


@pytest.mark.parametrize(
    ("path", "content", "khz"),
    [
        ("sys/kernel/debug/bpmp/debug/clk/emc/rate", 2_133_000_000, 2_133_000),
        ("sys/kernel/debug/clk/override.emc/clk_rate", 1_600_000_000, 1_600_000),
        ("sys/kernel/debug/clk/emc/clk_rate", 204_000_000, 204_000),
    ],
)
def test_the_memory_clock_of_each_release(tree: Tree, path: str, content: int, khz: int) -> None:
    tree.write(path, content)
    assert tree.read().emc_khz == khz


def test_the_memory_clock_and_its_cap(tree: Tree) -> None:
    tree.write("sys/kernel/nvpmodel_emc_cap/emc_iso_cap", 2_133_000)
    reading = tree.read()
    assert (reading.emc_khz, reading.emc_absent, reading.emc_cap_khz) == (None, "not-given", 2_133_000)


def test_a_memory_clock_behind_a_closed_directory_says_permission() -> None:
    with open_directory() as directory:
        tree = Tree(directory)
        tree.write("sys/kernel/debug/bpmp/debug/clk/emc/rate", 1)
        (directory / "sys/kernel/debug").chmod(0)
        with as_nobody():
            reading = tree.read()
        (directory / "sys/kernel/debug").chmod(0o755)
    assert (reading.emc_khz, reading.emc_absent) == (None, "permission")


@pytest.mark.parametrize(
    "bus",
    [
        "platform/bus@0/13e00000.host1x",
        "platform/13e40000.host1x",
        "platform/host1x",
        "13e10000.host1x",
    ],
)
def test_dla_states_on_every_release(tree: Tree, bus: str) -> None:
    for address, state in (("158c0000.nvdla1", "suspended"), ("15880000.nvdla0", "active")):
        tree.write(f"sys/devices/{bus}/{address}/power/runtime_status", f"{state}\n")
    assert [(dla.name, dla.state) for dla in tree.read().dla] == [("dla0", "active"), ("dla1", "suspended")]


def test_a_dla_that_does_not_say_its_state_is_there_all_the_same(tree: Tree) -> None:
    (tree.root / "sys/devices/platform/host1x/15880000.nvdla0").mkdir(parents=True)
    assert [(dla.name, dla.state, dla.absent) for dla in tree.read().dla] == [("dla0", "", "not-given")]


@pytest.mark.parametrize(("per_mille", "percent"), [("1000", 100.0), ("1100", 100.0), ("1101", None), ("-1", None)])
def test_a_load_far_above_all_is_unreadable(tree: Tree, per_mille: str, percent: float | None) -> None:
    device = f"{DEVFREQ}/17000000.gpu"
    tree.devfreq(device, 306_000_000, 306_000_000, 918_000_000)
    tree.write(f"{device}/device/load", per_mille)
    gpu = tree.read().gpu
    assert (gpu.load_percent, gpu.load_absent) == (percent, "" if percent is not None else "unreadable")


def test_an_impossible_clock_is_unreadable(tree: Tree) -> None:
    directory = tree.policy(0, "0", 1_344_000, 729_600, 1_728_000)
    tree.lines(directory, scaling_cur_freq="9" * 20, scaling_max_freq=-1, cpuinfo_max_freq="9" * 20)
    tree.write("sys/kernel/nvpmodel_emc_cap/emc_iso_cap", "9" * 20)
    reading = tree.read()
    clock = reading.clocks[0]
    assert (clock.freq_khz, clock.max_khz, clock.highest_khz) == (None, None, None)
    assert (clock.absent, clock.limits_absent) == ("unreadable", "unreadable")
    assert (reading.emc_cap_khz, reading.emc_cap_absent) == (None, "unreadable")


def test_a_dla_in_a_state_that_the_kernel_does_not_have(tree: Tree) -> None:
    tree.write("sys/devices/platform/bus@0/13e00000.host1x/15880000.nvdla0/power/runtime_status", "awake\n")
    assert [(dla.state, dla.absent) for dla in tree.read().dla] == [("", "unreadable")]
