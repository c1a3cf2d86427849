"""The engine that does nothing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edgeagent.config.engine_tables import EngineSettings
from edgeagent.errors import EngineError
from edgeagent.inference.null_session import NullSession, grid
from edgeagent.inference.session import open_session
from edgeagent.vision.nms import select_detections


def session(folder: Path, **changes: object) -> NullSession:
    plan = {"batch": 1, "width": 64, "height": 32, "candidates": 20, **changes}
    (folder / "plan").write_text(json.dumps(plan))
    return NullSession(folder / "plan")


def frame(first: int, second: int) -> np.ndarray:
    made = np.zeros((32, 64, 3), np.uint8)
    made[0, 0, :2] = first, second
    return made


@pytest.mark.parametrize("count", [0, 1, 2, 20, 300])
def test_every_candidate_is_a_detection(tmp_path: Path, count: int) -> None:
    null = session(tmp_path, candidates=count, width=640, height=480)
    (found,) = null.run(np.full((1, 480, 640, 3), 255, np.uint8))
    assert found.boxes.shape == (count, 4) and found.boxes.dtype == np.float32
    assert found.scores.dtype == np.float32 and found.class_ids.dtype == np.int32
    picked = select_detections(found, min_score=0.25, iou=0.45, limit=1000, keep=None)
    assert len(picked) == count
    assert (found.boxes >= 0).all() and (found.boxes[:, 2] <= 640).all() and (found.boxes[:, 3] <= 480).all()


def test_frames_are_told_apart_by_their_first_two_bytes(tmp_path: Path) -> None:
    null = session(tmp_path)
    seen = {null.run(frame(x, y)[None])[0].boxes.tobytes() for x in range(0, 256, 5) for y in range(0, 256, 5)}
    assert len(seen) == 52 * 52
    again = frame(5, 10)
    again[5:] = 200
    np.testing.assert_array_equal(null.run(frame(5, 10)[None])[0].boxes, null.run(again[None])[0].boxes)


@pytest.mark.parametrize("count", [0, 1, 7, 20, 300])
def test_boxes_never_overlap(count: int) -> None:
    boxes, step = grid(count, 640, 480)
    moved = boxes + np.array([255, 255, 255, 255], np.float32) * step
    reached = np.concatenate([boxes[:, :2], moved[:, 2:]], 1)  # all that a box may ever cover
    for n, (x1, y1, x2, y2) in enumerate(reached):
        others = np.delete(reached, n, 0)
        apart = (others[:, 0] >= x2) | (others[:, 2] <= x1) | (others[:, 1] >= y2) | (others[:, 3] <= y1)
        assert apart.all()


@pytest.mark.parametrize(
    "text",
    [
        "", "engine", "[]", "{}", '{"batch": 0, "width": 64, "height": 32, "candidates": 1}',
        '{"batch": 1, "width": 64, "height": 32, "candidates": -1}',
        '{"batch": 1, "width": "64", "height": 32, "candidates": 1}',
        '{"batch": 1, "width": 64, "height": 32, "candidates": 1, "speed": 9}',
    ],
)  # fmt: skip
def test_a_file_that_is_no_plan(tmp_path: Path, text: str) -> None:
    (tmp_path / "plan").write_text(text)
    with pytest.raises(EngineError, match="no plan of the null engine") as caught:
        open_session("null", tmp_path / "plan", 1)
    assert caught.value.error_code == "engine_load" and "\n" not in caught.value.line()


def test_a_plan_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="cannot be read") as caught:
        open_session("null", tmp_path / "plan", 1)
    assert caught.value.error_code == "engine_load"


def test_no_configuration_can_choose_it() -> None:
    with pytest.raises(ValueError, match="tensorrt"):
        EngineSettings(backend="null")  # type: ignore[arg-type]
