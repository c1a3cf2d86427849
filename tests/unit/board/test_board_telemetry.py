"""The reader's life: what it does from sample to sample as devices and cores come and go."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from sysfs_kit import CPUFREQ, THERMAL, Tree, as_nobody, open_directory

from edgeagent.board.reading import Disk
from edgeagent.board.report_readings import readings_text
from edgeagent.board.telemetry import BoardReader


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


@pytest.fixture
def open_to_all() -> Iterator[Path]:
    with open_directory() as directory:
        yield directory


def test_an_empty_root_is_an_empty_reading(tree: Tree) -> None:
    reading = tree.read()
    assert (reading.zones, reading.cooling, reading.rails, reading.cores, reading.fans) == ((), (), (), (), ())
    assert (reading.cpu_load_percent, reading.uptime_s, reading.throttling) == (None, None, None)
    assert (reading.cores_online, reading.clocks_locked, reading.power_total_source) == (None, None, "")
    assert isinstance(reading.disk, Disk)


def test_what_was_never_there_has_not_gone_away(tree: Tree) -> None:
    with BoardReader(tree.root) as reader:
        for _ in range(2):  # the second look has an earlier one, and nothing to miss either
            page = "\n".join(line for lines in readings_text(reader.read()) for line in lines)
            assert "gone since" not in page
            assert "  gpu       (load and clock: no file of this system gives it)" in page


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
        assert reader.read().zones[0].absent == "not-given"
        tree.zone(0, "cpu-thermal")
        assert reader.read().zones[0].temperature_c == 40.0


def test_a_rail_that_stays_away_is_not_looked_for_for_ever(tree: Tree) -> None:
    tree.hwmon(0, "ina3221", in1_label="VDD_IN", in1_input=5000)
    with BoardReader(tree.root) as reader:
        assert [reader.read().rails[0].absent for _ in range(3)] == ["not-given"] * 3
        tree.write("sys/class/hwmon/hwmon0/curr1_input", 1000)
        assert reader.read().rails[0].absent == "not-given"


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
        assert reader.read().cores_online == 1
        tree.write("proc/stat", "cpu  0 0 0 300 0\ncpu0 0 0 0 200 0\ncpu1 0 0 0 100 0\n")
        reading = reader.read()
        assert [core.load_percent for core in reading.cores] == [0.0, None]
        assert reading.cores_online == 2


def test_a_cluster_that_comes_while_the_reader_runs_is_found(tree: Tree) -> None:
    tree.policy(0, "0-3", 1_344_000, 729_600, 1_728_000)
    with BoardReader(tree.root) as reader:
        assert [clock.name for clock in reader.read().clocks] == ["cpu0"]
        tree.policy(4, "4-5", 1_344_000, 729_600, 1_728_000)
        assert [clock.name for clock in reader.read().clocks] == ["cpu0", "cpu4"]


def test_a_cluster_whose_files_are_gone_has_no_clock(tree: Tree) -> None:
    tree.policy(0, "0", 1_344_000, 729_600, 1_728_000)
    (tree.root / CPUFREQ / "policy0/scaling_cur_freq").unlink()
    clock = tree.read().clocks[0]
    assert (clock.freq_khz, clock.absent, clock.max_khz) == (None, "not-given", 1_728_000)


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_no_file_stays_open_after_close(tree: Tree) -> None:
    tree.zone(0, "cpu-thermal")
    before = open_files()
    reader = BoardReader(tree.root)
    reader.read()
    assert open_files() - before == reader.open_files > 0
    reader.close()
    assert (open_files(), reader.open_files) == (before, 0)


def open_paths() -> list[str]:
    """With their descriptors' numbers: a file that is opened anew shows."""
    return sorted(f"{path.name} {path.readlink()}" for path in Path("/proc/self/fd").iterdir() if path.is_symlink())


def test_files_are_opened_once(tree: Tree) -> None:
    tree.zone(0, "cpu-thermal")
    with BoardReader(tree.root) as reader:
        reader.read()
        opened = open_paths()
        (tree.root / THERMAL / "thermal_zone0/temp").write_text("50000\n")
        assert reader.read().zones[0].temperature_c == 50.0
        assert open_paths() == opened


def test_no_reading_needs_root(open_to_all: Path) -> None:
    tree = Tree(open_to_all)
    tree.zone(0, "cpu-thermal")
    tree.cooling(0, "cpu-throttle-alert")
    tree.hwmon(0, "ina3221", in1_label="VDD_IN", in1_input=5000, curr1_input=100)
    secret = tree.cooling(1, "pwm-fan")
    secret.chmod(0)
    with as_nobody(), BoardReader(open_to_all) as reader:
        reading = reader.read()
    assert (reading.hottest is not None, reading.power_total_mw, reading.throttling) == (True, 500.0, False)
    assert [(cooling.name, cooling.absent) for cooling in reading.cooling][1] == ("pwm-fan", "permission")


def test_a_tree_that_is_made_anew_under_the_same_names_is_noticed(tree: Tree) -> None:
    tree.zone(0, "cpu-thermal")
    tree.write("proc/uptime", "900.00 0.00\n")
    with BoardReader(tree.root) as reader:
        assert reader.read().uptime_s == 900.0
        for part in ("sys", "proc"):
            shutil.rmtree(tree.root / part)
        tree.zone(0, "cpu-thermal", "50000\n")
        tree.write("proc/uptime", "3.00 0.00\n")
        reading = reader.read()
        assert (reading.uptime_s, reading.zones[0].temperature_c) == (3.0, 50.0)
        (tree.root / "proc/uptime").unlink()
        assert reader.read().uptime_s is None


def test_a_closed_reader_opens_again(tree: Tree) -> None:
    tree.zone(0, "cpu-thermal")
    with BoardReader(tree.root) as reader:
        reader.read()
        reader.close()
        assert reader.read().zones[0].temperature_c == 40.0
