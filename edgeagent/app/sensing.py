"""From a sample of the board to what the governor looks at. Pure.

The board's counters run since boot, and the governor wants what is new since its last look: `Counters` is what one look
leaves for the next. Quick samples lack what is expensive to read; `Slow` keeps it from the last whole one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

from edgeagent.board.reading import OverCurrent, Reading
from edgeagent.thermal.sense import Sense, ZoneSense

MB = 1_000_000
SLOW_LASTS_S = 15.0  # what a whole sample told of power holds this long


@dataclass(frozen=True)
class Counters:
    """Counts since boot as last read, and when oc3's was. None: not known."""

    oc3_s: float | None = None
    trouble: int | None = None
    oc3: int | None = None


@dataclass(frozen=True)
class Slow:
    """What only a whole sample has: alerts, power, kills for want of memory; and when it was taken."""

    at_s: float = -math.inf
    alerts: tuple[str, ...] | None = None
    power_w: float | None = None
    oom_kills: int | None = None

    def at(self, now_s: float) -> Slow:
        """It, as far as it still holds."""
        return self if now_s - self.at_s <= SLOW_LASTS_S else Slow()


@dataclass(frozen=True)
class Streams:
    """How the running pipelines do: the share of their frames that came, and their latency relative to the usual."""

    frames_kept: float | None = None
    latency: float | None = None


def slow_of(reading: Reading, at_s: float) -> Slow:
    """What a whole sample tells that a quick one does not."""
    power_mw = reading.power_total_mw
    alerts = None if reading.throttling is None else reading.throttle_alerts
    return Slow(at_s, alerts, None if power_mw is None else power_mw / 1000, reading.memory.oom_kills)


def sense_of(
    reading: Reading,
    before: Counters,
    at_s: float,
    *,
    slow: Slow | None = None,
    streams: Streams | None = None,
    power_cap_w: float | None = None,
    over_current: tuple[OverCurrent, ...] = (),
) -> tuple[Sense, Counters]:
    """One look, and what the next one compares with. `slow`: the last whole sample, this one where it is whole;
    `over_current`: what it counted, where nobody has looked at it yet."""
    slow, streams = (slow or Slow()).at(at_s), streams or Streams()
    channels = reading.over_current or over_current
    now = Counters(at_s, _sum(channels, ("oc1", "oc2")), _sum(channels, ("oc3",)))
    sense = Sense(
        at_s=at_s,
        zones=tuple([_zone(zone.name, zone.temperature_c, zone.throttle_c) for zone in reading.zones]),
        alerts=slow.alerts,
        over_current=_new(before.trouble, now.trouble),
        oc3_per_s=_rate(before, now),
        power_w=slow.power_w,
        power_cap_w=None if power_cap_w is None or not math.isfinite(power_cap_w) else power_cap_w,
        memory_available_mb=_mb(reading.memory.available_kb),
        memory_total_mb=_mb(reading.memory.total_kb),
        oom_kills=slow.oom_kills,
        frames_kept=streams.frames_kept,
        latency=streams.latency,
    )
    counted = now if now.oc3 is not None else before
    return sense, Counters(counted.oc3_s, _kept(before.trouble, now.trouble), counted.oc3)


@lru_cache(maxsize=256)
def _zone(name: str, celsius: float | None, throttle_c: float | None) -> ZoneSense:
    """Sensors show the same few values again and again."""
    return ZoneSense(name, celsius, throttle_c)


def _sum(channels: tuple[OverCurrent, ...], names: tuple[str, ...]) -> int | None:
    """Events of these channels since boot; None when there is none of them, or one cannot be read."""
    found = [channel.events for channel in channels if channel.channel in names]
    known = [events for events in found if events is not None]
    return sum(known) if known and len(known) == len(found) else None


def _new(before: int | None, now: int | None) -> int | None:
    """A count that went backwards was restarted: nothing can be said of the time between."""
    return None if before is None or now is None or now < before else now - before


def _rate(before: Counters, now: Counters) -> float | None:
    new = _new(before.oc3, now.oc3)
    if new is None or before.oc3_s is None or now.oc3_s is None or now.oc3_s <= before.oc3_s:
        return None
    return new / (now.oc3_s - before.oc3_s)


def _kept(before: int | None, now: int | None) -> int | None:
    return before if now is None else now


def _mb(kilobytes: int | None) -> float | None:
    return None if kilobytes is None else kilobytes * 1024 / MB
