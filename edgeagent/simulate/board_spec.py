"""What the virtual boards are made of: data only, one record a board, written from scratch.

A record says what its real counterpart would show in the device tree, under /etc and in sysfs. `board.make_board`
turns it into files. Sources: the formats of public captures; the numbers that a capture does not give (resistances,
over-current counts, serial number) are invented.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Trip:
    """One trip point in millidegrees, and the types of the cooling devices bound to it."""

    kind: str
    temperature: int
    hysteresis: int
    bound: tuple[str, ...] = ()


@dataclass(frozen=True)
class VirtualSpec:
    """A board to imitate. Rails are (label, nominal millivolts) of channels 1 to 3 of the INA3221 at 0x40."""

    model: str
    compatible: tuple[str, ...]
    serial: str
    hostname: str
    tegra_release: str
    boot_control: str
    packages: tuple[tuple[str, str], ...]
    cuda: str
    power_modes: str
    default_mode: int
    cpus: int
    policies: tuple[tuple[int, ...], ...]
    cpu_frequencies_khz: tuple[int, ...]
    cpu_idle_khz: int
    gpu_frequencies_hz: tuple[int, ...]
    emc_hz: int
    memory_kb: int
    zones: tuple[tuple[str, tuple[Trip, ...]], ...]
    dark_zones: tuple[str, ...]
    cooling: tuple[tuple[str, int], ...]
    rails: tuple[tuple[str, int], ...]
    over_current_limit_ma: int


_SLOW_CPU = ("cpufreq-cpu0", "cpufreq-cpu4")
_SLOW_GPU = ("devfreq-17000000.gpu",)


def _orin_trips(part: str, slowed: tuple[str, ...]) -> tuple[Trip, ...]:
    """The trips of an Orin zone on R36: throttle, shutdown, and a surface warning that slows nothing down."""
    return (
        Trip("passive", 99_000, 0, (*slowed, f"{part}-throttle-alert")),
        Trip("critical", 104_500, 0),
        Trip("passive", 70_000, 8_000, ("hot-surface-alert",)),
    )


_ORIN_PARTS = ("cpu", "gpu", "cv0", "cv1", "cv2", "soc0", "soc1", "soc2")
_ORIN_ZONES = (
    ("cpu-thermal", _orin_trips("cpu", (*_SLOW_CPU, *_SLOW_GPU))),
    ("gpu-thermal", _orin_trips("gpu", (*_SLOW_CPU, *_SLOW_GPU))),
    *((f"{part}-thermal", _orin_trips(part, ())) for part in _ORIN_PARTS[2:]),
    (
        "tj-thermal",
        (
            Trip("active", 74_000, 4_000, ("pwm-fan",)),
            Trip("active", 95_000, 4_000, ("pwm-fan",)),
            Trip("critical", 104_500, 0),
        ),
    ),
)

ORIN_NANO = VirtualSpec(
    model="NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super",
    compatible=("nvidia,p3768-0000+p3767-0005-super", "nvidia,p3767-0005", "nvidia,tegra234"),
    serial="1420000000042",
    hostname="virtual-orin-nano",
    tegra_release=(
        "# R36 (release), REVISION: 4.7, GCID: 42132812, BOARD: generic, EABI: aarch64, "
        "DATE: Thu Sep 18 22:54:44 UTC 2025\n"
        "# KERNEL_VARIANT: oot\n"
        "TARGET_USERSPACE_LIB_DIR=nvidia\n"
        "TARGET_USERSPACE_LIB_DIR_PATH=usr/lib/aarch64-linux-gnu/nvidia\n"
    ),
    boot_control=(
        "TNSPEC 3767-300-0005-S.1-1-1-jetson-orin-nano-devkit-super-\n"
        "COMPATIBLE_SPEC 3767--0005--1--jetson-orin-nano-devkit-super-\n"
        "TEGRA_LEGACY_UPDATE true\n"
        "TEGRA_BOOT_STORAGE nvme0n1\n"
        "TEGRA_EMMC_ONLY false\n"
        "TEGRA_CHIPID 0x23\n"
        "TEGRA_OTA_BOOT_DEVICE /dev/mtdblock0\n"
        "TEGRA_OTA_GPT_DEVICE /dev/mtdblock0\n"
    ),
    packages=(
        ("nvidia-l4t-core", "36.4.7-20250918154033"),
        ("nvidia-jetpack", "6.2.1+b38"),
        ("libnvinfer10", "10.3.0.30-1+cuda12.5"),
        ("cuda-cudart-12-6", "12.6.68-1"),
    ),
    cuda="12.6.68",
    power_modes="orin_nano_super.conf",
    default_mode=1,
    cpus=6,
    policies=((0, 1, 2, 3), (4, 5)),
    cpu_frequencies_khz=(*range(115_200, 1_728_001, 76_800),),
    cpu_idle_khz=729_600,
    gpu_frequencies_hz=(*range(306_000_000, 1_020_000_001, 102_000_000),),
    emc_hz=3_199_000_000,
    memory_kb=7_789_952,
    zones=_ORIN_ZONES,
    dark_zones=("cv0-thermal", "cv1-thermal", "cv2-thermal"),
    cooling=(
        ("cpufreq-cpu0", 28),
        ("cpufreq-cpu4", 28),
        ("devfreq-17000000.gpu", 10),
        *((f"{part}-throttle-alert", 2) for part in _ORIN_PARTS),
        ("hot-surface-alert", 3),
        ("pwm-fan", 4),
    ),
    rails=(("VDD_IN", 4980), ("VDD_CPU_GPU_CV", 4976), ("VDD_SOC", 4976)),
    over_current_limit_ma=4984,
)

SPECS: dict[str, VirtualSpec] = {"orin-nano": ORIN_NANO}
