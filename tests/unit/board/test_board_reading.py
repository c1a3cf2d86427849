"""What one sample says about headroom, throttling and power, and how it looks when flattened."""

from __future__ import annotations

import pytest

from edgeagent.board.reading import (
    ClockDomain,
    Cooling,
    Core,
    Disk,
    Dla,
    Engine,
    Fan,
    Gpu,
    Memory,
    OverCurrent,
    Rail,
    Reading,
    Zone,
    flat_measurements,
    short_name,
)

READING = Reading(
    zones=(
        Zone("cpu-thermal", 61.5, "", 99.0, 104.5),
        Zone("cv0-thermal", None, "offline", 99.0, 104.5),
        Zone("gpu-thermal", 70.0, "", 99.0, 104.5),
        Zone("tj-thermal", 71.0, "", None, 104.5),
    ),
    cooling=(Cooling("gpu-throttle-alert", 0, 2), Cooling("hot-surface-alert", 1, 3), Cooling("pwm-fan", 3, 4)),
    over_current=(OverCurrent("oc1", 0), OverCurrent("oc2", None, absent="offline"), OverCurrent("oc3", 12, 3, 1.5)),
    rails=(Rail("VDD_IN", 9000.0, 5000, 1800), Rail("VDD_SOC", 2000.0, 5000, 400)),
    cpu_load_percent=25.0,
    cores=(Core(0, 50.0, 1_344_000), Core(1, 0.0, 729_600)),
    cores_online=2,
    clocks=(
        ClockDomain("cpu0", 1_344_000, 729_600, 1_728_000, 115_200, 2_201_600, (0, 1)),
        ClockDomain("gpu", 918_000, 306_000, 1_020_000, 306_000, 1_020_000),
    ),
    gpu=Gpu(99.25, 918_000),
    emc_cap_khz=3_199_000,
    dla=(Dla("dla0", "active"), Dla("dla1", "suspended"), Dla("dla2", "", "vanished")),
    engines=(Engine("NVENC", True, 435_200), Engine("NVDEC", False, 998_400)),
    fans=(Fan(50.0, 2800), Fan(25.0, None)),
    memory=Memory(8_000_000, 3_000_000, 4_000_000, 3_900_000, 1, 0.25),
    disk=Disk(64 * 2**30, 16 * 2**30),
    uptime_s=100.0,
)


def test_headroom_is_to_the_zones_own_throttle_temperature() -> None:
    assert READING.headroom_c == 29.0
    assert READING.hottest == READING.zones[3]
    assert Reading(zones=(Zone("tj", 80.0, "", None, 104.5),)).headroom_c is None


def test_a_zone_beyond_its_trip_has_negative_headroom() -> None:
    assert Zone("cpu", 101.0, "", 99.0).headroom_c == -2.0


def test_headroom_names_its_source() -> None:
    own, typical = Zone("cpu", 80.0, "", 99.0, None, "trip"), Zone("tj", 85.0, "", 99.0, None, "soc")
    assert Reading(zones=(own, typical)).throttle_source == "soc"
    assert Reading(zones=(own,)).throttle_source == "trip"
    assert Reading().throttle_source == ""


def test_what_is_held_back_by_heat() -> None:
    names = ("cpufreq-cpu0", "cpu-throttle-alert", "pwm-fan", "hot-surface-alert")
    assert Reading(cooling=tuple(Cooling(name, 2, 3) for name in names)).slowed == ("cpufreq-cpu0",)
    assert Reading(cooling=(Cooling("cpufreq-cpu0", None, 3, "offline"),)).slowed == ()


def test_hot_surface_is_no_throttling() -> None:
    assert READING.throttling is False
    assert READING.hot_surface is True


def test_a_raised_alert_is_throttling() -> None:
    reading = Reading(cooling=(Cooling("cpu-throttle-alert", 1, 2), Cooling("gpu-throttle-alert", 0, 2)))
    assert reading.throttling is True
    assert reading.throttle_alerts == ("cpu",)


@pytest.mark.parametrize(("state", "throttling"), [(-1, False), (0, False), (1, True)])
def test_only_a_state_above_0_is_an_alert(state: int, throttling: bool) -> None:
    reading = Reading(cooling=(Cooling("cpu-throttle-alert", state, 2), Cooling("hot-surface-alert", state, 3)))
    assert (reading.throttling, bool(reading.throttle_alerts), reading.hot_surface) == (throttling,) * 3


def test_without_alerts_throttling_is_unknown() -> None:
    assert Reading().throttling is None
    assert Reading(cooling=(Cooling("cpu-throttle-alert", None, 2, "permission"),)).throttling is None
    assert Reading().hot_surface is None


@pytest.mark.parametrize(
    ("rails", "total", "source"),
    [
        ((Rail("VDD_SOC", 2000.0), Rail("VDD_IN", 9000.0)), 9000.0, "VDD_IN"),
        ((Rail("POM_5V_GPU", 500.0), Rail("POM_5V_IN", 3000.0)), 3000.0, "POM_5V_IN"),
        ((Rail("VDD_GPU", 9000.0), Rail("VIN_SYS_5V0", 2500.0), Rail("VIN", 30_000.0)), 30_000.0, "VIN"),
        (
            (Rail("VDD_GPU_SOC", 4000.0), Rail("VDD_CPU_CV", 3000.0), Rail("VIN_SYS_5V0", 2500.0)),
            9500.0,
            "sum of VDD_GPU_SOC, VDD_CPU_CV, VIN_SYS_5V0",
        ),
        (
            tuple(Rail(name, 1000.0) for name in ("GPU", "CPU", "SOC", "CV", "VDDRQ", "SYS5V")),
            6000.0,
            "sum of GPU, CPU, SOC, CV, VDDRQ, SYS5V",
        ),
        ((Rail("VDD_IN", None, absent="offline"), Rail("VDD_SOC", 2000.0)), None, "VDD_IN"),
        ((Rail("A", None, absent="offline"), Rail("B", 3000.0)), None, "sum of A, B"),
        ((), None, ""),
    ],
)
def test_total_power_is_the_input_rail_or_a_whole_sum(
    rails: tuple[Rail, ...], total: float | None, source: str
) -> None:
    reading = Reading(rails=rails)
    assert (reading.power_total_mw, reading.power_total_source) == (total, source)


def test_flat_measurements() -> None:
    assert flat_measurements(READING) == {
        "thermal": {
            "temp_cpu_c": 61.5,
            "temp_gpu_c": 70.0,
            "temp_tj_c": 71.0,
            "temp_max_c": 71.0,
            "headroom_c": 29.0,
            "throttling": False,
            "hot_surface": True,
        },
        "power": {
            "power_vdd_in_w": 9.0,
            "power_vdd_soc_w": 2.0,
            "power_total_w": 9.0,
            "oc1_events": 0,
            "oc3_events": 12,
            "oc3_new": 3,
            "oc3_rate_per_s": 1.5,
        },
        "cpu": {
            "load_percent": 25.0,
            "freq_mhz": 1344.0,
            "freq_limit_mhz": 1728.0,
            "cores_online": 2,
            "clocks_locked": False,
            "core0_percent": 50.0,
            "core0_mhz": 1344.0,
            "core1_percent": 0.0,
            "core1_mhz": 729.6,
        },
        "gpu": {
            "load_percent": 99.25,
            "freq_mhz": 918.0,
            "freq_limit_mhz": 1020.0,
            "dla0_active": True,
            "dla1_active": False,
            "engine_nvenc_mhz": 435.2,
            "engine_nvdec_mhz": 0.0,
        },
        "memory": {
            "total_mb": 7812,
            "available_mb": 2929,
            "used_mb": 4882,
            "swap_total_mb": 3906,
            "swap_free_mb": 3808,
            "swap_used_mb": 97,
            "oom_kills": 1,
            "pressure_percent": 0.25,
            "emc_cap_mhz": 3199.0,
            "disk_total_mb": 65536,
            "disk_free_mb": 16384,
        },
        "fan": {"pwm_percent": 50.0, "rpm": 2800, "fan2_pwm_percent": 25.0},
    }


def test_an_empty_reading_flattens_to_six_empty_groups() -> None:
    assert flat_measurements(Reading()) == {group: {} for group in ("thermal", "power", "cpu", "gpu", "memory", "fan")}


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("cpu-thermal", "cpu"),
        ("CPU-therm", "cpu"),
        ("Tboard_tegra", "tboard_tegra"),
        ("VDD_IN", "vdd_in"),
        ("acpitz_2", "acpitz_2"),
        ("///", "unnamed"),
    ],
)
def test_short_names(name: str, short: str) -> None:
    assert short_name(name) == short
