"""Desired configs as they come in: read, checked, handed to the trial or answered.

One desk for the process; it outlives agents that are set up anew in it. Wishes are taken one after the other, and of
those that wait only the newest counts. A wish is acknowledged to the broker when it is on the disk, as a trial or as
answered: what is cut off before that comes again. The device's own file can be read anew, too: it goes through the same
trial, but is not remembered as one: after a crash the file is simply what it is.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

import anyio
import anyio.to_thread

from edgeagent.app.config_news import ConfigNews
from edgeagent.app.config_report import errors_of
from edgeagent.app.config_trial import Applier, ConfigTrial
from edgeagent.app.publisher import Publisher
from edgeagent.clock import Clock
from edgeagent.config.beginning import Beginning, LocalConfig, allowed, compose_over
from edgeagent.config.desired import MAX_BYTES, Again, Answer, Candidate, Refused, Wish, consider, skips_too_many
from edgeagent.config.effective import Loaded, compose
from edgeagent.config.layers import Layer
from edgeagent.config.mistake import ConfigMistakesError
from edgeagent.config.schema import Config
from edgeagent.desired_layer import highest_after
from edgeagent.errors import ConfigError, EdgeAgentError
from edgeagent.fleet.envelope import MessageError
from edgeagent.fleet.inbound import parse_desired, version_of

LOOK_S = 0.5
FIXED = ("state_dir", "run_dir")  # cannot change under a running agent
Heard = tuple[bytes, Callable[[], None]]


class ConfigDesk:
    """For the event loop only, but for being made. `on_reload` is told when the file is being read, and when that is
    over."""

    def __init__(self, beginning: Beginning, source: LocalConfig, clock: Clock, look_s: float = LOOK_S) -> None:
        self._source = source
        self._clock = clock
        self._look_s = look_s
        self._trial = ConfigTrial(beginning, clock)
        self._trial.on_kept = self._on_disk
        self._heard: Heard | None = None
        self._acknowledge: Callable[[], None] = lambda: None
        self._reload = False
        self._wake, self._busy = anyio.Event(), anyio.Lock()
        self.on_reload: Callable[[Literal["reloading", "ready"]], None] = lambda word: None

    @property
    def loaded(self) -> Loaded:
        """What is in force, or is being brought into force."""
        return self._trial.loaded

    @property
    def config(self) -> Config:
        return self._trial.config

    @property
    def file(self) -> Path | None:
        """The device's own file."""
        return self._source.path

    def bind(self, publisher: Publisher, applier: Applier) -> None:
        """The agent that runs from now on."""
        self._news, self._applier = ConfigNews(publisher), applier
        self._trial.bind(self._news, applier)

    def could_not_start(self, error: EdgeAgentError) -> bool:
        """An agent could not be made of `config`. True when another may be made, of the one that counts now."""
        return self._trial.could_not_start(error)

    def _on_disk(self) -> None:
        self._acknowledge()

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
        self._wake, self._busy = anyio.Event(), anyio.Lock()  # of this loop: an agent that follows has another
        if self._heard is not None or self._reload:
            self._wake.set()
        await self._trial.resume()
        while True:
            with anyio.move_on_after(self._look_s if self._trial.runs else math.inf):
                await self._wake.wait()
            self._wake = anyio.Event()
            async with self._busy:
                await self._one_round()

    async def _one_round(self) -> None:
        tried = self._trial.tried
        if self._heard is not None and (tried is None or tried.kept is not None):
            await self._consider(*self._heard)
        if self._reload and self._trial.tried is None:
            await self._read_file()
        await self._trial.look()
        if self._trial.tried is None and (self._heard is not None or self._reload):
            self._wake.set()

    async def go_back(self) -> str:
        """The desired config before the committed one is in force from now on, untried: it was good once. In words.

        Raises ConfigError where there is none, or it is no good any more: everything is as it was then.
        """
        async with self._busy:
            trial, before = self._trial, self._trial.committed.before
            if trial.tried is not None:
                raise ConfigError("a config is on trial", mend="wait for its end, or send another", code="on_trial")
            if not trial.committed.kept.version:
                raise ConfigError("no desired config is in force", mend="publish one", code="no_config")
            loaded = compose_over(trial.local, before, self._source.where)
            if mistakes := await self._applier.examine(loaded.config):
                raise ConfigMistakesError(self._source.where, mistakes)
            await trial.go_back(loaded)
            return f"version {before.version}" if before.version else "the device's file alone"

    # wishes

    async def _consider(self, payload: bytes, acknowledge: Callable[[], None]) -> None:
        self._heard, self._acknowledge = None, acknowledge
        wish = self._read(payload)
        if wish is None:
            acknowledge()
            return
        on_trial = self._trial.tried.kept if self._trial.tried is not None else None
        if on_trial is not None and (wish.version, wish.digest) == (on_trial.version, on_trial.digest):
            acknowledge()
            self._trial.report()
            return
        if on_trial is not None and on_trial.version < wish.version <= highest_after(on_trial.version):
            await self._trial.drop(f"version {wish.version} has come")
        await self._answer(wish)

    def _read(self, payload: bytes) -> Wish | None:
        """None for no wish, and for one that cannot be read, which is told."""
        try:
            if len(payload) > MAX_BYTES:
                raise MessageError(f"it is larger than {MAX_BYTES} bytes")
            found = parse_desired(payload)
        except MessageError as error:
            version = version_of(payload) if len(payload) <= MAX_BYTES else 0
            self._tell_refused("rejected", version, f"the message cannot be read: {error}", "")
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
            kept = replace(found.kept, ts=self._clock.wall_ms())
            trial_s = found.trial_s or self.config.remote.trial_s
            await self._trial.begin(kept, found.loaded, self._trial.local, trial_s)
        elif isinstance(found, Again):
            self._acknowledge()
            self._trial.report()
        elif found.word == "ignored":
            self._acknowledge()
            self._tell_refused("ignored", wish.version, found.reason, wish.by)
        else:
            await self._reject(wish, found)

    def _checked(self, wish: Wish) -> Candidate | Again | Refused:
        trial, on_trial = self._trial, self._trial.tried
        if not self.config.remote.config:
            return Refused("rejected", "remote.config is false in the device's file")
        if on_trial is not None and on_trial.kept is not None:
            newest = on_trial.kept.version
            not_newer = Refused("ignored", f"version {newest} is on trial: a wish needs a higher one")
            return skips_too_many(wish, newest) or not_newer
        return consider(wish, trial.in_force, trial.answered, trial.local, allowed(trial.local))

    async def _reject(self, wish: Wish, refused: Refused) -> None:
        errors, now_ms = errors_of(refused.errors), self._clock.wall_ms()
        answer = Answer(wish.version, "rejected", wish.digest, refused.reason, errors, wish.by, since_ts=now_ms)
        await self._trial.keep_answer(answer)
        self._acknowledge()
        self._news.rejected(wish.version, refused.reason, refused.errors)
        self._trial.report()

    def _tell_refused(self, state: str, version: int, reason: str, by: str) -> None:
        now_ms = self._clock.wall_ms()
        answered = self._trial.answered.version
        in_force, config = self._trial.in_force, self.config
        self._news.refused(state, version, reason, in_force, config, answered=answered, by=by, now_ms=now_ms)
        if self._trial.tried is not None:
            self._trial.report()  # what is retained is how the trial goes

    # the file

    async def _read_file(self) -> None:
        self._reload = False
        self.on_reload("reloading")
        try:
            await self._try_file()
        except ConfigError as error:
            self._news.file_refused(error.line(), error.mistakes if isinstance(error, ConfigMistakesError) else ())
        finally:
            self.on_reload("ready")

    async def _try_file(self) -> None:
        """Raises ConfigError for a file that is no good."""
        local = await anyio.to_thread.run_sync(self._source.read)
        loaded = self._composed(local)
        for key in FIXED:
            if getattr(loaded.config.device, key) != getattr(self.config.device, key):
                raise ConfigError(f"device.{key} has changed", mend="restart the agent for that")
        if loaded.config == self.config:
            self._trial.local, self._trial.loaded = local, loaded
            self._trial.report()
            self._news.file_as_before()
            return
        if mistakes := await self._applier.examine(loaded.config):
            raise ConfigMistakesError(self._source.where, mistakes)
        await self._trial.begin(None, loaded, local, loaded.config.remote.trial_s)

    def _composed(self, local: list[Layer]) -> Loaded:
        """The file under what is committed; alone, where that has not fitted it before and does not now."""
        try:
            return compose_over(local, self._trial.committed.kept, self._source.where)
        except ConfigError:
            if not self._trial.misfit:
                raise
            return compose(local, self._source.where)
