"""The zones that throttle, read once or twice a second: what did not change since the last look is not made anew."""

from __future__ import annotations

from collections.abc import Collection

from edgeagent.board.discovery import Layout
from edgeagent.board.parts import Zone
from edgeagent.board.zones import ZoneProbe, zone_of


class QuickZones:
    """Of one layout."""

    def __init__(self, layout: Layout) -> None:
        self._probes = tuple(probe for probe in layout.zones if probe.limits.throttle_c is not None)
        self._last: dict[str, tuple[bytes, Zone]] = {}

    def read(self, off: Collection[str]) -> tuple[Zone, ...]:
        """Without the zones in `off`."""
        return tuple([self._zone(probe) for probe in self._probes if probe.name not in off])

    def _zone(self, probe: ZoneProbe) -> Zone:
        raw, absent = probe.temperature.read()
        last = self._last.get(probe.name)
        if last is not None and raw and last[0] == raw:
            return last[1]
        zone = zone_of(probe, raw, absent)
        self._last[probe.name] = raw, zone
        return zone
