"""Rails, zones, cooling devices and fans of each virtual board, in the forms of public captures."""

from __future__ import annotations

import os
import re
import stat

import pytest
from board_kit import ALL, HOSTS, JETSONS, ORIN_R36, ORIN_R39, by_type, every_board, raw, zone_names

from edgeagent.simulate.board import VirtualBoard
from edgeagent.simulate.board_list import SPECS


@pytest.fixture(scope="module")
def boards(tmp_path_factory: pytest.TempPathFactory) -> dict[str, VirtualBoard]:
    return every_board(tmp_path_factory.mktemp("boards"))


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("nano-r32", b"pmode:0000"),
        ("xavier-nx-r35", b"pmode:0005"),
        ("orin-nano-r36", b"pmode:0001"),
        ("orin-nx16-r36", b"pmode:0002"),
        ("agx-orin-r39", b"pmode:0002"),
        ("thor-r38", b"pmode:0001"),
        ("unknown-module", b"pmode:0002"),
    ],
)
def test_the_power_mode_is_the_default_and_ends_without_a_newline(
    boards: dict[str, VirtualBoard], name: str, status: bytes
) -> None:
    assert raw(boards, name, "var/lib/nvpmodel/status") == status


@pytest.mark.parametrize("name", JETSONS)
def test_r39_links_to_its_table_of_power_modes(boards: dict[str, VirtualBoard], name: str) -> None:
    conf = boards[name].root / "etc/nvpmodel.conf"
    assert conf.is_symlink() == (boards[name].spec.release == "R39")
    if conf.is_symlink():
        assert str(conf.readlink()).startswith("nvpmodel/")
    assert conf.read_text().startswith("# Power modes of the virtual ")


INA3221 = {
    "orin-nano-r36": ("sys/bus/i2c/devices/1-0040", "VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC"),
    "orin-nx16-r36": ("sys/bus/i2c/devices/1-0040", "VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC"),
    "agx-orin-r36": ("sys/bus/i2c/devices/1-0040", "VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"),
    "xavier-nx-r35": ("sys/bus/i2c/devices/7-0040", "VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC"),
    "thor-r38": ("sys/bus/i2c/devices/2-0040", "VDD_GPU", "VDD_CPU_SOC_MSS", "VIN_SYS_5V0"),
}


@pytest.mark.parametrize("name", INA3221)
def test_three_labelled_channels_then_shunts_and_their_sum(boards: dict[str, VirtualBoard], name: str) -> None:
    device, *labels = INA3221[name]
    (chip,) = (boards[name].root / device / "hwmon").iterdir()
    assert (chip / "name").read_bytes() == b"ina3221\n"
    assert [(chip / f"in{channel}_label").read_text().strip() for channel in (1, 2, 3)] == labels
    assert not (chip / "in4_label").exists()
    assert (chip / "in7_label").read_bytes() == b"sum of shunt voltages\n"
    assert not (chip / "curr7_input").exists()
    assert (chip / "curr4_crit_alarm").exists()
    for channel in (1, 2, 3):
        assert re.fullmatch(r"\d+\n", (chip / f"curr{channel}_input").read_text())


def test_the_second_chip_of_agx_orin_has_one_rail(boards: dict[str, VirtualBoard]) -> None:
    (chip,) = (boards["agx-orin-r36"].root / "sys/bus/i2c/devices/1-0041/hwmon").iterdir()
    assert (chip / "in1_label").read_text() == "NC\n"
    assert (chip / "in2_label").read_text() == "VDDQ_VDD2_1V8AO\n"
    assert not (chip / "in3_label").exists()
    assert [(chip / f"curr{channel}_input").exists() for channel in (1, 2, 3)] == [False, True, False]


def test_the_limit_of_the_orin_nano_is_twenty_five_watts(boards: dict[str, VirtualBoard]) -> None:
    chip = by_type(boards["orin-nano-r36"], "hwmon", "name")["ina3221"]
    assert (chip / "curr1_max").read_bytes() == (chip / "curr1_crit").read_bytes() == b"4984\n"


def test_the_input_of_thor_is_in_microwatts(boards: dict[str, VirtualBoard]) -> None:
    chip = by_type(boards["thor-r38"], "hwmon", "name")["ina238"]
    millivolts, milliamps, microwatts = (
        int((chip / file).read_text()) for file in ("in1_input", "curr1_input", "power1_input")
    )
    assert microwatts == millivolts * milliamps
    assert 10_000_000 < microwatts < 60_000_000
    assert (chip / "label").read_text() == "VIN\n"
    assert (chip / "in0_input").exists()


def test_rails_of_r32_are_an_iio_device_with_units(boards: dict[str, VirtualBoard]) -> None:
    chip = boards["nano-r32"].root / "sys/bus/i2c/drivers/ina3221x/6-0040/iio:device0"
    assert [(chip / f"rail_name_{n}").read_text() for n in range(3)] == ["POM_5V_IN\n", "POM_5V_GPU\n", "POM_5V_CPU\n"]
    assert (chip / "crit_current_limit_0").read_bytes() == b"32760 ma\n"
    assert re.fullmatch(r"\d+ ma\n", (chip / "in_current0_input").read_text())
    assert re.fullmatch(r"\d+\n", (chip / "in_voltage0_input").read_text())
    assert re.fullmatch(r"\d+\n", (chip / "in_power0_input").read_text())
    assert "ina3221" not in by_type(boards["nano-r32"], "hwmon", "name")


@pytest.mark.parametrize("name", ALL)
def test_over_current_is_counted_on_orin_and_later(boards: dict[str, VirtualBoard], name: str) -> None:
    chips = by_type(boards[name], "hwmon", "name")
    assert ("soctherm_oc" in chips) == (name not in ("nano-r32", "xavier-nx-r35", "pc"))
    if "soctherm_oc" in chips:
        assert [(chips["soctherm_oc"] / f"oc{n}_event_cnt").read_bytes() for n in (1, 2, 3)] == [b"0\n"] * 3
        assert "soctherm-oc-event/hwmon/hwmon" in str(chips["soctherm_oc"].resolve())


@pytest.mark.parametrize("name", [*ORIN_R36, *ORIN_R39, "container"])
def test_orin_has_nine_zones_and_no_plain_ones_answer_in_place_of_them(
    boards: dict[str, VirtualBoard], name: str
) -> None:
    parts = ("cpu", "gpu", "cv0", "cv1", "cv2", "soc0", "soc1", "soc2", "tj")
    zones = by_type(boards[name], "thermal_zone", "type")
    assert set(zones) == {f"{part}-thermal" for part in parts}
    asleep = {zone for zone, path in zones.items() if stat.S_ISFIFO((path / "temp").stat().st_mode)}
    small = SPECS[name].memory_kb < 8_000_000
    assert asleep == {f"cv{n}-thermal" for n in range(3)} | (set() if small else {"gpu-thermal"})


def test_zones_of_the_other_boards(boards: dict[str, VirtualBoard]) -> None:
    assert zone_names(boards["nano-r32"]) == {
        "AO-therm",
        "CPU-therm",
        "GPU-therm",
        "PLL-therm",
        "PMIC-Die",
        "thermal-fan-est",
    }
    assert zone_names(boards["thor-r38"]) == {f"{part}-thermal" for part in ("cpu", "gpu", "soc012", "soc345", "tj")}
    assert "AUX-therm" in zone_names(boards["xavier-nx-r35"])


def test_sensors_without_power_have_their_release_s_answer(boards: dict[str, VirtualBoard]) -> None:
    older = by_type(boards["xavier-nx-r35"], "thermal_zone", "type")
    assert (older["GPU-therm"] / "temp").read_bytes() == b"-256000\n"
    assert (older["PMIC-Die"] / "temp").read_bytes() == b"100000\n"
    gpu = by_type(boards["thor-r38"], "thermal_zone", "type")["gpu-thermal"] / "temp"
    reader = os.open(gpu, os.O_RDONLY | os.O_NONBLOCK)
    assert os.read(reader, 16) == b""  # no plant holds the other end
    os.close(reader)


def test_the_trips_of_an_orin_zone_are_those_of_captures(boards: dict[str, VirtualBoard]) -> None:
    zone = by_type(boards["orin-nano-r36"], "thermal_zone", "type")["cpu-thermal"]
    trips = [
        tuple((zone / f"trip_point_{n}_{part}").read_text().strip() for part in ("type", "temp", "hyst"))
        for n in range(3)
    ]
    assert trips == [("passive", "99000", "0"), ("critical", "104500", "0"), ("passive", "70000", "8000")]
    bound: dict[str, set[str]] = {}
    for device in zone.glob("cdev[0-9]"):
        trip = (zone / f"{device.name}_trip_point").read_text().strip()
        bound.setdefault(trip, set()).add((device / "type").read_text().strip())
    assert bound == {
        "0": {"cpufreq-cpu0", "cpufreq-cpu4", "devfreq-17000000.gpu", "cpu-throttle-alert"},
        "2": {"hot-surface-alert"},
    }


def test_thor_shuts_down_at_114_and_throttles_at_109(boards: dict[str, VirtualBoard]) -> None:
    zone = by_type(boards["thor-r38"], "thermal_zone", "type")["gpu-thermal"]
    assert [(zone / f"trip_point_{n}_temp").read_text() for n in (0, 1)] == ["109000\n", "114500\n"]


@pytest.mark.parametrize(
    ("name", "count"), [("orin-nano-r36", 13), ("agx-orin-r36", 14), ("thor-r38", 14), ("unknown-module", 11)]
)
def test_there_are_cooling_devices_with_two_digits(boards: dict[str, VirtualBoard], name: str, count: int) -> None:
    devices = by_type(boards[name], "cooling_device", "type")
    assert len(devices) == count
    assert {path.name for path in devices.values()} == {f"cooling_device{n}" for n in range(count)}
    assert "cooling_device10" in {path.name for path in devices.values()}


def test_thor_s_cooling_devices_have_their_tables_sizes(boards: dict[str, VirtualBoard]) -> None:
    devices = by_type(boards["thor-r38"], "cooling_device", "type")
    tops = {name: int((path / "max_state").read_text()) for name, path in devices.items()}
    assert (tops["cpufreq-cpu12"], tops["devfreq-gpu-gpc-0"], tops["devfreq-gpu-nvd-0"]) == (48, 169, 182)
    assert (tops["soc012-throttle-alert"], tops["pwm-fan"]) == (2, 4)


def test_the_fan_of_r32_has_no_hwmon(boards: dict[str, VirtualBoard]) -> None:
    fan = boards["nano-r32"].root / "sys/devices/pwm-fan"
    names = {"target_pwm", "temp_control", "cur_pwm", "rpm_measured", "tach_enable"}
    assert names <= {path.name for path in fan.iterdir()}
    assert (fan / "temp_control").read_bytes() == b"1\n"
    assert not (boards["nano-r32"].root / "etc/nvfancontrol.conf").exists()


def test_fan_and_tachometer_are_two_devices(boards: dict[str, VirtualBoard]) -> None:
    chips = by_type(boards["orin-nano-r36"], "hwmon", "name")
    assert (chips["pwmfan"] / "pwm1_enable").read_bytes() == b"1\n"
    assert int((chips["pwm_tach"] / "rpm").read_text()) > 0
    assert "pwm_tach" not in by_type(boards["unknown-carrier"], "hwmon", "name")


@pytest.mark.parametrize("name", [name for name in HOSTS if name != "nano-r32"])
def test_the_fan_s_configuration_has_the_known_shape(boards: dict[str, VirtualBoard], name: str) -> None:
    text = raw(boards, name, "etc/nvfancontrol.conf").decode()
    assert text.startswith("POLLING_INTERVAL 2\n\n<FAN 1>\n\tTMARGIN ENABLED\n")
    assert re.findall(r"^\tFAN_PROFILE (\w+) \{$", text, re.MULTILINE) == ["quiet", "cool"]
    default = "cool" if name == "unknown-carrier" else "quiet"
    assert f"\tFAN_DEFAULT_PROFILE {default}\n" in text
    rows = re.findall(r"^\t\t(\d+)\t(\d+)\t(\d+)\t(\d+)$", text, re.MULTILINE)
    assert len(rows) == 10
    assert rows[0][2] == "255"
    assert raw(boards, name, "var/lib/nvfancontrol/status").startswith(f"FAN1:FAN_PROFILE:{default}\n".encode())
