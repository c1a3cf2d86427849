"""A board's power for a person and for a program: intents, modes, state, plans and how they ended. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict

from edgeagent.power.apply import Result
from edgeagent.power.board_power import Choice
from edgeagent.power.clocks import clocks, clocks_locked, core_of, domain_of, is_offline, value_of
from edgeagent.power.memory import Pending, PowerMemory
from edgeagent.power.nvpmodel_conf import PowerConf
from edgeagent.power.plan import Plan
from edgeagent.power.profile import Profile
from edgeagent.power.state import PowerState

_CLOCK_WORDS = {"lock": "clocks locked", "release": "clocks free", "keep": "clocks as they are"}
_HZ_PER_MHZ = {"cpu": 1000, "gpu": 1_000_000}  # the CPU's files are in kHz, the GPU's in Hz


def choices_json(profile: Profile, choices: Sequence[Choice], conf: PowerConf, state: PowerState) -> dict[str, object]:
    return {
        "schema": "edgeagent/power-list/1",
        "profile": profile.family,
        "source": profile.source,
        "intents": [_choice_json(choice) for choice in choices],
        "modes": [
            {"id": mode.id, "name": mode.name, "default": mode.id == conf.default_id, "noted": mode.id == state.mode_id}
            for mode in conf.modes
        ],
        "warnings": [str(warning) for warning in conf.warnings],
    }


def _choice_json(choice: Choice) -> dict[str, object]:
    intent = {"intent": choice.intent.name, "description": choice.intent.description}
    return {**intent, **plan_json(choice.plan)} if choice.plan else {**intent, "why_not": choice.why_not}


def plan_json(plan: Plan) -> dict[str, object]:
    return {
        "wish": plan.wish,
        "target": asdict(plan.target),
        "steps": [{"verb": step.verb, "arguments": dict(step.arguments), "words": step.words} for step in plan.steps],
        "reboot": plan.reboot or None,
        "notes": list(plan.notes),
    }


def result_json(plan: Plan, result: Result) -> dict[str, object]:
    return {
        "schema": "edgeagent/power-result/1",
        "state": result.word,
        "detail": result.detail,
        "checked": result.checked,
        "mismatches": [mismatch._asdict() for mismatch in result.mismatches],
        "calls": [{"verb": step.verb, "result": out.result, "detail": out.detail} for step, out in result.done],
        "plan": plan_json(plan),
    }


def state_json(conf: PowerConf, state: PowerState, memory: PowerMemory) -> dict[str, object]:
    mode = conf.mode_by_id(state.mode_id) if state.mode_id is not None else None
    return {
        "schema": "edgeagent/power-state/1",
        "mode": mode.name if mode else None,
        "mode_id": state.mode_id,
        "clocks_locked": clocks_locked(conf, state),
        "limits": [
            {"clock": name, "min_mhz": low, "max_mhz": high, "offline": off}
            for name, low, high, off in _limits(conf, state)
        ],
        "slowed_by_heat": list(state.slowed),
        "fan_profile": state.fan_profile or None,
        "found_at_first_start": asdict(memory.found) if memory.found else None,
        "reboot_under_way": asdict(memory.pending) if memory.pending and _waits(memory.pending, state) else None,
        "given_up": memory.gave_up or None,
    }


def render_choices(profile: Profile, choices: Sequence[Choice], conf: PowerConf, state: PowerState) -> str:
    """The intents with what each would set, then the board's modes."""
    lines = [f"Intents of the profile {profile.family} ({profile.source})"]
    width = max((len(choice.intent.name) for choice in choices), default=0)
    for choice in choices:
        lines.append(f"  {choice.intent.name:<{width}}  {_choice_line(choice)}")
    lines += ["", "Power modes of this board"]
    lines += [f"  {mode.id:>3}  {mode.name}{_marks(mode.id, conf, state)}" for mode in conf.modes]
    lines += [f"  warning: {warning}" for warning in conf.warnings]
    return "\n".join(lines)


def _choice_line(choice: Choice) -> str:
    if choice.plan is None:
        return f"not possible here: {choice.why_not}"
    target = choice.plan.target
    parts = [
        target.mode_name,
        _CLOCK_WORDS[target.clocks],
    ]
    parts += [
        f"{name} at most {khz / 1000:g} MHz" for name, khz in (("CPU", target.cpu_khz), ("GPU", target.gpu_khz)) if khz
    ]
    parts += [f"fan {target.fan}"] if target.fan else []
    parts += ["wants a reboot"] if choice.plan.reboot else []
    return ", ".join(parts)


def _marks(mode_id: int, conf: PowerConf, state: PowerState) -> str:
    marks = [
        text for text, true in (("default", mode_id == conf.default_id), ("now", mode_id == state.mode_id)) if true
    ]
    return f"  ({', '.join(marks)})" if marks else ""


def render_state(conf: PowerConf, state: PowerState, memory: PowerMemory) -> str:
    mode = conf.mode_by_id(state.mode_id) if state.mode_id is not None else None
    locked = {True: "locked", False: "follow the load", None: "not readable"}[clocks_locked(conf, state)]
    lines = [f"mode    {mode.name if mode else 'not known'}", f"clocks  {locked}"]
    for name, low, high, off in _limits(conf, state):
        span = "offline" if off else f"{_mhz(low)} to {_mhz(high)} MHz"
        lines.append(f"  {name:<12} {span}")
    if state.slowed:
        lines.append(f"  held down by heat: {', '.join(state.slowed)}")
    lines.append(f"fan     {state.fan_profile or 'no profile'}")
    if memory.found:
        found = memory.found
        lines.append(
            f"before  {found.mode_name}, clocks {'locked' if found.clocks_locked else 'free'} (what restore sets)"
        )
    if memory.pending:
        waits = _waits(memory.pending, state)
        lines.append(f"reboot  into {memory.pending.mode_name} was asked for{'' if waits else ', and has been'}")
    if memory.gave_up:
        lines.append(f"reboot  into {memory.gave_up} did not bring it; it is not tried again by itself")
    return "\n".join(lines)


def _waits(pending: Pending, state: PowerState) -> bool:
    return pending.boot_id == state.boot_id


def render_plan(plan: Plan) -> str:
    """What would be done, a line a step."""
    lines = [f"{number}. {step.words}" for number, step in enumerate(plan.steps, start=1)] or [plan.line()]
    return "\n".join([*lines, *(f"note: {note}" for note in plan.notes)])


def render_result(plan: Plan, result: Result) -> str:
    lines = [f"{step.words}: {outcome.result}" for step, outcome in result.done]
    checked = f" ({result.checked} values compared)" if result.checked else ""
    lines.append(f"{result.word.replace('_', ' ')}: {result.detail}{checked}")
    return "\n".join(lines)


def _limits(conf: PowerConf, state: PowerState) -> Iterable[tuple[str, float | None, float | None, bool]]:
    """(clock, MHz, MHz, offline) of the processor's and the GPU's clocks."""
    for parameter in clocks(conf):
        scale = _HZ_PER_MHZ[domain_of(parameter) or "cpu"]
        ends = (value_of(parameter, argument, state) for argument in ("MIN_FREQ", "MAX_FREQ"))
        low, high = (None if value is None else value / scale for value in ends)
        yield parameter.name, low, high, is_offline(core_of(parameter), state)


def _mhz(value: float | None) -> str:
    return "?" if value is None else f"{value:g}"
