"""The outbox in the agent's life: opened before the link, closed after it, and what a person has to know of it.

Told are: a damaged file (an event for each), messages that wait in memory only (an alarm while it lasts), events that
were dropped for want of space (an alarm, and an event with their number when there is room again), and messages that
the broker will not have (an alarm, one a topic).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final

import anyio
import structlog

from edgeagent.app.publisher import Publisher
from edgeagent.clock import Clock
from edgeagent.fleet.outbox import Outbox
from edgeagent.fleet.outbox_keeper import OutboxView
from edgeagent.fleet.sender import Refusal, Sender, SenderStats
from edgeagent.health.book import Word

log = structlog.get_logger("outbox")

ROOM_AGAIN: Final = 0.8
"""Share of the budget below which the outbox counts as no longer full."""
REFUSED_FOR_S: Final = 3600.0
"""For how long a refusal stays an alarm."""
_TOPICS_TOLD: Final = 100
_NS: Final = 1_000_000_000


class OutboxDesk:
    """For the event loop."""

    def __init__(self, outbox: Outbox, sender: Sender, publisher: Publisher, clock: Clock) -> None:
        self._outbox = outbox
        self._sender = sender
        self._publisher = publisher
        self._clock = clock
        self._told_aside = 0
        self._full_since_ms: int | None = None
        self._lost_before = 0
        self._refused: dict[str, str] = {}
        self._refused_ns = 0

    async def open(self) -> None:
        """Reads what an earlier run left. Never fails for the disk's sake."""
        left = await anyio.to_thread.run_sync(self._outbox.open)
        self._sender.opened(left)
        if left:
            log.info("outbox", state="opened", waiting=len(left))
        self.second()

    async def close(self) -> None:
        """Writes what is left; nothing is kept afterwards."""
        await anyio.to_thread.run_sync(self._outbox.close)

    async def flush(self) -> bool:
        """Waits until all that was published before, and must arrive, is safe from a power cut; False: it is not."""
        return await asyncio.wrap_future(self._sender.flush())

    def measure(self) -> dict[str, float]:
        """For `m/agent`."""
        stats = self._sender.waiting()
        return {
            "outbox_waiting": stats.waiting,
            "outbox_bytes": stats.bytes,
            "outbox_dropped": stats.losses.total,
        }

    def second(self) -> None:
        """Once a second."""
        self._sender.second()
        view, stats = self._outbox.view(), self._sender.waiting()
        self._tell_damage(view)
        self._tell_disk(view)
        self._tell_full(stats)
        self._tell_refusals(self._sender.take_refusals())
        self._publisher.note("outbox", *self._health(view))

    def _health(self, view: OutboxView) -> tuple[Word, str]:
        if not view.on_disk:
            return "degraded", f"messages wait in memory only: {view.reason}"
        if self._full_since_ms is not None:
            return "degraded", "full: the oldest events are dropped"
        if self._refused:
            return "degraded", self._refused_text()
        return "ok", ""

    def _tell_damage(self, view: OutboxView) -> None:
        for name, reason in view.set_aside[self._told_aside :]:
            text = f"the outbox's file was damaged and is set aside as {name}: {reason}"
            self._publisher.event("outbox-damaged", "warning", text, file=name, reason=reason, lost_rows=view.lost_rows)
        self._told_aside = len(view.set_aside)

    def _tell_disk(self, view: OutboxView) -> None:
        if view.on_disk:
            self._publisher.clear_alarm("outbox-memory-only")
        else:
            text = f"messages wait in memory only, and a restart loses them: {view.reason}"
            self._publisher.alarm("outbox-memory-only", "warning", text)

    def _tell_full(self, stats: SenderStats) -> None:
        lost = stats.losses.full_events
        if self._full_since_ms is None and lost > self._lost_before:
            self._full_since_ms = self._clock.wall_ms()
            log.warning("outbox", state="full", waiting=stats.waiting, bytes=stats.bytes)
            self._publisher.alarm("outbox-full", "error", "the outbox is full: the oldest events are dropped")
        elif self._full_since_ms is not None and stats.share < ROOM_AGAIN:
            text = f"the outbox was full, and {lost - self._lost_before} messages were dropped"
            facts = {"dropped": lost - self._lost_before, "since_ts": self._full_since_ms}
            self._publisher.event("outbox-full", "error", text, **facts)
            self._full_since_ms, self._lost_before = None, lost
        if self._full_since_ms is None:
            self._publisher.clear_alarm("outbox-full")

    def _tell_refusals(self, refusals: Iterable[Refusal]) -> None:
        now_ns = self._clock.monotonic_ns()
        for refusal in refusals:
            self._refused_ns = now_ns
            if refusal.topic not in self._refused and len(self._refused) < _TOPICS_TOLD:
                self._refused[refusal.topic] = refusal.reason
                log.error("outbox", state="refused", topic=refusal.topic, reason=refusal.reason)
        if now_ns - self._refused_ns > REFUSED_FOR_S * _NS:
            self._refused.clear()
        if self._refused:
            self._publisher.alarm("outbox-refused", "error", self._refused_text())
        else:
            self._publisher.clear_alarm("outbox-refused")

    def _refused_text(self) -> str:
        topic, reason = next(iter(self._refused.items()))
        more = f", and {len(self._refused) - 1} other topics" if len(self._refused) > 1 else ""
        return f"the broker will not have messages on {topic}{more}: {reason}"
