"""The reader against small trees made by hand: what it finds, what it says when a value is missing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgeagent.board.discovery import slows_down
from edgeagent.board.reading import Disk
from edgeagent.board.telemetry import BoardReader, Reading

THERMAL = "sys/class/thermal"
HWMON = "sys/class/hwmon"


class Tree:
    """A directory that looks like the parts of a board that a test needs."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, path: str, content: str | bytes) -> Path:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content if isinstance(content, bytes) else content.encode())
        return target

    def zone(self, number: int, kind: str, temperature: str = "40000\n") -> Path:
        self.write(f"{THERMAL}/thermal_zone{number}/type", f"{kind}\n")
        return self.write(f"{THERMAL}/thermal_zone{number}/temp", temperature)

    def trip(self, zone: int, index: int, kind: str, temperature: int, *bound: int) -> None:
        directory = f"{THERMAL}/thermal_zone{zone}"
        self.write(f"{directory}/trip_point_{index}_type", f"{kind}\n")
        self.write(f"{directory}/trip_point_{index}_temp", f"{temperature}\n")
        for cooling in bound:
            number = len(list((self.root / directory).glob("cdev*_trip_point")))
            (self.root / directory / f"cdev{number}").symlink_to(f"../cooling_device{cooling}")
            self.write(f"{directory}/cdev{number}_trip_point", f"{index}\n")

    def cooling(self, number: int, kind: str, state: str = "0\n") -> Path:
        self.write(f"{THERMAL}/cooling_device{number}/type", f"{kind}\n")
        self.write(f"{THERMAL}/cooling_device{number}/max_state", "3\n")
        return self.write(f"{THERMAL}/cooling_device{number}/cur_state", state)

    def read(self) -> Reading:
        with BoardReader(self.root) as reader:
            return reader.read()


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Tree]:
    yield Tree(tmp_path)


def test_an_empty_root_is_an_empty_reading(tree: Tree) -> None:
    reading = tree.read()
    assert (reading.zones, reading.cooling, reading.rails, reading.cores) == ((), (), (), ())
    assert (reading.cpu_load_percent, reading.uptime_s, reading.throttling) == (None, None, None)
    assert isinstance(reading.disk, Disk)


@pytest.mark.parametrize(
    ("content", "celsius", "absent"),
    [
        ("45250\n", 45.25, ""),
        ("-10000\n", -10.0, ""),
        ("-256000\n", None, "powered-down"),
        ("warm\n", None, "unreadable"),
        ("", None, "offline"),
    ],
)
def test_zone_temperatures(tree: Tree, content: str, celsius: float | None, absent: str) -> None:
    tree.zone(0, "CPU-therm", content)
    zone = tree.read().zones[0]
    assert (zone.temperature_c, zone.absent) == (celsius, absent)


def test_a_zone_that_says_eagain_is_offline(tree: Tree) -> None:
    path = tree.zone(3, "cv0-thermal")
    path.unlink()
    os.mkfifo(path)
    held = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    assert tree.read().zones[0].absent == "offline"
    os.close(held)


def test_throttle_and_critical_come_from_bound_trips(tree: Tree) -> None:
    tree.zone(0, "cpu-thermal")
    tree.cooling(2, "hot-surface-alert")
    tree.cooling(10, "cpu-throttle-alert")
    tree.cooling(4, "pwm-fan")
    tree.trip(0, 0, "passive", 99_000, 10)
    tree.trip(0, 1, "critical", 104_500)
    tree.trip(0, 2, "passive", 70_000, 2)
    tree.trip(0, 3, "active", 50_000, 4)
    tree.trip(0, 4, "passive", 60_000)
    zone = tree.read().zones[0]
    assert (zone.throttle_c, zone.critical_c) == (99.0, 104.5)


def test_a_trip_whose_file_is_junk_counts_for_nothing(tree: Tree) -> None:
    tree.zone(0, "cpu-thermal")
    tree.write(f"{THERMAL}/thermal_zone0/trip_point_0_type", "critical\n")
    tree.write(f"{THERMAL}/thermal_zone0/trip_point_0_temp", "hot\n")
    assert tree.read().zones[0].critical_c is None


@pytest.mark.parametrize(
    ("kind", "slows"),
    [
        ("cpufreq-cpu0", True),
        ("devfreq-17000000.gpu", True),
        ("thermal-cpufreq-0", True),
        ("soc0-throttle-alert", True),
        ("hot-surface-alert", False),
        ("pwm-fan", False),
        ("Processor", False),
    ],
)
def test_what_slows_down(kind: str, slows: bool) -> None:
    assert slows_down(kind) is slows


def test_the_constant_zone_is_left_out_and_twins_are_told_apart(tree: Tree) -> None:
    for number, kind in enumerate(("PMIC-Die", "acpitz", "acpitz")):
        tree.zone(number, kind)
    assert [zone.name for zone in tree.read().zones] == ["acpitz", "acpitz_2"]


def test_numbers_sort_as_numbers(tree: Tree) -> None:
    for number in (10, 2, 0):
        tree.cooling(number, f"device-{number}")
    assert [cooling.name for cooling in tree.read().cooling] == ["device-0", "device-2", "device-10"]


def test_a_zone_that_goes_away_is_vanished_and_comes_back(tree: Tree) -> None:
    tree.zone(0, "cpu-thermal")
    tree.zone(1, "gpu-thermal", "50000\n")
    with BoardReader(tree.root) as reader:
        assert [zone.temperature_c for zone in reader.read().zones] == [40.0, 50.0]
        (tree.root / THERMAL / "thermal_zone1").rename(tree.root / "aside")
        lost = reader.read().zones[1]
        assert (lost.name, lost.temperature_c, lost.absent) == ("gpu-thermal", None, "vanished")
        (tree.root / "aside").rename(tree.root / THERMAL / "thermal_zone7")
        assert [(zone.name, zone.absent) for zone in reader.read().zones] == [("cpu-thermal", ""), ("gpu-thermal", "")]


def test_a_zone_without_its_file_is_looked_for_once_more(tree: Tree) -> None:
    path = tree.zone(0, "cpu-thermal")
    path.unlink()
    with BoardReader(tree.root) as reader:
        assert reader.read().zones[0].absent == "vanished"
        tree.zone(0, "cpu-thermal")
        assert reader.read().zones[0].temperature_c == 40.0


def test_rails_are_the_labelled_channels(tree: Tree) -> None:
    directory = f"{HWMON}/hwmon5"
    tree.write(f"{directory}/name", "ina3221\n")
    for channel, label in ((1, "VDD_IN"), (2, "NC"), (3, "VDD_SOC")):
        tree.write(f"{directory}/in{channel}_label", f"{label}\n")
        tree.write(f"{directory}/in{channel}_input", "5000\n")
        tree.write(f"{directory}/curr{channel}_input", f"{channel}00\n")
    tree.write(f"{directory}/in4_input", "12\n")
    tree.write(f"{directory}/in7_label", "sum of shunt voltages\n")
    assert [(rail.name, rail.milliwatts) for rail in tree.read().rails] == [("VDD_IN", 500.0), ("VDD_SOC", 1500.0)]


def test_a_rail_without_current_says_why(tree: Tree) -> None:
    tree.write(f"{HWMON}/hwmon0/name", "ina3221\n")
    tree.write(f"{HWMON}/hwmon0/in1_label", "VDD_IN\n")
    tree.write(f"{HWMON}/hwmon0/in1_input", "5000\n")
    tree.write(f"{HWMON}/hwmon0/curr1_input", "?\n")
    reading = tree.read()
    assert (reading.rails[0].milliwatts, reading.rails[0].absent) == (None, "unreadable")
    assert reading.power_total_mw is None


def test_fan_over_current_and_memory_clock(tree: Tree) -> None:
    tree.write(f"{HWMON}/hwmon1/name", "pwmfan\n")
    tree.write(f"{HWMON}/hwmon1/pwm1", "51\n")
    tree.write(f"{HWMON}/hwmon0/name", "pwm_tach\n")
    tree.write(f"{HWMON}/hwmon0/rpm", "1800\n")
    tree.write(f"{HWMON}/hwmon2/name", "soctherm_oc\n")
    tree.write(f"{HWMON}/hwmon2/oc1_event_cnt", "3\n")
    tree.write(f"{HWMON}/hwmon2/oc1_throt_en", "1\n")
    tree.write("sys/kernel/nvpmodel_emc_cap/emc_iso_cap", "2133000\n")
    tree.write("sys/kernel/debug/bpmp/debug/clk/emc/rate", "665600000\n")
    reading = tree.read()
    assert (reading.fan.pwm_percent, reading.fan.rpm) == (20.0, 1800)
    assert reading.over_current == (("oc1", 3),)
    assert (reading.emc_khz, reading.emc_cap_khz) == (665_600, 2_133_000)


@pytest.mark.parametrize("node", [b"gpu\0", b"ga10b\0", b"gv11b\0"])
def test_the_gpu_is_found_by_its_node(tree: Tree, node: bytes) -> None:
    device = "sys/class/devfreq/17000000.x/device"
    tree.write("sys/class/devfreq/1.nvenc/cur_freq", "1\n")
    tree.write("sys/class/devfreq/17000000.x/cur_freq", "918000000\n")
    tree.write(f"{device}/of_node/name", node)
    tree.write(f"{device}/load", "873\n")
    gpu = tree.read().gpu
    assert (gpu.load_percent, gpu.freq_khz, gpu.absent) == (87.3, 918_000, "")


def test_the_gpu_load_of_older_releases_lies_elsewhere(tree: Tree) -> None:
    tree.write("sys/class/devfreq/17000000.ga10b/cur_freq", "306000000\n")
    tree.write("sys/class/devfreq/17000000.ga10b/device/of_node/name", b"ga10b\0")
    tree.write("sys/devices/gpu.0/load", "1200\n")
    assert tree.read().gpu.load_percent == 100.0


@pytest.mark.parametrize("bus", ["bus@0/13e00000.host1x", "13e40000.host1x", "host1x"])
def test_dla_states_on_every_release(tree: Tree, bus: str) -> None:
    for address, state in (("15880000.nvdla0", "active"), ("158c0000.nvdla1", "suspended")):
        tree.write(f"sys/devices/platform/{bus}/{address}/power/runtime_status", f"{state}\n")
    assert tree.read().dla == (("dla0", "active"), ("dla1", "suspended"))


def test_cpu_load_is_the_difference_of_two_readings(tree: Tree) -> None:
    tree.write("proc/stat", "cpu  100 0 0 100 0 0 0 0 0 0\ncpu0 100 0 0 100 0 0 0 0 0 0\n")
    with BoardReader(tree.root) as reader:
        assert reader.read().cpu_load_percent is None
        tree.write("proc/stat", "cpu  130 0 0 170 0 0 0 0 0 0\ncpu0 130 0 0 170 0 0 0 0 0 0\n")
        assert reader.read().cpu_load_percent == 30.0
        again = reader.read()
        assert (again.cpu_load_percent, again.cores[0].load_percent) == (30.0, 30.0)


def test_a_core_that_comes_online_has_no_load_yet(tree: Tree) -> None:
    tree.write("proc/stat", "cpu  0 0 0 100 0\ncpu0 0 0 0 100 0\n")
    with BoardReader(tree.root) as reader:
        reader.read()
        tree.write("proc/stat", "cpu  0 0 0 300 0\ncpu0 0 0 0 200 0\ncpu1 0 0 0 100 0\n")
        assert [core.load_percent for core in reader.read().cores] == [0.0, None]


def test_clocks_reach_all_cores_of_their_policy(tree: Tree) -> None:
    tree.write("sys/devices/system/cpu/cpufreq/policy4/related_cpus", "4 5\n")
    tree.write("sys/devices/system/cpu/cpufreq/policy4/scaling_cur_freq", "1344000\n")
    assert [(core.index, core.freq_khz) for core in tree.read().cores] == [(4, 1_344_000), (5, 1_344_000)]


def test_memory_and_uptime(tree: Tree) -> None:
    tree.write("proc/meminfo", "MemTotal: 1000 kB\nMemAvailable: 400 kB\n")
    tree.write("proc/uptime", "12.50 20.00\n")
    reading = tree.read()
    assert (reading.memory.used_kb, reading.memory.swap_total_kb, reading.uptime_s) == (600, None, 12.5)


def test_the_disk_is_that_of_the_state_directory(tree: Tree, tmp_path: Path) -> None:
    with BoardReader(tree.root, state_dir=tmp_path / "not" / "made" / "yet") as reader:
        disk = reader.read().disk
    assert disk is not None
    assert 0 <= disk.free_bytes <= disk.total_bytes


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_no_file_stays_open_after_close(tree: Tree) -> None:
    tree.zone(0, "cpu-thermal")
    before = open_files()
    reader = BoardReader(tree.root)
    reader.read()
    assert open_files() > before
    reader.close()
    assert open_files() == before


def test_a_closed_reader_opens_again(tree: Tree) -> None:
    tree.zone(0, "cpu-thermal")
    with BoardReader(tree.root) as reader:
        reader.read()
        reader.close()
        assert reader.read().zones[0].temperature_c == 40.0
