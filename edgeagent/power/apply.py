"""Carrying a plan out: one call of the helper after the other, then a look at the board. Thin.

What a tool says about itself is not enough: only `verify` makes a result "applied". A tool that asks for a reboot
gets no answer; whether the board may reboot is the caller's decision, taken beforehand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from edgeagent.power.client import HelperError, Outcome, PowerHelper
from edgeagent.power.nvpmodel_conf import PowerConf
from edgeagent.power.plan import Plan, Step
from edgeagent.power.state import PowerState
from edgeagent.power.verify import Mismatch, mode_in_force, verify

Word = Literal["applied", "unverified", "reboot_required", "rebooting", "failed"]
"""unverified: the calls succeeded, but for all or a part of the wish no file of this board shows whether they did."""

_AFTER_ASKING: Mapping[str, Word] = {
    "rebooting": "rebooting",
    "done": "rebooting",
    "refused": "reboot_required",
    "reboot-required": "reboot_required",
}


@dataclass(frozen=True)
class Result:
    """How a plan ended. `done` are the calls that were made; `mismatches` what is not as planned, heat included."""

    word: Word
    detail: str
    done: tuple[tuple[Step, Outcome], ...] = ()
    checked: int = 0
    mismatches: tuple[Mismatch, ...] = field(default_factory=tuple)


def apply_plan(
    plan: Plan,
    conf: PowerConf,
    helper: PowerHelper,
    look: Callable[[], PowerState],
    before_reboot: Callable[[], bool],
    go_on: Callable[[], bool] = lambda: True,
) -> Result:
    """Do what `plan` says, then verify it. Never raises for what a tool or the helper does.

    `before_reboot` is called when the tool wants a reboot: it writes down what must be known after it and returns
    whether the board may reboot now. `go_on` is asked before each call.
    """
    done: list[tuple[Step, Outcome]] = []
    for step in plan.steps:
        if not go_on():
            return Result("failed", f"stopped before it could {step.words}", tuple(done))
        outcome = _call(helper, step)
        done.append((step, outcome))
        if outcome.result == "reboot-required":
            again, result = _reboot(step, outcome, helper, before_reboot)
            return Result(result, again.detail, (*done, (step, again)) if again is not outcome else tuple(done))
        if outcome.result != "done":
            return Result("failed", f"{step.words}: {outcome.detail or outcome.result}", tuple(done))
        if step.verb == "set-mode" and plan.reboot and _waits_for_boot(plan, conf, look()):
            asked = Outcome("reboot-required", "the mode is noted and comes with the next boot")
            boot = Step("reboot", {}, "reboot")
            again, result = _reboot(boot, asked, helper, before_reboot)
            return Result(result, again.detail, (*done, (boot, again)) if again is not asked else tuple(done))
    return _verified(plan, conf, look(), tuple(done))


def _reboot(step: Step, asked: Outcome, helper: PowerHelper, before_reboot: Callable[[], bool]) -> tuple[Outcome, Word]:
    """The reboot, where it is allowed; else the tool's question stands as the result."""
    if not before_reboot():
        return asked, "reboot_required"
    arguments = {} if step.verb == "reboot" else {**step.arguments, "reboot": True}
    again = _call(helper, Step(step.verb, arguments, step.words))
    return again, _AFTER_ASKING.get(again.result, "failed")


def _waits_for_boot(plan: Plan, conf: PowerConf, state: PowerState) -> bool:
    """The tool has noted the mode and left the hardware alone: what was set shows after a reboot only."""
    mode = conf.mode_by_id(plan.target.mode_id)
    return mode is not None and state.mode_id == mode.id and not mode_in_force(mode, conf, state)


def _call(helper: PowerHelper, step: Step) -> Outcome:
    try:
        return helper.call(step.verb, **step.arguments)
    except HelperError as error:
        return Outcome("failed", error.line())


def _verified(plan: Plan, conf: PowerConf, state: PowerState, done: tuple[tuple[Step, Outcome], ...]) -> Result:
    verdict = verify(plan.target, conf, state)
    if verdict.faults:
        text = "; ".join(map(str, verdict.faults[:4]))
        tool = "the tools reported success, but " if done else ""
        return Result("failed", tool + text, done, verdict.checked, verdict.mismatches)
    notes = "; ".join((*plan.notes, *map(str, verdict.mismatches)))
    if not verdict.checked:
        text = "no file of this board shows what is in force"
        return Result("unverified", f"{text}; {notes}" if notes else text, done)
    said = f"{plan.target.mode_name} is in force" + (f"; {notes}" if notes else "")
    unread = any(mismatch.kind == "unread" for mismatch in verdict.mismatches)
    return Result("unverified" if unread else "applied", said, done, verdict.checked, verdict.mismatches)
