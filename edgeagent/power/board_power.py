"""One board's power: look at it, plan, apply, resume after a reboot, go back. Blocking; changes wait for each other.

Shared by the agent and the command line. The state found before the first change is written down before that change
is made; a reboot is written down before it is asked for, so that neither a crash nor a power cut loses the way back.
"""

from __future__ import annotations

import stat
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgeagent.clock import Clock
from edgeagent.errors import EdgeAgentError, OperatorError
from edgeagent.power.apply import Result, apply_plan
from edgeagent.power.client import PowerHelper
from edgeagent.power.memory import Pending, PowerMemory, load_memory, save_memory
from edgeagent.power.nvpmodel_conf import PowerConf
from edgeagent.power.plan import Found, Plan, find_state, plan_intent, plan_restore, plan_target, retarget
from edgeagent.power.profile import Intent, Profile, profile_for
from edgeagent.power.state import CONF, PowerState, read_power_conf, read_power_state
from edgeagent.power.verify import Target, Verdict, mode_in_force, verify


def _no_conf(path: Path) -> tuple[str, str]:
    """Why there is no table of power modes, and the mend."""
    try:
        mode = path.stat().st_mode
        if stat.S_ISREG(mode) and path.stat().st_size == 0:
            return f"{CONF} is empty", "put the release's own file back: the package nvidia-l4t-nvpmodel has it"
        if not stat.S_ISREG(mode):
            what = "a directory" if stat.S_ISDIR(mode) else "no ordinary file"
            return f"{CONF} is {what}", "put the release's own file back: the package nvidia-l4t-nvpmodel has it"
        with path.open("rb"):
            pass
    except (FileNotFoundError, NotADirectoryError):
        return f"this board has no {CONF} (yet)", "install the package nvidia-l4t-nvpmodel"
    except PermissionError:
        return f"{CONF} is closed to this user", f"sudo chmod a+r {CONF}, and a+x for every directory above it"
    except OSError as error:
        return f"{CONF} cannot be read: {(error.strerror or str(error)).lower()}", "look at the disk"
    return f"{CONF} cannot be read now", "try again"


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
    """Whether and how often the board may be rebooted for a power mode; `why_not` is told where it may not."""

    allowed: bool = False
    per_day: int = 1
    why_not: str = "the operator has not allowed reboots (power.allow_reboot)"


RESUME_RULE = RebootRule(why_not="one reboot was made for it already")
REPAIR_RULE = RebootRule(why_not="nothing is rebooted for a repair")


@dataclass(frozen=True)
class Choice:
    """An intent of the board's profile, and what it comes to here: a plan, or the reason why none satisfies it."""

    intent: Intent
    plan: Plan | None
    why_not: str = ""


class BoardPower:
    """Power of the board under `root`, by the profile for its module."""

    def __init__(
        self,
        root: Path,
        facts: BoardFacts,
        profiles: Sequence[Profile],
        memory_path: Path,
        clock: Clock,
        keeper: str = "person",
    ) -> None:
        """`keeper`: on whose behalf the board is changed, "agent" or "person"."""
        self._root = root
        self._facts = facts
        self.profile = profile_for(profiles, facts.module_id)
        self._memory_path = memory_path
        self._clock = clock
        self._keeper = keeper
        self.problem = ""
        self._one_at_a_time = threading.Lock()
        self._stopped = threading.Event()

    def conf(self) -> PowerConf:
        """The board's table of modes. Raises NoPowerModesError, and ConfMistakesError for a broken one."""
        self._refuse_other_machines()
        conf = read_power_conf(self._root)
        if conf is None:
            text, mend = _no_conf(self._root / CONF.lstrip("/"))
            raise NoPowerModesError(text, mend=mend, retry=True)
        return conf

    def look(self) -> PowerState:
        return read_power_state(self._root, self.conf())

    def choices(self) -> list[Choice]:
        """Every intent of the profile, resolved on this board as it is now."""
        self._refuse_container()
        conf = self.conf()
        state = read_power_state(self._root, conf)
        return [self._choice(intent, conf, state) for intent in self.profile.intents.values()]

    def _choice(self, intent: Intent, conf: PowerConf, state: PowerState) -> Choice:
        try:
            return Choice(intent, plan_intent(intent, conf, state, self._facts.soc))
        except OperatorError as error:
            return Choice(intent, None, error.line())

    def plan(self, name: str) -> Plan:
        """What the intent would do now. Raises UnknownIntentError, IntentError, NoPowerModesError."""
        self._refuse_container()
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

    def apply(self, name: str, helper: PowerHelper, rule: RebootRule) -> tuple[Plan, Result]:
        """Bring the board into the intent's state. Also resumes what a reboot interrupted.

        Raises what `plan` raises, PowerMemoryError, and NoPowerModesError in a container.
        """
        with self._one_at_a_time:
            plan = self.plan(name)
            return plan, self._apply(plan, helper, rule, self._goes_on)

    def restore(self, helper: PowerHelper, rule: RebootRule, *, insist: bool = False) -> tuple[Plan, Result] | None:
        """Go back to the state found at first start, and forget it once that is in force.

        None: nothing was changed, or a reboot into another mode is under way, which a restore would undo; with
        `insist`, for a person, it is undone.
        """
        self._refuse_container()
        with self._one_at_a_time:
            conf, memory = self.conf(), self.memory()
            state = read_power_state(self._root, conf)
            waits = memory.pending is not None and memory.pending.boot_id == state.boot_id
            if memory.found is None or (waits and not insist):
                return None
            self._change(lambda old: replace(old, pending=None))
            plan = plan_restore(memory.found, conf, state, self._facts.soc)
            result = self._apply(plan, helper, rule, lambda: True)
            if result.word in ("applied", "unverified") and plan.target.mode_name == memory.found.mode_name:
                self._change(lambda old: replace(old, found=None))
            return plan, result

    def resume(self, helper: PowerHelper) -> tuple[Plan, Result] | None:
        """Carry on what a reboot has interrupted, on behalf of whoever asked for it; None where nothing waits.

        Never reboots.
        """
        memory = self.memory()
        if memory.pending is None or memory.pending.boot_id == self.look().boot_id:
            return None
        self._keeper = memory.keeper or self._keeper
        if memory.pending.wish == "restore":
            return self.restore(helper, RESUME_RULE, insist=True)
        return self.apply(memory.pending.wish, helper, RESUME_RULE)

    def check(self, target: Target) -> Verdict | None:
        """Whether `target` is still in force; None where its mode is no longer in the board's table."""
        conf = self.conf()
        wanted = retarget(target, conf)
        return verify(wanted, conf, read_power_state(self._root, conf)) if wanted else None

    def again(self, target: Target, name: str, helper: PowerHelper) -> tuple[Plan, Result]:
        """Bring back what something has undone. Never reboots."""
        with self._one_at_a_time:
            conf = self.conf()
            wanted = retarget(target, conf) or target
            plan = plan_target(name, wanted, conf, read_power_state(self._root, conf), self._facts.soc)
            return plan, self._apply(plan, helper, REPAIR_RULE, self._goes_on)

    def reboot(self, helper: PowerHelper, rule: RebootRule) -> str:
        """Reboot the board because nothing else helps, within the day's budget. Why it is not done; empty where it is.

        Raises PowerMemoryError and what the helper raises.
        """
        with self._one_at_a_time:
            if not rule.allowed:
                return rule.why_not
            now_ms = self._clock.wall_ms()
            if not self.memory().may_reboot(now_ms, rule.per_day):
                return f"the {rule.per_day} that a day allows were used up (power.max_reboots_per_day)"
            self._change(lambda old: old.with_bare_reboot(now_ms))
            outcome = helper.call("reboot")
            if outcome.result == "refused":
                self._change(lambda old: replace(old, reboots_ms=old.reboots_ms[:-1]))
            return "" if outcome.result == "rebooting" else outcome.detail

    def stop(self) -> None:
        """From any thread: no change makes a further call, except `restore`, which waits for one under way."""
        self._stopped.set()

    def forget_failure(self) -> None:
        """A person asks: what an earlier reboot did not bring may be tried once more."""
        self._change(lambda memory: replace(memory, gave_up=""))

    def memory(self) -> PowerMemory:
        """What is remembered. After damage the default mode stands in for the state found, and `problem` says so."""
        memory, problem = load_memory(self._memory_path)
        if problem:
            self.problem = problem
            default = self.conf().default
            memory = replace(memory, found=Found(default.id, default.name) if default else None)
            save_memory(self._memory_path, memory)
        return memory

    def recall(self) -> tuple[PowerMemory, str]:
        """What is remembered, for one who only looks, and what is wrong with it. Writes nothing."""
        return load_memory(self._memory_path, put_aside=False)

    def _change(self, change: Callable[[PowerMemory], PowerMemory]) -> None:
        memory = self.memory()
        if (new := change(memory)) != memory:
            save_memory(self._memory_path, new)

    def _refuse_other_machines(self) -> None:
        if self._facts.kind == "not-a-jetson":
            raise NoPowerModesError("this is not a Jetson: there is no power mode to set")

    def _refuse_container(self) -> None:
        self._refuse_other_machines()
        if self._facts.container:
            raise NoPowerModesError(
                f"inside a container ({self._facts.container}) nvpmodel ignores every request",
                mend="run edgeagent on the host, or set the power mode there",
            )

    def _goes_on(self) -> bool:
        return not self._stopped.is_set()

    def _apply(self, plan: Plan, helper: PowerHelper, rule: RebootRule, go_on: Callable[[], bool]) -> Result:
        conf = self.conf()
        self._note_found(conf)
        self._settle_pending(conf)
        counted = len(self.memory().reboots_ms)
        result = apply_plan(
            plan,
            conf,
            helper,
            self.look,
            before_reboot=lambda: go_on() and self._note_reboot(plan, rule),
            go_on=go_on,
        )
        if result.word == "reboot_required":
            return self._without_reboot(plan, rule, result, counted)
        if result.word in ("applied", "unverified"):
            self._change(lambda memory: replace(memory, pending=None, gave_up="", required=None))
        elif result.word != "rebooting":
            self._change(lambda memory: replace(memory, pending=None, required=None))
        return result

    def _without_reboot(self, plan: Plan, rule: RebootRule, result: Result, counted: int) -> Result:
        """No reboot was made: the reason, and one that the helper refused does not count."""
        last = result.done[-1][1]
        if last.result == "refused":
            self._change(lambda memory: memory.without_reboot() if len(memory.reboots_ms) > counted else memory)
        required = Pending(plan.wish, plan.target.mode_id, plan.target.mode_name, self.look().boot_id)
        self._change(lambda memory: replace(memory, pending=None, required=required))
        why = last.detail if last.result == "refused" else self._why_no_reboot(plan, rule)
        return replace(result, detail=f"{plan.target.mode_name} wants a reboot: {why}")

    def _note_found(self, conf: PowerConf) -> None:
        found = find_state(conf, read_power_state(self._root, conf))
        self._change(lambda memory: replace(memory, found=memory.found or found, keeper=self._keeper))

    def _settle_pending(self, conf: PowerConf) -> None:
        """After a reboot that was asked for: did it bring the mode? If not, it is not asked for again."""
        pending, state = self.memory().pending, self.look()
        if pending is None or pending.boot_id == state.boot_id:
            return
        mode = conf.mode_by_name(pending.mode_name)
        brought = mode is not None and mode_in_force(mode, conf, state)
        self._change(lambda old: replace(old, pending=None, gave_up="" if brought else pending.mode_name))

    def _why_no_reboot(self, plan: Plan, rule: RebootRule) -> str:
        memory = self.memory()
        if not rule.allowed:
            return rule.why_not
        if memory.gave_up == plan.target.mode_name:
            return "the last reboot did not bring it; not tried again"
        if not self.look().boot_id:
            return "one boot cannot be told from the next here, so none is made"
        if not memory.may_reboot(self._clock.wall_ms(), rule.per_day):
            return f"the {rule.per_day} that a day allows were used up (power.max_reboots_per_day)"
        return "edgeagent is stopping"

    def _note_reboot(self, plan: Plan, rule: RebootRule) -> bool:
        """Write the reboot down, if it may be: within the day's budget, and not once more for a mode it did not bring.

        One that was asked for in this boot and has not come is asked for again without being counted again.
        """
        memory = self.memory()
        pending = Pending(plan.wish, plan.target.mode_id, plan.target.mode_name, self.look().boot_id)
        if not rule.allowed or memory.gave_up == pending.mode_name or not pending.boot_id:
            return False
        if memory.pending == pending:
            return True
        now_ms = self._clock.wall_ms()
        if not memory.may_reboot(now_ms, rule.per_day):
            return False
        self._change(lambda old: old.with_reboot(pending, now_ms))
        return True
