"""The governor's desk: looks at the board, asks `thermal.governor` what follows, and tells everybody who steers.

One desk for the process. Whole samples come from whoever samples the board anyway; while an engine is built the desk
looks more often by itself, at what is cheap to read. What is decided is decided in `thermal/`, which is pure; what a
verdict does to a build is build_steer.py's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import anyio
import structlog

from edgeagent.app.sensing import Counters, Slow, sense_of, slow_of
from edgeagent.app.stream_watch import StreamWatch
from edgeagent.board.reading import OverCurrent, Reading
from edgeagent.clock import Clock
from edgeagent.config.schema import ThermalSettings
from edgeagent.health.book import Word
from edgeagent.thermal.governor import GovernorRules, begin, govern
from edgeagent.thermal.verdict import LEVELS, Level, Verdict

log = structlog.get_logger("governor")

LOOK_S, CALM_LOOK_S = 0.5, 1.0  # between two looks while a build runs
SLICED_LEAST_LOOK_S = 1.5  # while the ends of slices are looked at anyway: for a whole sample to be looked at at once
LEAST_LOOK_S = 0.3
HEALTH: dict[Level, Word] = {"nominal": "ok", "warm": "ok", "hot": "degraded", "critical": "degraded"}

BLIND = ("blind", "blind_memory")

Noter = Callable[[str, Word, str], None]
Measurer = Callable[[dict[str, float]], None]


def rules_for(settings: ThermalSettings, *, heat_expected: bool = True, most_duty: float = 1.0) -> GovernorRules:
    """The rules as the operator set them. `heat_expected`: this board has zones that throttle; `most_duty`: no build is
    to have more."""
    return GovernorRules(
        set_point_below_c=settings.set_point_below_c,
        memory_floor_mb=settings.memory_floor_mb,
        heat_expected=heat_expected,
        most_duty=most_duty,
    )


def _health(verdict: Verdict) -> Word:
    return "degraded" if verdict.reason.code in BLIND else HEALTH[verdict.level]


class GovernorDesk:
    """Senses, governs, tells. For the event loop only.

    `read` gives a quick sample (None: there is none, only whole ones count); `note` and `measure` publish. Without
    `thermal.govern` there is no verdict, and whoever steers by it does nothing.
    """

    def __init__(
        self,
        settings: ThermalSettings,
        clock: Clock,
        *,
        heat_expected: bool = True,
        note: Noter = lambda name, health, reason: None,
        measure: Measurer = lambda values: None,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._heat_expected = heat_expected
        self._rules = rules_for(settings, heat_expected=heat_expected)
        self._state = begin(self._rules)
        self._note = note
        self._measure = measure
        self._takers: list[Callable[[Verdict], None]] = []
        self._counters = Counters()
        self._slow = Slow()
        self._looked_s = float("-inf")
        self._building = False
        self.build_stands_still = False
        self._is_sliced = False
        self._began, self._needed = anyio.Event(), anyio.Event()
        self._not_looked_at: tuple[OverCurrent, ...] = ()
        self.read: Callable[[], Reading] | None = None
        self.power_cap_w: float | None = None
        self.streams = StreamWatch()
        self.verdict: Verdict | None = None

    def change(self, settings: ThermalSettings) -> None:
        """Govern by these settings from now on; a build that runs keeps the duty that it was begun with."""
        self._settings = settings
        if not self._building:
            self._rules = rules_for(settings, heat_expected=self._heat_expected)
        if not settings.govern:
            self.verdict = None

    def subscribe(self, take: Callable[[Verdict], None]) -> Callable[[], None]:
        """Every verdict goes to `take` from now on, until the function that this returns is called."""
        self._takers.append(take)
        return lambda: self._takers.remove(take)

    @property
    def governs(self) -> bool:
        """Whether builds and pipelines are steered at all."""
        return self._settings.govern

    @property
    def is_building(self) -> bool:
        return self._building

    @property
    def build_is_sliced(self) -> bool:
        """Whoever slices the build calls `look_now` when slices end: no wake-up is needed for a look."""
        return self._is_sliced

    @build_is_sliced.setter
    def build_is_sliced(self, is_sliced: bool) -> None:
        if self._is_sliced and not is_sliced:
            self._wake()
        self._is_sliced = is_sliced

    @contextmanager
    def building(self, most_duty: float = 1.0) -> Iterator[None]:
        """A build works within the block, with at most this duty."""
        self._rules = rules_for(self._settings, heat_expected=self._heat_expected, most_duty=most_duty)
        self._building = True
        self._began.set()
        try:
            yield
        finally:
            self._building, self._began = False, anyio.Event()
            self.build_stands_still = False
            self.build_is_sliced = False
            self._rules = rules_for(self._settings, heat_expected=self._heat_expected)

    def streams_taken(self, pipeline: str, values: Mapping[str, object]) -> None:
        """A pipeline's summary of its last second."""
        slowed = self.verdict is not None and self.verdict.allowance < 1.0
        works = self._building and not self.build_stands_still
        self.streams.take(pipeline, values, undisturbed=not works and not slowed)

    def take(self, reading: Reading) -> None:
        """A whole sample of the board."""
        self._slow = slow_of(reading, self._now_s())
        self._not_looked_at = reading.over_current
        if not self._building or self._is_due(SLICED_LEAST_LOOK_S if self._is_sliced else LEAST_LOOK_S):
            self._look(reading)
        self._publish()

    def look_now(self) -> None:
        """A quick look, unless one was made a moment ago."""
        if self.read is not None and self._is_due(LEAST_LOOK_S):
            self._look(self.read())

    async def run(self) -> None:
        """Until cancelled: look often while a build works. A look from elsewhere puts the next one off."""
        while True:
            await self._began.wait()
            while self._building:
                if self._is_sliced and self.verdict is not None and self.verdict.memory_is_far:
                    await self._needed.wait()
                    continue
                left_s = self._looked_s + self._look_s - self._now_s()
                if left_s > 0:
                    await anyio.sleep(left_s)
                else:
                    self.look_now()
                    await anyio.sleep(self._look_s)

    def _look(self, reading: Reading) -> None:
        now_s = self._now_s()
        self._looked_s = now_s
        if not self._settings.govern:
            return
        sense, self._counters = sense_of(
            reading,
            self._counters,
            now_s,
            slow=self._slow,
            streams=self.streams.streams(),
            power_cap_w=self.power_cap_w,
            over_current=self._not_looked_at,
        )
        self._not_looked_at = ()
        before = self.verdict
        self._state, self.verdict = govern(self._rules, self._state, sense, building=self._building)
        if self._is_sliced and not self.verdict.memory_is_far:
            self._wake()
        self._tell_level(before, self.verdict)
        for take in tuple(self._takers):
            take(self.verdict)

    def _wake(self) -> None:
        """Looks of the desk's own are needed again."""
        self._needed.set()
        self._needed = anyio.Event()

    def _tell_level(self, before: Verdict | None, now: Verdict) -> None:
        if before is None or before.level != now.level:
            log.info("level", level=now.level, reason=now.reason.text, code=now.reason.code, hottest=now.hottest)
        elif _health(before) == _health(now):
            return
        health = _health(now)
        self._note("governor", health, f"{now.level}: {now.reason.text or now.hottest}" if health != "ok" else "")

    def _publish(self) -> None:
        verdict = self.verdict
        if verdict is None:
            return
        values: dict[str, float | None] = {
            "level": LEVELS.index(verdict.level),
            "build_duty": round(verdict.build_duty, 3) if self._building else None,
            "allowance": round(verdict.allowance, 3),
            "headroom_c": verdict.headroom_c,
            "set_point_c": verdict.set_point_c,
            "frames_kept": self.streams.streams().frames_kept,
        }
        self._measure({name: round(value, 3) for name, value in values.items() if value is not None})

    @property
    def _look_s(self) -> float:
        calm = self.verdict is not None and self.verdict.level == "nominal" and self.verdict.memory_is_far
        return CALM_LOOK_S if calm else LOOK_S

    def _is_due(self, after_s: float) -> bool:
        return self._now_s() - self._looked_s >= after_s

    def _now_s(self) -> float:
        return self._clock.monotonic_ns() / 1e9
