"""What a frame costs outside the engine, beside its neighbours': `python tests/bench/peers.py [--frames N] [--json]`.

One network (the shape of YOLOv8n, random weights), the same frames (the synthetic conveyor, 640x480), ONNX Runtime on
one thread, CPU time. The neighbours are Ultralytics' `predict` and Roboflow inference's `InferencePipeline`, each
installed from the package index into a virtual environment of its own under PEERS_DIR (default:
~/.cache/edgeagent-peers); one that cannot be had is skipped, and why is said.

- Theirs (peer_ultralytics.py, peer_roboflow.py): the process's CPU time from a frame to its detections in Python, less
  that of ONNX Runtime's runs within it. Roboflow's pipeline has its threads in it, and takes the frames from memory.
- Ours, measured the same way: the same steps in one process with the agent's own parts, from the camera's picture to
  the bytes of the message (letterbox into a ring, the engine, NMS, source pixels, JSON, the agent's message), less
  the time within the engine.
- Beside it, what it costs as it really runs: CPU time of all processes from the picture to MQTT at 30 frames a second,
  with a null engine that finds as many things as the network does. Theirs has no processes and no MQTT.

Our engines have the normalisation of the pixels and the choice of candidates within them
(docs/decisions/0004-graft.md), the neighbours do that outside. So what these parts cost inside our engine is told
beside it (ONNX Runtime's own profile), and the share with them counted as ours.

PEERS_PIP: what else pip is given for Ultralytics, for example "torch==2.13.0+cpu torchvision==0.28.0+cpu" where such
wheels are at hand (they go together): the index's own torch brings gigabytes for a GPU. Roboflow's package wants that.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

sys.path.append(str(Path(__file__).parents[1] / "gpu"))
from yolov8n import settle, yolov8n

from edgeagent.bench.end_to_end import measure_end_to_end
from edgeagent.bench.power import Meter
from edgeagent.bench.report import facts_of_whole
from edgeagent.bench.subject import MIN_SCORE, Subject, model_subject, null_subject
from edgeagent.camera.pace import Spacing
from edgeagent.camera.ring import RingReader, RingWriter
from edgeagent.camera.ring_layout import RingLayout
from edgeagent.camera.ring_memory import create_ring
from edgeagent.engine.graft import PREFIX
from edgeagent.fleet.results import encode_result
from edgeagent.inference.after import After, Memory
from edgeagent.inference.pacing import Limit
from edgeagent.inference.pipeline import Pipeline, Times
from edgeagent.inference.result_line import cut_result
from edgeagent.simulate.scenes import ConveyorStream
from edgeagent.vision.letterbox import apply_letterbox, fit_letterbox
from edgeagent.vision.nms import select_detections

SIDE, SOURCE = 640, (640, 480)
PEERS_DIR = Path(os.environ.get("PEERS_DIR", Path.home() / ".cache" / "edgeagent-peers"))
WANTED_SHARE = 0.2
INSTALL_S, RUN_S = 3600, 1800
MODEL_TOML = """
name = "yolov8n-random"
version = "1"
onnx = "yolov8n.onnx"
task = "detect"
family = "yolov8"
classes = [{classes}]
[input]
width = 640
height = 640
"""


@dataclass(frozen=True)
class Peer:
    """A neighbour: what pip is asked for, what must be importable then, and the script that its interpreter runs."""

    name: str
    title: str
    packages: tuple[str, ...]
    module: str
    environment: dict[str, str]

    @property
    def python(self) -> Path:
        return PEERS_DIR / self.name / "bin" / "python"

    @property
    def script(self) -> Path:
        return Path(__file__).with_name(f"peer_{self.name}.py")


PEERS = (
    Peer(
        "ultralytics",
        "Ultralytics",
        ("ultralytics", "onnxruntime", *shlex.split(os.environ.get("PEERS_PIP", ""))),
        "ultralytics",
        {"YOLO_OFFLINE": "true", "YOLO_AUTOINSTALL": "false"},
    ),
    Peer(
        "roboflow",
        "Roboflow inference",
        ("inference-cpu",),
        "inference",
        {
            "OFFLINE_MODE": "True",
            "ALLOW_INFERENCE_MODELS_DIRECTLY_ACCESS_LOCAL_PACKAGES": "True",
            "ONNXRUNTIME_EXECUTION_PROVIDERS": "[CPUExecutionProvider]",
            "METRICS_ENABLED": "False",
            "TELEMETRY_OPT_OUT": "True",
        },
    ),
)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="edgeagent-peers-") as name:
        folder = Path(name)
        pictures = conveyor(24)
        subject = bundle(folder)
        np.save(folder / "frames.npy", pictures)
        told: dict[str, Any] = {peer.name: theirs(peer, folder, options.frames) for peer in PEERS}
        told["ours"] = ours(subject, pictures, folder, options.frames)
    compared = [told[peer.name] for peer in PEERS if "skipped" not in told[peer.name]]
    for one in compared:
        one["share"] = round(told["ours"]["outside_us"] / one["outside_us"], 3)
        one["share_with_grafts"] = round(
            (told["ours"]["outside_us"] + told["ours"]["grafts_us"]) / one["outside_us"], 3
        )
        one["wanted_share"] = WANTED_SHARE
    print(json.dumps(told) if options.json else "\n".join(lines(told)))
    return 1 if any(one["share"] > WANTED_SHARE for one in compared) else 0


def conveyor(count: int) -> np.ndarray:
    stream = ConveyorStream(*SOURCE, 30.0, 5)
    return np.stack([stream.frame(9 * number)[0] for number in range(count)])


def bundle(folder: Path) -> Subject:
    """The network on disk, and our engine of it."""
    import onnx

    model = yolov8n()
    settle(model, [_as_fed(boxed(frame)) for frame in conveyor(4)])
    names = {str(number): f"c{number}" for number in range(80)}
    for key, value in {"task": "detect", "stride": "32", "names": str({int(k): v for k, v in names.items()})}.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
    onnx.save(model, folder / "yolov8n.onnx")
    classes = ", ".join(f'"{name}"' for name in names.values())
    (folder / "model.toml").write_text(MODEL_TOML.format(classes=classes))
    return model_subject(folder, str(folder), 1)


def _as_fed(frame: np.ndarray) -> np.ndarray:
    """float32 (1, 3, SIDE, SIDE) RGB 0..1, as the network is fed."""
    fed: np.ndarray = np.ascontiguousarray(frame[..., ::-1].transpose(2, 0, 1)[None], np.float32) / np.float32(255)
    return fed


def boxed(frame: np.ndarray) -> np.ndarray:
    out = np.empty((SIDE, SIDE, 3), np.uint8)
    apply_letterbox(frame, fit_letterbox(*SOURCE, SIDE, SIDE), out)
    return out


# theirs


def theirs(peer: Peer, folder: Path, frames: int) -> dict[str, Any]:
    """Median CPU us a frame, or why there is none."""
    if why := _installed(peer):
        return {"skipped": why}
    given = [str(folder / "yolov8n.onnx"), str(folder / "frames.npy"), str(frames), str(MIN_SCORE)]
    environment = {**os.environ, **peer.environment, "OMP_NUM_THREADS": "1", "MODEL_CACHE_DIR": str(folder / "cache")}
    done = subprocess.run(
        [str(peer.python), str(peer.script), *given],
        capture_output=True,
        text=True,
        timeout=RUN_S,
        check=False,
        env=environment,
    )
    if done.returncode:
        return {"skipped": f"it does not run: {(done.stderr.strip().splitlines() or ['it says nothing'])[-1]}"}
    told: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return told


def _installed(peer: Peer) -> str:
    """Empty when it can be run; else why it cannot be had."""
    python, place = str(peer.python), peer.python.parent.parent
    if not peer.python.exists():
        place.mkdir(parents=True, exist_ok=True)
        for command in (
            [sys.executable, "-m", "venv", str(place)],
            [python, "-m", "pip", "install", "-q", *peer.packages],
        ):
            done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_S, check=False)
            if done.returncode:
                return f"it cannot be installed: {(done.stderr.strip().splitlines() or ['no reason'])[-1]}"
    done = subprocess.run([python, "-c", f"import {peer.module}"], capture_output=True, text=True, check=False)
    return "" if not done.returncode else f"it is not whole: {done.stderr.strip().splitlines()[-1]}; remove {place}"


# ours


def ours(subject: Subject, pictures: np.ndarray, folder: Path, frames: int) -> dict[str, Any]:
    found = round(statistics.mean(_found(subject, pictures)))
    null = null_subject(folder, SIDE, SIDE, found)
    whole = facts_of_whole(measure_end_to_end(null, 1, 30.0, 10.0, None, Meter(Path("/"))))
    cpu: Any = whole["cpu_us"]
    return {
        "outside_us": round(statistics.median(_chain_us(subject, pictures, frames)), 1),
        "processes_us": round(cpu["capture"] + cpu["ring_to_mqtt"], 1),
        "grafts_us": round(_grafts_us(subject, pictures), 1),
        "found": found,
    }


def _found(subject: Subject, pictures: np.ndarray) -> list[int]:
    with subject.session() as session:
        every = [session.run(boxed(frame)[None])[0] for frame in pictures[:8]]
    return [len(select_detections(one, min_score=MIN_SCORE, iou=0.5, limit=100)) for one in every]


def _chain_us(subject: Subject, pictures: np.ndarray, frames: int) -> list[float]:
    """CPU us of each frame outside the engine; the first three, which warm everything up, left out."""
    fd, box = create_ring("peers", RingLayout(SIDE, SIDE)), fit_letterbox(*SOURCE, SIDE, SIDE)
    start = subject.pipeline("peer", "ring")
    pipeline = Pipeline(start, After(start, Memory()), Limit(), Spacing(0.0))
    taken = []
    with RingWriter(fd, []) as writer, RingReader(fd) as reader, subject.session() as session:
        for number in range(-3, frames):
            began = time.process_time_ns()
            writer.fill(pictures[number % len(pictures)], box)
            meta = reader.peek_exactly(writer.publish(time.monotonic_ns(), time.time_ns() // 1_000_000, box))
            assert meta is not None
            session.submit([reader.view(meta)])
            into, begun = time.process_time_ns(), time.monotonic_ns()
            found = session.collect()[0]
            inside = time.process_time_ns() - into
            line = pipeline.result(found, meta, Times(begun, time.monotonic_ns()), time.monotonic_ns)
            assert line is not None and reader.is_whole(meta)
            head, detections = cut_result(line.rstrip())
            values = {"session": "a-1", "seq": 1, "ts": head.capture_ms, "camera": "cam", "pipeline": head.pipeline}
            more = {"frame": head.frame, "capture_ts": head.capture_ms, "lat_ms": 1.0, "wait_ms": head.wait_ms}
            size = {"width": head.width, "height": head.height, "model": start.model, "engine": start.engine}
            assert encode_result({**values, **more, **size}, detections)
            if number >= 0:
                taken.append((time.process_time_ns() - began - inside) / 1000)
    os.close(fd)
    return taken


def _grafts_us(subject: Subject, pictures: np.ndarray) -> float:
    """What the nodes that we put into the network take of ONNX Runtime's time, a frame."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.enable_profiling, options.profile_file_prefix = True, str(subject.plan.parent / "profile")
    session = onnxruntime.InferenceSession(subject.plan.read_bytes(), options, providers=["CPUExecutionProvider"])
    for frame in pictures[:12]:
        session.run(None, {session.get_inputs()[0].name: boxed(frame)[None]})
    events = json.loads(Path(session.end_profiling()).read_text())
    taken: dict[str, list[float]] = {}
    for one in events:
        if one.get("cat") == "Node" and PREFIX in one["name"]:
            taken.setdefault(one["name"], []).append(one["dur"])
    return sum(statistics.median(times) for times in taken.values())


def lines(told: dict[str, Any]) -> list[str]:
    own = told["ours"]
    text = [
        f"ours: {own['outside_us']:.0f} us of CPU a frame outside the engine, {own['found']} detections; "
        f"{own['grafts_us']:.0f} us in the engine for what theirs does outside; with all processes and MQTT "
        f"{own['processes_us']:.0f} us"
    ]
    for peer in PEERS:
        one = told[peer.name]
        if "skipped" in one:
            text.append(f"{peer.title}: skipped, {one['skipped']}")
            continue
        text.append(
            f"{peer.title} {one['version']}: {one['outside_us']:.0f} us outside the engine, {one['engine_us']:.0f} in "
            f"it, {one['found']} detections; ours is {one['share']:.2f} of it (wanted: at most {WANTED_SHARE}), "
            f"{one['share_with_grafts']:.2f} with the grafts"
        )
    return text


if __name__ == "__main__":
    sys.exit(main())
