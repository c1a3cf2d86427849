"""The virtual Jetson keeps to the formats of a real one, and the readers that read it read a PC too.

Nothing here proves that a real device agrees; the formats are those of public captures.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from edgeagent.board.evidence import read_identity
from edgeagent.board.report import render_board_text
from edgeagent.board.telemetry import BoardReader, flat_measurements
from edgeagent.simulate.board import VirtualBoard, make_board, reboot_board
from edgeagent.simulate.board_list import SPECS
from edgeagent.simulate.plant import Load
from edgeagent.simulate.plant_child import Plant
from edgeagent.simulate.plant_open import PlantFiles

SEEDS = range(8)


@pytest.fixture(params=SEEDS)
def board(request: pytest.FixtureRequest, tmp_path: Path) -> VirtualBoard:
    return make_board("orin-nano", tmp_path / "board", seed=request.param)


def entries(board: VirtualBoard, directory: str) -> list[Path]:
    return sorted((board.root / directory).iterdir())


def numbers(board: VirtualBoard, directory: str, file: str) -> dict[str, str]:
    """Directory name by type (or name) of what it holds."""
    return {
        (path / file).read_text().strip(): path.name for path in entries(board, directory) if (path / file).exists()
    }


def test_device_tree_strings_end_in_nul_and_have_no_newline(board: VirtualBoard) -> None:
    tree = board.root / "sys/firmware/devicetree/base"
    assert (tree / "model").read_bytes() == b"NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super\0"
    assert (tree / "compatible").read_bytes() == (
        b"nvidia,p3768-0000+p3767-0005-super\0nvidia,p3767-0005\0nvidia,tegra234\0"
    )
    assert re.fullmatch(rb"[0-9]{13}\0", (tree / "serial-number").read_bytes())


def test_links_are_where_the_kernel_has_them_and_stay_inside(board: VirtualBoard) -> None:
    links = [path for path in board.root.rglob("*") if path.is_symlink()]
    assert board.root / "proc/device-tree" in links
    assert all(path.resolve(strict=True).is_relative_to(board.root.resolve()) for path in links)
    for directory in ("sys/class/hwmon", "sys/class/thermal", "sys/class/devfreq"):
        assert all(path.is_symlink() for path in entries(board, directory))
    zone = next(path for path in entries(board, "sys/class/thermal") if path.name.startswith("thermal_zone"))
    cdev = next(path for path in zone.iterdir() if path.name == "cdev0")
    assert str(cdev.readlink()).startswith("../cooling_device")


def test_the_power_mode_file_has_no_newline_and_sysfs_has(board: VirtualBoard) -> None:
    assert (board.root / "var/lib/nvpmodel/status").read_bytes() == b"pmode:0001"
    files = [path for path in (board.root / "sys/devices").rglob("*") if path.is_file() and not path.is_symlink()]
    assert len(files) > 150
    assert all(path.read_bytes().endswith(b"\n") for path in files if path.name != "eeprom")


def test_the_release_file_is_four_lines(board: VirtualBoard) -> None:
    lines = (board.root / "etc/nv_tegra_release").read_text().splitlines()
    assert len(lines) == 4
    assert lines[0].startswith("# R36 (release), REVISION: 4.7, GCID: ")
    assert lines[1] == "# KERNEL_VARIANT: oot"


def test_there_is_a_cooling_device_with_two_digits(board: VirtualBoard) -> None:
    cooling = numbers(board, "sys/class/thermal", "type")
    assert "cooling_device10" in cooling.values()
    assert len([name for name in cooling.values() if name.startswith("cooling_device")]) == 13


def test_numbers_change_with_the_seed(tmp_path: Path) -> None:
    boards = [make_board("orin-nano", tmp_path / str(seed), seed=seed) for seed in SEEDS]
    hwmons = {tuple(sorted(numbers(board, "sys/class/hwmon", "name").items())) for board in boards}
    zones = {tuple(sorted(numbers(board, "sys/class/thermal", "type").items())) for board in boards}
    assert len(hwmons) == len(zones) == len(SEEDS)


def test_dark_zones_give_eagain_with_a_writer_and_nothing_without(board: VirtualBoard) -> None:
    assert len(board.fifos) == 3
    path = board.root / board.fifos[0]
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    assert os.read(reader, 64) == b""
    writer = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    with pytest.raises(BlockingIOError):
        os.read(reader, 64)
    os.close(reader)
    os.close(writer)


def test_the_board_is_recognised_whatever_its_numbers(board: VirtualBoard) -> None:
    identity = read_identity(board.root)
    assert (identity.kind, identity.module, identity.module_id) == ("jetson", "Jetson Orin Nano 8GB", "p3767-0005")
    assert (identity.l4t, identity.jetpack, identity.memory_mb) == ("36.4.7", "6.2.1", 7607)
    assert (identity.cuda, identity.container) == ("12.6.68", "")
    assert not [text for text in identity.contradictions if "TensorRT" not in text]


def test_everything_is_read_whatever_its_numbers(board: VirtualBoard) -> None:
    with BoardReader(board.root) as reader:
        reading = reader.read()
    zones = {zone.name: zone for zone in reading.zones}
    assert len(zones) == 9
    assert {name for name, zone in zones.items() if zone.absent} == {f"cv{n}-thermal" for n in range(3)}
    assert {zone.throttle_c for name, zone in zones.items() if name != "tj-thermal"} == {99.0}
    assert {zone.critical_c for zone in zones.values()} == {104.5}
    assert [rail.name for rail in reading.rails] == ["VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC"]
    assert reading.power_total_mw == reading.rails[0].milliwatts
    assert {found.channel: found.events for found in reading.over_current} == {"oc1": 0, "oc2": 0, "oc3": 0}
    assert (reading.throttling, reading.hot_surface, reading.dla) == (False, False, ())
    assert [core.freq_khz for core in reading.cores] == [729_600] * 6
    assert reading.gpu.freq_khz == 306_000
    assert reading.emc_cap_khz == 3_199_000
    assert reading.fan.rpm
    assert reading.fan.pwm_percent


def test_the_flat_form_has_the_keys_that_dashboards_use(board: VirtualBoard) -> None:
    with BoardReader(board.root) as reader:
        reader.read()
        flat = flat_measurements(reader.read())
    assert {"temp_cpu_c", "temp_gpu_c", "temp_tj_c", "temp_max_c", "headroom_c", "throttling"} <= set(flat["thermal"])
    assert "temp_cv0_c" not in flat["thermal"]
    assert {"power_vdd_in_w", "power_total_w"} <= set(flat["power"])
    assert {"available_mb", "used_mb", "total_mb"} <= set(flat["memory"])
    assert set(flat["fan"]) == {"pwm_percent", "rpm"}


@pytest.mark.parametrize("name", sorted(SPECS))
def test_every_board_has_other_numbers_with_another_seed(tmp_path: Path, name: str) -> None:
    """Also those with a handful of devices, where two seeds in a row may agree by chance."""
    boards = [make_board(name, tmp_path / str(seed), seed=seed) for seed in SEEDS]
    assert len({tuple(sorted(board.files.items())) for board in boards}) > 1
    kinds = [sorted(numbers(board, "sys/class/thermal", "type")) for board in boards]
    assert all(found == kinds[0] for found in kinds)


@pytest.mark.parametrize("name", sorted(SPECS))
def test_every_board_is_recognised_and_read_at_rest_and_at_work(tmp_path: Path, name: str) -> None:
    board = make_board(name, tmp_path, seed=12)
    plant = Plant(board, 25.0, seed=1)
    with PlantFiles(board) as files, BoardReader(board.root) as reader:
        files.write(plant.tick(1.0, Load(cpu=0.02)))
        rest = reader.read()
        for _ in range(60):
            files.write(plant.tick(1.0, Load(cpu=0.9, gpu=0.9, dla=0.9)))
        work = reader.read()
    assert rest.hottest
    assert work.hottest
    assert (work.hottest.temperature_c or 0) > (rest.hottest.temperature_c or 0) + 5
    assert work.cpu_load_percent == pytest.approx(90, abs=1)
    if name != "pc":
        assert (work.power_total_mw or 0) > 1.5 * (rest.power_total_mw or 0) > 0
    assert render_board_text(read_identity(board.root), work).endswith("\n")
    assert flat_measurements(work)


@pytest.mark.parametrize("name", sorted(SPECS))
def test_a_reboot_under_a_reader_raises_nothing_and_changes_no_name(tmp_path: Path, name: str) -> None:
    board = make_board(name, tmp_path, seed=12)
    plant = Plant(board, 25.0, seed=1)
    identity = read_identity(board.root)
    with BoardReader(board.root) as reader:
        before = reader.read()
        again = reboot_board(board.root)
        plant.reboot(again)
        with PlantFiles(again) as files:
            files.write(plant.tick(1.0, Load(cpu=0.02)))
            reader.read()
            with BoardReader(board.root) as fresh:
                after = fresh.read()
    assert {zone.name for zone in after.zones} == {zone.name for zone in before.zones}
    assert [rail.name for rail in after.rails] == [rail.name for rail in before.rails]
    assert (after.uptime_s or 0) < 10 < (before.uptime_s or 0)
    assert read_identity(board.root) == identity


@pytest.mark.parametrize("name", sorted(SPECS))
def test_a_hot_room_throttles_every_board_and_the_readers_say_so(tmp_path: Path, name: str) -> None:
    board = make_board(name, tmp_path, seed=12)
    trip_c = board.spec.plant.throttle_c
    plant = Plant(board, trip_c - 10.0, seed=1)
    with PlantFiles(board) as files, BoardReader(board.root) as reader:
        for _ in range(60):
            files.write(plant.tick(10.0, Load(cpu=1.0, gpu=1.0, dla=1.0)))
        hot = reader.read()
    assert hot.hottest
    assert (hot.hottest.temperature_c or 0) > trip_c
    assert hot.throttling is (None if name == "pc" else True)
    assert max(core.freq_khz or 0 for core in hot.cores) < board.spec.cpu.table_khz[-1]


def test_this_machine_is_read_too() -> None:
    """On a PC, in a container or on a device: `/` is recognised and read without an exception."""
    identity = read_identity(Path("/"))
    with BoardReader(Path("/")) as reader:
        reader.read()
        reading = reader.read()
    if not Path("/proc/device-tree").exists() and not Path("/etc/nv_tegra_release").exists():
        assert identity.kind == "not-a-jetson"
        assert render_board_text(identity, reading).startswith("Not a Jetson\n")
    assert reading.memory.total_kb
    assert reading.uptime_s
    assert reading.cores
    assert reading.disk
