"""Detections drawn onto a picture, and a picture as a JPEG of bounded size. OpenCV and numpy; no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]

COLOURS: Final = (  # BGR; told apart by colour-blind eyes, too (Okabe and Ito, "Color Universal Design", 2008)
    (0, 159, 230),
    (233, 180, 86),
    (115, 158, 0),
    (66, 228, 240),
    (178, 114, 0),
    (0, 94, 213),
    (167, 121, 204),
)
QUALITIES: Final = (85, 70, 50, 30, 15)
SHRINK: Final = 0.7
LEAST_SIDE: Final = 64


@dataclass(frozen=True)
class Mark:
    """One box to draw: x1, y1, x2, y2 in pixels, its text, and a number that decides its colour."""

    box: tuple[float, float, float, float]
    text: str
    colour: int


def mark_text(class_name: str, score: float, track: int = 0) -> str:
    """What stands at a box: `bolt 0.91`, or `bolt #12 0.91` where it has a number."""
    return f"{class_name} #{track} {score:.2f}" if track else f"{class_name} {score:.2f}"


def draw_marks(image: Image, marks: Sequence[Mark]) -> Image:
    """A copy of `image` uint8 (H, W, 3) BGR with the marks on it. Boxes beyond its edge are cut; none are left out."""
    import cv2

    drawn: Image = image.copy()
    unit = max(image.shape[:2]) / 640.0
    thick = max(1, round(2 * unit))
    for mark in marks:
        colour = COLOURS[mark.colour % len(COLOURS)]
        x1, y1, x2, y2 = _inside(mark.box, image)
        cv2.rectangle(drawn, (x1, y1), (x2, y2), colour, thick)
        _write(cv2, drawn, mark.text, (x1, y1), unit, colour)
    return drawn


def _inside(box: tuple[float, float, float, float], image: Image) -> tuple[int, int, int, int]:
    height, width = image.shape[:2]
    x1, x2 = (min(max(0, round(x)), width - 1) for x in (box[0], box[2]))
    y1, y2 = (min(max(0, round(y)), height - 1) for y in (box[1], box[3]))
    return x1, y1, x2, y2


def _write(cv2: Any, image: Image, text: str, corner: tuple[int, int], unit: float, colour: Any) -> None:  # noqa: ANN401
    """The text on its colour, above the box's corner, or below where there is no room."""
    size, thick = max(0.35, 0.5 * unit), max(1, round(unit))
    (width, height), below = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, thick)
    x = max(0, min(corner[0], image.shape[1] - width))
    y = corner[1] - below if corner[1] - below - height >= 0 else corner[1] + height + below
    cv2.rectangle(image, (x, y - height - 1), (x + width, y + below), colour, -1)
    cv2.putText(image, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, size, (0, 0, 0), thick, cv2.LINE_AA)


def encode_jpeg(image: Image, *, max_bytes: int, max_side: int) -> bytes:
    """`image` uint8 (H, W, 3) BGR as a JPEG of at most `max_bytes`, its longer side at most `max_side`.

    Quality is given up first, then size. Raises ValueError for an empty picture, and where even a thumbnail is larger.
    """
    import cv2

    if image.size == 0:
        raise ValueError("an empty picture has no JPEG")
    side = min(max_side, max(image.shape[:2]))
    while side >= min(LEAST_SIDE, max(image.shape[:2])):
        picture = _scaled(cv2, image, side)
        for quality in QUALITIES:
            done, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
            if done and data.size <= max_bytes:
                return bytes(data)
        side = int(side * SHRINK)
    raise ValueError(f"a picture of {image.shape[1]}x{image.shape[0]} does not fit into {max_bytes} bytes")


def _scaled(cv2: Any, image: Image, side: int) -> Image:  # noqa: ANN401 - the module
    height, width = image.shape[:2]
    if max(width, height) <= side:
        return image
    scale = side / max(width, height)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
