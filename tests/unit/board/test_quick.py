"""Quick looks at zones: the same as read by themselves."""

from __future__ import annotations

from pathlib import Path

from edgeagent.board.discovery import discover
from edgeagent.board.quick import QuickZones
from edgeagent.board.zones import ZoneProbe, read_zone
from edgeagent.simulate.board import make_board


def throttling(root: Path) -> tuple[QuickZones, list[ZoneProbe]]:
    layout = discover(str(root), "")
    return QuickZones(layout), [probe for probe in layout.zones if probe.limits.throttle_c is not None]


def write(probe: ZoneProbe, celsius: float) -> None:
    Path(probe.temperature.path).write_text(f"{round(celsius * 1000)}\n")


def test_zones_are_as_they_are_now(tmp_path: Path) -> None:
    quick, probes = throttling(make_board("orin-nano", tmp_path / "board", seed=1).root)
    off = {probe.name for probe in probes if read_zone(probe).temperature_c is None}
    probes = [probe for probe in probes if probe.name not in off]
    assert len(probes) > 1
    for celsius in (60.0, 60.0, 61.5, 60.0):
        for probe in probes:
            write(probe, celsius)
        assert quick.read(off) == tuple(map(read_zone, probes))


def test_a_zone_that_gives_nothing_any_more_is_not_remembered(tmp_path: Path) -> None:
    quick, probes = throttling(make_board("orin-nano", tmp_path / "board", seed=1).root)
    for probe in probes:
        write(probe, 80.0)
    assert quick.read(())[0].temperature_c == 80.0
    Path(probes[0].temperature.path).write_text("")
    assert quick.read(())[0].temperature_c is None
    assert probes[0].name not in {zone.name for zone in quick.read({probes[0].name})}
