"""What pictures of events cost the frames beside them: `bench_snapshots.py [--fps 60] [--seconds 10]`.

The real infer child, an engine that does next to nothing, one camera of 640x640 whose pictures are noise. A thing comes
into view with every second frame; a picture is taken 5 times a second, or never. One line of JSON each: milliseconds
from the camera's read to the result as the child counts them, and what drawing one picture takes.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.append(str(Path(__file__).parents[1] / "integration"))
from test_build_kit import Camera, Running
from test_plans_kit import write_plan

from edgeagent.inference.messages import AfterEngine, InferStart, PipelineStart, RingInput, SnapshotWish
from edgeagent.inference.snapshots import draw_snapshot
from edgeagent.vision.letterbox import fit_letterbox

SIDE, PICTURES, EVERY_S = 640, 8, 0.2
NEVER_S = 3600.0


def frames() -> list[np.ndarray]:
    """Coarse noise; every second one has something in it."""
    made = []
    for number in range(PICTURES):
        coarse = np.random.default_rng(number).integers(0, 256, (SIDE // 8, SIDE // 8, 3), np.uint8)
        picture = np.repeat(np.repeat(coarse, 8, 0), 8, 1)
        picture[0, 0] = 200 if number % 2 else 0
        made.append(picture)
    return made


def pipeline(plan: str, interval_s: float) -> PipelineStart:
    wish = SnapshotWish(drawn=True, interval_s=interval_s)
    return PipelineStart(
        pipeline="look", ring="cam", backend="onnxruntime", plan=plan, engine="e", classes=["a", "b", "c"], keep=None,
        min_score=0.5, iou=0.5, max_detections=100, min_interval_s=0.0, after=AfterEngine(snapshot=wish),
    )  # fmt: skip


def measure(folder: Path, fps: float, seconds: float, interval_s: float) -> dict[str, Any]:
    plan = write_plan(folder / "plan", width=SIDE, height=SIDE)
    with Camera(frames()) as camera:
        first = InferStart(
            rings=[RingInput(id="cam", fd=camera.fd, wake_fd=camera.wake_fd)],
            pipelines=[pipeline(plan, interval_s)],
            threads=1,
        )
        fds = [camera.fd, camera.wake_fd]
        with Running("edgeagent.inference.infer_child", first, fds, folder / "stderr") as child:
            child.until("loaded")
            stop = threading.Event()
            writer = threading.Thread(target=show, args=(camera, fps, stop))
            writer.start()
            words: list[dict[str, Any]] = []
            until = time.monotonic() + seconds
            while time.monotonic() < until and (word := child.next()) is not None:
                words.append(word)
            stop.set()
            writer.join()
    results = [word for word in words if word["kind"] == "result"]
    total = np.array([word["ring_ms"] + word["wait_ms"] + word["engine_ms"] + word["post_ms"] for word in results[10:]])
    return {
        "results": len(results),
        "pictures": sum(word["kind"] == "snapshot" for word in words),
        "p50_ms": round(float(np.percentile(total, 50)), 2),
        "p95_ms": round(float(np.percentile(total, 95)), 2),
        "p99_ms": round(float(np.percentile(total, 99)), 2),
        "most_ms": round(float(total.max()), 2),
    }


def show(camera: Camera, fps: float, stop: threading.Event) -> None:
    due, number = time.monotonic(), 0
    while not stop.wait(max(0.0, due - time.monotonic())):
        camera.put(camera.frames[number % PICTURES])
        number, due = number + 1, due + 1 / fps


def drawing_ms() -> float:
    picture, box = frames()[1], fit_letterbox(SIDE, SIDE, SIDE, SIDE)
    rows = [(0, 0.9, 10.0, 10.0, 200.0, 200.0)] * 4
    taken = []
    for _ in range(20):
        began = time.perf_counter()
        draw_snapshot(picture, box, rows, ["a"], drawn=True)  # type: ignore[arg-type]
        taken.append((time.perf_counter() - began) * 1e3)
    return round(sorted(taken)[len(taken) // 2], 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fps", type=float, default=60.0)
    parser.add_argument("--seconds", type=float, default=10.0)
    options = parser.parse_args()
    print(json.dumps({"one picture, ms": drawing_ms()}), flush=True)
    for name, interval_s in (("never", NEVER_S), ("5 a second", EVERY_S), ("never", NEVER_S), ("5 a second", EVERY_S)):
        with tempfile.TemporaryDirectory() as folder:
            told = measure(Path(folder), options.fps, options.seconds, interval_s)
        print(json.dumps({"pictures taken": name, **told}), flush=True)


if __name__ == "__main__":
    main()
