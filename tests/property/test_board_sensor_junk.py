"""Whatever the sensors' files hold, a sample is taken without an exception, and says nothing impossible."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeagent.board.identity import Evidence, decide_identity
from edgeagent.board.jtop_words import JtopEnd, JtopSample, Retry, fill_reading, parse_jtop_line
from edgeagent.board.limits import decide_limits, decide_typical
from edgeagent.board.memory import parse_oom_kills, parse_pressure
from edgeagent.board.over_current import Counted, count_over_current
from edgeagent.board.parts import ClockDomain, Trip, clocks_locked
from edgeagent.board.patience import MAX_SKIPPED, Patience
from edgeagent.board.reading import Gpu, Reading, flat_measurements
from edgeagent.board.report import board_json, render_board_text
from edgeagent.board.telemetry import BoardReader
from edgeagent.fleet.measurements import KEY_PATTERN
from edgeagent.simulate.board import make_board, virtual_boards

BOARDS = [name for name, _ in virtual_boards()]
NEAR_MISSES = [
    b"",
    b"\n",
    b"-256000",
    b"0\n",
    b"-1\n",
    b"9999999999999999999999\n",
    b"18446744073709551615\n",
    b"32760 ma\n",
    b"1e9\n",
    b"0-9999",
    b"NC\n",
    b"ina3221\n",
    b"ina238\n",
    b"soctherm_oc\n",
    b"pwmfan\n",
    b"cpu-throttle-alert\n",
    b"cpu  1 2 3 4\ncpu9999 9 9 9 9\n",
    b"MemTotal: 99999999999999999999 kB\n",
    b"oom_kill 99999999999999999999\n",
]
junk = st.one_of(st.binary(max_size=200), st.sampled_from(NEAR_MISSES))


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One of each board, made once: writing them is the slow part."""
    found = {name: tmp_path_factory.mktemp("board") for name in BOARDS}
    for name, root in found.items():
        make_board(name, root, seed=5)
    return found


def sensor_files(root: Path) -> list[Path]:
    found = [path for top in ("sys/class", "sys/devices", "sys/bus", "sys/kernel") for path in (root / top).rglob("*")]
    return sorted(path for path in [*found, *(root / "proc").glob("*")] if path.is_file() and not path.is_symlink())


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_any_board_with_any_files_overwritten_is_read(roots: dict[str, Path], data: st.DataObject) -> None:
    root = roots[data.draw(st.sampled_from(BOARDS))]
    kept = {}
    for path in data.draw(st.lists(st.sampled_from(sensor_files(root)), max_size=16, unique=True)):
        kept[path] = path.read_bytes()
        path.write_bytes(data.draw(junk))
    try:
        with BoardReader(root, soc=data.draw(st.sampled_from(["", "t234", "t264", "?"]))) as reader:
            readings = [reader.read(), reader.read()]
    finally:
        for path, content in kept.items():
            path.write_bytes(content)
    for reading in readings:
        assert_possible(reading)
        assert_absent_says_why(reading)


def assert_absent_says_why(reading: Reading) -> None:
    memory = reading.memory
    for missing, absent in (
        (reading.cpu_load_percent is None, reading.cpu_load_absent),
        (reading.uptime_s is None, reading.uptime_absent),
        (reading.emc_cap_khz is None, reading.emc_cap_absent),
        (memory.total_kb is None or memory.available_kb is None, memory.absent),
        (memory.swap_total_kb is None or memory.swap_free_kb is None, memory.swap_absent),
        (memory.oom_kills is None, memory.oom_kills_absent),
        (memory.pressure_percent is None, memory.pressure_absent),
        *((fan.pwm_percent is None, fan.absent) for fan in reading.fans),
        *((fan.rpm is None, fan.rpm_absent) for fan in reading.fans),
        *((clock.min_khz is None or clock.max_khz is None, clock.limits_absent) for clock in reading.clocks),
    ):
        assert missing == bool(absent)
    lines = [line.split()[0] for line in render_board_text(decide_identity(Evidence()), reading).splitlines() if line]
    assert {"cpu", "gpu", "memory"} <= set(lines)
    assert len(reading.cores) <= 1024


def assert_possible(reading: Reading) -> None:
    for group in flat_measurements(reading).values():
        json.dumps(group, allow_nan=False)
        assert all(re.fullmatch(KEY_PATTERN, key) for key in group)
        assert all(isinstance(value, (bool, int, float)) for value in group.values())
    assert all((zone.temperature_c is None) == bool(zone.absent) for zone in reading.zones)
    assert all(-100.0 <= zone.temperature_c <= 250.0 for zone in reading.zones if zone.temperature_c is not None)
    assert all((rail.milliwatts is None) == bool(rail.absent) for rail in reading.rails)
    assert all(0.0 <= rail.milliwatts <= 12e6 for rail in reading.rails if rail.milliwatts is not None)
    assert all((found.events is None) == bool(found.absent) for found in reading.over_current)
    assert all(0 <= found.events <= 2**53 for found in reading.over_current if found.events is not None)
    assert all(clock.max_khz is None or 0 <= clock.max_khz <= 20_000_000 for clock in reading.clocks)
    assert all((dla.state == "") == bool(dla.absent) for dla in reading.dla)
    assert all((zone.throttle_c is None) == (zone.throttle_source == "") for zone in reading.zones)
    assert all(0.0 <= fan.pwm_percent <= 100.0 for fan in reading.fans if fan.pwm_percent is not None)
    assert reading.gpu.load_percent is None or 0.0 <= reading.gpu.load_percent <= 100.0
    assert (reading.gpu.load_percent is None) == bool(reading.gpu.load_absent)
    identity = decide_identity(Evidence())
    assert all(line.isprintable() for line in render_board_text(identity, reading).splitlines())
    json.dumps(board_json(identity, reading), allow_nan=False)


@given(junk)
def test_any_bytes_of_proc_are_parsed_or_refused(raw: bytes) -> None:
    kills, pressure = parse_oom_kills(raw), parse_pressure(raw)
    assert kills is None or kills >= 0
    assert pressure is None or 0.0 <= pressure <= 100.0


counts = st.lists(st.tuples(st.none() | st.integers(-5, 1000), st.floats(0.0, 10.0)), max_size=20)


@given(counts)
def test_new_events_never_exceed_what_was_counted(samples: list[tuple[int | None, float]]) -> None:
    before: Counted | None = None
    now_s, last = 0.0, 0
    for events, passed_s in samples:
        now_s += passed_s
        found, before = count_over_current("oc3", events, "", before, now_s, None)
        assert found.new is None or 0 <= found.new <= max(0, events or 0)
        assert found.rate_per_s is None or found.rate_per_s >= 0.0
        if found.events is not None and found.new is not None:
            assert found.events == last + found.new
        last = found.events if found.events is not None else last


@given(st.lists(st.sampled_from(["fast", "slow"]), max_size=200))
def test_a_device_is_never_left_alone_for_ever(answers: list[str]) -> None:
    patience, left_alone = Patience(), 0
    for answer in answers:
        if patience.skip:
            patience, left_alone = patience.after_skip(), left_alone + 1
        else:
            patience, left_alone = patience.after_read(slow=answer == "slow"), 0
        assert 0 <= patience.skip <= MAX_SKIPPED
        assert left_alone <= MAX_SKIPPED


degrees = st.floats(-300.0, 1e6)
bindings = st.lists(st.sampled_from(["cpufreq-cpu0", "hot-surface-alert", "pwm-fan", "x-throttle-alert"]), max_size=2)
trips = st.lists(
    st.builds(Trip, st.sampled_from(["passive", "critical", "active"]), degrees, st.none(), bindings.map(tuple)),
    max_size=5,
)


@given(st.sampled_from(["cpu-thermal", "tj-therm", "acpitz"]), trips, st.lists(trips, max_size=3))
def test_limits_are_trips_of_this_zone_or_typical(kind: str, own: list[Trip], others: list[list[Trip]]) -> None:
    typical = decide_typical("t234", [own, *others])
    limits = decide_limits(kind, own, typical)
    celsius = {trip.celsius for trip in own}
    for value, source in ((limits.throttle_c, limits.throttle_source), (limits.critical_c, limits.critical_source)):
        assert (value is None) == (source == "")
        assert source != "trip" or (value in celsius and 1.0 <= (value or 0.0) <= 200.0)
        assert source != "soc" or (value in (99.0, 104.5) and kind != "acpitz")


khz = st.none() | st.integers(0, 3)
clocks = st.lists(
    st.builds(ClockDomain, st.just("cpu0"), khz, khz, khz, khz, khz, st.just((0,)), st.sampled_from(["", "offline"])),
    max_size=4,
).map(tuple)


@given(clocks)
def test_locked_needs_a_clock_that_could_move_and_none_that_may(found: tuple[ClockDomain, ...]) -> None:
    online = [clock for clock in found if clock.absent != "offline"]
    locked = clocks_locked(found)
    assert (locked is False) == any(clock.lock == "free" for clock in online)
    if locked:
        assert {clock.lock for clock in online} <= {"locked", "single"}
        assert any(clock.lock == "locked" for clock in online)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=50),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)
sample_fields = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("emc_khz", "emc_load_percent", "gpu_load_percent", "engines"), json_values)
)


@given(
    st.one_of(
        st.binary(max_size=300),
        json_values.map(lambda value: json.dumps(value).encode()),
        sample_fields.map(lambda fields: json.dumps({"sample": fields}).encode()),
        json_values.map(lambda value: json.dumps({"end": value, "detail": value}).encode()),
    )
)
def test_whatever_a_child_says_is_a_sample_an_end_or_nothing(line: bytes) -> None:
    said = parse_jtop_line(line)
    assert said is None or isinstance(said, (JtopSample, JtopEnd))
    if isinstance(said, JtopSample):
        assert_possible(fill_reading(Reading(gpu=Gpu(load_absent="not-given")), said))
        given_by_sysfs = Reading(gpu=Gpu(50.0, 1), emc_khz=204_000)
        filled = fill_reading(given_by_sysfs, said)
        assert (filled.gpu, filled.emc_khz) == (given_by_sysfs.gpu, given_by_sysfs.emc_khz)
    if isinstance(said, JtopEnd):
        assert Retry().after_end(said.why, 0.0)[0].fails <= 1
        assert "\n" not in said.detail
