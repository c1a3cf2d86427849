"""From a wish and a look at the board to the few calls that are needed. Pure.

A plan that has no steps is a board that is already right: nothing is called then. Order: free the clocks, set the
mode, cap, lock, fan. Clocks are freed before the mode changes, because a lock holds more than a mode change undoes
(the memory's clock, idle states). The mode comes before everything that it would undo.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from edgeagent.power.clocks import (
    ClockEnds,
    Domain,
    cap_khz,
    clocks,
    clocks_locked,
    held_clocks,
    limit_khz,
    own_ends,
    within_mode,
)
from edgeagent.power.nvpmodel_conf import PowerConf, PowerMode
from edgeagent.power.profile import Intent, choose_mode
from edgeagent.power.state import PowerState
from edgeagent.power.verify import Target, mode_in_force, verify, why_reboot

DOMAINS: tuple[Domain, ...] = ("cpu", "gpu")


@dataclass(frozen=True)
class Step:
    """One call of the helper, and a few words for the person who reads the plan."""

    verb: str
    arguments: Mapping[str, str | int | bool]
    words: str


@dataclass(frozen=True)
class Plan:
    """`reboot`: why the mode is expected to want one, "" for none expected. `notes`: wishes that cannot be met."""

    wish: str
    target: Target
    steps: tuple[Step, ...] = ()
    reboot: str = ""
    notes: tuple[str, ...] = ()

    def line(self) -> str:
        """The plan in one line."""
        return "; ".join(step.words for step in self.steps) or f"nothing to do: {self.target.mode_name} is in force"


@dataclass(frozen=True)
class Found:
    """The board's state before edgeagent first changed it: what `restore` goes back to.

    `ends`: clocks that had ends of their own. Files of earlier releases have one cap a domain instead.
    """

    mode_id: int
    mode_name: str
    clocks_locked: bool = False
    fan: str = ""
    cpu_khz: int | None = None
    gpu_khz: int | None = None
    ends: tuple[ClockEnds, ...] = ()


def plan_intent(intent: Intent, conf: PowerConf, state: PowerState, soc: str) -> Plan:
    """What `intent` means on this board now. Raises IntentError when no mode satisfies it."""
    noted = conf.mode_by_id(state.mode_id) if state.mode_id is not None else None
    current = noted if noted and mode_in_force(noted, conf, state) else None
    mode = choose_mode(intent, conf, lambda candidate: not why_reboot(candidate, conf, state, soc), current)
    notes: list[str] = []
    target = Target(
        mode_id=mode.id,
        mode_name=mode.name,
        clocks=intent.clocks,
        cpu_khz=_cap("cpu", intent.cpu_mhz, mode, conf, state, notes),
        gpu_khz=_cap("gpu", intent.gpu_mhz, mode, conf, state, notes),
        fan=_fan(intent.fan, state, notes),
    )
    return plan_target(intent.name, target, conf, state, soc, notes)


def plan_restore(found: Found, conf: PowerConf, state: PowerState, soc: str) -> Plan:
    """Back to the state of the first start. A mode that the table no longer has stays as it is, and a note says so;
    what its clocks were set to means nothing in another."""
    notes = []
    mode = conf.mode_by_name(found.mode_name) or conf.mode_by_id(state.mode_id if state.mode_id is not None else -1)
    if mode is None or mode.name != found.mode_name:
        notes.append(f"the mode {found.mode_name} is no longer in {', '.join(m.name for m in conf.modes)}")
        found = replace(found, cpu_khz=None, gpu_khz=None, ends=())
    else:
        found = _within_mode(found, mode, conf, state, notes)
    target = Target(
        mode_id=mode.id if mode else found.mode_id,
        mode_name=mode.name if mode else found.mode_name,
        clocks="lock" if found.clocks_locked else "release",
        cpu_khz=found.cpu_khz,
        gpu_khz=found.gpu_khz,
        fan=found.fan if found.fan in state.fan_profiles else "",
        ends=found.ends,
    )
    return plan_target("restore", target, conf, state, soc, notes, fan_first=True)


def _within_mode(found: Found, mode: PowerMode, conf: PowerConf, state: PowerState, notes: list[str]) -> Found:
    """What can be brought back where somebody had let a clock above what the mode allows; a note says so.

    A board that is as it was found is left so.
    """
    if mode_in_force(mode, conf, state) and own_ends(conf, mode, state, locked=found.clocks_locked) == found.ends:
        return found
    ends = tuple(within_mode(one, conf, mode, state) for one in found.ends)
    for old, new in zip(found.ends, ends, strict=True):
        if new.high_khz < old.high_khz:
            text = f"{old.name} was let up to {old.high_khz / 1000:g} MHz by hand, above what {mode.name} allows"
            notes.append(f"{text}: it gets {new.high_khz / 1000:g}")
    return replace(found, ends=ends)


def find_state(conf: PowerConf, state: PowerState) -> Found | None:
    """What there is to go back to: the noted mode, or the default where none of the table is noted."""
    mode = (conf.mode_by_id(state.mode_id) if state.mode_id is not None else None) or conf.default
    if mode is None:
        return None
    locked = bool(clocks_locked(conf, state))
    ends = own_ends(conf, mode, state, locked=locked)
    return Found(mode.id, mode.name, locked, state.fan_profile, ends=ends)


def retarget(target: Target, conf: PowerConf) -> Target | None:
    """The same wish after the board's table has changed: modes go by name. None where the mode is gone."""
    mode = conf.mode_by_name(target.mode_name)
    return replace(target, mode_id=mode.id) if mode else None


def plan_target(
    wish: str,
    target: Target,
    conf: PowerConf,
    state: PowerState,
    soc: str,
    notes: Sequence[str] = (),
    *,
    fan_first: bool = False,
) -> Plan:
    """The calls between `state` and `target`. `fan_first`: what needs no reboot comes before what may want one."""
    mode = conf.mode_by_id(target.mode_id)
    reboot = why_reboot(mode, conf, state, soc) if mode else ""
    steps, fan = list(_steps(target, mode, conf, state, reboot)), list(_fan_steps(target, state))
    return Plan(wish, target, tuple([*fan, *steps] if fan_first else [*steps, *fan]), reboot, tuple(notes))


def _steps(target: Target, mode: PowerMode | None, conf: PowerConf, state: PowerState, reboot: str) -> Iterator[Step]:
    changes_mode = mode is not None and not mode_in_force(mode, conf, state)
    caps = [] if mode is None else list(_caps(target, conf, state, changes_mode=changes_mode))
    ends = list(_own_ends(target, conf, state, all_of_them=changes_mode or bool(caps)))
    locked, held = bool(clocks_locked(conf, state)), bool(held_clocks(conf, mode, state, target.held))
    held = held and not state.slowed
    if (locked and (changes_mode or caps or ends)) or (held and target.clocks == "release"):
        yield Step("release-clocks", {}, "let the clocks follow the load")
        locked = False
        ends = list(_own_ends(target, conf, state, all_of_them=True))
    if changes_mode and mode is not None:
        words = f"set the power mode {mode.name}" + (f" (wants a reboot: {reboot})" if reboot else "")
        yield Step("set-mode", {"id": mode.id, "reboot": False}, words)
    yield from caps
    yield from ends
    keeps = target.clocks == "keep" and bool(clocks_locked(conf, state))
    if (target.clocks == "lock" or keeps) and not locked:
        yield Step("lock-clocks", {}, "lock the clocks at their highest")


def _fan_steps(target: Target, state: PowerState) -> Iterator[Step]:
    if target.fan and target.fan != state.fan_profile:
        yield Step("fan", {"profile": target.fan}, f"set the fan's profile {target.fan}")


def _caps(target: Target, conf: PowerConf, state: PowerState, *, changes_mode: bool) -> Iterator[Step]:
    """Caps that the wish has, and the lifting of caps that it has not. A mode change lifts them all by itself."""
    low = {} if changes_mode else _wrong_clocks(target, conf, state)
    for domain in DOMAINS:
        cap = target.cap(domain)
        if cap is not None and (changes_mode or domain in low):
            yield Step("cap", {"domain": domain, "khz": cap}, f"cap the {domain.upper()} at {cap / 1000:g} MHz")
        elif cap is None and domain in low:
            yield Step("uncap", {"domain": domain}, f"give the {domain.upper()} the mode's own highest clock")


def _own_ends(target: Target, conf: PowerConf, state: PowerState, *, all_of_them: bool) -> Iterator[Step]:
    """Ends of single clocks, where they are not so already or will not be any more."""
    wrong = {fault.what for fault in verify(target, conf, state).faults}
    for ends in target.ends:
        if all_of_them or f"the ends of {ends.name}" in wrong:
            low = f"{ends.low_khz / 1000:g}" if ends.low_khz else "lowest"
            words = f"give {ends.name} its ends {low} to {ends.high_khz / 1000:g} MHz"
            arguments: dict[str, str | int | bool] = {
                "clock": ends.name,
                "low_khz": ends.low_khz,
                "high_khz": ends.high_khz,
            }
            yield Step("ends", arguments, words)


def _wrong_clocks(target: Target, conf: PowerConf, state: PowerState) -> set[Domain]:
    """Domains whose highest clock is not the target's, heat aside."""
    faults = {fault.what for fault in verify(target, conf, state).faults}
    return {domain for domain in DOMAINS for p in clocks(conf, domain) if f"the highest clock of {p.name}" in faults}


def _cap(
    domain: Domain, mhz: int | None, mode: PowerMode, conf: PowerConf, state: PowerState, notes: list[str]
) -> int | None:
    """The cap that there is to set; None for none, and where the mode's own limit is not above it."""
    if mhz is None:
        return None
    khz = cap_khz(conf, domain, mhz, state)
    if khz is None:
        notes.append(f"the {domain.upper()} has no clock that can be capped here")
        return None
    if khz > mhz * 1000:
        notes.append(f"the {domain.upper()}'s lowest clock is {khz / 1000:g} MHz, wished for was {mhz}")
    limit = limit_khz(conf, domain, mode)
    return None if limit is not None and khz >= limit else khz


def _fan(wanted: Sequence[str], state: PowerState, notes: list[str]) -> str:
    if not wanted:
        return ""
    found = next((profile for profile in wanted if profile in state.fan_profiles), "")
    if not found:
        known = ", ".join(state.fan_profiles) or "none"
        notes.append(f"the fan is left alone: its profiles here are {known}, wished for was {', '.join(wanted)}")
    return found
