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


def decide_limits(zone_type: str, trips: Iterable[Trip], soc: str) -> Limits:
    """The lowest passive trip that slows something down, and the lowest critical trip, or what is typical of `soc`.

    `soc` is "" where it is not known. Zones beside the chip (Tboard, a disk, a PC's) get no typical values.
    """
    usable = [trip for trip in trips if _PLAUSIBLE_C[0] <= trip.celsius <= _PLAUSIBLE_C[1]]
    typical = SOC_LIMITS.get(soc) if _ON_CHIP.fullmatch(zone_type) else None
    throttle_c = min((trip.celsius for trip in usable if trip.throttles), default=None)
    critical_c = min((trip.celsius for trip in usable if trip.kind == "critical"), default=None)
    return Limits(
        *_or_typical(throttle_c, typical[0] if typical else None),
        *_or_typical(critical_c, typical[1] if typical else None),
    )


def _or_typical(own: float | None, typical: float | None) -> tuple[float | None, LimitSource]:
    if own is not None:
        return own, "trip"
    return typical, "soc" if typical is not None else ""
