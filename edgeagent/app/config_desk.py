"""Desired configs: heard, checked, tried, committed or taken back, reported. Carries out what config/trial.py decides.

One desk for the process; it outlives agents that are set up anew in it. Wishes are taken one after the other, and of
those that wait only the newest counts. A wish is acknowledged to the broker when it is on the disk, as a trial or as
answered: what is cut off before that comes again. The device's own file can be read anew, too: it goes through the same
trial, but is not remembered as one: after a crash the file is simply what it is.

Invariant: `loaded` is what is in force, or is being brought into force.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol

import anyio
import anyio.to_thread
import structlog

from edgeagent.app.config_report import errors_of, refused_report, report_of, trial_report
from edgeagent.app.config_start import Beginning, LocalConfig, allowed, compose_over
from edgeagent.app.publisher import Publisher
from edgeagent.clock import Clock
from edgeagent.config.desired import MAX_BYTES, Again, Answer, Candidate, Kept, Refused, Wish, consider
from edgeagent.config.desired_store import Committed
from edgeagent.config.effective import Loaded
from edgeagent.config.layers import Layer
from edgeagent.config.mistake import ConfigMistakesError, Mistake
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
from edgeagent.fleet.envelope import MessageError
from edgeagent.fleet.inbound import parse_desired

log = structlog.get_logger("config")

LOOK_S = 0.5
CUT_OFF = "the agent ended during the trial"
FIXED = ("state_dir", "run_dir")  # cannot change under a running agent


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
class _Tried:
    """What is on trial. `kept`: the wish, None where it is the file; `previous`: what was in force before."""

    kept: Kept | None
    loaded: Loaded
    local: list[Layer]
    previous: Loaded
    before: Facts
    since_ts: int


Heard = tuple[bytes, Callable[[], None]]


class ConfigDesk:
    """For the event loop only, but for being made."""

    def __init__(self, beginning: Beginning, source: LocalConfig, clock: Clock) -> None:
        self._source = source
        self._clock = clock
        self._store = beginning.store
        self._local = beginning.local
        self._committed = beginning.stored.committed
        self._answered = beginning.stored.answered
        self._misfit = beginning.misfit
        self._left: Kept | None = beginning.stored.trial
        self._damaged = beginning.stored.damaged
        self.loaded = beginning.loaded
        self._course = Course()
        self._tried: _Tried | None = None
        self._restarted: tuple[str, ...] = ()
        self._heard: Heard | None = None
        self._acknowledge: Callable[[], None] = lambda: None
        self._reload = False
        self._told = ""
        self._wake = anyio.Event()
        self.on_reload: Callable[[Literal["reloading", "ready"]], None] = lambda word: None

    @property
    def config(self) -> Config:
        return self.loaded.config

    @property
    def file(self) -> Path | None:
        """The device's own file."""
        return self._source.path

    @property
    def in_force(self) -> Kept:
        """The committed wish, or none where it does not fit the file."""
        return Kept() if self._misfit else self._committed.kept

    def bind(self, publisher: Publisher, applier: Applier) -> None:
        """The agent that runs from now on."""
        self._publisher, self._applier = publisher, applier
        self._wake = anyio.Event()

    # what comes in

    def take(self, payload: bytes, acknowledge: Callable[[], None]) -> None:
        """A message on config/desired. `acknowledge` is called when it is stored or need not be."""
        if self._heard is not None:
            self._heard[1]()  # a newer one has come before it was looked at
        self._heard = payload, acknowledge
        self._wake.set()

    def reload(self) -> None:
        """Read the device's file anew, as soon as nothing is on trial."""
        self._reload = True
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled. Raises ConfigLostError when the process has to end."""
        await self._begin()
        while True:
            with anyio.move_on_after(LOOK_S if self._course.state == "trial" else math.inf):
                await self._wake.wait()
            self._wake = anyio.Event()
            if self._heard is not None and (self._tried is None or self._tried.kept is not None):
                await self._consider()
            if self._reload and self._tried is None:
                await self._read_file()
            if self._tried is not None and self._course.state == "trial":
                await self._look(self._tried)
            if self._tried is None and (self._heard is not None or self._reload):
                self._wake.set()

    async def _begin(self) -> None:
        """An agent has begun to run: the first one, or another one in the middle of a change."""
        if self._course.state == "applying":
            await self._step(Applied(self._now_s()))
        elif self._course.state == "undoing":
            await self._step(Undone())
        elif self._course.state == "idle":
            await self._tell_beginning()

    async def _tell_beginning(self) -> None:
        for reason in self._damaged:
            self._publisher.event("config-damaged", "error", f"{reason}; it was set aside")
        self._damaged = ()
        if self._left is not None:
            await self._step(Found(CUT_OFF))
        else:
            await self._keep_answer(self._answered, only_tidy=True)
        if self._misfit:
            reason = f"version {self._committed.kept.version} no longer fits the device's file, which counts alone now"
            lines = "; ".join(mistake.line() for mistake in self._misfit[:5])
            self._publisher.event("config-misfit", "error", f"{reason}: {lines}")
            self._report(replace(self._answered, reason=reason, errors=errors_of(self._misfit), state="rejected"))
            return
        self._report(self._answered)

    # wishes

    async def _consider(self) -> None:
        payload, self._acknowledge = self._heard or (b"", lambda: None)
        self._heard = None
        wish = self._read(payload)
        if wish is None:
            self._acknowledge()
            return
        tried = self._tried
        if tried is not None and tried.kept is not None:
            if (wish.version, wish.digest) == (tried.kept.version, tried.kept.digest):
                self._acknowledge()
                self._report_trial(tried)
                return
            if wish.version > tried.kept.version:
                await self._step(Drop(f"version {wish.version} has come"))
        await self._answer(wish)

    def _read(self, payload: bytes) -> Wish | None:
        """None for no wish, and for one that cannot be read, which is told."""
        try:
            if len(payload) > MAX_BYTES:
                raise MessageError(f"it is larger than {MAX_BYTES} bytes")
            found = parse_desired(payload)
        except MessageError as error:
            log.warning("desired", state="rejected", reason=str(error))
            self._report_refused("rejected", 0, f"the message cannot be read: {error}", "")
            return None
        if found is None:
            return None
        return Wish(
            version=found.version,
            digest=hashlib.sha256(payload).hexdigest(),
            config=found.config,
            base=found.base,
            patch=found.patch,
            trial_s=found.trial_s,
            by=found.by,
        )

    async def _answer(self, wish: Wish) -> None:
        found = self._checked(wish)
        if isinstance(found, Candidate) and (mistakes := await self._applier.examine(found.loaded.config)):
            found = Refused("rejected", "it cannot run on this device", tuple(mistakes))
        if isinstance(found, Candidate):
            remote = self.config.remote
            kept = replace(found.kept, ts=self._clock.wall_ms())
            await self._try(kept, found.loaded, self._local, found.trial_s or remote.trial_s)
        elif isinstance(found, Again):
            self._acknowledge()
            self._report(self._answered)
        else:
            await self._refuse(wish, found)

    def _checked(self, wish: Wish) -> Candidate | Again | Refused:
        if not self.config.remote.config:
            return Refused("rejected", "remote.config is false in the device's file")
        return consider(wish, self._committed.kept, self._answered, self._local, allowed(self._local))

    async def _refuse(self, wish: Wish, refused: Refused) -> None:
        log.warning("desired", version=wish.version, state=refused.word, reason=refused.reason)
        if refused.word == "ignored":
            self._acknowledge()
            self._report_refused("ignored", wish.version, refused.reason, wish.by)
            if self._tried is not None:
                self._report_trial(self._tried)
            return
        errors = errors_of(refused.errors)
        answer = Answer(
            wish.version, "rejected", wish.digest, refused.reason, errors, wish.by, since_ts=self._clock.wall_ms()
        )
        await self._keep_answer(answer)
        self._acknowledge()
        lines = "; ".join(mistake.line() for mistake in refused.errors[:3])
        self._publisher.event(
            "config-rejected", "warning", f"version {wish.version} is not tried: {refused.reason}: {lines}"[:1000],
            version=wish.version,
        )  # fmt: skip
        self._report(answer)

    # the file

    async def _read_file(self) -> None:
        self._reload = False
        self.on_reload("reloading")
        try:
            await self._try_file()
        except ConfigError as error:
            lines = error.mistakes if isinstance(error, ConfigMistakesError) else ()
            text = "; ".join(mistake.line() for mistake in lines[:10]) or error.line()
            log.error("file", state="refused", reason=text, next="the old settings stay in force")
            self._publisher.event("config-file-refused", "error", f"the device's file is not taken: {text}"[:2000])
        finally:
            self.on_reload("ready")

    async def _try_file(self) -> None:
        """Raises ConfigError for a file that is no good."""
        local = await anyio.to_thread.run_sync(self._source.read)
        loaded = compose_over(local, self._committed.kept, self._source.where)
        for key in FIXED:
            if getattr(loaded.config.device, key) != getattr(self.config.device, key):
                raise ConfigError(f"device.{key} has changed", mend="restart the agent for that")
        if loaded.config == self.config:
            self._local, self.loaded = local, loaded
            self._publisher.event("config-file-read", "info", "the device's file says nothing new")
            return
        if mistakes := await self._applier.examine(loaded.config):
            raise ConfigMistakesError(self._source.where, mistakes)
        await self._try(None, loaded, local, loaded.config.remote.trial_s)

    async def go_back(self) -> str:
        """The desired config before the committed one is in force from now on, untried: it was good once. In words.

        Raises ConfigError where there is none, or it is no good any more: everything is as it was then.
        """
        if self._tried is not None:
            raise ConfigError("a config is on trial", mend="wait for its end, or send another", code="on_trial")
        now, before = self._committed, self._committed.before
        if not now.kept.version:
            raise ConfigError("no desired config is in force", mend="publish one", code="no_config")
        loaded = compose_over(self._local, before, self._source.where)
        if mistakes := await self._applier.examine(loaded.config):
            raise ConfigMistakesError(self._source.where, mistakes)
        reason = "a command went back to the one before"
        await self._put_back(Committed(before, Kept()), self._answer_to(now.kept, "rolled_back", reason), loaded)
        what = f"version {before.version}" if before.version else "the device's file alone"
        self._publisher.event("config-rolled-back", "warning", f"{reason}: {what}", version=now.kept.version)
        self._report(self._answered)
        return what

    async def _put_back(self, committed: Committed, answer: Answer, loaded: Loaded) -> None:
        """On the disk first: an agent that is set up anew for it begins with it. Raises ConfigError."""
        was = self._committed, self._answered, self.loaded
        try:
            await anyio.to_thread.run_sync(self._store.commit, committed, answer)
            self._committed, self._answered = committed, answer
            failed = await self._bring(loaded, Undone())
            if isinstance(failed, Failed):
                self._committed, self._answered = was[:2]
                await anyio.to_thread.run_sync(self._store.commit, *was[:2])
                await self._bring(was[2], Undone())
                raise ConfigError(f"it cannot be brought into force: {failed.reason}", code="not_in_force")
        except OSError as error:
            raise ConfigError(f"it cannot be stored: {error.strerror or error}", code="not_stored") from error

    # the trial

    async def _try(self, kept: Kept | None, loaded: Loaded, local: list[Layer], trial_s: float) -> None:
        limit_s = max(trial_s, self.config.remote.trial_limit_s)
        self._tried = _Tried(kept, loaded, local, self.loaded, self._applier.facts(), self._clock.wall_ms())
        self._restarted = ()
        await self._step(Begin(Times(trial_s, limit_s)))

    async def _step(self, event: Event) -> None:
        self._course, actions = step(self._course, event)
        for action in actions:
            follows = await self._do(action)
            if follows is not None:
                await self._step(follows)
                return

    async def _do(self, action: Action) -> Event | None:
        """Carry it out; what it comes to."""
        tried = self._tried
        if action == "settle":
            await self._settle(tried)
        elif action == "give_up":
            raise ConfigLostError(
                f"the last good config cannot be brought into force: {self._course.reason}",
                mend="systemd starts the agent anew, with the last good config",
            )
        elif tried is None:
            raise LookupError(f"{action} without a trial")
        elif action == "keep":
            return await self._keep_trial(tried)
        elif action == "apply":
            return await self._bring(tried.loaded, Applied(self._now_s()))
        elif action == "watch":
            self._tell_trial(tried)
        elif action == "commit":
            return await self._commit(tried)
        elif action == "finish":
            self._finish(tried)
        elif action == "undo":
            return await self._bring(tried.previous, Undone())
        return None

    async def _keep_trial(self, tried: _Tried) -> Event | None:
        if tried.kept is None:
            return None
        try:
            await anyio.to_thread.run_sync(self._store.keep_trial, tried.kept)
        except OSError as error:
            return Failed(f"it cannot be stored: {error.strerror or error}")
        self._acknowledge()
        return None

    async def _bring(self, loaded: Loaded, done: Event) -> Event:
        """Whatever goes wrong in here, the device is to go back."""
        self.loaded = loaded
        try:
            restarted = await self._applier.bring_into_force(loaded.config)
        except EdgeAgentError as error:
            return Failed(error.line())
        except Exception as error:
            log.exception("apply", reason=str(error))
            return Failed(f"{type(error).__name__}: {error}"[:500])
        self._restarted = tuple(restarted)
        return replace(done, now_s=self._now_s()) if isinstance(done, Applied) else done

    def could_not_start(self, error: EdgeAgentError) -> bool:
        """An agent could not be made of `loaded`. True when another may be made, of the config before it."""
        if self._course.state != "applying" or self._tried is None:
            return False
        self._course, _ = step(self._course, Failed(error.line()))
        self.loaded = self._tried.previous
        return True

    async def _look(self, tried: _Tried) -> None:
        changed = self._applier.changed(tried.previous.config, tried.loaded.config)
        word, reason = judge(tried.before, changed, self._applier.facts())
        await self._step(Look(word, reason, self._now_s()))
        if self._course.state == "trial" and reason != self._told:
            self._told = reason
            log.info("trial", word=word, reason=reason)
            self._report_trial(tried)

    async def _commit(self, tried: _Tried) -> Event:
        if tried.kept is None:
            return Stored()
        committed = Committed(tried.kept, self._committed.kept)
        answer = self._answer_to(tried.kept, "committed", "")
        try:
            await anyio.to_thread.run_sync(self._store.commit, committed, answer)
        except OSError as error:
            return Failed(f"it cannot be stored: {error.strerror or error}")
        self._committed, self._answered = committed, answer
        return Stored()

    def _finish(self, tried: _Tried) -> None:
        """It is the last known good config from now on."""
        self._tried, self._told, self._misfit, self._local = None, "", (), tried.local
        what = f"version {tried.kept.version}" if tried.kept is not None else "the device's file"
        log.info("committed", what=what, restarted=",".join(self._restarted))
        self._publisher.event("config-committed", "info", f"{what} is in force", version=_version(tried.kept))
        self._report(self._answered)

    async def _settle(self, tried: _Tried | None) -> None:
        """The last known good config is in force again, or has been all the time."""
        kept = tried.kept if tried is not None else self._left
        reason, self._left, self._tried, self._told = self._course.reason, None, None, ""
        what = f"version {kept.version}" if kept is not None else "the device's file"
        log.warning("rolled_back", what=what, reason=reason)
        text = f"{what} was taken back: {reason}"[:1000]
        self._publisher.event("config-rolled-back", "error", text, version=_version(kept))
        if kept is not None:
            await self._keep_answer(self._answer_to(kept, "rolled_back", reason))
            self._forget(kept)
        self._report(self._answered)

    def _forget(self, kept: Kept) -> None:
        """What a trial that a crash has ended may have left on the broker."""
        pipelines = kept.layer.get("pipelines")
        for name in pipelines if isinstance(pipelines, dict) else ():
            if name not in self.config.pipelines:
                self._publisher.forget_pipeline(name)

    def _answer_to(self, kept: Kept, state: Literal["committed", "rolled_back"], reason: str) -> Answer:
        now_ms = self._clock.wall_ms()
        return Answer(kept.version, state, kept.digest, reason, (), kept.by, now_ms, self._restarted)

    async def _keep_answer(self, answer: Answer, *, only_tidy: bool = False) -> None:
        """On the disk where it can be; a disk that does not take it costs the answer to the next redelivery only."""
        self._answered = answer
        if only_tidy and not self._store.has_trial():
            return
        try:
            await anyio.to_thread.run_sync(self._store.answer, answer)
        except OSError as error:
            log.error("store", reason=error.strerror or str(error))

    # telling

    def _tell_trial(self, tried: _Tried) -> None:
        what = f"version {tried.kept.version}" if tried.kept is not None else "the device's file"
        log.info("trial", what=what, restarted=",".join(self._restarted))
        self._publisher.event("config-trial", "info", f"{what} is on trial", version=_version(tried.kept))
        self._report_trial(tried)

    def _report(self, answer: Answer) -> None:
        self._publisher.config_reported(report_of(answer, self.in_force, self.config))

    def _report_refused(self, state: str, version: int, reason: str, by: str) -> None:
        now_ms = self._clock.wall_ms()
        values = refused_report(state, version, reason, self.in_force, self.config, by=by, now_ms=now_ms)
        self._publisher.config_reported(values)

    def _report_trial(self, tried: _Tried) -> None:
        if tried.kept is not None:
            left = math.ceil(left_s(self._course, self._now_s()))
            values = trial_report(
                tried.kept, self.in_force, self.config,
                left_s=left, restarted=self._restarted, reason=self._told, since_ts=tried.since_ts,
            )  # fmt: skip
            self._publisher.config_reported(values)

    def _now_s(self) -> float:
        return self._clock.monotonic_ns() / 1e9


def _version(kept: Kept | None) -> int | None:
    return kept.version if kept is not None else None
