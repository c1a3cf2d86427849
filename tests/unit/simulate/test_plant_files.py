"""The plant's state as file content, in the formats of sysfs and proc."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edgeagent.board.parse import parse_meminfo, parse_proc_stat
from edgeagent.simulate.board import make_board
from edgeagent.simulate.board_list import SPECS
from edgeagent.simulate.board_spec import VirtualSpec
from edgeagent.simulate.board_spec_older import NANO_R32, XAVIER_NX_R35
from edgeagent.simulate.board_spec_orin import AGX_ORIN_R36
from edgeagent.simulate.board_spec_orin import ORIN_NANO_R36 as ORIN_NANO
from edgeagent.simulate.board_spec_pc import PC
from edgeagent.simulate.board_spec_thor import THOR_R38
from edgeagent.simulate.plant import Load, PlantState, settle, start, step
from edgeagent.simulate.plant_files import emc_rate, plant_files

STATE = settle(ORIN_NANO.plant, Load(0.5, 0.8), 25.0)


def number(state: PlantState, role: str) -> int:
    return int(plant_files(ORIN_NANO, state)[role])


def test_every_file_ends_in_one_newline() -> None:
    content = plant_files(ORIN_NANO, STATE)
    assert all(data.endswith(b"\n") and not data.endswith(b"\n\n") for data in content.values())


def test_dark_zones_have_no_content() -> None:
    zones = [role for role in plant_files(ORIN_NANO, STATE) if role.startswith("zone:")]
    assert sorted(zones) == [f"zone:{name}-thermal" for name in ("cpu", "gpu", "soc0", "soc1", "soc2", "tj")]


def test_tj_is_the_hottest_even_with_noise() -> None:
    content = plant_files(ORIN_NANO, STATE, {"cpu-thermal": 20.0})
    temperatures = {role: int(data) for role, data in content.items() if role.startswith("zone:")}
    assert temperatures["zone:tj-thermal"] == max(temperatures.values()) == temperatures["zone:cpu-thermal"]


def test_sensors_resolve_a_thirty_second_of_a_degree() -> None:
    state = replace(STATE, parts_c=dict.fromkeys(STATE.parts_c, 40.02))
    assert number(state, "zone:cpu-thermal") == 40031


def test_alerts_and_throttling_show_in_the_cooling_devices() -> None:
    hot = replace(STATE, parts_c={**STATE.parts_c, "gpu": 101.0})
    assert number(hot, "cooling:gpu-throttle-alert") == 1
    assert number(hot, "cooling:cpu-throttle-alert") == 0
    assert number(hot, "cooling:cpufreq-cpu0") == 14
    assert number(hot, "cooling:hot-surface-alert") == 1
    assert number(start(ORIN_NANO.plant, 25.0), "cooling:hot-surface-alert") == 0


def test_volts_times_amps_is_the_power() -> None:
    for label, watts in (("VDD_IN", STATE.input_w), ("VDD_SOC", STATE.soc_w)):
        microwatts = number(STATE, f"rail:{label}:mv") * number(STATE, f"rail:{label}:ma")
        assert abs(microwatts / 1e6 - watts) < 0.01


def test_clocks_are_steps_of_the_table() -> None:
    assert ORIN_NANO.gpu
    assert number(STATE, "gpu_freq") in ORIN_NANO.gpu.table_hz
    assert number(STATE, "cpu_freq:4") in ORIN_NANO.cpu.table_khz


def test_the_load_file_counts_thousandths() -> None:
    assert number(STATE, "gpu_load") == 800


def test_proc_files_parse_back() -> None:
    content = plant_files(ORIN_NANO, STATE)
    memory = parse_meminfo(content["meminfo"])
    assert memory["MemTotal"] == ORIN_NANO.memory_kb
    assert 0 < memory["MemAvailable"] < memory["MemTotal"]
    times = parse_proc_stat(content["stat"])
    assert set(times) == {-1, 0, 1, 2, 3, 4, 5}
    assert times[0].busy / times[0].total == 0.5


def test_cores_that_are_offline_have_no_line() -> None:
    state = replace(STATE, caps=replace(STATE.caps, online=(0, 1, 2, 4)))
    assert set(parse_proc_stat(plant_files(ORIN_NANO, state)["stat"])) == {-1, 0, 1, 2, 4}


def test_memory_never_exceeds_the_board() -> None:
    full = parse_meminfo(plant_files(ORIN_NANO, replace(STATE, memory_mb=1e6))["meminfo"])
    assert full["MemAvailable"] == full["MemFree"] == 0


@pytest.mark.parametrize("name", sorted(SPECS))
def test_every_changing_file_of_a_board_has_content(tmp_path: Path, name: str) -> None:
    board = make_board(name, tmp_path, seed=2)
    busy = settle(board.spec.plant, Load(0.5, 0.5, dla=0.5), 25.0)
    content = plant_files(board.spec, busy)
    assert set(board.files) - set(content) == set()
    assert set(board.sleepers) <= set(content)


def test_sensors_sleep_without_work_and_wake_with_it() -> None:
    def awake(**load: float) -> set[str]:
        state = step(start(AGX_ORIN_R36.plant, 25.0), Load(**load), 1.0, 25.0)
        return {role for role in plant_files(AGX_ORIN_R36, state) if role in ("zone:gpu-thermal", "zone:cv1-thermal")}

    assert awake() == set()
    assert awake(gpu=0.5) == {"zone:gpu-thermal"}
    assert awake(dla=0.5) == {"zone:cv1-thermal"}


def test_a_gpu_whose_clock_is_held_stays_awake() -> None:
    cold = start(AGX_ORIN_R36.plant, 25.0)
    held = replace(cold, caps=replace(cold.caps, gpu_min_hz=1_300_500_000))
    assert "zone:gpu-thermal" in plant_files(AGX_ORIN_R36, held)


def test_a_sleeping_sensor_of_r35_says_minus_256() -> None:
    cold = start(XAVIER_NX_R35.plant, 25.0)
    assert plant_files(XAVIER_NX_R35, cold)["zone:GPU-therm"] == b"-256000\n"
    warm = plant_files(XAVIER_NX_R35, step(cold, Load(gpu=0.5), 1.0, 25.0))
    assert 25_000 <= int(warm["zone:GPU-therm"]) < 40_000
    assert warm["zone:PMIC-Die"] == b"100000\n"


def test_two_zones_of_one_type_are_told_apart() -> None:
    content = plant_files(PC, settle(PC.plant, Load(0.5), 25.0))
    assert {"zone:acpitz", "zone:acpitz_2", "zone:x86_pkg_temp"} <= set(content)
    assert {"cooling:Processor", "cooling:Processor_8"} <= set(content)


@pytest.mark.parametrize("spec", [AGX_ORIN_R36, THOR_R38], ids=lambda spec: spec.name)
def test_rails_add_up_to_what_the_board_takes(spec: VirtualSpec) -> None:
    state = settle(spec.plant, Load(0.7, 0.7), 25.0)
    content = plant_files(spec, state)
    parts = [channel.label for channel in spec.rails if channel.watts != ("input",)]
    taken = sum(int(content[f"rail:{label}:mv"]) * int(content[f"rail:{label}:ma"]) for label in parts) / 1e6
    assert 0.8 * state.input_w < taken < 1.001 * state.input_w
    if spec is THOR_R38:
        assert int(content["rail:VIN:uw"]) / 1e6 == pytest.approx(state.input_w, rel=0.001)
    else:
        assert taken == pytest.approx(state.input_w, rel=0.002)


def test_rails_of_r32_have_units_and_milliwatts() -> None:
    content = plant_files(NANO_R32, settle(NANO_R32.plant, Load(0.5, 0.5), 25.0))
    milliamps, unit = content["rail:POM_5V_IN:ma"].split()
    assert unit == b"ma"
    millivolts, milliwatts = int(content["rail:POM_5V_IN:mv"]), int(content["rail:POM_5V_IN:mw"])
    assert milliwatts == millivolts * int(milliamps) // 1000


def test_the_other_clock_of_thor_goes_with_the_first() -> None:
    content = plant_files(THOR_R38, settle(THOR_R38.plant, Load(gpu=1.0), 25.0))
    assert (content["gpu_freq"], content["gpu_freq:gpu-nvd-0"]) == (b"1575000000\n", b"1692000000\n")


def test_the_memory_runs_up_to_its_cap() -> None:
    emc = AGX_ORIN_R36.emc
    assert emc
    capped = replace(AGX_ORIN_R36.plant.free, emc_hz=2_133_000_000)
    for caps, top_hz in ((AGX_ORIN_R36.plant.free, 3_199_000_000), (capped, 2_133_000_000)):
        assert emc_rate(emc, settle(AGX_ORIN_R36.plant, Load(gpu=1.0), 25.0, caps)) == top_hz
        assert emc_rate(emc, settle(AGX_ORIN_R36.plant, Load(), 25.0, caps)) == emc.low_hz


def test_offline_cores_are_listed() -> None:
    state = replace(STATE, caps=replace(STATE.caps, online=(0, 1, 2, 5)))
    content = plant_files(ORIN_NANO, state)
    assert (content["online"], content["offline"]) == (b"0-2,5\n", b"3-4\n")
