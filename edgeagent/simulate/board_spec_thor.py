"""Boards with an OpenRM GPU and after: AGX Thor on R38, and a module that nobody knows yet. Data only."""

from __future__ import annotations

from edgeagent.simulate import board_software as software
from edgeagent.simulate import thermal_parameters
from edgeagent.simulate.board_spec import (
    Channel,
    Cpu,
    Emc,
    Fan,
    Gpu,
    PowerSensor,
    Trip,
    VirtualSpec,
    Zone,
    boot_control,
    ladder,
)
from edgeagent.simulate.plant import PlantSpec

_BUS = "sys/devices/platform/bus@0"
_THOR_CPU = Cpu(
    14,
    tuple((core, core + 1) for core in range(0, 14, 2)),
    ladder(657_000, 2_601_000, 40_500),
    981_000,
    idle_states=("WFI", "cc7"),
)
_THOR_SLOWED = tuple(f"cpufreq-cpu{core}" for core in range(0, 14, 2))
_PCI_GPU = "sys/devices/platform/bus@0/d0b0000000.pcie/pci0000:00/0000:00:00.0/0000:01:00.0"


def _thor_trips(part: str, *slowed: str) -> tuple[Trip, ...]:
    return (Trip("passive", 109_000, 0, (*slowed, f"{part}-throttle-alert")), Trip("critical", 114_500, 0))


THOR_R38 = VirtualSpec(
    name="thor-r38",
    description="Jetson AGX Thor T5000 kit, JetPack 7.1 (L4T 38.4.0)",
    kind="jetson",
    software=software.R38_4_0,
    hostname="virtual-thor",
    model="NVIDIA Jetson AGX Thor Developer Kit",
    compatible=("nvidia,p4071-0000+p3834-0008", "nvidia,p3834-0008", "nvidia,tegra264"),
    serial="1424325050123",
    boot_control=boot_control(
        "3834-400-0008-K.0-1-0-jetson-agx-thor-devkit-", "3834--0008--1--jetson-agx-thor-devkit-", "0x26"
    ),
    eeprom=(f"{_BUS}/c600000.i2c/i2c-0/0-0050", "699-13834-0008-400 K.0"),
    power_modes="thor_t5000.conf",
    memory_kb=128_825_804,
    cpu=_THOR_CPU,
    gpu=Gpu(
        device=_PCI_GPU,
        devfreq="gpu-gpc-0",
        table_hz=ladder(54_000_000, 1_575_000_000, 9_000_000),
        governor="nvhost_podgov",
        load=False,
        aliases=("sys/bus/pci/devices/0000:01:00.0",),
        others=(("gpu-nvd-0", ladder(54_000_000, 1_692_000_000, 9_000_000)),),
        attributes=(("gpu_pg_mask", "512"), ("vendor", "0x10de"), ("power/control", "auto")),
    ),
    emc=Emc(4_266_000_000, 665_600_000, "sys/kernel/nvpmodel_clk_cap/emc"),
    zones=(
        Zone("cpu-thermal", "cpu", _thor_trips("cpu", *_THOR_SLOWED)),
        Zone("gpu-thermal", "gpu", _thor_trips("gpu", "devfreq-gpu-gpc-0", "devfreq-gpu-nvd-0"), "idle"),
        Zone("soc012-thermal", "soc012", _thor_trips("soc012")),
        Zone("soc345-thermal", "soc345", _thor_trips("soc345")),
        Zone("tj-thermal", "tj", (Trip("active", 74_000, 4_000, ("pwm-fan",)), Trip("critical", 114_500, 0))),
    ),
    cooling=(
        *((name, 48) for name in _THOR_SLOWED),
        ("devfreq-gpu-gpc-0", 169),
        ("devfreq-gpu-nvd-0", 182),
        *((f"{part}-throttle-alert", 2) for part in ("cpu", "gpu", "soc012", "soc345")),
        ("pwm-fan", 4),
    ),
    sensors=(
        PowerSensor(
            "ina3221",
            f"{_BUS}/c600000.i2c/i2c-2/2-0040",
            (
                Channel("VDD_GPU", 20_000, ("gpu",)),
                Channel("VDD_CPU_SOC_MSS", 20_000, ("cpu", "cores idle", "soc")),
                Channel("VIN_SYS_5V0", 5040, ("board",)),
            ),
            32_760,
        ),
        PowerSensor("ina238", f"{_BUS}/c600000.i2c/i2c-2/2-0044", (Channel("VIN", 20_000, ("input",)),), 12_000),
    ),
    over_current=True,
    fan=Fan("hwmon", "quiet", tachometer=f"{_BUS}/a8c0000.tachometer"),
    engines=(("pva0_vps", 1_215_000_000), ("pva0_axi", 909_000_000), ("vic", 1_215_000_000)),
    plain=(
        (
            "proc/driver/nvidia/gpus/0000:01:00.0/information",
            "Model: \t\t NVIDIA Thor\nBus Type: \t PCIe\n",
        ),
        ("proc/driver/nvidia/gpus/0000:01:00.0/power", "Runtime D3 status:          Disabled by default\n"),
    ),
    plant=PlantSpec(
        cores=14,
        cpu_khz=(657_000, 2_601_000),
        cpu_idle_khz=981_000,
        cpu_top_w=36.0,
        gpu_hz=(54_000_000, 1_575_000_000),
        gpu_top_w=62.0,
        cores_idle_w=4.0,
        soc_idle_w=11.0,
        board_w=7.0,
        peaks_from_w=100.0,
        peaks_per_joule=0.6,
        throttle_c=109.0,
        critical_c=114.5,
        hottest_c=115.0,
        fan_top_rpm=5371.0,
        memory_mb=6400.0,
        network=thermal_parameters.THOR,
    ),
)

_FUTURE_CPU = Cpu(
    10,
    tuple((core, core + 1) for core in range(0, 10, 2)),
    ladder(400_000, 2_800_000, 100_000),
    800_000,
    driver="scmi",
    fixed_cores=(0,),
)
_FUTURE_SLOWED = (*(f"cpufreq-cpu{core}" for core in range(0, 10, 2)), "devfreq-27000000.gpu")
_FUTURE_I2C = "sys/devices/platform/soc/3f0000.i2c/i2c-4"


def _future_trips(part: str) -> tuple[Trip, ...]:
    slowed = _FUTURE_SLOWED if part in ("cpu", "gpu") else ()
    return (
        Trip("passive", 85_000, 2_000, ("skin-alert",)),
        Trip("passive", 105_000, 2_000, (*slowed, f"{part}-throttle-alert")),
        Trip("critical", 115_000, 0),
    )


UNKNOWN_MODULE = VirtualSpec(
    name="unknown-module",
    description="a module of the future: unknown SoC, part number, release and power modes",
    kind="jetson",
    software=software.future("R39"),
    hostname="virtual-unknown",
    model="NVIDIA Jetson Next Developer Kit",
    compatible=("nvidia,p4999-0000+p3999-0000", "nvidia,p3999-0000", "nvidia,tegra299"),
    serial="1427127000009",
    boot_control=boot_control(
        "3999-100-0000-A.0-1-0-jetson-next-devkit-", "3999--0000--1--jetson-next-devkit-", "0x29"
    ),
    eeprom=("sys/devices/platform/soc/3e0000.i2c/i2c-0/0-0050", "699-13999-0000-100 A.0"),
    power_modes="unknown_module.conf",
    memory_kb=32_211_456,
    cpu=_FUTURE_CPU,
    gpu=Gpu(
        device="sys/devices/platform/soc/27000000.gpu",
        devfreq="27000000.gpu",
        table_hz=ladder(200_000_000, 1_900_000_000, 100_000_000),
        governor="nvhost_podgov",
        node="soc/gpu@27000000",
        aliases=("sys/devices/platform/gpu.0",),
        attributes=(("gpu_pg_mask", "3"), ("power/control", "auto")),
    ),
    emc=Emc(5_333_000_000, 800_000_000, "sys/kernel/nvpmodel_clk_cap/emc"),
    zones=(
        *(Zone(f"{part}-thermal", part, _future_trips(part)) for part in ("cpu", "gpu")),
        Zone("npu-thermal", "npu", _future_trips("npu"), "idle"),
        Zone("die-thermal", "tj", (Trip("active", 60_000, 4_000, ("pwm-fan",)), Trip("critical", 115_000, 0))),
        Zone("board-thermal", "board"),
    ),
    cooling=(
        *((name, 24) for name in _FUTURE_SLOWED),
        *((f"{part}-throttle-alert", 3) for part in ("cpu", "gpu", "npu")),
        ("skin-alert", 1),
        ("pwm-fan", 4),
    ),
    sensors=(
        PowerSensor(
            "ina3221",
            f"{_FUTURE_I2C}/4-0040",
            (
                Channel("VDD_CORE", 12_000, ("cpu", "cores idle", "soc")),
                Channel("VDD_GPU_NPU", 12_000, ("gpu", "dla")),
                Channel("VIN_AUX", 12_000, ("board",)),
            ),
            20_000,
        ),
    ),
    over_current=True,
    fan=Fan("hwmon", "quiet", tachometer="sys/devices/platform/soc/3d0000.tachometer"),
    engines=(("npu_core", 2_000_000_000),),
    plant=PlantSpec(
        cores=10,
        cpu_khz=(400_000, 2_800_000),
        cpu_idle_khz=800_000,
        cpu_top_w=24.0,
        gpu_hz=(200_000_000, 1_900_000_000),
        gpu_top_w=34.0,
        dla_top_w=12.0,
        cores_idle_w=2.0,
        soc_idle_w=4.0,
        board_w=4.0,
        peaks_from_w=70.0,
        peaks_per_joule=1.0,
        throttle_c=105.0,
        critical_c=115.0,
        hottest_c=115.0,
        memory_mb=2900.0,
        network=thermal_parameters.UNKNOWN,
    ),
)
