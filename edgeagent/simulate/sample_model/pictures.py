"""The sample model's pictures: scenes letterboxed as the capture child does it, drawn by many processes at once.

Seeds: scene i of a split is drawn with `numpy.random.default_rng([split, i])`. TRAINING and HELD_OUT are different
splits, so no held-out scene was ever trained on. Calibration frames come from streams CALIBRATION_SEED, +1, ...
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeagent.simulate.sample_model.network import SIDE
from edgeagent.simulate.scenes import ConveyorStream, Scene, draw_scene
from edgeagent.vision.letterbox import apply_letterbox, fit_letterbox, map_to_input

Image: TypeAlias = NDArray[np.uint8]

TRAINING: Final = 1
HELD_OUT: Final = 2
CALIBRATION_SEED: Final = 9_000_000
MOST_PARTS: Final = 20
"""Rows kept for a scene's truth; scenes with more parts do not occur in practice and lose the rest."""
_SIZES: Final = ((640, 480),) * 7 + ((1280, 720), (320, 320), (640, 640))
_CHUNK: Final = 32


@dataclass(frozen=True)
class Pictures:
    """images: uint8 (N, SIDE, SIDE, 3) BGR, letterboxed. truth: float32 (N, MOST_PARTS, 5), rows of xyxy in input
    pixels and class id; unused rows have class id -1."""

    images: Image
    truth: NDArray[np.float32]


def letterboxed(scene: Scene) -> tuple[Image, NDArray[np.float32]]:
    """A scene as the network sees it: image uint8 (SIDE, SIDE, 3) BGR and truth (MOST_PARTS, 5) as in `Pictures`."""
    image, boxes, class_ids = scene
    box = fit_letterbox(image.shape[1], image.shape[0], SIDE, SIDE)
    out = np.empty((SIDE, SIDE, 3), np.uint8)
    apply_letterbox(image, box, out)
    truth = np.full((MOST_PARTS, 5), -1.0, np.float32)
    count = min(MOST_PARTS, len(boxes))
    truth[:count, :4] = map_to_input(boxes, box)[:count]
    truth[:count, 4] = class_ids[:count]
    return out, truth


def draw_picture(split: int, number: int) -> tuple[Image, NDArray[np.float32]]:
    """Picture `number` of a split; seven of ten come from a 640x480 camera, the others from three other sizes."""
    rng = np.random.default_rng([split, number])
    width, height = _SIZES[number % len(_SIZES)]
    return letterboxed(draw_scene(rng, width, height))


def draw_pictures(split: int, count: int, folder: Path, workers: int) -> Pictures:
    """Draw pictures 0..count-1 of a split with `workers` processes; they lie in a file in `folder` while in use."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"split{split}.npy"
    images = np.lib.format.open_memmap(path, "w+", np.uint8, (count, SIDE, SIDE, 3))
    truth = np.empty((count, MOST_PARTS, 5), np.float32)
    starts = range(0, count, _CHUNK)
    with ProcessPoolExecutor(workers) as pool:
        jobs = [pool.submit(_draw_chunk, path, split, start, min(count, start + _CHUNK)) for start in starts]
        for start, rows in zip(starts, (job.result() for job in jobs), strict=True):
            truth[start : start + len(rows)] = rows
    return Pictures(images, truth)


def _draw_chunk(path: Path, split: int, start: int, stop: int) -> NDArray[np.float32]:
    cv2.setNumThreads(1)
    images = np.lib.format.open_memmap(path, "r+")
    truth = np.empty((stop - start, MOST_PARTS, 5), np.float32)
    for number in range(start, stop):
        images[number], truth[number - start] = draw_picture(split, number)
    return truth


def calibration_images(count: int) -> Iterator[Image]:
    """`count` letterboxed frames, uint8 (SIDE, SIDE, 3) BGR, each from another stream."""
    for number in range(count):
        yield letterboxed(ConveyorStream(640, 480, 30.0, CALIBRATION_SEED + number, loop=1).frame(200 + number))[0]
