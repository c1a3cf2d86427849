"""Steers one build by the governor's verdicts: slows its processes, ends it before it does harm, says why.

The means are chosen by steer_news.py, the slices are cut by supervise/pace.py, the rest between TensorRT's steps is
kept by the build itself (engine/build/rest.py). Whatever ends the steering, the build's processes run afterwards, so
that they can hear what they are told.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import anyio
import structlog

from edgeagent.app.governor import GovernorDesk
from edgeagent.app.steer_news import News, Paces, Pacing, choose_paces, next_news, pace_line
from edgeagent.clock import Clock
from edgeagent.engine.build.messages import Conditions, Resting
from edgeagent.engine.build.messages import Pace as PaceWord
from edgeagent.errors import EdgeAgentError
from edgeagent.supervise.child import Child
from edgeagent.supervise.messages import Message
from edgeagent.supervise.pace import Pace, RunningClock
from edgeagent.thermal.verdict import Reason, Verdict

log = structlog.get_logger("steer")

STEP_CHANGE = 0.02  # in the duty that the build keeps itself: less is not told
TOLD_EVERY_S = 1.0
CONDITIONS_EVERY_S = 4.0
STILL_S = 1.0  # after this long at a standstill, what pipelines do is what they do by themselves
MOST_LEARNT_S = 15.0  # a pipeline that shows nothing in this time is not waited for any longer
LEARNS = Reason("cameras", "the pipelines show what they do by themselves")
KINDS = {"free": "build-resumed", "slowed": "build-slowed", "paused": "build-paused"}


class BuildEnded(EdgeAgentError):
    """The governor has ended a build for the board's sake."""

    code = "too_hot"
    who = "hardware"


ENDINGS: dict[str, tuple[str, str]] = {
    "memory": ("memory_falling", "the build was ended before memory ran out"),
    "critical": ("too_hot", "the build was ended to keep the board from throttling"),
    "stuck": ("held_back", "the build was ended: it was held at a standstill for too long"),
}


@dataclass(frozen=True)
class Steered:
    """What is shown of a steered build: `line` for the progress line, empty at full pace."""

    duty: float
    level: str
    line: str = ""
    reason: str = ""


class SteerWords(Protocol):
    """Whom a steered build is told to."""

    def steered(self, now: Steered) -> None: ...

    def steer_event(self, kind: str, text: str, *, duty: float, code: str, warns: bool) -> None: ...


class BuildSteer:
    """One build. `clock` stands still while its processes are stopped, `busy_clock` also while they rest.

    `on_end` is called, once, with the reason why the build has to end.
    """

    def __init__(
        self, desk: GovernorDesk, pacing: Pacing, clock: Clock, words: SteerWords, *, ceiling: float = 1.0
    ) -> None:
        self._desk = desk
        self._pacing = pacing
        self._clock = clock
        self._words = words
        self._ceiling = ceiling
        self._pace: Pace | None = None
        self._resting = Resting(active=False)
        self._verdict: Verdict | None = None
        self._news = News()
        self._still_since_s: float | None = None
        self._told_s = float("-inf")
        self._told: Steered | None = None
        self._pace_said = PaceWord()
        self._least_headroom_c: float | None = None
        self._conditions_s = float("-inf")
        self._to_say: dict[str, Message] = {}
        self._changed = anyio.Event()
        self._learns_since_s: float | None = None
        self._ended = False
        self.clock = RunningClock(clock, self._stopped_s)
        self.busy_clock = RunningClock(clock, lambda: self._stopped_s() + self._resting.rested_s)
        self.on_end: Callable[[BuildEnded], None] = lambda error: None

    def heard(self, word: Resting) -> None:
        """The build says how it keeps its pace itself."""
        self._resting = word
        if self._verdict is not None:
            self._apply(self._verdict)

    async def run(self, child: Child) -> None:
        """Until cancelled."""
        self._pace = pace = Pace(child.signal, self._clock)
        pace.on_ran = self._desk.look_now
        unsubscribe = self._desk.subscribe(self._take)
        try:
            with self._desk.building(self._ceiling):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(pace.run)
                    tasks.start_soon(self._pass_on, child)
                    self._desk.look_now()
        finally:
            unsubscribe()

    def _stopped_s(self) -> float:
        return self._pace.stopped_s if self._pace is not None else 0.0

    def _take(self, verdict: Verdict) -> None:
        self._verdict = verdict
        if verdict.cancel and not self._ended:
            self._end(verdict)
            return
        self._apply(verdict)
        self._tell(verdict)

    def _end(self, verdict: Verdict) -> None:
        self._ended = True
        code, what = ENDINGS[verdict.cancel]
        error = BuildEnded(f"{what}: {verdict.reason.text}", mend=verdict.reason.mend, retry=True, code=code)
        log.warning("build_ended", code=code, reason=verdict.reason.text, level=verdict.level)
        self._words.steer_event("build-cancelled", error.line(), duty=self._duty(), code=code, warns=True)
        self.on_end(error)

    def _duty(self) -> float:
        if self._verdict is None or self._pacing == "off":
            return 1.0
        return 0.0 if self._learns() else min(self._verdict.build_duty, self._ceiling)

    def _learns(self) -> bool:
        """A pipeline runs of which nobody knows yet what it does by itself: the build lets it do so for a while."""
        if self._pacing == "off" or self._desk.streams.knows_all:
            return False
        if self._learns_since_s is None:
            self._learns_since_s = self._now_s()
        return self._now_s() - self._learns_since_s < MOST_LEARNT_S

    def _reason(self, verdict: Verdict) -> Reason:
        return LEARNS if self._learns() else verdict.reason

    def _apply(self, verdict: Verdict) -> None:
        duty, rest = self._duty(), self._resting
        still_s = self._still_s(duty)
        self._desk.build_stands_still = still_s >= STILL_S
        paces = choose_paces(
            self._pacing,
            duty,
            verdict.level,
            has_steps=rest.active,
            resting=rest.resting,
            still_s=still_s,
        )
        if self._pace is not None:
            self._pace.set_duty(paces.signals)
            self._desk.build_is_sliced = 0.0 < self._pace.duty < 1.0
        self._say(paces, verdict)

    def _say(self, paces: Paces, verdict: Verdict) -> None:
        """What the build has to know, in its channel before it asks itself whether what it timed is worth keeping."""
        word, said = PaceWord(duty=round(paces.steps, 3), signals=paces.signals < 1.0), self._pace_said
        at_end = word.duty in (0.0, 1.0) and word.duty != said.duty
        if word.signals != said.signals or at_end or abs(word.duty - said.duty) >= STEP_CHANGE:
            self._pace_said = self._to_say["pace"] = word
        least_c = self._least_headroom_c
        if verdict.headroom_c is not None:
            self._least_headroom_c = verdict.headroom_c if least_c is None else min(least_c, verdict.headroom_c)
        if self._now_s() - self._conditions_s >= CONDITIONS_EVERY_S:
            self._conditions_s = self._now_s()
            self._to_say["conditions"] = Conditions(
                stopped_s=round(self._stopped_s(), 3), headroom_c=self._least_headroom_c
            )
        if self._to_say:
            self._changed.set()

    async def _pass_on(self, child: Child) -> None:
        """The newest word of each kind: a build that does not listen is not told everything that it has missed."""
        while True:
            await self._changed.wait()
            self._changed = anyio.Event()
            words, self._to_say = self._to_say, {}
            for word in words.values():
                await child.send(word)

    def _still_s(self, duty: float) -> float:
        """For how long the build has been told to stand still."""
        if duty > 0.0:
            self._still_since_s = None
            return 0.0
        if self._still_since_s is None:
            self._still_since_s = self._now_s()
        return self._now_s() - self._still_since_s

    def _tell(self, verdict: Verdict) -> None:
        duty, now_s, reason = self._duty(), self._now_s(), self._reason(verdict)
        line = pace_line(duty, reason.text)
        steered = Steered(round(duty, 2), verdict.level, line, reason.text if line else "")
        if steered != self._told and now_s - self._told_s >= TOLD_EVERY_S:
            self._told, self._told_s = steered, now_s
            self._words.steered(steered)
        self._news, word = next_news(self._news, duty, reason.code, now_s)
        if word is not None:
            text = {
                "free": "the build goes on at full pace",
                "slowed": f"the build goes on, {line}",
                "paused": f"the build stands still: {reason.text}",
            }[word]
            log.info("pace", word=word, duty=round(duty, 2), level=verdict.level, reason=reason.text)
            self._words.steer_event(KINDS[word], text, duty=round(duty, 2), code=reason.code, warns=word == "paused")

    def _now_s(self) -> float:
        return self._clock.monotonic_ns() / 1e9
