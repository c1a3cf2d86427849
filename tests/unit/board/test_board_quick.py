"""Quick looks: the zones that throttle and memory, for a fraction of a whole sample."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edgeagent.board.telemetry import BoardReader
from edgeagent.simulate.board import make_board


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_board("orin-nano", tmp_path / "board", seed=1).root


@pytest.fixture
def reader(root: Path) -> Iterator[BoardReader]:
    with BoardReader(root, state_dir=root) as reader:
        yield reader


def zone_file(root: Path, name: str) -> Path:
    zones = (root / "sys/class/thermal").glob("thermal_zone*")
    return next(zone / "temp" for zone in zones if (zone / "type").read_text().strip() == name)


def test_it_shows_what_a_whole_sample_does(reader: BoardReader) -> None:
    quick, whole = reader.read_quick(), reader.read()
    throttling = tuple(zone for zone in whole.zones if zone.throttle_c is not None)
    assert throttling and quick.zones == throttling
    assert quick.closest == whole.closest
    assert (quick.memory.total_kb, quick.memory.available_kb) == (whole.memory.total_kb, whole.memory.available_kb)
    assert quick.rails == () and quick.fans == ()


def test_it_follows_the_files(root: Path, reader: BoardReader) -> None:
    reader.read()
    zone_file(root, "cpu-thermal").write_text("93500\n")
    meminfo = root / "proc/meminfo"
    meminfo.write_text("MemTotal: 8000000 kB\nMemFree: 10 kB\nMemAvailable: 123456 kB\n")
    quick = reader.read_quick()
    assert quick.closest is not None
    assert (quick.closest.name, quick.closest.temperature_c) == ("cpu-thermal", 93.5)
    assert quick.memory.available_kb == 123456


def test_a_zone_that_is_silent_once_is_asked_again_and_one_that_is_off_is_not(reader: BoardReader) -> None:
    reader.read()
    assert any(zone.temperature_c is None for zone in reader.read_quick().zones), "after one sample it may come back"
    reader.read()
    zones = reader.read_quick().zones
    assert zones and all(zone.temperature_c is not None for zone in zones)


def test_it_does_not_take_the_news_from_the_next_whole_sample(root: Path, reader: BoardReader) -> None:
    reader.read()
    counter = next(root.glob("sys/class/hwmon/hwmon*/oc1_event_cnt"))
    counter.write_text("4\n")
    reader.read_quick()
    assert next(found for found in reader.read().over_current if found.channel == "oc1").new == 4
