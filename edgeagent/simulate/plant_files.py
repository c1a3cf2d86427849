"""A plant's state as the content of the files that change while a board runs. Pure: state in, bytes by role out.

A role names a file whatever its number is in this tree: `zone:cpu-thermal`, `cooling:pwm-fan`, `rail:VDD_IN:mv`,
`cpu_freq:0`. `board.make_board` decides where each role lies, and which of them a board has; content for a role that
it has not is thrown away. No content for a zone means that it has no power and does not answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from edgeagent.simulate.board_spec import Emc, Gpu, VirtualSpec, Zone, distinct
from edgeagent.simulate.plant import PlantState

_TICKS_PER_S = 100
_GPU_DELAY_S = 0.5
"""How long a GPU without work keeps its power: the delay of the kernel's runtime power management (autosuspend)."""
_POWERED_FROM = 0.01
"""Share of its time from which a part that sleeps when idle counts as awake."""


def plant_files(spec: VirtualSpec, state: PlantState, jitter_c: Mapping[str, float] | None = None) -> dict[str, bytes]:
    """Content by role. `jitter_c` is sensor noise by zone, in C."""
    texts = {
        **_zones(spec, state, jitter_c or {}),
        **_cooling(spec, state),
        **_rails(spec, state),
        **{f"cpu_freq:{cores[0]}": str(_nearest(spec.cpu.table_khz, state.cpu_khz)) for cores in spec.cpu.policies},
        **(_gpu(spec.gpu, state) if spec.gpu else {}),
        **({"emc_rate": str(emc_rate(spec.emc, state))} if spec.emc else {}),
        **{f"dla:{index}": "active" if state.dla_busy else "suspended" for index in range(len(spec.dla))},
        "oc1": str(state.oc1_events),
        "oc2": str(state.oc2_events),
        "oc3": str(int(state.oc3_events)),
        "pwm": str(round(state.pwm)),
        "cur_pwm": str(round(state.pwm)),
        "rpm": str(round(state.rpm)),
        "coretemp": _millidegrees(state.hottest_c),
        "online": cpu_list(state.caps.online),
        "offline": cpu_list(set(range(spec.cpu.count)) - set(state.caps.online)),
        "meminfo": meminfo(spec, state),
        "stat": proc_stat(state),
        "uptime": f"{state.uptime_s:.2f} {state.idle_s * state.caps.cores:.2f}",
    }
    return {role: f"{text}\n".encode() for role, text in texts.items()}


def _zones(spec: VirtualSpec, state: PlantState, jitter_c: Mapping[str, float]) -> dict[str, str]:
    """Temperatures of the zones that answer; tj is the hottest of them."""
    zones = list(zip(distinct(zone.name for zone in spec.zones), spec.zones, strict=True))
    awake = [(name, zone) for name, zone in zones if is_awake(zone, state)]
    sensed = {
        name: _celsius(zone, state) + (jitter_c.get(name, 0.0) if isinstance(zone.part, str) else 0.0)
        for name, zone in awake
        if zone.part != "tj"
    }
    hottest = max(sensed[name] for name, zone in awake if zone.part in state.parts_c)
    texts = {name: _millidegrees(sensed.get(name, hottest)) for name, _ in awake}
    asleep = {name: "-256000" for name, zone in zones if zone.dark == "idle -256" and name not in texts}
    return {f"zone:{name}": text for name, text in (texts | asleep).items()}


def _celsius(zone: Zone, state: PlantState) -> float:
    return state.parts_c[zone.part] if isinstance(zone.part, str) else float(zone.part)


def is_awake(zone: Zone, state: PlantState) -> bool:
    """Whether the part under a sensor has power, and with it the sensor."""
    if not zone.dark:
        return True
    if zone.dark == "always":
        return False
    held_hz = state.caps.gpu_min_hz > state.spec.gpu_hz[0]
    return state.gpu_idle_s < _GPU_DELAY_S or held_hz if zone.part == "gpu" else state.dla_busy >= _POWERED_FROM


def _millidegrees(celsius: float) -> str:
    """The sensors resolve 1/32 of a degree."""
    return str(round(celsius * 32) * 1000 // 32)


def _cooling(spec: VirtualSpec, state: PlantState) -> dict[str, str]:
    names = distinct(name for name, _ in spec.cooling)
    return {
        f"cooling:{name}": str(_cooling_state(kind, top, state))
        for name, (kind, top) in zip(names, spec.cooling, strict=True)
    }


def _cooling_state(kind: str, max_state: int, state: PlantState) -> int:
    """Throttling moves the clocks' states, a trip that is passed raises its alert, the fan follows its curve."""
    if kind.endswith("-throttle-alert"):
        return int(kind.removesuffix("-throttle-alert") in state.alerts)
    if kind in ("hot-surface-alert", "skin-alert"):
        return int(state.hottest_c >= (70.0 if kind == "hot-surface-alert" else 85.0))
    if kind == "pwm-fan":
        return round(max_state * state.pwm / 255)
    return round(max_state * state.throttle_level)


def _rails(spec: VirtualSpec, state: PlantState) -> dict[str, str]:
    """Voltage sags a little with the current: 10 milliohms of supply."""
    flows = watts(state)
    texts = {}
    for sensor in spec.sensors:
        unit = " ma" if sensor.chip == "ina3221x" else ""
        for channel in sensor.channels:
            if channel.watts:
                power_w = sum(flows[name] for name in channel.watts)
                millivolts = round(channel.millivolts - 10 * power_w / (channel.millivolts / 1000))
                milliamps = round(1e6 * power_w / millivolts)
                texts[f"rail:{channel.label}:mv"] = str(millivolts)
                texts[f"rail:{channel.label}:ma"] = f"{milliamps}{unit}"
                texts[f"rail:{channel.label}:mw"] = str(millivolts * milliamps // 1000)
                texts[f"rail:{channel.label}:uw"] = str(millivolts * milliamps)
    return texts


def watts(state: PlantState) -> dict[str, float]:
    """What flows where, W. All but `input` add up to it."""
    inside = state.cpu_gpu_w + state.soc_w
    return {
        "input": state.input_w,
        "cpu": state.cpu_w,
        "gpu": state.gpu_w,
        "dla": state.dla_w,
        "cores idle": state.spec.cores_idle_w,
        "soc": state.soc_w,
        "board": state.spec.board_w,
        "losses": state.input_w - state.spec.board_w - inside,
    }


def _gpu(gpu: Gpu, state: PlantState) -> dict[str, str]:
    """The other clocks of the GPU go with the first one."""
    share = state.gpu_hz / state.spec.gpu_hz[1]
    others = {f"gpu_freq:{name}": str(_nearest(table, round(table[-1] * share))) for name, table in gpu.others}
    load = str(round(1000 * state.gpu_busy))
    return {"gpu_freq": str(_nearest(gpu.table_hz, state.gpu_hz)), "gpu_load": load, **others}


def emc_rate(emc: Emc, state: PlantState) -> int:
    """The memory's clock in Hz: low at rest, at what the mode allows from half load on."""
    top_hz = min(emc.top_hz, state.caps.emc_hz or emc.top_hz)
    busy = max(state.gpu_busy, state.dla_busy)
    return round(emc.low_hz + (top_hz - emc.low_hz) * min(1.0, 2 * busy))


def _nearest(steps: tuple[int, ...], value: int) -> int:
    """The highest step that is not above `value`: clocks have a table."""
    return max((step for step in steps if step <= value), default=steps[0])


def cpu_list(cores: Iterable[int]) -> str:
    """The kernel's list form: `0-3,6`; empty for no core."""
    return ",".join(f"{low}-{high}" if high > low else str(low) for low, high in _runs(sorted(cores)))


def _runs(cores: list[int]) -> Iterator[tuple[int, int]]:
    while cores:
        count = next((n for n in range(1, len(cores)) if cores[n] != cores[0] + n), len(cores))
        yield cores[0], cores[count - 1]
        cores = cores[count:]


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
    lines = [f"cpu  {_columns(busy, idle, state.caps.cores)}"]
    lines += [f"cpu{core} {_columns(busy, idle, 1)}" for core in state.caps.online]
    return "\n".join([*lines, "intr 0", "ctxt 0", "btime 1760000000", "processes 1200", "procs_running 1"])


def _columns(busy: int, idle: int, cores: int) -> str:
    """user nice system idle iowait irq softirq steal guest guest_nice: four fifths of the busy time are user time."""
    user = busy * 4 // 5
    return f"{user * cores} 0 {(busy - user) * cores} {idle * cores} 0 0 0 0 0 0"
