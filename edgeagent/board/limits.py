"""At which temperatures a thermal zone throttles and shuts down. Pure.

The kernel's trip points say it where they are bound to something that slows the chip down. Where they are not, typical
values of the chip stand in, marked as such: they come from captures of other boards, not from this one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from edgeagent.board.parts import LimitSource, Trip

SOC_LIMITS = {"t234": (99.0, 104.5), "t264": (109.0, 114.5)}
"""Throttle and shutdown in C by SoC. t234: trips of Orin on L4T R36; t264: throttling observed on Thor, and its trips.
Older chips: not known well enough to say anything."""

_ON_CHIP = re.compile(r"(?:cpu|gpu|cv[0-9]|soc[0-9]+|tj)-therm(?:al)?", re.IGNORECASE)
_PLAUSIBLE_C = (1.0, 200.0)  # a trip that is switched off holds 0, -273 or a huge number


class Limits(NamedTuple):
    throttle_c: float | None
    throttle_source: LimitSource
    critical_c: float | None
    critical_source: LimitSource


class Pair(NamedTuple):
    """Throttle and shutdown in C, as far as they are known."""

    throttle_c: float | None = None
    critical_c: float | None = None


def decide_typical(soc: str, zones: Iterable[Iterable[Trip]]) -> Pair:
    """Typical limits of `soc` ("" where it is not known), each only where none of the board's zones has its own.

    `zones` are the trips of every zone. A zone without a limit on a board that has them elsewhere is meant to be
    without: Orin's tj-thermal is the hottest of the others, which throttle by themselves.
    """
    throttle_c, critical_c = SOC_LIMITS.get(soc, (None, None))
    own = [own_limits(trips) for trips in zones]
    has_throttle = any(limits.throttle_c is not None for limits in own)
    has_critical = any(limits.critical_c is not None for limits in own)
    return Pair(None if has_throttle else throttle_c, None if has_critical else critical_c)


def decide_lost(soc: str, zones: Iterable[Iterable[Trip]]) -> float | None:
    """Where a zone throttles whose trip is there and slows the chip down, but holds no temperature: as the lowest of
    the other zones, else as is typical of `soc`. Taking it for a zone without a limit would let it get as hot as it
    likes."""
    own = [limits.throttle_c for limits in map(own_limits, zones) if limits.throttle_c is not None]
    return min(own, default=SOC_LIMITS.get(soc, (None, None))[0])


def own_limits(trips: Iterable[Trip]) -> Pair:
    """The lowest passive trip that slows something down, and the lowest critical trip."""
    usable = [trip for trip in trips if _PLAUSIBLE_C[0] <= trip.celsius <= _PLAUSIBLE_C[1]]
    throttle_c = min((trip.celsius for trip in usable if trip.throttles), default=None)
    critical_c = min((trip.celsius for trip in usable if trip.kind == "critical"), default=None)
    return Pair(throttle_c, critical_c)


def decide_limits(zone_type: str, trips: Iterable[Trip], typical: Pair, lost_c: float | None = None) -> Limits:
    """The zone's own limits, else the typical ones. Zones beside the chip (Tboard, a disk) get none of those. `lost_c`:
    where it is taken to throttle although its trip does not say so."""
    own = own_limits(trips)
    fallback = typical if _ON_CHIP.fullmatch(zone_type) else Pair()
    throttle_c = fallback.throttle_c if lost_c is None else lost_c
    return Limits(*_or_typical(own.throttle_c, throttle_c), *_or_typical(own.critical_c, fallback.critical_c))


def _or_typical(own: float | None, typical: float | None) -> tuple[float | None, LimitSource]:
    if own is not None:
        return own, "trip"
    return typical, "soc" if typical is not None else ""
