"""Keeps the board in the state that the operator asked for, and says on MQTT whether it is.

Applied once at start and after a reboot, then looked at: what something else has undone is set again, with a limit.
All calls run in a worker thread; the loop never waits for a tool.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import anyio
import anyio.to_thread
import structlog

from edgeagent.app.build_power import INTENT as BUILD_INTENT
from edgeagent.app.build_power import BuildPower
from edgeagent.app.publisher import Publisher
from edgeagent.board.identity import Identity
from edgeagent.board.reading import Reading
from edgeagent.clock import Clock
from edgeagent.config.schema import PowerSettings
from edgeagent.errors import EdgeAgentError
from edgeagent.health.book import Word
from edgeagent.power.apply import Result
from edgeagent.power.board_power import BoardFacts, BoardPower, NoPowerModesError, RebootRule
from edgeagent.power.client import HelperError, Outcome, PowerHelper, SocketHelper
from edgeagent.power.memory import MEMORY_FILE
from edgeagent.power.plan import Plan
from edgeagent.power.profile_files import load_profiles, shipped_profiles_dir
from edgeagent.power.verify import Target

log = structlog.get_logger("power")
T = TypeVar("T")

CHECK_S = 30.0
RETRY_S = (2.0, 5.0, 15.0, 60.0, 300.0, 600.0)
AGAIN_S = 300.0  # until a reboot that was refused (too soon after boot, budget used up) is asked for again
HOUR_S = 3600.0
RESTORE_S = 40.0
LEND_S = 60.0
HELPER_S = 100.0  # above two tools that hang
GOOD = ("applied", "unverified")
LENT_RULE = RebootRule(why_not="nothing is rebooted for a while only")
TRIAL_RULE = RebootRule(why_not="a config is on trial, which a reboot would end; it is made once that is kept")
STOP_RULE = RebootRule(why_not="nothing is rebooted for a stop")
REBOOT_ALARM, POWER_ALARM = "reboot-required", "power-state"
SYSTEM_SOCKET = "/run/edgeagent-power.sock"


def board_facts(identity: Identity) -> BoardFacts:
    """What power needs to know of the board."""
    return BoardFacts(identity.kind, identity.family_id, identity.soc, identity.container)


class ForeignHelper:
    """What stands for a helper where none belongs to the board: it must not be asked to set another one."""

    def call(self, verb: str, **arguments: str | int | bool) -> Outcome:
        raise HelperError(
            "the power helper of this machine is not for a board under another root",
            mend="start one for it (`--root`, `--socket`) and name its socket in power.helper_socket",
            code="power-helper-foreign",
        )


def helper_for(root: Path, socket: str) -> PowerHelper:
    """The helper at `socket`; for a board under another root only where the socket is not the machine's own."""
    if root != Path("/") and socket == SYSTEM_SOCKET:
        return ForeignHelper()
    return SocketHelper(Path(socket), timeout_s=HELPER_S)


def open_power(root: Path, state_dir: Path, identity: Identity, settings: PowerSettings, clock: Clock) -> BoardPower:
    """The board's power in the agent's hands. Raises EdgeAgentError for profiles that are no good."""
    profiles = load_profiles(shipped_profiles_dir(), Path(settings.profiles_dir))
    return BoardPower(root, board_facts(identity), profiles, state_dir / MEMORY_FILE, clock, keeper="agent")


def for_a_while(power: BoardPower) -> BoardPower:
    """The board's power with intents that last for a while, because it is hot: no mode that wants a reboot, and the
    fan as cool as it gets, whatever the profile says."""
    intents = {name: replace(intent, reboot=False, fan=("cool",)) for name, intent in power.profile.intents.items()}
    power.profile = replace(power.profile, intents=intents)
    return power


@dataclass(frozen=True)
class PowerView:
    """What `info` says of the board's power. `state` is a word of `fleet.states.PowerState`."""

    state: str
    intent: str | None = None
    mode: str | None = None
    clocks: str | None = None
    fan: str | None = None
    reason: str = ""


class PowerDesk:
    """One board's power for the agent's loop. `view` is what `info` shows; `on_change` is called when it changes.

    `on_trial` says whether a config is on trial: an allowed reboot waits for its end.
    """

    def __init__(
        self,
        root: Path,
        state_dir: Path,
        identity: Identity,
        settings: PowerSettings,
        publisher: Publisher,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._publisher = publisher
        self._clock = clock
        self._helper: PowerHelper = helper_for(root, settings.helper_socket)
        self._make: Callable[[], BoardPower] = lambda: open_power(root, state_dir, identity, self._settings, clock)
        self._power: BoardPower | None = None
        self._target: Target | None = None
        self._repairs: deque[int] = deque()
        self._failures = 0
        self._problem = ""
        self._wake = anyio.Event()
        self._lent = ""
        self._lowered = ""
        self._asked = ""
        self._waits_for_trial = False
        self._settled = anyio.Event()
        self._unkept = BuildPower(self._make, self._helper)
        self.view = PowerView("left_alone" if settings.intent is None else "applying", settings.intent)
        self.on_change: Callable[[], None] = lambda: None
        self.on_trial: Callable[[], bool] = lambda: False

    def change(self, settings: PowerSettings) -> None:
        """Plan anew by these settings; between two runs only."""
        wished, self._settings = settings.intent != self._settings.intent, settings
        self._asked = "" if wished else self._asked
        self._target, self._failures = None, 0
        if wished:
            self._show(PowerView("left_alone" if settings.intent is None else "applying", settings.intent), "ok")

    async def run(self) -> None:
        """Until cancelled; without an intent only until what a crash left set is brought back."""
        intent = self._settings.intent
        for alarm in (REBOOT_ALARM, POWER_ALARM):
            self._publisher.clear_alarm(alarm)
        if intent is None:
            await self._restore_left_over()
            return
        while True:
            wish = self._lowered or self._lent or self._asked or intent
            wait_s = await self._apply(wish) if self._target is None else await self._check(wish, self._target)
            self._settled.set()
            with anyio.move_on_after(wait_s):
                await self._wake.wait()
            self._wake = anyio.Event()

    def look(self, reading: Reading) -> None:
        """A sample of the sensors: clocks that shall be locked and no longer are get a look at once, and so does a
        reboot that has waited for the end of a trial.

        While something is wrong already, the next look comes in its own time.
        """
        if self._waits_for_trial and not self.on_trial():
            self._waits_for_trial = False
            self._wake.set()
        wants_lock = self._target is not None and self._target.clocks == "lock"
        if wants_lock and reading.clocks_locked is False and self.view.state in GOOD:
            self._wake.set()

    async def ask(self, intent: str | None) -> str:
        """Set the board to that intent until the agent starts again; None: back to the config's. Nothing is rebooted
        for it. Why it is not in force then, empty where it is."""
        wanted = intent or self._settings.intent
        if self._settings.intent is None or wanted is None:
            return "power.intent is not set, so the board's power is left as it is"
        try:
            await _in_thread(lambda: self._make().plan(wanted))
        except EdgeAgentError as error:
            return error.line()
        self._asked = "" if wanted == self._settings.intent else wanted
        self._target, self._settled = None, anyio.Event()
        self._wake.set()
        with anyio.move_on_after(LEND_S):
            await self._settled.wait()
        if self._lowered or self._lent:
            return f"{self._lowered or self._lent} is in force for a while; {wanted} follows"
        if self.view.intent == wanted and self.view.state in GOOD:
            return ""
        self._asked, self._target = "", None
        self._wake.set()
        return self.view.reason or f"the power intent {wanted} is not in force"

    async def reboot(self) -> str:
        """Reboot the board, if that is allowed and left of the day's budget. Why it is not done; empty where it is."""
        rule = RebootRule(self._settings.allow_reboot, self._settings.max_reboots_per_day)
        try:
            return await _in_thread(lambda: self._make().reboot(self._helper, rule))
        except EdgeAgentError as error:
            return error.line()

    async def why_not_lower(self, intent: str) -> str:
        """Why the board cannot be set to that intent for a while, to run cooler; empty where it can."""
        wanted, power = self._settings.intent, self._power
        if wanted is None:
            return "power.intent is not set, so the board's power is left as it is"
        if wanted == intent:
            return f"{intent} is what the board is set to anyway"
        if power is None or self.view.state not in GOOD:
            return f"the power intent {wanted} is not in force"
        try:
            plan = await _in_thread(partial(self._plan_lower, intent))
        except EdgeAgentError as error:
            return error.message
        return "" if plan.steps else f"{intent} changes nothing on this board"

    def _plan_lower(self, intent: str) -> Plan:
        return for_a_while(self._make()).plan(intent)

    async def lower(self, intent: str) -> str:
        """Set the board to that intent until `raise_again`. Why it is not in force then; empty where it is."""
        self._lowered, self._target, self._settled = intent, None, anyio.Event()
        self._wake.set()
        with anyio.move_on_after(LEND_S):
            await self._settled.wait()
        if self.view.intent == intent and self.view.state in GOOD:
            return ""
        return self.view.reason or f"the power intent {intent} is not in force"

    def raise_again(self) -> None:
        """Back to what the operator asked for."""
        if self._lowered:
            self._lowered, self._target = "", None
            self._wake.set()

    async def begin(self) -> str:
        """A build wants the board for a while: what was set for it, in words, empty where nothing was. What the
        operator asked for is in force again after `end`. Never raises, never reboots."""
        if self._settings.intent is None:
            return await self._unkept.begin()
        with anyio.move_on_after(LEND_S):
            await self._settled.wait()  # the operator's intent comes first
        power = self._power
        if power is None or self.view.state not in GOOD:
            return ""
        try:
            plan = await _in_thread(partial(power.plan, BUILD_INTENT))
        except EdgeAgentError as error:
            log.info("build_power", left="as it is", reason=error.line())
            return ""
        if plan.reboot or not plan.steps:
            return ""
        self._lend(BUILD_INTENT)
        with anyio.move_on_after(LEND_S):
            await self._settled.wait()
        return plan.line() if self.view.state in GOOD else ""

    async def end(self) -> None:
        """The build is over."""
        if self._settings.intent is None:
            await self._unkept.end()
        elif self._lent:
            self._lend("")

    def _lend(self, intent: str) -> None:
        self._lent, self._target, self._settled = intent, None, anyio.Event()
        self._wake.set()

    async def restore(self) -> None:
        """When the agent stops: back to the state found at first start. Never reboots, never raises, never for long."""
        if self._power is None or self.view.state == "unsupported":
            return
        self._power.stop()
        if self._settings.restore_on_stop:
            await self._bring_back(self._power)

    async def _restore_left_over(self) -> None:
        """An intent that was taken out of the config, after an agent that could not bring the board back itself."""
        with suppress(EdgeAgentError):  # a board without power modes, or profiles that nobody uses
            power = await _in_thread(self._make)
            memory = await _in_thread(power.memory)
            self._tell_problem(power)
            if memory.keeper == "person" and memory.pending is not None:
                await self._resume(power)
            elif memory.found is not None and memory.keeper == "agent" and self._settings.restore_on_stop:
                await self._bring_back(power)

    async def _resume(self, power: BoardPower) -> None:
        """The rest of what a person asked for before the boot."""
        try:
            ended = await _in_thread(partial(power.resume, self._helper))
        except EdgeAgentError as error:
            self._show(PowerView("left_alone", reason=f"a person's plan was not finished: {error.line()}"), "degraded")
            log.error("resume", reason=error.line())
            return
        if ended is None:
            return
        plan, result = ended
        log.info("resume", wish=plan.wish, state=result.word, reason=result.detail)
        view = PowerView("left_alone", reason=f"{plan.wish}, as a person asked: {result.detail}")
        self._show(view, "ok" if result.word in GOOD else "degraded")

    async def _bring_back(self, power: BoardPower) -> None:
        with anyio.move_on_after(RESTORE_S, shield=True) as scope:
            try:
                ended = await _in_thread(partial(power.restore, self._helper, STOP_RULE))
            except EdgeAgentError as error:
                log.error("restore", reason=error.line())
                return
            if ended is not None:
                self._show_restored(ended[1])
        if scope.cancelled_caught:
            log.error("restore", reason=f"not done within {RESTORE_S:g} s")

    def _show_restored(self, result: Result) -> None:
        log.info("restore", state=result.word, reason=result.detail)
        waits, reason = result.word == "reboot_required", f"back to before: {result.detail}"
        if waits:
            self._publisher.alarm(REBOOT_ALARM, "warning", reason)
        else:
            self._publisher.clear_alarm(REBOOT_ALARM)
        good = result.word in GOOD
        self._show(PowerView("reboot_required" if waits else "left_alone", reason=reason), "ok" if good else "degraded")

    async def _apply(self, intent: str) -> float:
        """Plan and apply; returns the seconds until the next look."""
        rule = RebootRule(self._settings.allow_reboot, self._settings.max_reboots_per_day)
        if intent != self._settings.intent:
            rule = LENT_RULE
        elif rule.allowed and self.on_trial():
            rule = TRIAL_RULE
        try:
            self._power = await _in_thread(self._make)  # profiles may have been mended since
            if self._lowered:
                for_a_while(self._power)
            plan, result = await _in_thread(partial(self._power.apply, intent, self._helper, rule))
        except NoPowerModesError as error:
            self._publisher.clear_alarm(POWER_ALARM)
            self._show(PowerView("unsupported", intent, reason=error.line()), "degraded")
            return self._next_try() if error.retry else HOUR_S
        except EdgeAgentError as error:
            self._undone(intent, error.line())
            return self._next_try()
        self._tell_problem(self._power)
        self._waits_for_trial = rule is TRIAL_RULE and result.word == "reboot_required"
        return self._ended(intent, plan, result)

    def _tell_problem(self, power: BoardPower) -> None:
        if power.problem and power.problem != self._problem:
            self._problem = power.problem
            log.warning("power", problem=power.problem)
            self._publisher.event("power-memory", "warning", f"{power.problem}; restore goes to the default mode")

    def _ended(self, intent: str, plan: Plan, result: Result) -> float:
        self._show_result(intent, plan, result)
        log.info("power", intent=intent, state=result.word, reason=result.detail)
        if result.word == "reboot_required" and not self._waits_for_trial:
            self._publisher.alarm(REBOOT_ALARM, "warning", result.detail)
        else:
            self._publisher.clear_alarm(REBOOT_ALARM)
        if result.word == "failed":
            self._publisher.alarm(POWER_ALARM, "error", f"the power intent {intent} is not in force: {result.detail}")
        else:
            self._publisher.clear_alarm(POWER_ALARM)
        if result.word in GOOD:
            self._failures = 0
            self._target = plan.target
            if plan.steps:
                self._publisher.event("power-applied", "info", f"{intent}: {plan.line()}", intent=intent)
            return CHECK_S
        if result.word == "reboot_required":
            return AGAIN_S if self._settings.allow_reboot else HOUR_S
        return self._next_try()

    def _next_try(self) -> float:
        wait_s = RETRY_S[min(self._failures, len(RETRY_S) - 1)]
        self._failures += 1
        return wait_s

    async def _check(self, intent: str, target: Target) -> float:
        """Is it still so? What was undone is set again, at most so many times an hour."""
        power = self._power
        if power is None:
            return CHECK_S
        try:
            verdict = await _in_thread(partial(power.check, target))
            if verdict is None:  # another table: what the intent means has to be found out anew
                self._target = None
                return 0.0
            if not verdict.faults:
                if self.view.state not in GOOD:
                    self._show_target(intent, target)
                return CHECK_S
            undone = "; ".join(map(str, verdict.faults[:4]))
            if not self._may_repair():
                limit = self._settings.max_repairs_per_hour
                self._undone(intent, f"{undone}; set again {limit} times in an hour, now left as it is")
                return CHECK_S
            self._publisher.event("power-undone", "warning", undone, intent=intent)
            log.warning("power", undone=undone, next="setting it again")
            plan, result = await _in_thread(partial(power.again, target, intent, self._helper))
        except EdgeAgentError as error:
            self._undone(intent, error.line())
            return self._next_try()
        return self._ended(intent, plan, result)

    def _may_repair(self) -> bool:
        """One more repair within the hour's budget; counts it."""
        now_ns = self._clock.monotonic_ns()
        while self._repairs and now_ns - self._repairs[0] > HOUR_S * 1e9:
            self._repairs.popleft()
        if len(self._repairs) >= self._settings.max_repairs_per_hour:
            return False
        self._repairs.append(now_ns)
        return True

    def _undone(self, intent: str, reason: str) -> None:
        self._show(PowerView("failed", intent, reason=reason), "degraded")
        self._publisher.alarm(POWER_ALARM, "error", f"the power intent {intent} is not in force: {reason}")

    def _show_result(self, intent: str, plan: Plan, result: Result) -> None:
        target, good = plan.target, result.word in ("applied", "unverified")
        view = PowerView(result.word, intent, target.mode_name, target.clocks, target.fan or None, result.detail)
        self._show(view, "ok" if good else "degraded")

    def _show_target(self, intent: str, target: Target) -> None:
        for alarm in (REBOOT_ALARM, POWER_ALARM):
            self._publisher.clear_alarm(alarm)
        self._show(PowerView("applied", intent, target.mode_name, target.clocks, target.fan or None), "ok")

    def _show(self, view: PowerView, health: Word) -> None:
        self._publisher.note("power", health, "" if health == "ok" else view.reason)
        if view != self.view:
            self.view = view
            self.on_change()


async def _in_thread(call: Callable[[], T]) -> T:
    """Run a blocking call beside the loop. When cancelled, go on without it: changes wait for each other."""
    return await anyio.to_thread.run_sync(call, abandon_on_cancel=True)
