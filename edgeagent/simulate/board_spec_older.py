"""Boards of JetPack 4 and 5: Jetson Nano on R32, Xavier NX on R35. Data only.

edgeagent recognises these and reads them; their Python and TensorRT are too old for the rest.
"""

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

_EMC_CAP = "sys/kernel/nvpmodel_emc_cap/emc_iso_cap"
_DTS = "/dvs/git/dirty/git-master_linux/kernel"

_NANO_CPU = Cpu(
    count=4,
    policies=((0, 1, 2, 3),),
    table_khz=(
        *(102_000, 204_000, 307_200, 403_200, 518_400, 614_400, 710_400, 825_600),
        *(921_600, 1_036_800, 1_132_800, 1_224_000, 1_326_000, 1_428_000, 1_479_000),
    ),
    idle_khz=102_000,
    driver="tegra-cpufreq",
)


def _older_trips(throttle: int, critical: int, *slowed: str) -> tuple[Trip, ...]:
    return (Trip("critical", critical, 0), Trip("passive", throttle, 0, slowed))


_NANO_CPU_TRIPS = _older_trips(97_000, 102_500, "thermal-cpufreq-0", "cpu-throttle-alert")
_NANO_GPU_TRIPS = _older_trips(97_000, 102_500, "thermal-cpufreq-0", "thermal-devfreq-0", "gpu-throttle-alert")
_FAN_TRIPS = tuple(Trip("active", celsius * 1000, 8_000, ("pwm-fan",)) for celsius in (51, 61, 71, 82))

NANO_R32 = VirtualSpec(
    name="nano-r32",
    description="Jetson Nano kit, JetPack 4.5.1 (L4T 32.5.1)",
    kind="jetson",
    software=software.R32_5_1,
    hostname="virtual-nano",
    model="NVIDIA Jetson Nano Developer Kit",
    compatible=("nvidia,jetson-nano", "nvidia,p3450-0000", "nvidia,tegra210"),
    serial="1423020033021",
    device_tree=(
        (
            "nvidia,dtsfilename",
            f"{_DTS}/kernel-4.9/arch/arm64/boot/dts/../../../../../../hardware/nvidia/platform/t210/porg/kernel-dts/"
            "tegra210-p3448-0000-p3449-0000-b00.dts",
        ),
        ("nvidia,boardids", "3448"),
        ("chosen/plugin-manager/ids/3448-0000-400", "3448-0000-400"),
        ("chosen/plugin-manager/ids/3449-0000-400", "3449-0000-400"),
    ),
    boot_control=boot_control(
        "3448-400-0000-G.0-1-0-jetson-nano-devkit-mmcblk0p1",
        "3448-400-0000--1-0-jetson-nano-devkit-",
        "0x21",
        "mmcblk0",
    ),
    eeprom=("sys/devices/7000c500.i2c/i2c-2/2-0050", "699-13448-0000-400 G.0"),
    power_modes="nano.conf",
    memory_kb=4_059_136,
    cpu=_NANO_CPU,
    gpu=Gpu(
        device="sys/devices/57000000.gpu",
        devfreq="57000000.gpu",
        table_hz=ladder(76_800_000, 921_600_000, 76_800_000),
        governor="nvhost_podgov",
        node="gpu@57000000",
        aliases=("sys/devices/gpu.0",),
        attributes=(("railgate_enable", "1"), ("enable_3d_scaling", "1"), ("power/control", "auto")),
    ),
    emc=Emc(1_600_000_000, 204_000_000, _EMC_CAP, debug="override"),
    zones=(
        Zone("AO-therm", "soc1"),
        Zone("CPU-therm", "cpu", _NANO_CPU_TRIPS),
        Zone("GPU-therm", "gpu", _NANO_GPU_TRIPS),
        Zone("PLL-therm", "soc0", (Trip("critical", 102_500, 0),)),
        Zone("PMIC-Die", 100, (Trip("critical", 120_000, 0),)),
        Zone("thermal-fan-est", "tj", _FAN_TRIPS),
    ),
    cooling=(
        ("thermal-cpufreq-0", 14),
        ("thermal-devfreq-0", 11),
        ("cpu-throttle-alert", 1),
        ("gpu-throttle-alert", 1),
        ("pwm-fan", 10),
    ),
    sensors=(
        PowerSensor(
            "ina3221x",
            "sys/devices/50000000.host1x/546c0000.i2c/i2c-6/6-0040",
            (
                Channel("POM_5V_IN", 5040, ("input",)),
                Channel("POM_5V_GPU", 5024, ("gpu",)),
                Channel("POM_5V_CPU", 5024, ("cpu", "cores idle")),
            ),
            32_760,
        ),
    ),
    fan=Fan("pwm-fan", "cool"),
    engines=(("nvdec", 716_800_000), ("nvenc", 716_800_000), ("nvjpg", 627_200_000), ("vic", 627_200_000)),
    plain=(("sys/kernel/actmon_avg_activity/mc_all", "61872\n"),),
    plant=PlantSpec(
        cores=4,
        cpu_khz=(102_000, 1_479_000),
        cpu_idle_khz=102_000,
        cpu_top_w=3.2,
        gpu_hz=(76_800_000, 921_600_000),
        gpu_top_w=3.6,
        cores_idle_w=0.2,
        soc_idle_w=0.5,
        board_w=0.8,
        throttle_c=97.0,
        critical_c=102.5,
        hottest_c=102.5,
        fan_top_rpm=4800.0,
        fan_default="cool",
        memory_mb=900.0,
        network=thermal_parameters.NANO,
    ),
)

_XAVIER_CPU = Cpu(
    6, ((0, 1), (2, 3), (4, 5)), ladder(115_200, 1_881_600, 76_800, 1_907_200), 115_200, idle_states=("C1", "c6")
)
_XAVIER_HOST1X = "sys/devices/platform/13e40000.host1x"
_SLOWED = ("thermal-cpufreq-0", "thermal-cpufreq-1", "thermal-cpufreq-2", "thermal-devfreq-0")

XAVIER_NX_R35 = VirtualSpec(
    name="xavier-nx-r35",
    description="Jetson Xavier NX kit, JetPack 5.1.2 (L4T 35.4.1)",
    kind="jetson",
    software=software.R35_4_1,
    hostname="virtual-xavier-nx",
    model="NVIDIA Jetson Xavier NX Developer Kit",
    compatible=("nvidia,p3509-0000+p3668-0000", "nvidia,tegra194"),
    serial="1424219041155",
    device_tree=(
        (
            "nvidia,dtsfilename",
            f"{_DTS}/kernel-5.10/arch/arm64/boot/dts/../../../../../../hardware/nvidia/platform/t19x/jakku/kernel-dts/"
            "tegra194-p3668-0000-p3509-0000.dts",
        ),
        ("nvidia,boardids", "3668"),
    ),
    boot_control=boot_control(
        "3668-100-0000-J.0-1-2-jetson-xavier-nx-devkit-mmcblk0p1",
        "3668-100---1--jetson-xavier-nx-devkit-",
        "0x19",
        "mmcblk0",
    ),
    eeprom=("sys/devices/3160000.i2c/i2c-0/0-0050", "699-13668-0000-100 J.0"),
    power_modes="xavier_nx.conf",
    memory_kb=7_959_552,
    cpu=_XAVIER_CPU,
    gpu=Gpu(
        device="sys/devices/17000000.gv11b",
        devfreq="17000000.gv11b",
        table_hz=(
            *(114_750_000, 204_000_000, 306_000_000, 408_000_000, 510_000_000, 599_250_000, 701_250_000),
            *(752_250_000, 803_250_000, 854_250_000, 905_250_000, 956_250_000, 1_007_250_000, 1_058_250_000),
            1_109_250_000,
        ),
        governor="nvhost_podgov",
        node="gv11b",
        aliases=("sys/devices/gpu.0",),
        attributes=(
            ("tpc_pg_mask", "1"),
            ("railgate_enable", "1"),
            ("enable_3d_scaling", "1"),
            ("power/control", "auto"),
        ),
    ),
    emc=Emc(1_866_000_000, 204_000_000, _EMC_CAP),
    zones=(
        Zone("AO-therm", "soc1"),
        Zone("AUX-therm", "soc0", _older_trips(96_000, 101_000, *_SLOWED, "aux-throttle-alert")),
        Zone("CPU-therm", "cpu", _older_trips(96_000, 101_000, *_SLOWED, "cpu-throttle-alert")),
        Zone("GPU-therm", "gpu", _older_trips(96_000, 101_000, *_SLOWED, "gpu-throttle-alert"), "idle -256"),
        Zone("PMIC-Die", 100),
        Zone("thermal-fan-est", "tj", _FAN_TRIPS),
    ),
    cooling=(
        *((name, 25) for name in _SLOWED[:3]),
        ("thermal-devfreq-0", 14),
        *((f"{part}-throttle-alert", 1) for part in ("cpu", "gpu", "aux")),
        ("pwm-fan", 10),
    ),
    sensors=(
        PowerSensor(
            "ina3221",
            "sys/devices/c240000.i2c/i2c-7/7-0040",
            (
                Channel("VDD_IN", 4984, ("input",)),
                Channel("VDD_CPU_GPU_CV", 4976, ("cpu", "gpu", "dla", "cores idle")),
                Channel("VDD_SOC", 4976, ("soc",)),
            ),
            5000,
        ),
    ),
    fan=Fan("hwmon", "quiet", tachometer="sys/devices/39c0000.tachometer"),
    dla=(f"{_XAVIER_HOST1X}/15880000.nvdla0", f"{_XAVIER_HOST1X}/158c0000.nvdla1"),
    engines=(
        ("dla0_core", 1_100_800_000),
        ("dla1_core", 1_100_800_000),
        ("nvdec", 793_600_000),
        ("nvenc", 601_600_000),
        ("vic", 601_600_000),
    ),
    plain=(("sys/kernel/nvpmodel_emc_cap/nafll_dla", "1100800000\n"),),
    plant=PlantSpec(
        cores=6,
        cpu_khz=(115_200, 1_907_200),
        cpu_idle_khz=115_200,
        cpu_top_w=5.5,
        gpu_hz=(114_750_000, 1_109_250_000),
        gpu_top_w=7.0,
        dla_top_w=2.5,
        cores_idle_w=0.6,
        soc_idle_w=1.2,
        board_w=1.4,
        throttle_c=96.0,
        critical_c=101.0,
        hottest_c=101.0,
        fan_top_rpm=6200.0,
        memory_mb=1300.0,
        network=thermal_parameters.XAVIER_NX,
    ),
)
