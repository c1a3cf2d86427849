"""What the jtop child may say, how it fills a reading, and how often it is tried."""

from __future__ import annotations

import json
import typing

import pytest

from edgeagent.board.jtop_words import (
    DELAYS_S,
    FINAL,
    LIVED_S,
    MENDS,
    JtopEnd,
    JtopSample,
    Retry,
    Why,
    fill_reading,
    parse_jtop_line,
)
from edgeagent.board.reading import Engine, Gpu, Reading


def test_a_sample() -> None:
    said = {
        "emc_khz": 3_199_000,
        "emc_load_percent": 3,
        "gpu_load_percent": 12.5,
        "engines": [["NVENC", True, 435_200], ["OFA", None, None]],
    }
    assert parse_jtop_line(json.dumps({"sample": said}).encode()) == JtopSample(
        3_199_000, 3.0, 12.5, (Engine("NVENC", True, 435_200), Engine("OFA", None, None))
    )


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"emc_khz": 1, "emc_load_percent": -1, "gpu_load_percent": 101},
        {"emc_khz": "3199000", "emc_load_percent": True, "gpu_load_percent": [1]},
        {"emc_khz": 1e300, "gpu_load_percent": float("nan"), "emc_load_percent": float("inf")},
        {"engines": {"NVENC": 1}},
        {"engines": [["NVENC"], "NVENC", ["", True, 1], ["a\nb", True, 1], ["x" * 41, True, 1], [1, True, 1]]},
    ],
)
def test_what_no_board_has_is_left_out(fields: dict[str, object]) -> None:
    assert parse_jtop_line(json.dumps({"sample": fields}).encode()) == JtopSample()


@pytest.mark.parametrize("line", [b"", b"[]", b"7", b"{", b'"end"', b"{}", b'{"sample": 3}', b"\xff", b"[" * 100_000])
def test_what_a_child_never_says(line: bytes) -> None:
    assert parse_jtop_line(line) is None


@pytest.mark.parametrize(
    ("said", "end"),
    [
        ({"end": "absent", "detail": "not there"}, JtopEnd("absent", "not there")),
        ({"end": "not-running", "detail": "two\nlines"}, JtopEnd("not-running", "two lines")),
        ({"end": "starting"}, JtopEnd("failed")),
        ({"end": "", "detail": 7}, JtopEnd("failed")),
        ({"end": ["absent"]}, JtopEnd("failed")),
        ({"end": "failed", "detail": "x" * 1000}, JtopEnd("failed", "x" * 200)),
    ],
)
def test_last_words(said: dict[str, object], end: JtopEnd) -> None:
    assert parse_jtop_line(json.dumps(said).encode()) == end


SAMPLE = JtopSample(3_199_000, 3.0, 12.5, (Engine("NVENC", True, 435_200),))


def test_jtop_fills_what_is_empty() -> None:
    reading = fill_reading(Reading(gpu=Gpu(None, 918_000, "", "not-given"), emc_absent="permission"), SAMPLE)
    assert (reading.emc_khz, reading.emc_absent, reading.emc_load_percent) == (3_199_000, "", 3.0)
    assert reading.gpu == Gpu(12.5, 918_000, "", "")
    assert reading.engines == SAMPLE.engines
    assert reading.added == ("memory clock", "memory load", "GPU load", "engine clocks")


def test_jtop_never_replaces_what_sysfs_gave() -> None:
    reading = fill_reading(Reading(gpu=Gpu(50.0, 918_000), emc_khz=2_133_000), SAMPLE)
    assert (reading.gpu.load_percent, reading.emc_khz) == (50.0, 2_133_000)
    assert reading.added == ("memory load", "engine clocks")


@pytest.mark.parametrize("sample", [None, JtopSample()])
def test_nothing_to_fill_with(sample: JtopSample | None) -> None:
    assert fill_reading(Reading(uptime_s=3.0), sample) == Reading(uptime_s=3.0)


def test_every_reason_has_a_mend() -> None:
    assert set(MENDS) == set(typing.get_args(Why))
    assert all(mend for why, mend in MENDS.items() if why not in ("", "starting"))


@pytest.mark.parametrize("why", FINAL)
def test_what_a_person_must_mend_is_not_tried_again(why: Why) -> None:
    assert Retry().after_end(why, 0.0)[1] is None


def test_the_rest_is_tried_a_few_times_ever_more_slowly() -> None:
    retry, delays = Retry(), []
    for _ in range(len(DELAYS_S) + 2):
        retry, delay_s = retry.after_end("not-running", 1.0)
        delays.append(delay_s)
    assert delays == [*DELAYS_S, None, None]
    assert list(DELAYS_S) == sorted(DELAYS_S)


def test_a_child_that_lived_for_a_while_starts_the_count_anew() -> None:
    assert Retry(len(DELAYS_S)).after_end("stalled", LIVED_S) == (Retry(1), DELAYS_S[0])
