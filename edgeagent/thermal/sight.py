"""Which zone binds, over gaps in the readings. Pure.

Newer kernels answer EAGAIN for a zone whose part is off, and now and then for any zone under load. A zone that was read
a moment ago still counts with what it showed; one that stays silent is left out, because the others hold its heat too.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgeagent.thermal.sense import Hottest, Sense, ZoneSense, hottest, is_temperature

REMEMBER_S = 3.0


@dataclass(frozen=True)
class Seen:
    """The last good value of each zone: (name, C, when)."""

    zones: tuple[tuple[str, float, float], ...] = ()


@dataclass(frozen=True)
class Sight:
    """The zone that binds; None: no zone. `fresh` is False when its value was remembered."""

    zone: Hottest | None
    fresh: bool


def see(seen: Seen, sense: Sense) -> tuple[Seen, Sight]:
    """What binds now, and what to remember of this look."""
    good = {z.name: (z.celsius, sense.at_s) for z in sense.zones if z.celsius is not None and is_temperature(z.celsius)}
    kept = {name: (c, at_s) for name, c, at_s in seen.zones if name not in good and sense.at_s - at_s <= REMEMBER_S}
    zones = sense.zones
    if kept:
        zones = tuple(ZoneSense(z.name, kept[z.name][0], z.throttle_c) if z.name in kept else z for z in zones)
    zone = hottest(zones)
    told = tuple((name, celsius, at_s) for name, (celsius, at_s) in (good | kept).items())
    return Seen(told), Sight(zone, zone is not None and zone.name in good)
