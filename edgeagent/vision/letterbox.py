"""Letterbox: scale a frame into the model's input without changing its shape, grey bars around it.

The geometry is ours and property-tested; the pixels are moved by OpenCV. Pixel (0, 0) of the source lands at
(pad_x, pad_y); a box maps by `x * scale + pad_x` and back by `(x - pad_x) / scale`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

PAD_VALUE = 114  # the grey of the YOLO family's training letterbox

Image = npt.NDArray[np.uint8]
Boxes = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Letterbox:
    """How a source frame lies in the model's input. Pads are whole pixels of the input, left and top."""

    source_width: int
    source_height: int
    width: int
    height: int
    scale: float
    pad_x: float
    pad_y: float

    @property
    def inner(self) -> tuple[int, int]:
        """Width and height of the scaled frame inside the input, at least one pixel each."""
        return (
            max(1, min(self.width, round(self.source_width * self.scale))),
            max(1, min(self.height, round(self.source_height * self.scale))),
        )

    @cached_property
    def edges(self) -> tuple[Boxes, Boxes]:
        """Where the source's corner lies in the input, and its own size: each for both corners of a box, (4,)."""
        pads, size = (self.pad_x, self.pad_y), (self.source_width, self.source_height)
        return np.array(pads * 2, np.float32), np.array(size * 2, np.float32)


def fit_letterbox(source_width: int, source_height: int, width: int, height: int) -> Letterbox:
    """The letterbox of a source frame in an input of `width` x `height`. ValueError for an empty frame."""
    if min(source_width, source_height, width, height) < 1:
        raise ValueError(f"an empty frame ({source_width}x{source_height}) has no letterbox")
    scale = min(width / source_width, height / source_height)
    inner_width = max(1, min(width, round(source_width * scale)))
    inner_height = max(1, min(height, round(source_height * scale)))
    pad_x, pad_y = (width - inner_width) // 2, (height - inner_height) // 2
    return Letterbox(source_width, source_height, width, height, scale, float(pad_x), float(pad_y))


def apply_letterbox(image: Image, box: Letterbox, out: Image, *, bars: bool = True) -> None:
    """Scale `image` uint8 (source_height, source_width, 3) into `out` uint8 (height, width, 3). `bars`: draw them, too;
    False where `out` has those of such a box."""
    import cv2

    inner_width, inner_height = box.inner
    x, y = int(box.pad_x), int(box.pad_y)
    if bars and (inner_width, inner_height) != (box.width, box.height):
        out[:y] = PAD_VALUE
        out[y + inner_height :] = PAD_VALUE
        out[:, :x] = PAD_VALUE
        out[:, x + inner_width :] = PAD_VALUE
    inner = out[y : y + inner_height, x : x + inner_width]
    if image.shape == inner.shape:
        np.copyto(inner, image)
        return
    image = _halved(image, inner_width, inner_height)
    how = cv2.INTER_AREA if image.shape[1] > 2 * inner_width or image.shape[0] > 2 * inner_height else cv2.INTER_LINEAR
    if inner.strides[1:] == (3, 1):  # OpenCV writes in place into rows of packed pixels only
        cv2.resize(image, (inner_width, inner_height), dst=inner, interpolation=how)
    else:
        np.copyto(inner, cv2.resize(image, (inner_width, inner_height), interpolation=how))


def _halved(image: Image, width: int, height: int) -> Image:
    """As often as it stays larger than `width` x `height` and has even sides, so that every pixel counts.

    OpenCV averages two by two pixels with vector instructions, others (INTER_AREA) at a third to an eighth of that
    speed; INTER_LINEAR looks at two pixels each way, and would pass over the rest.
    """
    import cv2

    rows, columns = image.shape[:2]
    while rows > 2 * height and columns > 2 * width and not (rows % 2 or columns % 2):
        rows, columns = rows // 2, columns // 2
        image = np.asarray(cv2.resize(image, (columns, rows), interpolation=cv2.INTER_AREA), np.uint8)
    return image


def map_to_source(boxes: Boxes, box: Letterbox) -> Boxes:
    """Boxes (M, 4) xyxy in input pixels -> (M, 4) xyxy in source pixels, clipped to the frame. M may be 0."""
    offset, limit = box.edges
    mapped = boxes - offset
    mapped /= np.float32(box.scale)
    np.maximum(mapped, np.float32(0), out=mapped)  # np.clip costs several times as much
    np.minimum(mapped, limit, out=mapped)
    return mapped


def map_to_input(boxes: Boxes, box: Letterbox) -> Boxes:
    """Boxes (M, 4) xyxy in source pixels -> (M, 4) xyxy in input pixels. M may be 0."""
    return np.asarray(boxes * np.float32(box.scale) + box.edges[0], np.float32)
