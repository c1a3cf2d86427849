"""A result's line from the infer child to the agent: a head that is checked, and detections that are passed on. Pure.

    {"kind":"result","pipeline":"parts",...,"found":2,"detections":[{"class":"bolt",...},...]}

Thirty times a second and camera, so each detection becomes JSON once, here, in the form that consumers read
(`edgeagent.result/1`); the agent cuts it off and puts it into its message as it is. It trusts its own child: what was
parsed, checked and made again would be the same bytes. A test holds the form against the schema.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from edgeagent.inference.messages import FrameResult, ResultRow

BEGIN = b'{"kind":"result",'
_CUT = b',"detections":'
_DETECTION = '{"class":%s,"class_id":%d,"score":%.3f,"box":[%.1f,%.1f,%.1f,%.1f]'
_PLAIN = _DETECTION + "}"


class Head(NamedTuple):
    """A FrameResult as the child makes it, but for the pipeline's name."""

    frame: int
    capture_ns: int
    capture_ms: int
    width: int
    height: int
    ring_ms: float
    wait_ms: float
    engine_ms: float
    post_ms: float
    found: int
    last_track: int


_FORMS: dict[object, str] = {int: "%d", float: "%.3f"}
_HEAD = '{"kind":"result","pipeline":%s' + "".join(
    f',"{name}":{_FORMS[FrameResult.model_fields[name].annotation]}' for name in Head._fields
)


def quoted(names: Iterable[str]) -> tuple[str, ...]:
    """Class names as they stand in JSON."""
    return tuple(json.dumps(name) for name in names)


def detections_json(rows: Sequence[ResultRow], classes: Sequence[str]) -> bytes:
    """The detections for the wire: score with three decimals, box with one. `classes` are `quoted`; rows are finite."""
    if rows and len(rows[0]) > 6:  # all of them have the same parts
        found = [_DETECTION % (classes[row[0]], *row[:6]) + _beyond(row) + "}" for row in rows]
    else:
        found = [_PLAIN % (classes[row[0]], *row) for row in rows]
    return f"[{','.join(found)}]".encode()


def _beyond(row: ResultRow) -> str:
    """What a detection has beyond its box, to follow it: a track where it has one, regions where they are asked for."""
    track = f',"track":{row[6]}' if len(row) > 6 and row[6] else ""
    return track + (f',"regions":{json.dumps(row[7])}' if len(row) > 7 else "")


def result_line(head: Head, pipeline: str, detections: bytes) -> bytes:
    """One line, which is one JSON object as every word of a child is. `pipeline` is `quoted`."""
    return b"%b%b%b}\n" % ((_HEAD % (pipeline, *head)).encode(), _CUT, detections)


def is_result(line: bytes) -> bool:
    return line.startswith(BEGIN)


def cut_result(line: bytes) -> tuple[FrameResult, bytes]:
    """The head and the detections. Raises ValidationError for a line whose head is none.

    Nothing before the cut can hold its quotes: in a JSON string they are escaped.
    """
    head, _, detections = line.partition(_CUT)
    return FrameResult.model_validate_json(head + b"}"), detections[:-1]
