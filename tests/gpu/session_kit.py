"""What the tests and the measurement of the TensorRT session share. No tests in here.

The engines are detectors of a stem and so many equal convolutions, in FP16: how many sets how long they take.
"""

from __future__ import annotations

import copy
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx

sys.path.append(str(Path(__file__).parent))
sys.path.append(str(Path(__file__).parents[1] / "unit/engine"))
sys.path.append(str(Path(__file__).parents[1] / "contract"))
from engine_kit import write_bundle
from governed import Detector
from gpu_kit import Subject, make
from halves_kit import mean_network

from edgeagent.camera.ring_layout import RingLayout
from edgeagent.camera.ring_memory import create_ring, open_ring
from edgeagent.engine.batching import with_batch
from edgeagent.engine.graft import graft_bundle
from edgeagent.inference.cuda import Gpu, open_gpu
from edgeagent.vision.detections import Candidates

SIDE = 640


def detector_plan(folder: Path, convolutions: int, batch: int = 1) -> Path:
    """The plan of a detector, 640x640, for 1 to `batch` frames; built, or taken from EDGEAGENT_GPU_PLANS."""
    kind = type(f"Detector{convolutions}", (Detector,), {"CONVS": convolutions})
    bundle = write_bundle(folder / f"bundle-{convolutions}", kind(width=SIDE, height=SIDE, strides=(8,)))
    name = f"detector{convolutions}" + (f"x{batch}" if batch > 1 else "")
    return built(folder, name, with_batch(graft_bundle(bundle), batch, fixed=False), "fp16", batch)


def mean_plan(folder: Path, batch: int) -> Path:
    """The plan of the engine whose answer tells its frames, for a batch."""
    return built(folder, f"mean{batch}", mean_network(batch), "fp32", batch)


def built(folder: Path, name: str, network: onnx.ModelProto, form: str, batch: int = 1) -> Path:
    path = folder / f"{name}.onnx"
    onnx.save(network, str(path))
    return make(Subject(name, path, path, [], []), form, folder / f"{name}.plan", batch).plan


def sharing_gpu() -> Gpu:
    """The GPU, taken for one that shares its memory with the CPU: it reads frames in place, through its bus."""
    gpu = copy.copy(open_gpu())
    gpu.integrated = True
    return gpu


class Ring:
    """A real ring's mapping: its memory as a whole, and the frames in it."""

    def __init__(self, slots: int, side: int = SIDE) -> None:
        layout = RingLayout(side, side, slots)
        self._fd = create_ring("test", layout)
        _, self._map = open_ring(self._fd)
        self.memory = memoryview(self._map)
        shape = (side, side, 3)
        self.frames = [np.ndarray(shape, np.uint8, self._map, layout.frame_offset(slot)) for slot in range(slots)]

    def close(self) -> None:
        self.frames.clear()
        self.memory.release()
        self._map.close()
        os.close(self._fd)


@contextmanager
def ring(slots: int, side: int = SIDE) -> Iterator[Ring]:
    opened = Ring(slots, side)
    try:
        yield opened
    finally:
        opened.close()


def distinct_frames(count: int, side: int = SIDE) -> Iterator[np.ndarray]:
    """Frames that differ in a patch, and so in what a detector says of them."""
    rng = np.random.default_rng(5)
    ground = rng.integers(0, 256, (side, side, 3), np.uint8)
    for number in range(count):
        x, y = rng.integers(0, side - 160, 2)
        picture = ground.copy()
        picture[y : y + 160, x : x + 160] = rng.integers(0, 256, 3, np.uint8) if number % 2 else number % 256
        yield picture


def same(one: Candidates, two: Candidates) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(vars(one).values(), vars(two).values(), strict=True))


def resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 2**20


def gpu_used_mb() -> float:
    """Of the whole GPU: other processes count, so it is only good on one that nobody else uses."""
    gpu = open_gpu()
    with gpu:
        free, total = gpu.driver.mem_get_info()
    return float(total - free) / 2**20
