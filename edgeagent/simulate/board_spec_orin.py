"""The Orin family: Orin Nano, Orin NX, AGX Orin on R36 and R39, a foreign carrier, and a container. Data only."""

from __future__ import annotations

from dataclasses import replace

from edgeagent.simulate import board_software as software
from edgeagent.simulate.board_spec import (
    Channel,
    Cpu,
    Dark,
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
from edgeagent.simulate.plant import Part, PlantSpec

_BUS = "sys/devices/platform/bus@0"
_GPU = f"{_BUS}/17000000.gpu"
_HOST1X = f"{_BUS}/13e00000.host1x"
_DLA = (f"{_HOST1X}/15880000.nvdla0", f"{_HOST1X}/158c0000.nvdla1")
_I2C_POWER = f"{_BUS}/c240000.i2c/i2c-1"
_EEPROM = f"{_BUS}/3160000.i2c/i2c-0/0-0050"
_EMC_CAP = "sys/kernel/nvpmodel_clk_cap/emc"
_PARTS = ("cpu", "gpu", "cv0", "cv1", "cv2", "soc0", "soc1", "soc2")
_THROTTLE, _CRITICAL = 99_000, 104_500


def _trips(part: str, slowed: tuple[str, ...]) -> tuple[Trip, ...]:
    """The trips of an Orin zone: throttle, shutdown, and a surface warning that slows nothing down."""
    return (
        Trip("passive", _THROTTLE, 0, (*slowed, f"{part}-throttle-alert")),
        Trip("critical", _CRITICAL, 0),
        Trip("passive", 70_000, 8_000, ("hot-surface-alert",)),
    )


def _zones(cpu: Cpu, cv: Dark, gpu: Dark) -> tuple[Zone, ...]:
    """Nine zones. `cv` and `gpu` say when those do not answer."""
    slowed = (*(f"cpufreq-cpu{cores[0]}" for cores in cpu.policies), "devfreq-17000000.gpu")
    tj = (
        Trip("active", 74_000, 4_000, ("pwm-fan",)),
        Trip("active", 95_000, 4_000, ("pwm-fan",)),
        Trip("critical", _CRITICAL, 0),
    )
    return (
        Zone("cpu-thermal", "cpu", _trips("cpu", slowed)),
        Zone("gpu-thermal", "gpu", _trips("gpu", slowed), gpu),
        *(Zone(f"{part}-thermal", part, _trips(part, ()), cv) for part in ("cv0", "cv1", "cv2")),
        *(Zone(f"{part}-thermal", part, _trips(part, ())) for part in ("soc0", "soc1", "soc2")),
        Zone("tj-thermal", "tj", tj),
    )


def _cooling(cpu: Cpu) -> tuple[tuple[str, int], ...]:
    """Types with their highest states."""
    return (
        *((f"cpufreq-cpu{cores[0]}", 28) for cores in cpu.policies),
        ("devfreq-17000000.gpu", 10),
        *((f"{part}-throttle-alert", 2) for part in _PARTS),
        ("hot-surface-alert", 3),
        ("pwm-fan", 4),
    )


def _gpu(table_hz: tuple[int, ...], mask: int, *, switch: bool) -> Gpu:
    """The Orin GPU on R36 and R39. `switch`: with enable_3d_scaling, which R39 dropped."""
    masks = (("tpc_pg_mask", f"{mask}"), ("fbp_pg_mask", "2"), ("railgate_enable", "1"), ("power/control", "auto"))
    return Gpu(
        device=_GPU,
        devfreq="17000000.gpu",
        table_hz=table_hz,
        governor="nvhost_podgov",
        node="bus@0/gpu@17000000",
        aliases=("sys/devices/platform/17000000.gpu", "sys/devices/platform/gpu.0"),
        attributes=(*masks, ("enable_3d_scaling", "1")) if switch else masks,
    )


def _dla_caps(core_hz: int, falcon_hz: int) -> tuple[tuple[str, str], ...]:
    """The clock caps of the two DLAs, as nvpmodel writes them."""
    clocks = (("core", core_hz), ("falcon", falcon_hz))
    return tuple(
        (f"{node}/clk_cap/dla{index}_{clock}", f"{hertz}\n")
        for index, node in enumerate(_DLA)
        for clock, hertz in clocks
    )


_DLA_ENGINES = tuple(
    (f"dla{index}_{clock}", hertz)
    for index in (0, 1)
    for clock, hertz in (("core", 1_600_000_000), ("falcon", 846_400_000))
)
_ENGINES = (
    ("nvdec", 998_400_000),
    ("nvjpg", 729_600_000),
    ("nvjpg1", 729_600_000),
    ("vic", 729_600_000),
    ("ofa", 1_011_200_000),
    ("se", 1_036_800_000),
    ("ape", 300_000_000),
)
_NVENC = (("nvenc", 1_011_200_000),)
_PVA = (("pva0_vps", 1_152_000_000), ("pva0_cpu_axi", 844_800_000))


def _small_rails(limit_ma: int) -> tuple[PowerSensor, ...]:
    """One INA3221, on Orin Nano and Orin NX: the input and two rails behind it."""
    channels = (
        Channel("VDD_IN", 4980, ("input",)),
        Channel("VDD_CPU_GPU_CV", 4976, ("cpu", "gpu", "dla", "cores idle")),
        Channel("VDD_SOC", 4976, ("soc",)),
    )
    return (PowerSensor("ina3221", f"{_I2C_POWER}/1-0040", channels, limit_ma),)


_CPU_NANO = Cpu(6, ((0, 1, 2, 3), (4, 5)), ladder(115_200, 1_728_000, 76_800), 729_600)
_CPU_NX = Cpu(8, ((0, 1, 2, 3), (4, 5, 6, 7)), ladder(115_200, 1_958_400, 76_800, 1_984_000), 729_600)
_CPU_AGX = Cpu(
    12,
    ((0, 1, 2, 3), (4, 5, 6, 7), (8, 9, 10, 11)),
    ladder(115_200, 2_188_800, 76_800, 2_201_600),
    729_600,
)
_GPU_NANO = _gpu(ladder(306_000_000, 1_020_000_000, 102_000_000), 240, switch=True)
_GPU_NX = _gpu(ladder(306_000_000, 918_000_000, 102_000_000), 252, switch=True)
_GPU_NX_SUPER = _gpu(ladder(306_000_000, 1_122_000_000, 102_000_000, 1_173_000_000), 252, switch=True)
_GPU_AGX = _gpu(ladder(306_000_000, 1_224_000_000, 102_000_000, 1_300_500_000), 240, switch=True)
_EMC = Emc(3_199_000_000, 204_000_000, _EMC_CAP)

ORIN_NANO_PLANT = PlantSpec(
    cores=6,
    cpu_khz=(115_200, 1_728_000),
    cpu_idle_khz=729_600,
    cpu_top_w=5.6,
    gpu_hz=(306_000_000, 1_020_000_000),
    gpu_top_w=8.8,
    peaks_from_w=18.0,
    parts=(
        Part("cpu", "cpu", 1.5),
        Part("gpu", "gpu", 1.0),
        Part("soc0", "soc", 0.9),
        Part("soc1", "soc", 0.7),
        Part("soc2", "soc", 0.6),
    ),
)


def _orin_parts(cpu: float, gpu: float, dla: float, soc: float) -> tuple[Part, ...]:
    return (
        Part("cpu", "cpu", cpu),
        Part("gpu", "gpu", gpu),
        *(Part(f"cv{index}", "dla", dla + 0.1 * index) for index in range(3)),
        *(Part(f"soc{index}", "soc", soc - 0.1 * index) for index in range(3)),
    )


_ORIN_NX_PLANT = PlantSpec(
    cores=8,
    cpu_khz=(115_200, 1_984_000),
    cpu_idle_khz=729_600,
    cpu_top_w=9.0,
    gpu_hz=(306_000_000, 1_173_000_000),
    gpu_top_w=15.5,
    dla_top_w=4.0,
    cores_idle_w=1.1,
    soc_idle_w=1.9,
    board_w=2.0,
    peaks_from_w=26.0,
    peaks_per_joule=1.5,
    sink=(1.25, 1.9),
    memory_mb=2100.0,
    parts=_orin_parts(0.9, 0.6, 1.5, 0.8),
)
_AGX_ORIN_PLANT = PlantSpec(
    cores=12,
    cpu_khz=(115_200, 2_201_600),
    cpu_idle_khz=729_600,
    cpu_top_w=15.0,
    gpu_hz=(306_000_000, 1_300_500_000),
    gpu_top_w=30.0,
    dla_top_w=7.0,
    cores_idle_w=2.0,
    soc_idle_w=4.0,
    board_w=4.0,
    peaks_from_w=48.0,
    peaks_per_joule=1.0,
    sink=(0.62, 0.75),
    fan_top_rpm=3200.0,
    memory_mb=3100.0,
    parts=_orin_parts(0.5, 0.35, 0.8, 0.4),
)

ORIN_NANO_R36 = VirtualSpec(
    name="orin-nano-r36",
    description="Jetson Orin Nano 8 GB kit, Super, JetPack 6.2.1 (L4T 36.4.7)",
    kind="jetson",
    software=software.R36_4_7,
    hostname="virtual-orin-nano",
    model="NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super",
    compatible=("nvidia,p3768-0000+p3767-0005-super", "nvidia,p3767-0005", "nvidia,tegra234"),
    serial="1420000000042",
    boot_control=boot_control(
        "3767-300-0005-S.1-1-1-jetson-orin-nano-devkit-super-",
        "3767--0005--1--jetson-orin-nano-devkit-super-",
        "0x23",
    ),
    eeprom=(_EEPROM, "699-13767-0005-300 S.1"),
    power_modes="orin_nano_super.conf",
    memory_kb=7_789_952,
    cpu=_CPU_NANO,
    gpu=_GPU_NANO,
    emc=_EMC,
    zones=_zones(_CPU_NANO, "always", ""),
    cooling=_cooling(_CPU_NANO),
    sensors=_small_rails(4984),
    over_current=True,
    fan=Fan("hwmon", "quiet"),
    engines=_ENGINES,
    plant=ORIN_NANO_PLANT,
)

ORIN_NANO_R39 = replace(
    ORIN_NANO_R36,
    name="orin-nano-r39",
    description="Jetson Orin Nano 8 GB kit, Super, JetPack 7.2.1 (L4T 39.2.1)",
    software=software.R39_2_1,
    hostname="virtual-orin-nano-r39",
    serial="1421023114007",
    boot_control=boot_control(
        "3767-302-0005-J.1-1-0-jetson-orin-nano-devkit-super-",
        "3767--0005--1--jetson-orin-nano-devkit-super-",
        "0x23",
    ),
    eeprom=(_EEPROM, "699-13767-0005-302 J.1"),
    power_modes="orin_nano_super_r39.conf",
    memory_kb=7_665_664,
    gpu=_gpu(_GPU_NANO.table_hz, 240, switch=False),
)

ORIN_NX16_R36 = VirtualSpec(
    name="orin-nx16-r36",
    description="Jetson Orin NX 16 GB, Super, JetPack 6.2.2 (L4T 36.5.0)",
    kind="jetson",
    software=software.R36_5_0,
    hostname="virtual-orin-nx",
    model="NVIDIA Jetson Orin NX Engineering Reference Developer Kit Super",
    compatible=("nvidia,p3768-0000+p3767-0000-super", "nvidia,p3767-0000", "nvidia,tegra234"),
    serial="1423024105583",
    boot_control=boot_control(
        "3767-300-0000-M.1-1-0-jetson-orin-nano-devkit-super-",
        "3767--0000--1--jetson-orin-nano-devkit-super-",
        "0x23",
    ),
    eeprom=(_EEPROM, "699-13767-0000-300 M.1"),
    power_modes="orin_nx16_super.conf",
    memory_kb=15_655_436,
    cpu=_CPU_NX,
    gpu=_GPU_NX_SUPER,
    emc=_EMC,
    zones=_zones(_CPU_NX, "idle", "idle"),
    cooling=_cooling(_CPU_NX),
    sensors=_small_rails(8000),
    over_current=True,
    fan=Fan("hwmon", "quiet"),
    dla=_DLA,
    engines=(*_DLA_ENGINES, *_PVA, *_NVENC, *_ENGINES),
    plain=_dla_caps(614_400_000, 294_400_000),
    plant=_ORIN_NX_PLANT,
)

UNKNOWN_CARRIER = replace(
    ORIN_NX16_R36,
    name="unknown-carrier",
    description="Jetson Orin NX 16 GB on a third party's carrier that calls itself the kit (L4T 36.4.3)",
    software=software.R36_4_3,
    hostname="virtual-line-camera",
    model="NVIDIA Jetson Orin NX Engineering Reference Developer Kit",
    compatible=("nvidia,p3768-0000+p3767-0000", "nvidia,p3767-0000", "nvidia,tegra234"),
    serial="1423524071116",
    boot_control=boot_control(
        "3767-300-0000-H.2-1-0-recomputer-orin-j401-", "3767--0000--1--recomputer-orin-j401-", "0x23"
    ),
    eeprom=(_EEPROM, "699-13767-0000-300 H.2"),
    power_modes="orin_nx16.conf",
    gpu=_GPU_NX,
    fan=Fan("hwmon", "cool", tachometer=""),
    plant=replace(_ORIN_NX_PLANT, gpu_hz=(306_000_000, 918_000_000), gpu_top_w=10.5, fan_default="cool", board_w=2.6),
)

AGX_ORIN_R36 = VirtualSpec(
    name="agx-orin-r36",
    description="Jetson AGX Orin 64 GB, JetPack 6.2.1 (L4T 36.4.7)",
    kind="jetson",
    software=software.R36_4_7,
    hostname="virtual-agx-orin",
    model="NVIDIA Jetson AGX Orin Developer Kit",
    compatible=("nvidia,p3737-0000+p3701-0005", "nvidia,p3701-0005", "nvidia,tegra234"),
    serial="1424222007719",
    boot_control=boot_control(
        "3701-500-0005-N.0-1-0-jetson-agx-orin-devkit-", "3701--0005--1--jetson-agx-orin-devkit-", "0x23", "mmcblk0"
    ),
    eeprom=(_EEPROM, "699-13701-0005-500 N.0"),
    power_modes="agx_orin.conf",
    memory_kb=64_286_720,
    cpu=_CPU_AGX,
    gpu=_GPU_AGX,
    emc=_EMC,
    zones=_zones(_CPU_AGX, "idle", "idle"),
    cooling=_cooling(_CPU_AGX),
    sensors=(
        PowerSensor(
            "ina3221",
            f"{_I2C_POWER}/1-0040",
            (
                Channel("VDD_GPU_SOC", 19_960, ("gpu", "soc")),
                Channel("VDD_CPU_CV", 19_960, ("cpu", "dla", "cores idle")),
                Channel("VIN_SYS_5V0", 5032, ("board",)),
            ),
            32_760,
        ),
        PowerSensor(
            "ina3221",
            f"{_I2C_POWER}/1-0041",
            (Channel("NC"), Channel("VDDQ_VDD2_1V8AO", 19_960, ("losses",)), Channel("")),
            32_760,
        ),
    ),
    over_current=True,
    fan=Fan("hwmon", "quiet"),
    dla=_DLA,
    engines=(*_DLA_ENGINES, *_PVA, *_NVENC, *_ENGINES),
    plain=_dla_caps(1_369_600_000, 742_400_000),
    plant=_AGX_ORIN_PLANT,
)

AGX_ORIN_R39 = replace(
    AGX_ORIN_R36,
    name="agx-orin-r39",
    description="Jetson AGX Orin 64 GB, JetPack 7.2.1 (L4T 39.2.1)",
    software=software.R39_2_1,
    hostname="virtual-agx-orin-r39",
    serial="1424222007801",
    power_modes="agx_orin_r39.conf",
    memory_kb=64_150_528,
    gpu=_gpu(_GPU_AGX.table_hz, 240, switch=False),
)

CONTAINER = replace(
    ORIN_NANO_R36,
    name="container",
    description="an Orin Nano seen from inside a docker container: no release file, nvpmodel ignores requests",
    kind="container",
    software=software.contained(software.R36_4_7),
    hostname="7d3c5f0e9a21",
    boot_control="",
    fan=Fan("hwmon"),
    engines=(),
    emc=replace(_EMC, debug=""),
)
