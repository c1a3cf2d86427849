"""The whole agent with everything that follows an engine: numbers, regions, scores a class, results on change."""

from __future__ import annotations

import base64
import os
import signal
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from agent_kit import running
from test_link_kit import needs_mosquitto

from edgeagent.fleet.measurements import Summary
from edgeagent.fleet.results import Detection, Result
from edgeagent.fleet.snapshots import Snapshot
from edgeagent.fleet.states import Health, Status

pytestmark = [needs_mosquitto, pytest.mark.timeout(180)]

PARTS: dict[str, Any] = {"camera": "belt", "model": "conveyor"}
NEARLY_ALL = [[0.02, 0.0], [0.98, 0.0], [0.98, 1.0], [0.02, 1.0]]
UPPER = [[0.0, 0.0], [1.0, 0.0], [1.0, 0.5], [0.0, 0.5]]


@pytest.fixture(scope="module")
def state_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shared by this module's tests: the engine is built once, by whichever test comes first."""
    return tmp_path_factory.mktemp("state")


def numbers(result: Result) -> list[int]:
    return [detection.track for detection in result.detections if detection.track is not None]


def centre(detection: Detection) -> tuple[float, float]:
    x1, y1, x2, y2 = detection.box
    return (x1 + x2) / 2 / 640, (y1 + y2) / 2 / 480


def test_things_have_numbers_that_no_new_child_gives_again(tmp_path: Path, state_dir: Path) -> None:
    pytest.importorskip("lap", reason="the extra tracking is not installed")
    with running(tmp_path, state_dir, pipelines__parts={**PARTS, "tracking": True}) as (watcher, family):
        first = watcher.message(Result, lambda r: bool(numbers(r)))
        later = watcher.message(Result, lambda r: r.frame >= first.frame + 30 and bool(numbers(r)))
        given = {number for _, r, _ in watcher.items if isinstance(r, Result) for number in numbers(r)}
        os.kill(family.pid_of("infer_child"), signal.SIGKILL)
        ill = watcher.message(Health, lambda h: h.overall != "ok")
        given |= {number for _, r, _ in watcher.items if isinstance(r, Result) for number in numbers(r)}
        watcher.message(Health, lambda h: h.overall == "ok")
        after = watcher.message(Result, lambda r: r.ts > ill.ts and bool(numbers(r)))
    assert len(set(numbers(later))) == len(numbers(later))
    assert min(numbers(after)) > max(given), "one number for two things"


def test_regions_and_scores_of_classes_decide_what_counts(tmp_path: Path, state_dir: Path) -> None:
    regions = [
        {"name": "belt", "polygon": NEARLY_ALL},
        {"name": "upper", "polygon": UPPER},
        {"name": "corner", "kind": "exclude", "polygon": [[0.0, 0.0], [0.3, 0.0], [0.3, 1.0], [0.0, 1.0]]},
    ]
    table = {**PARTS, "regions": regions, "region_names": True, "class_min_score": {"washer": 0.9}}
    with running(tmp_path, state_dir, pipelines__parts=table) as (watcher, _):
        first = watcher.message(Result, lambda r: bool(r.detections))
        watcher.message(Result, lambda r: r.frame >= first.frame + 90)
        results = [item[1] for item in watcher.items if isinstance(item[1], Result)]
    seen = [detection for result in results for detection in result.detections]
    assert len(seen) > 30
    for detection in seen:
        x, y = centre(detection)
        assert 0.299 < x < 0.981, "outside what is to be included, or in what is not"
        if abs(y - 0.5) > 0.001:
            assert (detection.regions or ())[-1] == ("upper" if y < 0.5 else "belt")
        assert detection.class_ != "washer" or detection.score >= 0.9


def test_a_picture_comes_of_what_comes_into_view(tmp_path: Path, state_dir: Path) -> None:
    table = {**PARTS, "snapshots": "drawn", "snapshot_interval_s": 1.0}  # the first may go before anybody listens
    with running(tmp_path, state_dir, pipelines__parts=table) as (watcher, _):
        picture = watcher.message(Snapshot)
        result = watcher.ever(Result, lambda r: r.frame == picture.frame)
    jpeg = base64.b64decode(picture.jpeg, validate=True)
    assert cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR).shape == (240, 320, 3)
    assert (picture.camera, picture.pipeline, picture.drawn) == ("belt", "parts", True)
    assert picture.found == len(result.detections) > 0 and picture.capture_ts == result.capture_ts


def test_latency_comes_in_parts(tmp_path: Path, state_dir: Path) -> None:
    with running(tmp_path, state_dir) as (watcher, _):
        result = watcher.message(Result)
    parts = (result.ring_ms, result.wait_ms, result.engine_ms, result.post_ms, result.publish_ms)
    assert all(part is not None and part >= 0 for part in parts)
    assert sum(part or 0 for part in parts) == pytest.approx(result.lat_ms, abs=0.05)


def test_on_change_few_results_come_and_the_summary_says_why(tmp_path: Path, state_dir: Path) -> None:
    """Of a belt nothing is left that may count: a result every heartbeat, thirty frames a second are looked at."""
    nothing = {**PARTS, "results": "change", "heartbeat_s": 1.0, "min_score": 1.0}
    with running(tmp_path, state_dir, pipelines__parts=nothing) as (watcher, _):
        watcher.message(Status, lambda s: s.state == "ready")
        summary = watcher.message(Summary, lambda s: s.unchanged > 15 and (s.looked_fps or 0) > 15)
        before = watcher.message(Result)
        after = watcher.message(Result)
    assert summary.results <= 2 and summary.dropped <= summary.unchanged
    assert after.capture_ts - before.capture_ts >= 900
    assert after.seq == before.seq + 1


def test_a_class_that_the_model_does_not_know_stops_its_pipeline_only(tmp_path: Path, state_dir: Path) -> None:
    table = {**PARTS, "class_min_score": {"sprocket": 0.9}}
    with running(tmp_path, state_dir, pipelines__odd=table) as (watcher, _):
        ill = watcher.message(Health, lambda h: any("sprocket" in component.reason for component in h.components))
        watcher.message(Result, lambda r: r.pipeline == "parts")
    (reason,) = {component.reason for component in ill.components if "sprocket" in component.reason}
    assert "class_min_score" in reason and "bolt" in reason
