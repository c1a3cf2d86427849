"""A plant's state as the content of the files that change while a board runs. Pure: state in, bytes by role out.

A role names a file whatever its number is in this tree: `zone:cpu-thermal`, `cooling:pwm-fan`, `rail:VDD_IN:mv`,
`cpu_freq:0`. `board.make_board` decides where each role lies.
"""

from __future__ import annotations

from collections.abc import Mapping

from edgeagent.simulate.board_spec import VirtualSpec
from edgeagent.simulate.plant import PlantState

_TICKS_PER_S = 100
_TJ = "tj-thermal"


def plant_files(spec: VirtualSpec, state: PlantState, jitter_c: Mapping[str, float] | None = None) -> dict[str, bytes]:
    """Content by role. `jitter_c` is sensor noise by zone, in C."""
    zones = _zones(spec, state, jitter_c or {})
    texts = {
        **{f"zone:{zone}": _millidegrees(celsius) for zone, celsius in zones.items()},
        **{f"cooling:{name}": str(_cooling(name, top, state)) for name, top in spec.cooling},
        **_rails(spec, state),
        **{f"cpu_freq:{cores[0]}": str(_nearest(spec.cpu_frequencies_khz, state.cpu_khz)) for cores in spec.policies},
        "gpu_freq": str(_nearest(spec.gpu_frequencies_hz, state.gpu_hz)),
        "gpu_load": str(round(1000 * state.gpu_busy)),
        "oc3": str(int(state.oc3_events)),
        "pwm": str(round(state.pwm)),
        "rpm": str(round(state.rpm)),
        "meminfo": meminfo(spec, state),
        "stat": proc_stat(state),
        "uptime": f"{state.uptime_s:.2f} {state.idle_s * state.caps.cores:.2f}",
    }
    return {role: f"{text}\n".encode() for role, text in texts.items()}


def _zones(spec: VirtualSpec, state: PlantState, jitter_c: Mapping[str, float]) -> dict[str, float]:
    """Temperatures of the zones that answer; tj is the hottest of them."""
    names = [name for name, _ in spec.zones if name not in spec.dark_zones and name != _TJ]
    zones = {name: state.zones_c[name.removesuffix("-thermal")] + jitter_c.get(name, 0.0) for name in names}
    return {**zones, _TJ: max(zones.values())}


def _millidegrees(celsius: float) -> str:
    """The sensors resolve 1/32 of a degree."""
    return str(round(celsius * 32) * 1000 // 32)


def _cooling(name: str, max_state: int, state: PlantState) -> int:
    """Throttling moves the clocks' states, a trip that is passed raises its alert, the fan follows its curve."""
    if name.endswith("-throttle-alert"):
        return int(name.removesuffix("-throttle-alert") in state.alerts)
    if name == "hot-surface-alert":
        return int(state.hottest_c >= 70.0)
    if name == "pwm-fan":
        return round(max_state * state.pwm / 255)
    return round(max_state * state.throttle_level)


def _rails(spec: VirtualSpec, state: PlantState) -> dict[str, str]:
    """Voltage sags a little with the current: 10 milliohms of supply."""
    watts = {"VDD_IN": state.input_w, "VDD_CPU_GPU_CV": state.cpu_gpu_w, "VDD_SOC": state.soc_w}
    texts = {}
    for label, nominal_mv in spec.rails:
        millivolts = round(nominal_mv - 10 * watts[label] / (nominal_mv / 1000))
        texts[f"rail:{label}:mv"] = str(millivolts)
        texts[f"rail:{label}:ma"] = str(round(1e6 * watts[label] / millivolts))
    return texts


def _nearest(steps: tuple[int, ...], value: int) -> int:
    """The highest step that is not above `value`: clocks have a table."""
    return max((step for step in steps if step <= value), default=steps[0])


def meminfo(spec: VirtualSpec, state: PlantState) -> str:
    """/proc/meminfo with the lines that programs look at; values in kB."""
    total = spec.memory_kb
    used = min(total, round(state.memory_mb * 1024))
    available = total - used
    cached = min(1_800_000, available)
    values = {
        "MemTotal": total,
        "MemFree": available - cached,
        "MemAvailable": available,
        "Buffers": cached // 12,
        "Cached": cached - cached // 12,
        "SwapCached": 0,
        "Active": used // 2,
        "Inactive": cached // 2,
        "SwapTotal": total // 2,
        "SwapFree": total // 2,
        "Shmem": 48_000,
    }
    return "\n".join(f"{name + ':':<16}{value:>8} kB" for name, value in values.items())


def proc_stat(state: PlantState) -> str:
    """/proc/stat: one line for the machine, one for each core that is online, in ticks of 1/100 s."""
    busy, idle = round(state.busy_s * _TICKS_PER_S), round(state.idle_s * _TICKS_PER_S)
    cores = state.caps.cores
    lines = [f"cpu  {_columns(busy, idle, cores)}"]
    lines += [f"cpu{core} {_columns(busy, idle, 1)}" for core in range(cores)]
    return "\n".join([*lines, "intr 0", "ctxt 0", "btime 1760000000", "processes 1200", "procs_running 1"])


def _columns(busy: int, idle: int, cores: int) -> str:
    """user nice system idle iowait irq softirq steal guest guest_nice: four fifths of the busy time are user time."""
    user = busy * 4 // 5
    return f"{user * cores} 0 {(busy - user) * cores} {idle * cores} 0 0 0 0 0 0"
