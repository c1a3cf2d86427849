"""What the boards of the Orin family have in common: zones, cooling devices, clocks, rails, plants. Data only."""

from __future__ import annotations

from edgeagent.simulate import thermal_parameters
from edgeagent.simulate.board_spec import Channel, Cpu, Dark, Emc, Gpu, PowerSensor, Trip, Zone, ladder
from edgeagent.simulate.plant import PlantSpec

_BUS = "sys/devices/platform/bus@0"
_GPU = f"{_BUS}/17000000.gpu"
_HOST1X = f"{_BUS}/13e00000.host1x"
DLA = (f"{_HOST1X}/15880000.nvdla0", f"{_HOST1X}/158c0000.nvdla1")
I2C_POWER = f"{_BUS}/c240000.i2c/i2c-1"
EEPROM = f"{_BUS}/3160000.i2c/i2c-0/0-0050"
EMC_CAP = "sys/kernel/nvpmodel_clk_cap/emc"
_PARTS = ("cpu", "gpu", "cv0", "cv1", "cv2", "soc0", "soc1", "soc2")
_THROTTLE, _CRITICAL = 99_000, 104_500


def _trips(part: str, slowed: tuple[str, ...]) -> tuple[Trip, ...]:
    """The trips of an Orin zone: throttle, shutdown, and a surface warning that slows nothing down."""
    return (
        Trip("passive", _THROTTLE, 0, (*slowed, f"{part}-throttle-alert")),
        Trip("critical", _CRITICAL, 0),
        Trip("passive", 70_000, 8_000, ("hot-surface-alert",)),
    )


def orin_zones(cpu: Cpu, cv: Dark, gpu: Dark) -> tuple[Zone, ...]:
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


def orin_cooling(cpu: Cpu) -> tuple[tuple[str, int], ...]:
    """Types with their highest states."""
    return (
        *((f"cpufreq-cpu{cores[0]}", 28) for cores in cpu.policies),
        ("devfreq-17000000.gpu", 10),
        *((f"{part}-throttle-alert", 2) for part in _PARTS),
        ("hot-surface-alert", 3),
        ("pwm-fan", 4),
    )


def orin_gpu(table_hz: tuple[int, ...], mask: int, *, switch: bool) -> Gpu:
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


def orin_dla_caps(core_hz: int, falcon_hz: int) -> tuple[tuple[str, str], ...]:
    """The clock caps of the two DLAs, as nvpmodel writes them."""
    clocks = (("core", core_hz), ("falcon", falcon_hz))
    return tuple(
        (f"{node}/clk_cap/dla{index}_{clock}", f"{hertz}\n")
        for index, node in enumerate(DLA)
        for clock, hertz in clocks
    )


DLA_ENGINES = tuple(
    (f"dla{index}_{clock}", hertz)
    for index in (0, 1)
    for clock, hertz in (("core", 1_600_000_000), ("falcon", 846_400_000))
)
ENGINES = (
    ("nvdec", 998_400_000),
    ("nvjpg", 729_600_000),
    ("nvjpg1", 729_600_000),
    ("vic", 729_600_000),
    ("ofa", 1_011_200_000),
    ("se", 1_036_800_000),
    ("ape", 300_000_000),
)
NVENC = (("nvenc", 1_011_200_000),)
PVA = (("pva0_vps", 1_152_000_000), ("pva0_cpu_axi", 844_800_000))


def orin_small_rails(limit_ma: int) -> tuple[PowerSensor, ...]:
    """One INA3221, on Orin Nano and Orin NX: the input and two rails behind it."""
    channels = (
        Channel("VDD_IN", 4980, ("input",)),
        Channel("VDD_CPU_GPU_CV", 4976, ("cpu", "gpu", "dla", "cores idle")),
        Channel("VDD_SOC", 4976, ("soc",)),
    )
    return (PowerSensor("ina3221", f"{I2C_POWER}/1-0040", channels, limit_ma),)


CPU_NANO = Cpu(6, ((0, 1, 2, 3), (4, 5)), ladder(115_200, 1_728_000, 76_800), 729_600)
CPU_NX = Cpu(8, ((0, 1, 2, 3), (4, 5, 6, 7)), ladder(115_200, 1_958_400, 76_800, 1_984_000), 729_600)
CPU_AGX = Cpu(
    12,
    ((0, 1, 2, 3), (4, 5, 6, 7), (8, 9, 10, 11)),
    ladder(115_200, 2_188_800, 76_800, 2_201_600),
    729_600,
)
GPU_NANO = orin_gpu(ladder(306_000_000, 1_020_000_000, 102_000_000), 240, switch=True)
GPU_NX = orin_gpu(ladder(306_000_000, 918_000_000, 102_000_000), 252, switch=True)
GPU_NX_SUPER = orin_gpu(ladder(306_000_000, 1_122_000_000, 102_000_000, 1_173_000_000), 252, switch=True)
GPU_AGX = orin_gpu(ladder(306_000_000, 1_224_000_000, 102_000_000, 1_300_500_000), 240, switch=True)
EMC = Emc(3_199_000_000, 204_000_000, EMC_CAP)

ORIN_NANO_PLANT = PlantSpec(
    cores=6,
    cpu_khz=(115_200, 1_728_000),
    cpu_idle_khz=729_600,
    cpu_top_w=5.6,
    gpu_hz=(306_000_000, 1_020_000_000),
    gpu_top_w=8.8,
    peaks_from_w=18.0,
    network=thermal_parameters.ORIN_NANO,
)


ORIN_NX_PLANT = PlantSpec(
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
    memory_mb=2100.0,
    network=thermal_parameters.ORIN_NX,
)
AGX_ORIN_PLANT = PlantSpec(
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
    fan_top_rpm=3200.0,
    memory_mb=3100.0,
    network=thermal_parameters.AGX_ORIN,
)
