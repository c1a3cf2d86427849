"""What is said about shedding: an event a step, a retained state a pipeline, the pipeline's health."""

from __future__ import annotations

from collections.abc import Iterable

import structlog

from edgeagent.app.publisher import Publisher
from edgeagent.clock import Clock
from edgeagent.thermal.governor import Level
from edgeagent.thermal.ladder import Change, Grant, Ladder, Taken
from edgeagent.thermal.steps import Step

log = structlog.get_logger("shedding")


class ShedWords:
    """Says each thing once: a state that is as it was is not published again."""

    def __init__(self, publisher: Publisher, clock: Clock) -> None:
        self._publisher = publisher
        self._clock = clock
        self._told: dict[str, dict[str, object]] = {}
        self._since: dict[str, tuple[float, int]] = {}

    def changed(self, change: Change, level: Level) -> None:
        """A step was taken or given back."""
        taken = change.taken
        step, pipeline = taken.step.line(), taken.pipeline
        if change.down:
            log.warning("shed", pipeline=pipeline, step=step, reason=taken.reason, level=level)
            passed = "; ".join(f"{one.line()}: {why}" for one, why in change.passed)
            self._publisher.event(
                "shed", "warning", f"{pipeline} sheds: {step}, because {taken.reason or level}",
                pipeline=pipeline, step=step, code=taken.code, level=level, passed=passed or None,
            )  # fmt: skip
            return
        lasted_s = round(change.lasted_s, 1)
        log.info("restored", pipeline=pipeline, step=step, lasted_s=lasted_s)
        self._publisher.event(
            "restored", "info", f"{pipeline} has back what it gave up {lasted_s:g} s ago: {step}",
            pipeline=pipeline, step=step, code=taken.code, level=level, lasted_s=lasted_s,
        )  # fmt: skip

    def came_to_nothing(self, taken: Taken, why: str) -> None:
        """A step was taken and could not be carried out."""
        step = taken.step.line()
        log.warning("step_failed", pipeline=taken.pipeline, step=step, reason=why, next="the step after it")
        self._publisher.event(
            "shed-failed", "warning", f"{taken.pipeline} could not shed: {step}: {why}",
            pipeline=taken.pipeline, step=step, reason=why,
        )  # fmt: skip

    def state(self, ladder: Ladder, grant: Grant, now_s: float, unavailable: Iterable[tuple[Step, str]]) -> None:
        """How a pipeline is, where that is news."""
        first, last = (grant.steps[0], grant.steps[-1]) if grant.steps else (None, None)
        values: dict[str, object] = {
            "state": "paused" if grant.paused else "shed" if last else "full",
            "share_percent": round(grant.share * 100, 3),
            "max_per_s": grant.per_s,
            "steps": tuple(taken.step.line() for taken in grant.steps),
            "code": last.code if last else "",
            "reason": last.reason if last else "",
            "unavailable": tuple(f"{step.line()}: {why}" for step, why in unavailable),
            "priority": ladder.priority,
            "critical": ladder.critical,
        }
        if self._told.get(ladder.pipeline) == values:
            return
        self._told[ladder.pipeline] = values
        self._publisher.shedding(ladder.pipeline, **values, since_ts=self._since_ms(ladder.pipeline, first, now_s))
        self._health(ladder.pipeline, last)

    def _since_ms(self, pipeline: str, first: Taken | None, now_s: float) -> int | None:
        """When the first step was taken, as wall time: the same in every message, whatever the clock does meanwhile."""
        if first is None:
            self._since.pop(pipeline, None)
            return None
        if self._since.get(pipeline, (None, 0))[0] != first.since_s:
            wall_ms = self._clock.wall_ms() - round((now_s - first.since_s) * 1000)
            self._since[pipeline] = first.since_s, wall_ms
        return self._since[pipeline][1]

    def _health(self, pipeline: str, last: Taken | None) -> None:
        name = f"pipeline/{pipeline}"
        if last is not None:
            self._publisher.note(name, "degraded", f"sheds {last.step.line()}: {last.reason or last.code}")
        elif self._publisher.component(name) is not None:
            self._publisher.note(name, "ok")
