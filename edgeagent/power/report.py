"""A board's power for a person and for a program: intents, modes, state, plans and how they ended. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict

from edgeagent.power.apply import Result
from edgeagent.power.board_power import Choice
from edgeagent.power.clocks import clocks, clocks_locked, core_of, domain_of, is_offline, value_of
from edgeagent.power.memory import Pending, PowerMemory
from edgeagent.power.nvpmodel_conf import PowerConf, PowerMode
from edgeagent.power.plan import Found, Plan
from edgeagent.power.profile import Profile
from edgeagent.power.state import PowerState
from edgeagent.power.verify import NOTED, Mismatch, Target, mode_in_force, verify

_CLOCK_WORDS = {"lock": "clocks locked", "release": "clocks free", "keep": "clocks as they are"}
DAMAGED = "what the board was before is not known any more: restore goes to the default mode and leaves the fan alone"
_HZ_PER_MHZ = {"cpu": 1000, "gpu": 1_000_000}  # the CPU's files are in kHz, the GPU's in Hz


def choices_json(
    profile: Profile,
    choices: Sequence[Choice],
    conf: PowerConf,
    state: PowerState,
    memory: PowerMemory,
    problem: str = "",
) -> dict[str, object]:
    """`problem`: what is wrong with edgeagent's memory."""
    seen = mode_seen(conf, state)
    return {
        "schema": "edgeagent/power-list/1",
        "profile": profile.family,
        "source": profile.source,
        "intents": [_choice_json(choice) for choice in choices],
        "modes": [
            {
                "id": mode.id,
                "name": mode.name,
                "default": mode.id == conf.default_id,
                "noted": mode.id == state.mode_id,
                "in_force": mode is seen,
            }
            for mode in conf.modes
        ],
        "reboot_required": asdict(required) if (required := required_now(memory, conf, state)) else None,
        "memory_problem": problem or None,
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


def state_json(conf: PowerConf, state: PowerState, memory: PowerMemory, problem: str = "") -> dict[str, object]:
    noted, seen = noted_mode(conf, state), mode_seen(conf, state)
    return {
        "schema": "edgeagent/power-state/1",
        "mode": noted.name if noted else None,
        "mode_id": state.mode_id,
        "mode_in_force": seen.name if seen else None,
        "mode_differs": _differs(noted, conf, state),
        "clocks_locked": clocks_locked(conf, state),
        "limits": [
            {"clock": name, "min_mhz": low, "max_mhz": high, "offline": off}
            for name, low, high, off in _limits(conf, state)
        ],
        "slowed_by_heat": list(state.slowed),
        "fan_profile": state.fan_profile or None,
        "found_at_first_start": asdict(memory.found) if memory.found else None,
        "reboot_under_way": asdict(memory.pending) if memory.pending and _waits(memory.pending, state) else None,
        "reboot_required": asdict(required) if (required := required_now(memory, conf, state)) else None,
        "given_up": memory.gave_up or None,
        "memory_problem": problem or None,
    }


def render_choices(
    profile: Profile,
    choices: Sequence[Choice],
    conf: PowerConf,
    state: PowerState,
    memory: PowerMemory,
    problem: str = "",
) -> str:
    """The intents with what each would set, then the board's modes."""
    lines = [f"Intents of the profile {profile.family} ({profile.source})"]
    width = max((len(choice.intent.name) for choice in choices), default=0)
    for choice in choices:
        lines.append(f"  {choice.intent.name:<{width}}  {_choice_line(choice)}")
    lines += ["", "Power modes of this board"]
    lines += [f"  {mode.id:>3}  {mode.name}{_marks(mode, conf, state)}" for mode in conf.modes]
    lines += [f"  warning: {warning}" for warning in conf.warnings]
    lines += ["", *told] if (told := [*reboot_lines(conf, state, memory), *_memory_lines(problem)]) else []
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


def _marks(mode: PowerMode, conf: PowerConf, state: PowerState) -> str:
    marks = ["default"] if mode.id == conf.default_id else []
    if mode is mode_seen(conf, state):
        marks.append("now")
    elif mode.id == state.mode_id:
        marks.append("noted by nvpmodel, not in force")
    return f"  ({', '.join(marks)})" if marks else ""


def _differs(mode: PowerMode | None, conf: PowerConf, state: PowerState) -> list[str]:
    """What the board's own files say against the noted mode: masks, cores, or the limits of quite another mode.

    A clock below its limit says nothing by itself: that is how caps look.
    """
    if mode is None:
        return []
    faults = _hardware_faults(mode, conf, state)
    if told := [str(fault) for fault in faults if fault.kind]:
        return told
    return [str(fault) for fault in faults] if faults and _other_mode(mode, conf, state) else []


def _other_mode(mode: PowerMode, conf: PowerConf, state: PowerState) -> PowerMode | None:
    """Another mode, whose every mask, core and clock the board's files show."""
    others = (other for other in conf.modes if other.id != mode.id)
    return next((other for other in others if not _hardware_faults(other, conf, state)), None)


def noted_mode(conf: PowerConf, state: PowerState) -> PowerMode | None:
    return conf.mode_by_id(state.mode_id) if state.mode_id is not None else None


def mode_seen(conf: PowerConf, state: PowerState) -> PowerMode | None:
    """The mode in force: the noted one, or where the board's files contradict it the one that they show, if any."""
    noted = noted_mode(conf, state)
    return noted if noted is None or not _differs(noted, conf, state) else _other_mode(noted, conf, state)


def _hardware_faults(mode: PowerMode, conf: PowerConf, state: PowerState) -> list[Mismatch]:
    return [fault for fault in verify(Target(mode.id, mode.name), conf, state).faults if fault.what != NOTED]


def required_now(memory: PowerMemory, conf: PowerConf, state: PowerState) -> Pending | None:
    """The mode that still wants a reboot; None where it has come meanwhile."""
    mode = conf.mode_by_name(memory.required.mode_name) if memory.required else None
    return memory.required if mode and not mode_in_force(mode, conf, state) else None


def _mode_lines(conf: PowerConf, state: PowerState) -> list[str]:
    noted, seen = noted_mode(conf, state), mode_seen(conf, state)
    if noted is None:
        return ["mode    not known"]
    if seen is noted:
        return [f"mode    {noted.name}"]
    now = f"{seen.name} is in force" if seen else "no mode of the table is in force as a whole"
    differs = "; ".join(_differs(noted, conf, state)[:4])
    return [f"mode    {noted.name} is what nvpmodel noted; {now}", f"  {differs}"]


def reboot_lines(conf: PowerConf, state: PowerState, memory: PowerMemory) -> list[str]:
    """A line a reboot that is under way, wanted or given up."""
    lines = []
    if memory.pending:
        waits = _waits(memory.pending, state)
        rest = "" if waits else f", and has been; edgeagent power apply {memory.pending.wish} does the rest"
        lines.append(f"reboot  into {memory.pending.mode_name} was asked for{rest}")
    if required := required_now(memory, conf, state):
        how = reboot_mend(required.wish, noted=required.mode_id == state.mode_id)
        lines.append(f"reboot  required for {required.mode_name}, none was made: {how}")
    if memory.gave_up:
        lines.append(f"reboot  into {memory.gave_up} did not bring it; it is not tried again by itself")
    return lines


def reboot_mend(wish: str, *, noted: bool) -> str:
    """How a mode that wants a reboot gets it. A plain reboot brings only what nvpmodel has noted."""
    command = "restore" if wish == "restore" else f"apply {wish}"
    return "sudo reboot" if noted else f"sudo edgeagent power {command} --allow-reboot (a plain reboot does not do it)"


def render_state(conf: PowerConf, state: PowerState, memory: PowerMemory, problem: str = "") -> str:
    locked = {True: "locked", False: "follow the load", None: "not readable"}[clocks_locked(conf, state)]
    lines = [*_mode_lines(conf, state), f"clocks  {locked}"]
    for name, low, high, off in _limits(conf, state):
        span = "offline" if off else f"{_mhz(low)} to {_mhz(high)} MHz"
        lines.append(f"  {name:<12} {span}")
    if state.slowed:
        lines.append(f"  held down by heat: {', '.join(state.slowed)}")
    lines.append(f"fan     {state.fan_profile or 'no profile'}")
    if memory.found:
        lines.append(f"before  {_found_text(memory.found)} (what restore sets)")
    return "\n".join([*lines, *reboot_lines(conf, state, memory), *_memory_lines(problem)])


def _memory_lines(problem: str) -> list[str]:
    return [f"memory  {problem}"] if problem else []


def _found_text(found: Found) -> str:
    parts = [found.mode_name, f"clocks {'locked' if found.clocks_locked else 'free'}"]
    parts += [f"{len(found.ends)} clocks with ends of their own"] if found.ends else []
    return ", ".join(parts)


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
