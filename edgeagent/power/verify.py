"""Is the board in the state that was asked for? Pure: the table, the wish and a look at the files; no trust in a tool.

Checked are what the hardware shows to everybody: cores that are switched on, caps of the processor's and the GPU's
clocks, power gating masks, whether clocks stand still, the fan's profile. A file that cannot be read is not counted;
`checked` says how many were.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

from edgeagent.power.clocks import (
    ClockEnds,
    Domain,
    cap_in_files,
    clocks,
    clocks_locked,
    core_of,
    domain_of,
    has_ends,
    held_clocks,
    is_offline,
    limit_span,
    value_of,
)
from edgeagent.power.nvpmodel_conf import (
    Parameter,
    PowerConf,
    PowerMode,
    Setting,
    is_core_switch,
    is_power_gating,
)
from edgeagent.power.state import PowerState

ClockState = Literal["lock", "release", "keep"]
_CORE = re.compile(r"/cpu(\d+)/online$")
NOTED = "the mode that nvpmodel noted"
_HEAT = "held down by heat"
_LOCKED = {True: "locked", False: "free"}
_SOCS_THAT_REBOOT_FOR_CORES = ("t210", "t186", "t194")


@dataclass(frozen=True)
class Target:
    """What shall be in force. `cpu_khz` and `gpu_khz` are caps below the mode's own; `fan` "" leaves the fan alone.

    `ends` are single clocks with ends of their own, which outweigh the caps.
    """

    mode_id: int
    mode_name: str
    clocks: ClockState = "keep"
    cpu_khz: int | None = None
    gpu_khz: int | None = None
    fan: str = ""
    ends: tuple[ClockEnds, ...] = ()

    def cap(self, domain: Domain) -> int | None:
        return self.cpu_khz if domain == "cpu" else self.gpu_khz

    def ends_of(self, clock: str) -> ClockEnds | None:
        return next((ends for ends in self.ends if ends.name == clock), None)

    @property
    def held(self) -> tuple[str, ...]:
        """Clocks that shall stand at one value although the others follow the load."""
        return tuple(ends.name for ends in self.ends if ends.low_khz == ends.high_khz)


class Mismatch(NamedTuple):
    """One thing that is not as it should be. One with an `excuse` is no fault."""

    what: str
    expected: str
    found: str
    kind: Literal["", "mask", "core", "unread"] = ""
    excuse: str = ""

    def __str__(self) -> str:
        why = f" ({self.excuse})" if self.excuse else ""
        return f"{self.what} is {self.found}, not {self.expected}{why}"


@dataclass(frozen=True)
class Verdict:
    """`checked` values of the hardware were compared; those that differ are in `mismatches`.

    The mode that nvpmodel noted and the profile in the fan's file are compared too, and count for nothing by
    themselves: they say what a tool wrote, not what the hardware does.
    """

    checked: int
    mismatches: tuple[Mismatch, ...]

    @property
    def faults(self) -> tuple[Mismatch, ...]:
        return tuple(mismatch for mismatch in self.mismatches if not mismatch.excuse)


def verify(target: Target, conf: PowerConf, state: PowerState) -> Verdict:
    """Compare the whole wish with one look at the board."""
    mode = conf.mode_by_id(target.mode_id)
    hardware = [*(_mode_results(target, mode, conf, state) if mode else ()), *_lock_results(target, mode, conf, state)]
    results = [*_noted_results(target, mode, conf, state), *hardware]
    mismatches = tuple(found for found in results if found is not None)
    return Verdict(sum(found is None or found.kind != "unread" for found in hardware), mismatches)


def mode_in_force(mode: PowerMode, conf: PowerConf, state: PowerState) -> bool:
    """Whether the noted mode is this one and masks and cores say so too. Caps are left out: others may lower them."""
    faults = verify(Target(mode.id, mode.name), conf, state).faults
    return state.mode_id == mode.id and not any(fault.kind for fault in faults)


def why_reboot(mode: PowerMode, conf: PowerConf, state: PowerState, soc: str) -> str:
    """Why changing to `mode` will want a reboot, "" when nothing says that it will.

    Masks of the GPU's parts cannot change once its context exists; on Orin and later no core goes offline live.
    The tool has the last word: what it asks at the change is always believed.
    """
    noted = conf.mode_by_id(state.mode_id) if state.mode_id is not None else None
    now = noted if noted and mode_in_force(noted, conf, state) else None
    for setting in mode.settings:
        written = now.value(setting.parameter, setting.argument) if now else None
        found = state.values.get(path_of(conf, setting)) if written is None else written
        if found is None or found == setting.value:
            continue
        if is_power_gating(setting):
            return f"{setting.parameter} changes from {found} to {setting.value}"
        if is_core_switch(setting) and setting.value == 0 and soc not in _SOCS_THAT_REBOOT_FOR_CORES:
            return f"core {setting.argument.rpartition('_')[2]} goes offline"
    return ""


def path_of(conf: PowerConf, setting: Setting) -> str:
    """The file that a setting is written to; "" for one that the table does not name."""
    parameter = next((p for p in conf.parameters if p.name == setting.parameter), None)
    return parameter.paths.get(setting.argument, "") if parameter else ""


def _noted_results(
    target: Target, mode: PowerMode | None, conf: PowerConf, state: PowerState
) -> Iterator[Mismatch | None]:
    if mode is None:
        yield Mismatch("the table of power modes", f"one with {target.mode_name}", "without it")
    if state.mode_id is not None:
        yield _equal(NOTED, target.mode_name, _name(conf, state.mode_id))
    if target.fan and state.fan_profile:
        yield _equal("the fan's profile", target.fan, state.fan_profile)
        if state.fan_profile == target.fan and not state.fan_noted:
            excuse = "nvfancontrol has not noted it: whether it was restarted cannot be told"
            yield Mismatch("the fan's profile in force", target.fan, "not known", "unread", excuse)


def _mode_results(target: Target, mode: PowerMode, conf: PowerConf, state: PowerState) -> Iterator[Mismatch | None]:
    for setting in mode.settings:
        if (result := _switch(conf, setting, state)) is not False:
            yield result
    for parameter in clocks(conf):
        yield from _limit(target, mode, parameter, state)


def _limit(target: Target, mode: PowerMode, parameter: Parameter, state: PowerState) -> Iterator[Mismatch | None]:
    """The highest clock of one parameter compared with the mode's limit, or with a cap below that."""
    limit = next((s for s in mode.settings if (s.parameter, s.argument) == (parameter.name, "MAX_FREQ")), None)
    found = value_of(parameter, "MAX_FREQ", state)
    domain = domain_of(parameter)
    cap = target.cap(domain) if domain else None
    if found is None or is_offline(core_of(parameter), state):
        return
    span = limit_span(parameter, limit, state) if limit else None
    if (ends := target.ends_of(parameter.name)) is not None:
        yield _own_ends(parameter, ends, mode, state)
    elif cap is not None:
        wanted = cap_in_files(parameter, cap, state)
        yield _clock(parameter.name, min(wanted, span.high) if span else wanted, None, found, state)
    elif span is not None:
        yield _clock(parameter.name, span.low, span.high, found, state)


def _own_ends(parameter: Parameter, ends: ClockEnds, mode: PowerMode, state: PowerState) -> Mismatch | None:
    if has_ends(parameter, ends, mode, state) is not False:
        return None
    found = "/".join(str(value_of(parameter, end, state)) for end in ("MIN_FREQ", "MAX_FREQ"))
    wanted = f"{ends.low_khz or 'lowest'} to {ends.high_khz} kHz"
    return Mismatch(f"the ends of {parameter.name}", wanted, found, excuse=_HEAT if state.slowed else "")


def _switch(conf: PowerConf, setting: Setting, state: PowerState) -> Mismatch | Literal[False] | None:
    """A mask or a core switch compared; False where there is nothing to compare."""
    found = state.values.get(path_of(conf, setting))
    if found is None or not (is_power_gating(setting) or is_core_switch(setting)):
        return False
    core = _CORE.search(path_of(conf, setting))
    if setting.value == found:
        return None
    if core:
        return Mismatch(f"core {core.group(1)}", _on_off(setting.value), _on_off(found), "core")
    known = {mode.value(setting.parameter, setting.argument) for mode in conf.modes}
    excuse = "" if found in known else "no mode of the table has this mask: the board shows it otherwise"
    return Mismatch(f"{setting.parameter} {setting.argument}", str(setting.value), str(found), "mask", excuse)


def _on_off(value: int) -> str:
    return "online" if value else "offline"


def _clock(name: str, low: int, high: int | None, found: int, state: PowerState) -> Mismatch | None:
    if low <= found <= (high or low):
        return None
    excuse = _HEAT if found < low and state.slowed else ""
    return Mismatch(f"the highest clock of {name}", str(low), str(found), excuse=excuse)


def _lock_results(
    target: Target, mode: PowerMode | None, conf: PowerConf, state: PowerState
) -> Iterator[Mismatch | None]:
    if target.clocks == "keep":
        return
    wanted, all_locked = target.clocks == "lock", clocks_locked(conf, state)
    if all_locked is None:
        excuse = "no file shows it"
        yield Mismatch("the state of the clocks", _LOCKED[wanted], "not known", "unread", excuse)
        return
    held = held_clocks(conf, mode, state, target.held)
    if (wanted and all_locked) or (not wanted and not held):
        yield None
        return
    # A hot board lowers the upper ends and leaves the lower ones: a lock is still there below.
    found = f"held: {', '.join(held)}" if held and not wanted else _LOCKED[all_locked]
    yield Mismatch("the state of the clocks", _LOCKED[wanted], found, excuse=_HEAT if state.slowed else "")


def _name(conf: PowerConf, mode_id: int) -> str:
    mode = conf.mode_by_id(mode_id)
    return mode.name if mode else f"an unknown mode {mode_id}"


def _equal(what: str, expected: object, found: object) -> Mismatch | None:
    return None if expected == found else Mismatch(what, str(expected), str(found))
