"""A small board with four modes, for tests of what is decided about power. No tests in here."""

from __future__ import annotations

from edgeagent.power.nvpmodel_conf import PowerConf, parse_nvpmodel_conf
from edgeagent.power.state import PowerState

CPU = "/sys/devices/system/cpu"
GPU = "/sys/class/devfreq/17000000.gpu"
MASK = "/sys/devices/platform/gpu.0/tpc_pg_mask"
CPU_TABLE = (729_600, 960_000, 1_344_000, 1_497_600, 1_728_000)
GPU_TABLE = (306_000_000, 408_000_000, 612_000_000, 918_000_000, 1_020_000_000)

_HEAD = f"""
< PARAM TYPE=FILE NAME=CPU_ONLINE >
CORE_0 {CPU}/cpu0/online
CORE_1 {CPU}/cpu1/online
< PARAM TYPE=FILE NAME=TPC_POWER_GATING >
TPC_PG_MASK {MASK}
< PARAM TYPE=CLOCK NAME=CPU_A78_0 >
FREQ_TABLE {CPU}/cpu0/cpufreq/scaling_available_frequencies
MAX_FREQ {CPU}/cpu0/cpufreq/scaling_max_freq
MIN_FREQ {CPU}/cpu0/cpufreq/scaling_min_freq
< PARAM TYPE=CLOCK NAME=CPU_A78_1 >
FREQ_TABLE {CPU}/cpu1/cpufreq/scaling_available_frequencies
MAX_FREQ {CPU}/cpu1/cpufreq/scaling_max_freq
MIN_FREQ {CPU}/cpu1/cpufreq/scaling_min_freq
< PARAM TYPE=CLOCK NAME=GPU >
FREQ_TABLE {GPU}/available_frequencies
MAX_FREQ {GPU}/max_freq
MIN_FREQ {GPU}/min_freq
< PARAM TYPE=CLOCK NAME=EMC >
MAX_FREQ /sys/kernel/nvpmodel_clk_cap/emc
"""

# id, name, second core, mask, CPU kHz, GPU Hz
MODES = (
    (0, "15W", 1, 240, 1_497_600, 612_000_000),
    (1, "25W", 1, 240, 1_344_000, 918_000_000),
    (2, "MAXN_SUPER", 1, 240, -1, -1),
    (3, "7W", 0, 252, 960_000, 408_000_000),
)


def board_conf() -> PowerConf:
    lines = [_HEAD]
    for number, name, core, mask, cpu, gpu in MODES:
        lines += [
            f"< POWER_MODEL ID={number} NAME={name} >",
            "CPU_ONLINE CORE_0 1",
            f"CPU_ONLINE CORE_1 {core}",
            f"TPC_POWER_GATING TPC_PG_MASK {mask}",
            *(f"CPU_A78_{core} {end}" for core in (0, 1) for end in ("MIN_FREQ 729600", f"MAX_FREQ {cpu}")),
            "GPU MIN_FREQ 0",
            f"GPU MAX_FREQ {gpu}",
            "EMC MAX_FREQ 0",
        ]
    return parse_nvpmodel_conf("\n".join([*lines, "< PM_CONFIG DEFAULT=1 >", ""]))


def board_state(mode: int = 1, *, locked: bool = False, **changes: object) -> PowerState:
    """The files as they are when that mode is in force. `changes` replace fields; `values` are laid over."""
    _, _, core, mask, cpu, gpu = MODES[mode]
    cpu_hi = CPU_TABLE[-1] if cpu == -1 else cpu
    gpu_hi = GPU_TABLE[-1] if gpu == -1 else gpu
    values = {f"{CPU}/cpu0/online": 1, f"{CPU}/cpu1/online": core, MASK: mask}
    for number in (0, 1):
        freq = f"{CPU}/cpu{number}/cpufreq"
        values[f"{freq}/scaling_max_freq"] = cpu_hi
        values[f"{freq}/scaling_min_freq"] = cpu_hi if locked else CPU_TABLE[0]
    values |= {f"{GPU}/max_freq": gpu_hi, f"{GPU}/min_freq": gpu_hi if locked else GPU_TABLE[0]}
    values |= changes.pop("values", {})  # type: ignore[operator]
    tables = {f"{CPU}/cpu{number}/cpufreq/scaling_available_frequencies": CPU_TABLE for number in (0, 1)}
    fields: dict[str, object] = {
        "boot_id": "boot-1",
        "mode_id": mode,
        "tables": {**tables, f"{GPU}/available_frequencies": GPU_TABLE},
        "fan_profile": "quiet",
        "fan_profiles": ("quiet", "cool"),
        **changes,
        "values": values,
    }
    return PowerState(**fields)  # type: ignore[arg-type]
