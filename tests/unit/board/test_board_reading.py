"""What one sample says about headroom, throttling and power, and how it looks when flattened."""

from __future__ import annotations

import pytest

from edgeagent.board.reading import (
    Cooling,
    Core,
    Disk,
    Fan,
    Gpu,
    Memory,
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
    over_current=(("oc1", 0), ("oc3", 12)),
    rails=(Rail("VDD_IN", 9000.0, 5000, 1800), Rail("VDD_SOC", 2000.0, 5000, 400)),
    cpu_load_percent=25.0,
    cores=(Core(0, 50.0, 1_344_000), Core(1, 0.0, 729_600)),
    gpu=Gpu(99.25, 918_000),
    emc_cap_khz=3_199_000,
    dla=(("dla0", "active"), ("dla1", "suspended")),
    fan=Fan(50.0, 2800),
    memory=Memory(8_000_000, 3_000_000, 4_000_000, 4_000_000),
    disk=Disk(64 * 2**30, 16 * 2**30),
    uptime_s=100.0,
)


def test_headroom_is_to_the_zones_own_throttle_temperature() -> None:
    assert READING.headroom_c == 29.0
    assert READING.hottest == READING.zones[3]
    assert Reading(zones=(Zone("tj", 80.0, "", None, 104.5),)).headroom_c is None


def test_a_zone_beyond_its_trip_has_negative_headroom() -> None:
    assert Zone("cpu", 101.0, "", 99.0).headroom_c == -2.0


def test_hot_surface_is_no_throttling() -> None:
    assert READING.throttling is False
    assert READING.hot_surface is True


def test_a_raised_alert_is_throttling() -> None:
    reading = Reading(cooling=(Cooling("cpu-throttle-alert", 1, 2), Cooling("gpu-throttle-alert", 0, 2)))
    assert reading.throttling is True
    assert reading.throttle_alerts == ("cpu",)


def test_without_alerts_throttling_is_unknown() -> None:
    assert Reading().throttling is None
    assert Reading(cooling=(Cooling("cpu-throttle-alert", None, 2, "permission"),)).throttling is None
    assert Reading().hot_surface is None


@pytest.mark.parametrize(
    ("rails", "total"),
    [
        ((Rail("VDD_SOC", 2000.0), Rail("VDD_IN", 9000.0)), 9000.0),
        ((Rail("VDD_GPU_SOC", 4000.0), Rail("VDD_CPU_CV", 3000.0), Rail("VIN_SYS_5V0", 2500.0)), 9500.0),
        ((Rail("VDD_IN", None, absent="offline"), Rail("VDD_SOC", 2000.0)), None),
        ((Rail("VDD_GPU_SOC", None, absent="offline"), Rail("VDD_CPU_CV", 3000.0)), None),
        ((), None),
    ],
)
def test_total_power_is_the_input_rail_or_a_whole_sum(rails: tuple[Rail, ...], total: float | None) -> None:
    assert Reading(rails=rails).power_total_mw == total


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
        },
        "cpu": {"load_percent": 25.0, "freq_mhz": 1344.0, "load_core0_percent": 50.0, "load_core1_percent": 0.0},
        "gpu": {"load_percent": 99.25, "freq_mhz": 918.0, "dla0_active": True, "dla1_active": False},
        "memory": {
            "total_mb": 7812,
            "available_mb": 2929,
            "used_mb": 4882,
            "swap_total_mb": 3906,
            "swap_free_mb": 3906,
            "emc_cap_mhz": 3199.0,
            "disk_total_mb": 65536,
            "disk_free_mb": 16384,
        },
        "fan": {"pwm_percent": 50.0, "rpm": 2800},
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
