"""The shell of a trial: carries out what config/trial.py decides, on the disk, on the agent and on MQTT.

It outlives agents that are set up anew in this process. Invariant: `loaded` is what is in force, or is being brought
into force.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import anyio.to_thread
import structlog

from edgeagent.app.config_news import ConfigNews, misfit_reason
from edgeagent.app.config_report import errors_of
from edgeagent.clock import Clock
from edgeagent.config.beginning import Beginning
from edgeagent.config.desired import Answer, Kept
from edgeagent.config.desired_store import Committed
from edgeagent.config.effective import Loaded
from edgeagent.config.layers import Layer
from edgeagent.config.mistake import Mistake
from edgeagent.config.schema import Config
from edgeagent.config.trial import (
    Action,
    Applied,
    Begin,
    Course,
    Drop,
    Event,
    Failed,
    Found,
    Look,
    Stored,
    Times,
    Undone,
    left_s,
    step,
)
from edgeagent.config.trial_facts import Changed, Facts, judge
from edgeagent.errors import ConfigError, EdgeAgentError

log = structlog.get_logger("config")

CUT_OFF = "the agent ended during the trial"


class ConfigLostError(EdgeAgentError):
    """Neither the new config nor the last good one can be brought into force: another process has to begin with the
    last good one."""

    code = "config_lost"


class Applier(Protocol):
    """Who brings configs into force, and sees how they do."""

    async def examine(self, config: Config) -> list[Mistake]:
        """What is wrong with it on this device, as far as can be seen beforehand."""
        ...

    def facts(self) -> Facts: ...

    def changed(self, old: Config, new: Config) -> Changed: ...

    async def bring_into_force(self, config: Config) -> list[str]:
        """What was started anew for it. Raises EdgeAgentError; does not return where the agent is set up anew."""
        ...


@dataclass(frozen=True)
class Tried:
    """What is on trial. `kept`: the wish, None where it is the file; `previous`: what was in force before."""

    kept: Kept | None
    loaded: Loaded
    local: list[Layer]
    previous: Loaded
    before: Facts
    since_ts: int


class ConfigTrial:
    """For the event loop only, but for being made. `on_kept` is called when a wish is on the disk as a trial."""

    def __init__(self, beginning: Beginning, clock: Clock) -> None:
        self._clock = clock
        self._store = beginning.store
        self.local = beginning.local
        self.committed = beginning.stored.committed
        self.answered = beginning.stored.answered
        self.misfit = beginning.misfit
        self.loaded = beginning.loaded
        self.tried: Tried | None = None
        self.on_kept: Callable[[], None] = lambda: None
        self._left: Kept | None = beginning.stored.trial
        self._damaged = beginning.stored.damaged
        self._course = Course()
        self._restarted: tuple[str, ...] = ()
        self._told = ""

    @property
    def config(self) -> Config:
        return self.loaded.config

    @property
    def in_force(self) -> Kept:
        """The committed wish, or none where it does not fit the file."""
        return Kept() if self.misfit else self.committed.kept

    @property
    def runs(self) -> bool:
        return self._course.state == "trial"

    def bind(self, news: ConfigNews, applier: Applier) -> None:
        """The agent that runs from now on."""
        self._news, self._applier = news, applier

    # what its owner asks for

    async def resume(self) -> None:
        """An agent has begun to run: the first one, or another one in the middle of a change."""
        if self._course.state == "applying":
            await self._step(Applied(self._now_s()))
        elif self._course.state == "undoing":
            await self._step(Undone())
        elif self._course.state == "idle":
            await self._begin()

    async def _begin(self) -> None:
        for reason in self._damaged:
            self._news.damaged(reason)
        self._damaged = ()
        if self._left is not None:
            await self._step(Found(CUT_OFF))
        elif self._store.has_trial():
            await self.keep_answer(self.answered)
        if self.misfit:
            self._news.misfit(self.committed.kept, self.misfit)
        self.report()

    async def begin(self, kept: Kept | None, loaded: Loaded, local: list[Layer], trial_s: float) -> None:
        """Try it. Only where nothing is on trial."""
        limit_s = max(trial_s, self.config.remote.trial_limit_s)
        self.tried = Tried(kept, loaded, local, self.loaded, self._applier.facts(), self._clock.wall_ms())
        self._restarted, self._told = (), ""
        await self._step(Begin(Times(trial_s, limit_s)))

    async def drop(self, reason: str) -> None:
        """End a trial that runs, and go back."""
        await self._step(Drop(reason))

    async def look(self) -> None:
        """See how the trial goes."""
        tried = self.tried
        if tried is None or not self.runs:
            return
        changed = self._applier.changed(tried.previous.config, tried.loaded.config)
        word, reason = judge(tried.before, changed, self._applier.facts())
        await self._step(Look(word, reason, self._now_s()))
        if self.runs and reason != self._told:
            self._told = reason
            self._news.goes(word, reason)
            self.report()

    async def go_back(self, loaded: Loaded) -> None:
        """The committed wish is given up for the one before it, which makes `loaded`. Raises ConfigError.

        On the disk first: an agent that is set up anew for it begins with it.
        """
        was = self.committed, self.answered, self.loaded
        gone, reason = self.committed.kept, "a command went back to the one before"
        try:
            await self._put(Committed(self.committed.before, Kept()), self._answer_to(gone, "rolled_back", reason))
            self._news.rolled_back(gone, reason)
            self.report()
            failed = await self._bring(loaded)
            if failed is not None:
                await self._put(*was[:2])
                await self._bring(was[2])
                raise ConfigError(f"it cannot be brought into force: {failed.reason}", code="not_in_force")
        except OSError as error:
            raise ConfigError(f"it cannot be stored: {error.strerror or error}", code="not_stored") from error
        finally:
            self.report()

    async def _put(self, committed: Committed, answer: Answer) -> None:
        """Raises OSError."""
        await anyio.to_thread.run_sync(self._store.commit, committed, answer)
        self.committed, self.answered, self.misfit = committed, answer, ()

    def could_not_start(self, error: EdgeAgentError) -> bool:
        """An agent could not be made of `loaded`. True when another may be made, of the config before it."""
        if self._course.state != "applying" or self.tried is None:
            return False
        self._course, _ = step(self._course, Failed(error.line()))
        self.loaded = self.tried.previous
        return True

    def report(self) -> None:
        """The trial that runs, else the answer to the newest wish."""
        tried = self.tried
        if tried is None or tried.kept is None:
            answer = self.answered
            if self.misfit:
                reason = misfit_reason(self.committed.kept)
                answer = replace(answer, state="rejected", reason=reason, errors=errors_of(self.misfit))
            self._news.answer(answer, self.in_force, self.config)
            return
        self._news.trial(
            tried.kept,
            self.in_force,
            self.config,
            left_s=math.ceil(left_s(self._course, self._now_s())),
            restarted=self._restarted,
            reason=self._told,
            since_ts=tried.since_ts,
        )

    async def keep_answer(self, answer: Answer) -> None:
        """On the disk where it can be; a disk that does not take it costs the answer to the next redelivery only."""
        self.answered = answer
        try:
            await anyio.to_thread.run_sync(self._store.answer, answer)
        except OSError as error:
            log.error("store", reason=error.strerror or str(error))

    # carrying out

    async def _step(self, event: Event) -> None:
        self._course, actions = step(self._course, event)
        for action in actions:
            follows = await self._do(action)
            if follows is not None:
                await self._step(follows)
                return

    async def _do(self, action: Action) -> Event | None:
        """Carry it out; what it comes to."""
        tried = self.tried
        if action == "settle":
            await self._settle(tried)
            return None
        if tried is None:
            raise LookupError(f"{action} without a trial")
        calls: dict[Action, Callable[[Tried], Awaitable[Event | None]]] = {
            "keep": self._keep,
            "apply": self._apply,
            "watch": self._watch,
            "commit": self._commit,
            "finish": self._finish,
            "undo": self._undo,
            "give_up": self._give_up,
        }
        return await calls[action](tried)

    async def _keep(self, tried: Tried) -> Event | None:
        if tried.kept is None:
            return None
        try:
            await anyio.to_thread.run_sync(self._store.keep_trial, tried.kept)
        except OSError as error:
            return Failed(f"it cannot be stored: {error.strerror or error}")
        self.on_kept()
        return None

    async def _apply(self, tried: Tried) -> Event:
        failed = await self._bring(tried.loaded)
        return failed or Applied(self._now_s())

    async def _undo(self, tried: Tried) -> Event:
        return await self._bring(tried.previous) or Undone()

    async def _bring(self, loaded: Loaded) -> Failed | None:
        """Whatever goes wrong in here, the device is to go back."""
        self.loaded = loaded
        try:
            self._restarted = tuple(await self._applier.bring_into_force(loaded.config))
        except EdgeAgentError as error:
            return Failed(error.line())
        except Exception as error:  # a fault of ours must not leave the device between two configs
            log.exception("apply", reason=str(error))
            return Failed(f"{type(error).__name__}: {error}"[:500])
        return None

    async def _watch(self, tried: Tried) -> None:
        self._news.tried(tried.kept, self._restarted)
        self.report()

    async def _commit(self, tried: Tried) -> Event:
        if tried.kept is None:
            return Stored()
        committed, answer = Committed(tried.kept, self.committed.kept), self._answer_to(tried.kept, "committed", "")
        try:
            await self._put(committed, answer)
        except OSError as error:
            return Failed(f"it cannot be stored: {error.strerror or error}")
        return Stored()

    async def _finish(self, tried: Tried) -> None:
        """It is the last known good config from now on. A file that does not know of the wish leaves a misfit one."""
        self.tried, self.local = None, tried.local
        if "desired" in tried.loaded.provenance.values():
            self.misfit = ()
        self._news.committed(tried.kept)
        self.report()

    async def _settle(self, tried: Tried | None) -> None:
        """The last known good config is in force again, or has been all the time."""
        kept = tried.kept if tried is not None else self._left
        reason, self._left, self.tried = self._course.reason, None, None
        self._news.rolled_back(kept, reason)
        if kept is not None:
            await self.keep_answer(self._answer_to(kept, "rolled_back", reason))
            pipelines = kept.layer.get("pipelines")
            names = list(pipelines) if isinstance(pipelines, dict) else []
            self._news.gone([name for name in names if name not in self.config.pipelines])
        self.report()

    async def _give_up(self, tried: Tried) -> None:
        raise ConfigLostError(
            f"the last good config cannot be brought into force: {self._course.reason}",
            mend="systemd starts the agent anew, with the last good config",
        )

    def _answer_to(self, kept: Kept, state: Literal["committed", "rolled_back"], reason: str) -> Answer:
        now_ms = self._clock.wall_ms()
        return Answer(kept.version, state, kept.digest, reason, (), kept.by, now_ms, self._restarted)

    def _now_s(self) -> float:
        return self._clock.monotonic_ns() / 1e9
