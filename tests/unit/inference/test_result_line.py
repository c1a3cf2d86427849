"""A result's line: what the child writes is what consumers were promised, and what the agent cuts is what it wrote."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from edgeagent.fleet.envelope import encode
from edgeagent.fleet.results import Detection, Result, encode_result
from edgeagent.inference.messages import FrameResult, ResultRow
from edgeagent.inference.result_line import Head, cut_result, detections_json, is_result, quoted, result_line
from edgeagent.supervise.messages import Heartbeat, LineBuffer

NAMES = ["bolt", 'odd "name", with ,"detections": in it', "Schraube\n\u00e4\U0001f529"]
HEAD = Head(
    frame=7, capture_ns=10**12, capture_ms=1_700_000_000_000, width=1920, height=1080,
    ring_ms=0.75, wait_ms=0.5, engine_ms=2.25, post_ms=0.125, found=2, last_track=9,
)  # fmt: skip
HEADER: dict[str, Any] = {"session": "boot-1", "seq": 3, "ts": 1_700_000_000_005}
VALUES: dict[str, Any] = {
    **HEADER, "camera": "belt", "pipeline": "parts", "frame": 7, "capture_ts": 1_700_000_000_000, "lat_ms": 3.25,
    "width": 1920, "height": 1080, "model": "conveyor", "engine": "5b1f",
}  # fmt: skip


def written(pipeline: str, detections: bytes) -> bytes:
    (name,) = quoted([pipeline])
    return result_line(HEAD, name, detections)


sides = st.floats(0, 20_000, width=32)
rows = st.lists(st.tuples(st.integers(0, 2), st.floats(0, 1, width=32), sides, sides, sides, sides), max_size=30)


@given(rows)
def test_detections_are_what_the_schema_says_to_the_last_decimal(found: list[ResultRow]) -> None:
    wire = encode_result(VALUES, detections_json(found, quoted(NAMES)))
    result = Result.model_validate_json(wire)
    assert len(result.detections) == len(found)
    for detection, row in zip(result.detections, found, strict=True):
        assert (detection.class_, detection.class_id) == (NAMES[row[0]], row[0])
        assert abs(detection.score - row[1]) <= 0.0005001
        assert all(abs(had - want) <= 0.0501 for had, want in zip(detection.box, row[2:6], strict=True))


def test_a_message_put_together_is_the_one_that_the_model_would_encode() -> None:
    found: list[ResultRow] = [(0, 0.9134, 812.04, 300.26, 901.5, 655.0), (2, 0.5507, 640.0, 410.3, 760.81, 590.2)]
    parts = tuple(Detection.rounded(NAMES[row[0]], row[0], row[1], (row[2], row[3], row[4], row[5])) for row in found)
    whole = json.loads(encode(Result(**VALUES, detections=parts)))
    spliced = json.loads(encode_result(VALUES, detections_json(found, quoted(NAMES))))
    assert spliced == whole
    assert list(spliced) == list(whole), "the header first, the detections last"


def test_no_detections_are_an_empty_list() -> None:
    assert Result.model_validate_json(encode_result(VALUES, detections_json([], quoted(NAMES)))).detections == ()


@pytest.mark.parametrize(
    ("more", "track", "regions"),
    [((17,), 17, None), ((0,), None, None), ((3, ["left", "door"]), 3, ("left", "door")), ((0, []), None, ())],
)
def test_tracks_and_regions_stand_in_their_detection(
    more: Any, track: int | None, regions: tuple[str, ...] | None
) -> None:
    found = [(0, 0.5, 1.0, 2.0, 3.0, 4.0, *more), (2, 0.25, 5.0, 6.0, 7.0, 8.0, *more)]
    result = Result.model_validate_json(encode_result(VALUES, detections_json(found, quoted(NAMES))))
    assert [(one.track, one.regions) for one in result.detections] == [(track, regions)] * 2
    assert [one.box[3] for one in result.detections] == [4.0, 8.0]


@given(rows)
def test_a_line_is_one_json_object_and_is_cut_where_it_was_joined(found: list[ResultRow]) -> None:
    detections = detections_json(found, quoted(NAMES))
    line = written("parts", detections)
    assert json.loads(line)["detections"] == json.loads(detections)
    (came,) = LineBuffer().feed(line)
    assert is_result(came)
    assert cut_result(came) == (FrameResult(pipeline="parts", **HEAD._asdict()), detections)


def test_a_head_that_names_the_cut_does_not_move_it() -> None:
    name = ',"detections":['
    assert cut_result(written(name, b"[]").rstrip())[0].pipeline == name


def test_times_are_told_to_a_thousandth_of_a_millisecond() -> None:
    head = HEAD._replace(wait_ms=1 / 3, engine_ms=1e-9, post_ms=123456.0)
    told, _ = cut_result(result_line(head, '"parts"', b"[]").rstrip())
    assert (told.wait_ms, told.engine_ms, told.post_ms) == (0.333, 0.0, 123456.0)


@pytest.mark.parametrize(
    "line", [b'{"kind":"result",', b'{"kind":"result","detections":[]}', b'{"kind":"result","x":1}']
)
def test_a_line_without_a_whole_head_is_refused(line: bytes) -> None:
    with pytest.raises(ValidationError):
        cut_result(line)


def test_other_words_are_no_results() -> None:
    assert not is_result(Heartbeat(allow_s=1).line())
