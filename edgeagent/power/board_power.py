"""One board's power: look at it, plan, apply, resume after a reboot, go back. Blocking; changes wait for each other.

Shared by the agent and the command line. The state found before the first change is written down before that change
is made; a reboot is written down before it is asked for, so that neither a crash nor a power cut loses the way back.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from edgeagent.clock import Clock
from edgeagent.errors import EdgeAgentError, OperatorError
from edgeagent.power.apply import Result, apply_plan
from edgeagent.power.client import PowerHelper
from edgeagent.power.memory import Pending, PowerMemory, load_memory, save_memory
from edgeagent.power.nvpmodel_conf import PowerConf
from edgeagent.power.plan import Plan, find_state, plan_intent, plan_restore, plan_target
from edgeagent.power.profile import Intent, Profile, profile_for
from edgeagent.power.state import CONF, PowerState, read_power_conf, read_power_state
from edgeagent.power.verify import Target, Verdict, mode_in_force, verify


class NoPowerModesError(EdgeAgentError):
    """There is nothing to set here: no Jetson, a container, or a Jetson without nvpmodel's table."""

    code = "no-power-modes"
    who = "hardware"


class UnknownIntentError(OperatorError):
    code = "power-intent"


@dataclass(frozen=True)
class BoardFacts:
    """What of the identity matters for power. `kind` as in `board.identity`; `container` "" on a host."""

    kind: str
    module_id: str
    soc: str
    container: str = ""


@dataclass(frozen=True)
class RebootRule:
    """Whether and how often the board may be rebooted for a power mode."""

    allowed: bool = False
    per_day: int = 1


@dataclass(frozen=True)
class Choice:
    """An intent of the board's profile, and what it comes to here: a plan, or the reason why none satisfies it."""

    intent: Intent
    plan: Plan | None
    why_not: str = ""


class BoardPower:
    """Power of the board under `root`, by the profile for its module."""

    def __init__(
        self, root: Path, facts: BoardFacts, profiles: Sequence[Profile], memory_path: Path, clock: Clock
    ) -> None:
        self._root = root
        self._facts = facts
        self.profile = profile_for(profiles, facts.module_id)
        self._memory_path = memory_path
        self._clock = clock
        self._one_at_a_time = threading.Lock()
        self._stopped = threading.Event()

    def conf(self) -> PowerConf:
        """The board's table of modes. Raises NoPowerModesError, and ConfMistakesError for a broken one."""
        if self._facts.kind == "not-a-jetson":
            raise NoPowerModesError("this is not a Jetson: there is no power mode to set")
        conf = read_power_conf(self._root)
        if conf is None:
            raise NoPowerModesError(f"this board has no {CONF}", mend="install the package nvidia-l4t-nvpmodel")
        return conf

    def look(self) -> PowerState:
        return read_power_state(self._root, self.conf())

    def choices(self) -> list[Choice]:
        """Every intent of the profile, resolved on this board as it is now."""
        conf, state = self.conf(), self.look()
        return [self._choice(intent, conf, state) for intent in self.profile.intents.values()]

    def _choice(self, intent: Intent, conf: PowerConf, state: PowerState) -> Choice:
        try:
            return Choice(intent, plan_intent(intent, conf, state, self._facts.soc))
        except OperatorError as error:
            return Choice(intent, None, error.line())

    def plan(self, name: str) -> Plan:
        """What the intent would do now. Raises UnknownIntentError, IntentError, NoPowerModesError."""
        conf = self.conf()
        return plan_intent(self._intent(name), conf, read_power_state(self._root, conf), self._facts.soc)

    def _intent(self, name: str) -> Intent:
        intent = self.profile.intents.get(name)
        if intent is None:
            raise UnknownIntentError(
                f"the profile {self.profile.family} has no intent {name!r}",
                mend=f"it has: {', '.join(self.profile.intents)}",
            )
        return intent

    def plan_restore(self) -> Plan | None:
        """The way back to the state found at first start; None when nothing was ever changed."""
        memory, _ = load_memory(self._memory_path)
        conf = self.conf()
        if memory.found is None:
            return None
        return plan_restore(memory.found, conf, read_power_state(self._root, conf), self._facts.soc)

    def apply(self, name: str, helper: PowerHelper, rule: RebootRule) -> tuple[Plan, Result]:
        """Bring the board into the intent's state. Also resumes what a reboot interrupted.

        Raises what `plan` raises, PowerMemoryError, and NoPowerModesError in a container.
        """
        self._refuse_container()
        with self._one_at_a_time:
            plan = self.plan(name)
            self._note_found()
            return plan, self._apply(plan, helper, rule, self._goes_on)

    def restore(self, helper: PowerHelper, rule: RebootRule) -> tuple[Plan, Result] | None:
        """Go back to the state found at first start, and forget it once that is in force. None: nothing was changed."""
        self._refuse_container()
        with self._one_at_a_time:
            plan = self.plan_restore()
            if plan is None:
                return None
            result = self._apply(plan, helper, rule, lambda: True)
            if result.word in ("applied", "unverified"):
                self._change(lambda memory: replace(memory, found=None))
            return plan, result

    def check(self, target: Target) -> Verdict:
        """Whether `target` is still in force."""
        conf = self.conf()
        return verify(target, conf, read_power_state(self._root, conf))

    def again(self, target: Target, name: str, helper: PowerHelper) -> tuple[Plan, Result]:
        """Bring back what something has undone. Never reboots."""
        with self._one_at_a_time:
            conf = self.conf()
            plan = plan_target(name, target, conf, read_power_state(self._root, conf), self._facts.soc)
            return plan, self._apply(plan, helper, RebootRule(), self._goes_on)

    def stop(self) -> None:
        """From any thread: no change makes a further call, except `restore`, which waits for one under way."""
        self._stopped.set()

    def forget_failure(self) -> None:
        """A person asks: what an earlier reboot did not bring may be tried once more."""
        self._change(lambda memory: replace(memory, gave_up=""))

    def _refuse_container(self) -> None:
        if self._facts.container:
            raise NoPowerModesError(
                f"inside a container ({self._facts.container}) nvpmodel ignores every request",
                mend="run edgeagent on the host, or set the power mode there",
            )

    def _goes_on(self) -> bool:
        return not self._stopped.is_set()

    def _apply(self, plan: Plan, helper: PowerHelper, rule: RebootRule, go_on: Callable[[], bool]) -> Result:
        conf = self.conf()
        self._settle_pending(conf)
        may = partial(self._note_reboot, plan, rule)
        result = apply_plan(plan, conf, helper, self.look, may, go_on)
        if result.word != "rebooting":
            self._change(lambda memory: replace(memory, pending=None))
        if result.word in ("applied", "unverified"):
            self._change(lambda memory: replace(memory, gave_up=""))
        if result.word == "reboot_required":
            return replace(result, detail=f"{plan.target.mode_name} wants a reboot: {self._why_no_reboot(plan, rule)}")
        return result

    def _settle_pending(self, conf: PowerConf) -> None:
        """After a reboot that was asked for: did it bring the mode? If not, it is not asked for again."""
        memory, _ = load_memory(self._memory_path)
        pending, state = memory.pending, self.look()
        if pending is None or pending.boot_id == state.boot_id:
            return
        mode = conf.mode_by_id(pending.mode_id)
        brought = mode is not None and mode_in_force(mode, conf, state)
        self._change(lambda old: replace(old, pending=None, gave_up="" if brought else pending.mode_name))

    def _why_no_reboot(self, plan: Plan, rule: RebootRule) -> str:
        memory, _ = load_memory(self._memory_path)
        if not rule.allowed:
            return "the operator has not allowed reboots (power.allow_reboot)"
        if memory.gave_up == plan.target.mode_name:
            return "the last reboot did not bring it; not tried again"
        if not memory.may_reboot(self._clock.wall_ms(), rule.per_day):
            return f"the {rule.per_day} that a day allows were used up"
        return "the helper refused it now"

    def _note_found(self) -> None:
        conf = self.conf()
        found = find_state(conf, read_power_state(self._root, conf))
        self._change(lambda memory: memory if memory.found else replace(memory, found=found))

    def _note_reboot(self, plan: Plan, rule: RebootRule) -> bool:
        """Write the reboot down, if it may be: within the day's budget, and not once more for a mode it did not bring.

        One that was asked for in this boot and has not come is asked for again without being counted again.
        """
        memory, _ = load_memory(self._memory_path)
        pending = Pending(plan.wish, plan.target.mode_id, plan.target.mode_name, self.look().boot_id)
        if not rule.allowed or memory.gave_up == pending.mode_name:
            return False
        if memory.pending == pending:
            return True
        now_ms = self._clock.wall_ms()
        if not memory.may_reboot(now_ms, rule.per_day):
            return False
        self._change(lambda old: old.with_reboot(pending, now_ms))
        return True

    def _change(self, change: Callable[[PowerMemory], PowerMemory]) -> None:
        memory, _ = load_memory(self._memory_path)
        if (new := change(memory)) != memory:
            save_memory(self._memory_path, new)
