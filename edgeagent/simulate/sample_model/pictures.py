"""The sample model's pictures: scenes letterboxed as the capture child does it, drawn by many processes at once.

Seeds: view i of a split is drawn with `numpy.random.default_rng([split, i])`. TRAINING and HELD_OUT are different
splits, so no held-out view was ever trained on. Calibration frames come from streams CALIBRATION_SEED, +1, ...
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Final, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeagent.simulate.sample_model.network import SIDE
from edgeagent.simulate.scenes import ConveyorStream, Scene
from edgeagent.vision.letterbox import apply_letterbox, fit_letterbox, map_to_input

Image: TypeAlias = NDArray[np.uint8]

TRAINING: Final = 1
HELD_OUT: Final = 2
VIEWS: Final = {TRAINING: 4, HELD_OUT: 1}
"""Pictures of each view. Belts and lamps vary less in their effect than parts do, and cost more to draw."""
CALIBRATION_SEED: Final = 9_000_000
MOST_PARTS: Final = 20
"""Rows kept for a scene's truth; scenes with more parts do not occur in practice and lose the rest."""
_SIZES: Final = ((640, 480),) * 7 + ((1280, 720), (320, 320), (640, 640))
_CHUNK: Final = 10


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


def draw_view(split: int, number: int) -> Iterator[tuple[Image, NDArray[np.float32]]]:
    """The pictures of view `number` of a split: one camera over one belt, at VIEWS moments that share no part.

    Seven of ten views are 640x480, the others have three other sizes.
    """
    rng = np.random.default_rng([split, number])
    width, height = _SIZES[number % len(_SIZES)]
    stream = ConveyorStream(width, height, 30.0, int(rng.integers(2**62)), loop=1)
    start = int(rng.integers(100_000))
    for moment in range(VIEWS[split]):
        yield letterboxed(stream.frame(start + 600 * moment))


def draw_pictures(split: int, count: int, folder: Path, workers: int) -> Pictures:
    """Draw the first `count` pictures of a split with `workers` processes; they lie in a file in `folder`.

    `count` must be a multiple of the split's VIEWS.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"split{split}.npy"
    images = np.lib.format.open_memmap(path, "w+", np.uint8, (count, SIDE, SIDE, 3))
    truth = np.empty((count, MOST_PARTS, 5), np.float32)
    views = VIEWS[split]
    fresh = get_context("spawn")  # a forked child would inherit the locks of threads that it does not have
    with ProcessPoolExecutor(workers, fresh) as pool:
        jobs = [
            pool.submit(_draw_views, path, split, range(first, min(count // views, first + _CHUNK)))
            for first in range(0, count // views, _CHUNK)
        ]
        for number, job in enumerate(jobs):
            rows = job.result()
            truth[number * _CHUNK * views :][: len(rows)] = rows
    return Pictures(images, truth)


def _draw_views(path: Path, split: int, numbers: range) -> NDArray[np.float32]:
    """Draw some views into the file at `path`; returns their truth."""
    cv2.setNumThreads(1)
    images = np.lib.format.open_memmap(path, "r+")
    rows: list[NDArray[np.float32]] = []
    at = numbers.start * VIEWS[split]
    for number in numbers:
        for image, truth in draw_view(split, number):
            images[at + len(rows)] = image
            rows.append(truth)
    return np.stack(rows)


def calibration_images(count: int) -> Iterator[Image]:
    """`count` letterboxed frames, uint8 (SIDE, SIDE, 3) BGR, each from another stream."""
    for number in range(count):
        yield letterboxed(ConveyorStream(640, 480, 30.0, CALIBRATION_SEED + number, loop=1).frame(200 + number))[0]
