"""Power rails in the form of each release, and what happens when the bus is slow."""

from __future__ import annotations

from pathlib import Path

import pytest
from sysfs_kit import StepClock, Tree

from edgeagent.board.patience import MAX_SKIPPED, Patience
from edgeagent.board.reading import flat_measurements
from edgeagent.board.telemetry import BoardReader

R32 = "sys/bus/i2c/drivers/ina3221x"


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def ina3221(tree: Tree, number: int, *rails: tuple[str, int, int]) -> str:
    directory = tree.hwmon(number, "ina3221")
    for channel, (label, millivolts, milliamps) in enumerate(rails, start=1):
        if label:
            tree.lines(directory, **{f"in{channel}_label": label})
        tree.lines(directory, **{f"in{channel}_input": millivolts, f"curr{channel}_input": milliamps})
    return directory


def test_rails_are_the_labelled_channels(tree: Tree) -> None:
    directory = ina3221(tree, 5, ("VDD_IN", 5000, 100), ("NC", 5000, 200), ("VDD_SOC", 5000, 300))
    tree.lines(directory, in4_input=12, in7_label="sum of shunt voltages", in7_input=24)
    rails = tree.read().rails
    assert [(rail.name, rail.milliwatts, rail.chip) for rail in rails] == [
        ("VDD_IN", 500.0, "ina3221"),
        ("VDD_SOC", 1500.0, "ina3221"),
    ]


def test_channels_that_are_switched_off_are_no_rails(tree: Tree) -> None:
    directory = ina3221(tree, 0, ("VDD_GPU_SOC", 20_000, 100), ("VDD_CPU_CV", 20_000, 100))
    tree.lines(directory, in1_enable=1, in2_enable=0)
    assert [rail.name for rail in tree.read().rails] == ["VDD_GPU_SOC"]


def test_agx_orin_is_the_sum_over_both_chips(tree: Tree) -> None:
    ina3221(tree, 3, ("VDD_GPU_SOC", 20_000, 100), ("VDD_CPU_CV", 20_000, 50), ("VIN_SYS_5V0", 5000, 400))
    ina3221(tree, 1, ("", 0, 0), ("VDDQ_VDD2_1V8AO", 5000, 200), ("NC", 0, 0))
    reading = tree.read()
    assert reading.power_total_mw == 2000 + 1000 + 2000 + 1000
    assert reading.power_total_source == "sum of VDDQ_VDD2_1V8AO, VDD_GPU_SOC, VDD_CPU_CV, VIN_SYS_5V0"


def test_thor_measures_its_input_in_microwatts(tree: Tree) -> None:
    ina3221(tree, 0, ("VDD_GPU", 12_000, 1000), ("VDD_CPU_SOC_MSS", 12_000, 900), ("VIN_SYS_5V0", 5000, 700))
    tree.hwmon(4, "ina238", label="VIN", in0_input=3, in1_input=19_800, curr1_input=2000, power1_input=39_612_500)
    reading = tree.read()
    rail = reading.rails[-1]
    assert (rail.name, rail.milliwatts, rail.millivolts, rail.milliamps) == ("VIN", 39_612.5, 19_800, 2000)
    assert (reading.power_total_mw, reading.power_total_source) == (39_612.5, "VIN")


@pytest.mark.parametrize(
    ("files", "name", "milliwatts"),
    [
        ({"power1_label": "VIN", "power1_input": 1500}, "VIN", 1.5),
        ({"in1_label": "VIN", "power1_input": "?", "in1_input": 20_000, "curr1_input": 100}, "VIN", 2000.0),
        ({"power1_input": 1000}, "ina238", 1.0),
    ],
)
def test_forms_of_the_ina238(tree: Tree, files: dict[str, str | int], name: str, milliwatts: float) -> None:
    tree.hwmon(0, "ina238", **files)
    assert [(rail.name, rail.milliwatts) for rail in tree.read().rails] == [(name, milliwatts)]


def test_nano_has_the_form_of_r32(tree: Tree) -> None:
    directory = f"{R32}/6-0040/iio:device0"
    for channel, label in enumerate(("POM_5V_IN", "POM_5V_GPU", "POM_5V_CPU")):
        tree.lines(directory, **{f"rail_name_{channel}": label, f"in_power{channel}_input": 1000 * (channel + 1)})
        tree.lines(directory, **{f"in_voltage{channel}_input": "5080 mv", f"in_current{channel}_input": "300 ma"})
    reading = tree.read()
    assert [(rail.name, rail.milliwatts) for rail in reading.rails] == [
        ("POM_5V_IN", 1000.0),
        ("POM_5V_GPU", 2000.0),
        ("POM_5V_CPU", 3000.0),
    ]
    assert (reading.rails[0].millivolts, reading.rails[0].milliamps, reading.rails[0].chip) == (5080, 300, "ina3221x")
    assert (reading.power_total_mw, reading.power_total_source) == (1000.0, "POM_5V_IN")


def test_r32_without_a_power_file_multiplies_and_leaves_out_nc(tree: Tree) -> None:
    directory = f"{R32}/0-0041/iio:device1"
    tree.lines(directory, rail_name_0="VDD_IN", in_voltage0_input="19000 mv", in_current0_input="500 ma")
    tree.lines(directory, rail_name_1="NC", in_power1_input=77)
    tree.write(f"{R32}/bind", "")
    assert [(rail.name, rail.milliwatts) for rail in tree.read().rails] == [("VDD_IN", 9500.0)]


@pytest.mark.parametrize(("current", "absent"), [("?", "unreadable"), (None, "not-given")])
def test_a_rail_without_current_says_why_and_spoils_the_total(tree: Tree, current: str | None, absent: str) -> None:
    directory = tree.hwmon(0, "ina3221", in1_label="VDD_GPU_SOC", in1_input=5000)
    if current is not None:
        tree.lines(directory, curr1_input=current)
    ina3221(tree, 1, ("VDD_CPU_CV", 5000, 100))
    reading = tree.read()
    assert (reading.rails[0].milliwatts, reading.rails[0].millivolts, reading.rails[0].absent) == (None, 5000, absent)
    assert reading.power_total_mw is None


def test_two_rails_of_one_label_are_told_apart(tree: Tree) -> None:
    ina3221(tree, 0, ("VDD_5V", 5000, 100))
    ina3221(tree, 1, ("VDD_5V", 5000, 200))
    assert [rail.name for rail in tree.read().rails] == ["VDD_5V", "VDD_5V_2"]


def absences(reader: BoardReader, samples: int) -> list[tuple[str, ...]]:
    return [tuple(rail.absent for rail in reader.read().rails) for _ in range(samples)]


def test_a_slow_chip_is_left_alone_for_longer_and_longer(tree: Tree) -> None:
    ina3221(tree, 0, ("VDD_IN", 5000, 100), ("VDD_SOC", 5000, 100))
    late = (0.0, 0.0, 0.06)  # the sample's own look at the clock, then before and after the first rail
    clock = StepClock(*late, 0.0, *late, 0.0, 0.0, *late)
    with BoardReader(tree.root, clock=clock) as reader:
        answered_late, skipped, well = ("", "slow"), ("slow", "slow"), ("", "")
        assert absences(reader, 2) == [answered_late, skipped]
        assert absences(reader, 3) == [answered_late, skipped, skipped]
        assert absences(reader, 5) == [answered_late, *[skipped] * 4]
        assert absences(reader, 2) == [well, well]


def test_another_chip_goes_on_while_one_is_slow(tree: Tree) -> None:
    ina3221(tree, 0, ("VDD_GPU_SOC", 5000, 100))
    ina3221(tree, 1, ("VDDQ", 5000, 100))
    with BoardReader(tree.root, clock=StepClock(0.0, 0.0, 0.06)) as reader:
        assert absences(reader, 3) == [("", ""), ("slow", ""), ("", "")]


def test_patience_grows_to_its_limit_and_is_forgiven_at_once() -> None:
    patience, skips = Patience(), []
    for _ in range(40):
        patience = patience.after_read(slow=True)
        skips.append(patience.skip)
    assert skips[:8] == [1, 2, 4, 8, 16, 32, 64, 64]
    assert max(skips) == MAX_SKIPPED
    assert patience.after_read(slow=False) == Patience()


@pytest.mark.parametrize(
    ("millivolts", "milliamps", "milliwatts", "absent"),
    [
        ("5000", "9" * 20, None, "unreadable"),
        ("9" * 20, "100", None, "unreadable"),
        ("60001", "100", None, "unreadable"),
        ("-8", "100", None, "unreadable"),
        ("5000", "200001", None, "unreadable"),
        ("5000", "-500", None, "unreadable"),
        ("5000", "-100", 0.0, ""),  # the offset of a chip with nothing behind it
        ("60000", "200000", 12_000_000.0, ""),
    ],
)
def test_what_no_rail_can_carry_is_no_measurement(
    tree: Tree, millivolts: str, milliamps: str, milliwatts: float | None, absent: str
) -> None:
    tree.hwmon(0, "ina3221", in1_label="VDD_IN", in1_input=millivolts, curr1_input=milliamps)
    reading = tree.read()
    assert (reading.rails[0].milliwatts, reading.rails[0].absent) == (milliwatts, absent)
    assert ("power_vdd_in_w" in flat_measurements(reading)["power"]) == (milliwatts is not None)


@pytest.mark.parametrize(("microwatts", "milliwatts"), [("9" * 20, 500.0), ("-600000", 500.0), ("2000000000", 2e6)])
def test_an_impossible_power_gives_way_to_volts_times_amps(tree: Tree, microwatts: str, milliwatts: float) -> None:
    tree.hwmon(0, "ina238", label="VIN", in1_input=5000, curr1_input=100, power1_input=microwatts)
    assert tree.read().rails[0].milliwatts == milliwatts
