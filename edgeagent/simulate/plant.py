"""The physics of a virtual board: load, power, heat, fan and throttling. Pure: state and load in, new state out.

A first-order model with two kinds of nodes. The heat sink gathers all power and loses it to the air through a
resistance that the fan lowers; each part of the die sits above the sink by its own resistance times its own power:

    sink' = (ambient + P_total * R_sink(fan) - sink) / tau_sink
    part' = (sink + P_part * R_part - part) / tau_die

Each step uses the exact solution of its node over the step, so no step size makes it unstable. Power follows
load * f^2.2 (dynamic power is f * V^2, and V rises about with f^0.6 on this process), f follows the load as schedutil
does but never below the lowest clock that is set, and above the throttle trip clocks fall in proportion to the excess.

A board's numbers are in its `PlantSpec`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

from edgeagent.simulate.plant_spec import Caps, FanPoints, Heater, Load, Part, PlantSpec

__all__ = ["Caps", "Load", "Part", "PlantSpec", "PlantState", "settle", "start", "step"]

_MAX_SUBSTEP_S = 0.5
_TAU_SINK_S = 70.0
_TAU_DIE_S = 2.5
_TAU_FAN_S = 3.0
_TAU_MEMORY_S = 4.0
_LOCKED_SHARE = 0.08
"""Share of a part's largest power that its clock tree takes while the clock is held at the top without work."""


@dataclass(frozen=True)
class PlantState:
    """Temperatures in C, power in W, pwm 0..255. `busy_s` and `idle_s` are CPU seconds of one average core."""

    spec: PlantSpec
    caps: Caps
    sink_c: float
    parts_c: Mapping[str, float]
    cpu_khz: int = 0
    gpu_hz: int = 0
    gpu_busy: float = 0.0
    dla_busy: float = 0.0
    cpu_w: float = 0.0
    gpu_w: float = 0.0
    dla_w: float = 0.0
    soc_w: float = 0.0
    input_w: float = 0.0
    pwm: float = 66.0
    rpm: float = 0.0
    memory_mb: float = 1700.0
    uptime_s: float = 0.0
    busy_s: float = 0.0
    idle_s: float = 0.0
    oc1_events: int = 0
    oc2_events: int = 0
    oc3_events: float = 0.0

    @property
    def cpu_gpu_w(self) -> float:
        """All processors together, with what idle cores take."""
        return self.cpu_w + self.gpu_w + self.dla_w + self.spec.cores_idle_w

    @property
    def hottest_c(self) -> float:
        """What tj-thermal shows: the maximum of the other zones."""
        return max(self.parts_c.values())

    @property
    def throttle_level(self) -> float:
        """0 = clocks free, 1 = clocks at their floor."""
        return min(1.0, max(0.0, (self.hottest_c - self.spec.throttle_c) / self.spec.throttle_band_c))

    @property
    def alerts(self) -> frozenset[str]:
        """Parts at or above their throttle trip."""
        return frozenset(name for name, celsius in self.parts_c.items() if celsius >= self.spec.throttle_c)


def start(spec: PlantSpec, ambient_c: float, caps: Caps | None = None) -> PlantState:
    """A board that was off for hours: everything at ambient."""
    parts_c = {part.name: ambient_c for part in spec.parts}
    return PlantState(spec, caps or spec.free, ambient_c, parts_c, memory_mb=spec.memory_mb)


def step(state: PlantState, load: Load, dt_s: float, ambient_c: float) -> PlantState:
    """The board `dt_s` seconds later. Shares outside 0..1 are clamped; `dt_s` at or below 0 changes nothing."""
    if dt_s <= 0:
        return state
    wanted = Load(_clamp(load.cpu), _clamp(load.gpu), max(0.0, load.memory_mb), _clamp(load.dla))
    count = max(1, math.ceil(dt_s / _MAX_SUBSTEP_S))
    for _ in range(count):
        state = _substep(state, wanted, dt_s / count, ambient_c)
    return state


def settle(spec: PlantSpec, load: Load, ambient_c: float, caps: Caps | None = None) -> PlantState:
    """The state that a constant load ends in: half an hour of it, seven time constants and more."""
    return step(start(spec, ambient_c, caps), load, 1800.0, ambient_c)


def _substep(state: PlantState, load: Load, dt_s: float, ambient_c: float) -> PlantState:
    spec = state.spec
    state = _powered(state, load)
    sink_c = _approach(state.sink_c, ambient_c + state.input_w * _sink_resistance(spec, state.rpm), dt_s, _TAU_SINK_S)
    peaks_w = max(0.0, state.input_w - spec.peaks_from_w) if _uncapped(spec, state.caps) else 0.0
    pwm = _fan_pwm(state)
    return replace(
        state,
        sink_c=sink_c,
        parts_c=_parts(state, sink_c, dt_s),
        pwm=pwm,
        rpm=_approach(state.rpm, spec.fan_top_rpm * pwm / 255, dt_s, _TAU_FAN_S),
        memory_mb=_approach(state.memory_mb, spec.memory_mb + load.memory_mb, dt_s, _TAU_MEMORY_S),
        uptime_s=state.uptime_s + dt_s,
        busy_s=state.busy_s + load.cpu * dt_s,
        idle_s=state.idle_s + (1 - load.cpu) * dt_s,
        oc3_events=state.oc3_events + spec.peaks_per_joule * peaks_w * dt_s,
    )


def _powered(state: PlantState, load: Load) -> PlantState:
    """Clocks and power for `load` at the temperatures of now."""
    spec, caps, slow = state.spec, state.caps, state.throttle_level
    cpu_khz = _clock(load.cpu, spec.cpu_khz, caps.cpu_khz, slow, caps.cpu_min_khz)
    gpu_hz = _clock(load.gpu, spec.gpu_hz, caps.gpu_hz, slow, caps.gpu_min_hz)
    cpu_top_w = spec.cpu_top_w * caps.cores / spec.cores
    cpu_w = _dynamic(cpu_top_w, load.cpu, _share(cpu_khz, spec.cpu_khz[1]))
    cpu_w += _locked(cpu_top_w, _share(cpu_khz, spec.cpu_khz[1]), min(caps.cpu_min_khz, cpu_khz), spec.cpu_idle_khz)
    gpu_w = _dynamic(spec.gpu_top_w, load.gpu, _share(gpu_hz, spec.gpu_hz[1]))
    gpu_w += _locked(spec.gpu_top_w, _share(gpu_hz, spec.gpu_hz[1]), min(caps.gpu_min_hz, gpu_hz), spec.gpu_hz[0])
    dla_w = spec.dla_top_w * load.dla
    soc_w = spec.soc_idle_w + 0.12 * (cpu_w + gpu_w + dla_w)
    cores_w = cpu_w + gpu_w + dla_w + spec.cores_idle_w
    return replace(
        state,
        cpu_khz=cpu_khz,
        gpu_hz=gpu_hz,
        gpu_busy=load.gpu if spec.gpu_hz[1] else 0.0,
        dla_busy=load.dla if spec.dla_top_w else 0.0,
        cpu_w=cpu_w,
        gpu_w=gpu_w,
        dla_w=dla_w,
        soc_w=soc_w,
        input_w=(cores_w + soc_w) / spec.efficiency + spec.board_w,
    )


def _uncapped(spec: PlantSpec, caps: Caps) -> bool:
    """Whether this is a MAXN kind of mode: only such a mode has the peaks that OC3 counts."""
    return caps.cpu_khz >= spec.cpu_khz[1] and caps.gpu_hz >= spec.gpu_hz[1]


def _parts(state: PlantState, sink_c: float, dt_s: float) -> dict[str, float]:
    """Each part on its way to the sink's temperature plus its own resistance times its heater's power."""
    watts: dict[Heater, float] = {
        "cpu": state.cpu_w,
        "gpu": state.gpu_w,
        "dla": state.dla_w,
        "soc": state.soc_w,
        "input": state.input_w,
    }
    return {
        part.name: _approach(
            state.parts_c[part.name], sink_c + part.kelvin_per_watt * watts[part.heater], dt_s, _TAU_DIE_S
        )
        for part in state.spec.parts
    }


def _approach(value: float, target: float, dt_s: float, tau_s: float) -> float:
    """First-order lag, exact for a constant target: stays between the two for any step."""
    return target + (value - target) * math.exp(-dt_s / tau_s)


def _clock(load: float, span: tuple[int, int], cap: int, slow: float, idle: int) -> int:
    """schedutil aims at 1.25 times the load's share of the top clock; throttling pulls the cap to the floor."""
    floor = span[0]
    top = max(floor, min(cap, span[1]))
    allowed = floor + (top - floor) * (1 - slow)
    return round(min(allowed, max(floor, idle, 1.25 * load * top)))


def _share(clock: float, top: float) -> float:
    return clock / top if top else 0.0


def _dynamic(top_w: float, load: float, clock_share: float) -> float:
    return top_w * load * float(clock_share**2.2)


def _locked(top_w: float, clock_share: float, lowest: int, idle: int) -> float:
    """What a clock costs that is held above its idle clock whatever the load."""
    return _LOCKED_SHARE * top_w * float(clock_share**2.2) if lowest > idle else 0.0


def _sink_resistance(spec: PlantSpec, rpm: float) -> float:
    """Kelvin per watt between heat sink and air, lower the faster the fan."""
    full, still = spec.sink
    return full + still * math.exp(-2.4 * rpm / spec.fan_top_rpm)


def _fan_pwm(state: PlantState) -> float:
    """As held by hand, or by the profile's table: linear between its points, level beyond its ends."""
    if state.caps.pwm is not None:
        return min(255.0, max(0.0, state.caps.pwm))
    spec = state.spec
    points = spec.fan_profiles.get(state.caps.fan) or spec.fan_profiles[spec.fan_default]
    return _between(points, spec.hottest_c - state.hottest_c)


def _between(points: FanPoints, headroom_c: float) -> float:
    if headroom_c <= points[0][0]:
        return points[0][1]
    for (low, pwm_low), (high, pwm_high) in pairwise(points):
        if headroom_c <= high:
            return pwm_low + (pwm_high - pwm_low) * (headroom_c - low) / (high - low)
    return points[-1][1]


def _clamp(share: float) -> float:
    return min(1.0, max(0.0, share)) if math.isfinite(share) else 0.0
