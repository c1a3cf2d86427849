"""The plant's state as file content, in the formats of sysfs and proc."""

from __future__ import annotations

from dataclasses import replace

from edgeagent.board.parse import parse_meminfo, parse_proc_stat
from edgeagent.simulate.board_spec_orin import ORIN_NANO_R36 as ORIN_NANO
from edgeagent.simulate.plant import Load, PlantState, settle, start
from edgeagent.simulate.plant_files import plant_files

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
