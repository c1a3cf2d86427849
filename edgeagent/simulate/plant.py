"""The physics of a virtual board: load, power, heat, fan and throttling. Pure: state and load in, new state out.

Power follows load * f^2.2 (dynamic power is f * V^2, and V rises about with f^0.6 on this process), f follows the load
as schedutil does but never below the lowest clock that is set, and above the throttle trip clocks fall in proportion to
the excess. Where the heat goes is a network of resistances and capacities (`thermal`), which a fan helps.

A step is cut into short ones, each with the clocks, the power and the fan of its beginning and an implicit step of the
network: no step size makes it unstable.

A board's numbers are in its `PlantSpec`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

from edgeagent.simulate.plant_spec import Caps, FanPoints, Load, PlantSpec, Slices
from edgeagent.simulate.thermal import Air, Heat, Heater, advance, even, rest

__all__ = ["Air", "Caps", "Load", "PlantSpec", "PlantState", "Slices", "settle", "start", "step"]

_MAX_SUBSTEP_S = 0.25
_SETTLED_S = 1800.0
_BUSY_FROM = 0.01
_POWERED = ("gpu_busy", "dla_busy", "cpu_w", "gpu_w", "dla_w", "soc_w", "input_w")
_TAU_FAN_S = 3.0
_TAU_MEMORY_S = 4.0
_LOCKED_SHARE = 0.08
"""Share of a part's largest power that its clock tree takes while the clock is held at the top without work."""


@dataclass(frozen=True)
class PlantState:
    """Temperatures in C, power in W, pwm 0..255. `busy_s` and `idle_s` are CPU seconds of one average core.

    `gpu_idle_s`: how long the GPU has had no work.
    """

    spec: PlantSpec
    caps: Caps
    module_c: float
    sink_c: float
    parts_c: Mapping[str, float]
    cpu_khz: int = 0
    gpu_hz: int = 0
    gpu_busy: float = 0.0
    gpu_idle_s: float = 1.0
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
    heat = even(spec.network, ambient_c)
    return PlantState(spec, caps or spec.free, heat.module_c, heat.sink_c, heat.parts_c, memory_mb=spec.memory_mb)


def step(state: PlantState, load: Load | Slices, dt_s: float, around: Air | float) -> PlantState:
    """The board `dt_s` seconds later. Shares outside 0..1 are clamped; `dt_s` at or below 0 changes nothing.

    `around` is what is around the board, or only how warm the air is, C.
    """
    if dt_s <= 0:
        return state
    air = around if isinstance(around, Air) else Air(around)
    wanted = (
        Slices(_sane(load.working), _sane(load.resting), _clamp(load.share))
        if isinstance(load, Slices)
        else _sane(load)
    )
    count = max(1, math.ceil(dt_s / _MAX_SUBSTEP_S))
    for _ in range(count):
        state = _substep(state, wanted, dt_s / count, air)
    return state


def settle(spec: PlantSpec, load: Load, around: Air | float, caps: Caps | None = None) -> PlantState:
    """The state that a constant load ends in, and half an hour of it on the board's counters.

    The hotter the board, the faster its fan and the lower its clocks, so that the temperature at which both fit is the
    only one: it is found by halving.
    """
    air = around if isinstance(around, Air) else Air(around)
    wanted = _sane(load)
    state = start(spec, air.ambient_c, caps)
    low_c, high_c = air.ambient_c - 1.0, air.ambient_c + 1000.0
    for _ in range(50):
        middle_c = (low_c + high_c) / 2
        probe = _resting(state, wanted, air, middle_c)
        low_c, high_c = (middle_c, high_c) if probe.hottest_c > middle_c else (low_c, middle_c)
    return _counted(_resting(state, wanted, air, low_c), wanted)


def _resting(state: PlantState, load: Load, air: Air, hottest_c: float) -> PlantState:
    """Where heat ends with the clocks and the fan that go with a hottest part of `hottest_c`."""
    spec = state.spec
    hot = _powered(replace(state, parts_c=dict.fromkeys(state.parts_c, hottest_c)), load)
    pwm = _fan_pwm(hot)
    rpm = 0.0 if air.fan_failed else spec.fan_top_rpm * pwm / 255
    heat = rest(spec.network, heaters_w(hot), air, rpm / spec.fan_top_rpm)
    return _with_heat(replace(hot, pwm=pwm, rpm=rpm), heat)


def _counted(state: PlantState, load: Load) -> PlantState:
    """With what half an hour of `load` leaves behind."""
    return replace(
        state,
        memory_mb=state.spec.memory_mb + load.memory_mb,
        gpu_idle_s=0.0 if state.gpu_busy >= _BUSY_FROM else _SETTLED_S,
        uptime_s=_SETTLED_S,
        busy_s=load.cpu * _SETTLED_S,
        idle_s=(1 - load.cpu) * _SETTLED_S,
        oc3_events=_peaks_per_s(state) * _SETTLED_S,
    )


def _sane(load: Load) -> Load:
    return Load(_clamp(load.cpu), _clamp(load.gpu), max(0.0, load.memory_mb), _clamp(load.dla))


def _sane_slices(slices: Slices) -> Slices:
    return Slices(_sane(slices.working), _sane(slices.resting), _clamp(slices.share))


def _substep(state: PlantState, wanted: Load | Slices, dt_s: float, air: Air) -> PlantState:
    spec = state.spec
    state = _sliced(state, wanted) if isinstance(wanted, Slices) else _powered(state, wanted)
    load = wanted.mean if isinstance(wanted, Slices) else wanted
    before = Heat(state.module_c, state.sink_c, state.parts_c)
    pwm = _fan_pwm(state)
    turning = 0.0 if air.fan_failed else spec.fan_top_rpm * pwm / 255
    rpm = _approach(state.rpm, turning, dt_s, _TAU_FAN_S)
    heat = advance(spec.network, before, heaters_w(state), air, rpm / spec.fan_top_rpm, dt_s)
    return replace(
        state,
        module_c=heat.module_c,
        sink_c=heat.sink_c,
        parts_c=heat.parts_c,
        pwm=pwm,
        rpm=rpm,
        memory_mb=_approach(state.memory_mb, spec.memory_mb + load.memory_mb, dt_s, _TAU_MEMORY_S),
        gpu_idle_s=0.0 if state.gpu_busy >= _BUSY_FROM else state.gpu_idle_s + dt_s,
        uptime_s=state.uptime_s + dt_s,
        busy_s=state.busy_s + load.cpu * dt_s,
        idle_s=state.idle_s + (1 - load.cpu) * dt_s,
        oc3_events=state.oc3_events + _peaks_per_s(state) * dt_s,
    )


def _with_heat(state: PlantState, heat: Heat) -> PlantState:
    return replace(state, module_c=heat.module_c, sink_c=heat.sink_c, parts_c=heat.parts_c)


def heaters_w(state: PlantState) -> dict[Heater, float]:
    """What flows into the network where, W: all of the board's input."""
    inside_w = state.cpu_w + state.gpu_w + state.dla_w + state.soc_w
    return {
        "cpu": state.cpu_w,
        "gpu": state.gpu_w,
        "dla": state.dla_w,
        "soc": state.soc_w,
        "rest": max(0.0, state.input_w - inside_w),
    }


def _sliced(state: PlantState, slices: Slices) -> PlantState:
    """Clocks and power of both loads, each for its share of the time."""
    working, resting = _powered(state, slices.working), _powered(state, slices.resting)
    means = {
        name: slices.share * getattr(working, name) + (1 - slices.share) * getattr(resting, name) for name in _POWERED
    }
    shown = working if slices.share >= 0.5 else resting
    return replace(state, **means, cpu_khz=shown.cpu_khz, gpu_hz=shown.gpu_hz)


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


def _peaks_per_s(state: PlantState) -> float:
    spec = state.spec
    peaks_w = max(0.0, state.input_w - spec.peaks_from_w) if _uncapped(spec, state.caps) else 0.0
    return spec.peaks_per_joule * peaks_w


def _uncapped(spec: PlantSpec, caps: Caps) -> bool:
    """Whether this is a MAXN kind of mode: only such a mode has the peaks that OC3 counts."""
    return caps.cpu_khz >= spec.cpu_khz[1] and caps.gpu_hz >= spec.gpu_hz[1]


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
