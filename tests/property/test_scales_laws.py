"""Laws of the calibration cache: what is written comes back, and no bytes do anything but parse or be refused."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edgeagent.engine.scales import CalibrationCache, missing_scales, parse_cache, write_cache
from edgeagent.errors import EngineError

NAMES = st.text(st.characters(blacklist_characters="\r\n", blacklist_categories=["Cs"]), min_size=1, max_size=30)
SCALES = st.floats(min_value=0, max_value=2.0**127, width=32)
CACHES = st.builds(
    CalibrationCache,
    st.integers(0, 999_999_999).map(str),
    st.sampled_from(["EntropyCalibration2", "MinMaxCalibration"]),
    st.dictionaries(NAMES, SCALES, max_size=20),
)


@given(CACHES)
def test_what_is_written_comes_back(cache: CalibrationCache) -> None:
    assert parse_cache(write_cache(cache)) == cache


@given(CACHES)
def test_line_ends_do_not_matter(cache: CalibrationCache) -> None:
    assert parse_cache(write_cache(cache).replace(b"\n", b"\r\n")) == cache


@given(CACHES, st.sets(NAMES, max_size=10))
def test_missing_are_those_without_a_positive_scale(cache: CalibrationCache, others: set[str]) -> None:
    wanted = [*cache.scales, *sorted(others)]
    missing = missing_scales(wanted, cache)
    assert set(missing) == {name for name in wanted if not cache.scales.get(name, 0) > 0}
    assert len(missing) == len(set(missing))


@given(
    st.one_of(
        st.binary(max_size=200), st.binary(max_size=80).map(lambda tail: b"TRT-8602-EntropyCalibration2\n" + tail)
    )
)
def test_any_bytes_are_a_cache_or_refused(data: bytes) -> None:
    try:
        cache = parse_cache(data)
    except EngineError as error:
        assert error.error_code == "bad_calibration_cache"
    else:
        assert parse_cache(write_cache(cache)) == cache
