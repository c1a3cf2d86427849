"""How well things keep their numbers, and what that costs: the sample model on the synthetic conveyor, which knows what
is what.

    python tests/bench/bench_tracking.py [--belts 8] [--seconds 10] [--truth] [--out tracking.json]

For each belt and rate: the FP32 network on ONNX Runtime looks at every frame, the detections go the way they go in the
infer child (edgeagent/inference/after.py). A detection is of the truth's thing that it overlaps most, by half at least.
A switch is a thing whose number changes; `twice` counts numbers that two things had.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx

from edgeagent.engine.bundle import load_bundle
from edgeagent.engine.graft import graft_bundle
from edgeagent.inference.after import After, Memory
from edgeagent.inference.messages import AfterEngine, PipelineStart, Tracking
from edgeagent.inference.session import InferenceSession, open_session
from edgeagent.simulate.scenes import ConveyorStream
from edgeagent.vision.letterbox import apply_letterbox, fit_letterbox
from edgeagent.vision.scoring import iou_matrix
from edgeagent.vision.tracking import Tracker

WIDTH, HEIGHT = 640, 480
RATES = (30.0, 15.0, 10.0, 5.0)


@dataclass
class Tally:
    frames: int = 0
    detections: int = 0
    things: int = 0
    named: int = 0
    switches: int = 0
    twice: int = 0
    after_us: list[float] = field(default_factory=list)

    def figures(self) -> dict[str, float]:
        counts = {
            name: getattr(self, name) for name in ("frames", "detections", "things", "named", "switches", "twice")
        }
        return {**counts, "after_cpu_us_a_frame": round(float(np.mean(self.after_us)), 1)}


def pipeline(classes: list[str], *, tracking: bool) -> PipelineStart:
    return PipelineStart(
        pipeline="bench",
        ring="bench",
        backend="onnxruntime",
        plan="",
        engine="bench",
        classes=classes,
        keep=None,
        min_score=0.35,
        iou=0.5,
        max_detections=100,
        min_interval_s=0.0,
        after=AfterEngine(tracking=Tracking(low_score=0.1, lost_s=1.0) if tracking else None),
    )


def watch(session: InferenceSession, after: After, seed: int, fps: float, frames: int, tally: Tally) -> None:
    """One belt: every frame through the network and what follows it, against what lies there."""
    stream, box = ConveyorStream(WIDTH, HEIGHT, fps, seed), fit_letterbox(WIDTH, HEIGHT, session.width, session.height)
    frame, sights = np.empty((1, session.height, session.width, 3), np.uint8), Sights()
    for index in range(frames):
        apply_letterbox(stream.frame(index)[0], box, frame[0])
        candidates = session.run(frame)[0]
        began = time.process_time()
        rows = after.take(candidates, box, int(index / fps * 1e9)) or []
        tally.after_us.append((time.process_time() - began) * 1e6)
        true_boxes, true_ids, things = stream.things(index)
        tally.detections += len(rows)
        for row in rows:
            number = row[6] if len(row) > 6 else 0
            overlaps = iou_matrix(np.array([row[2:6]]), true_boxes)[0] * (true_ids == row[0])
            if number and overlaps.size and overlaps.max() >= 0.5:
                sights.see(things[int(overlaps.argmax())], number)
    sights.add_to(tally, frames)


def watch_truth(seed: int, fps: float, frames: int, tally: Tally) -> None:
    """One belt through a detector that trembles by 2 pixels, misses 15 % and scores 20 % of the rest 0.2."""
    stream, tracker, sights = ConveyorStream(WIDTH, HEIGHT, fps, seed), Tracker(), Sights()
    rng = np.random.default_rng([seed, 7])
    for index in range(frames):
        boxes, class_ids, things = stream.things(index)
        shown = np.flatnonzero(rng.random(len(things)) >= 0.15)
        scores = np.where(rng.random(len(shown)) < 0.2, 0.2, 0.8)
        seen = boxes[shown] + rng.normal(0, 2.0, (len(shown), 4))
        began = time.process_time()
        numbers = tracker.follow(seen, scores, class_ids[shown], scores >= 0.35, int(index / fps * 1e9))
        tally.after_us.append((time.process_time() - began) * 1e6)
        tally.detections += len(shown)
        for place, number in zip(shown, numbers.tolist(), strict=True):
            if number:
                sights.see(things[place], number)
    sights.add_to(tally, frames)


@dataclass
class Sights:
    """Which numbers the things of one belt had."""

    number_of: dict[tuple[int, int], int] = field(default_factory=dict)
    owners: dict[int, set[tuple[int, int]]] = field(default_factory=dict)
    named: int = 0
    switches: int = 0

    def see(self, thing: tuple[int, int], number: int) -> None:
        self.switches += self.number_of.get(thing, number) != number
        self.number_of[thing] = number
        self.owners.setdefault(number, set()).add(thing)
        self.named += 1

    def add_to(self, tally: Tally, frames: int) -> None:
        tally.frames += frames
        tally.named += self.named
        tally.switches += self.switches
        tally.things += len(self.number_of)
        tally.twice += sum(len(had) > 1 for had in self.owners.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--belts", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--truth", action="store_true", help="the truth's boxes through a bad detector, no model")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    figures = truth_figures(options) if options.truth else model_figures(options)
    if options.out:
        options.out.write_text(json.dumps(figures, indent=2) + "\n")


def truth_figures(options: argparse.Namespace) -> dict[str, dict[str, float]]:
    figures = {}
    for fps in RATES:
        tally = Tally()
        for seed in range(options.belts):
            watch_truth(seed, fps, int(options.seconds * fps), tally)
        figures[f"{fps:g} fps"] = told(f"{fps:g} fps", tally)
    return figures


def model_figures(options: argparse.Namespace) -> dict[str, dict[str, float]]:
    bundle, figures = load_bundle("sample:conveyor"), {}
    classes = list(bundle.spec.classes)
    with tempfile.TemporaryDirectory() as folder:
        plan = Path(folder) / "plan"
        onnx.save(graft_bundle(bundle), str(plan))
        session = open_session("onnxruntime", plan, 1)
        for fps in RATES:
            tally = Tally()
            for seed in range(options.belts):
                after = After(pipeline(classes, tracking=True), Memory())
                watch(session, after, seed, fps, int(options.seconds * fps), tally)
            figures[f"{fps:g} fps"] = told(f"{fps:g} fps", tally)
        plain = Tally()
        watch(session, After(pipeline(classes, tracking=False), Memory()), 0, 30.0, 300, plain)
        figures["30 fps, not tracked"] = told("30 fps, not tracked", plain)
        session.close()
    return figures


def told(name: str, tally: Tally) -> dict[str, float]:
    sys.stdout.write(f"{name}: {json.dumps(tally.figures())}\n")
    return tally.figures()


if __name__ == "__main__":
    main()
