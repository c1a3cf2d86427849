"""Procedural scenes of parts on a conveyor, with exact ground truth.

`ConveyorStream` is what the synthetic camera plays: one belt under one camera, parts lie on it, come in on one side
and leave on the other. `draw_scene` gives one picture of a belt never seen before; it is a frame of a fresh stream, so
that training pictures and camera frames come from the same distribution.

Invariants: a frame is a pure function of (width, height, fps, seed, index), however the caller gets there. A truth box
encloses the visible pixels of a part exactly. A part of which less than VISIBLE_SHARE shows (beyond the picture's
edge, under a rail, under other parts) has no truth. Nothing here reads a file, a clock or a global random state.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeagent.simulate.scene_belt import (
    GAIN_ONE,
    NOISE_SHIFTS,
    draw_belt,
    draw_gain,
    draw_rails,
    noise_bytes,
    pick_surroundings,
)
from edgeagent.simulate.scene_parts import CLASSES, CLUTTER, Part, Sprite, draw_sprite, pick_part

__all__ = ["CLASSES", "VISIBLE_SHARE", "ConveyorStream", "Scene", "draw_scene"]

Boxes: TypeAlias = NDArray[np.float32]
ClassIds: TypeAlias = NDArray[np.int64]
Image: TypeAlias = NDArray[np.uint8]
Scene: TypeAlias = tuple[Image, Boxes, ClassIds]
_Placed: TypeAlias = tuple[Sprite, int, int]

VISIBLE_SHARE: Final = 0.35
"""Parts of which less than this share of their pixels shows are left out of the truth."""

_STRETCH: Final = 320.0  # reference pixels of belt that are filled at a time; wider than the largest part
_CAMERA, _PLAN, _DRAW, _FRAME = 0, 1, 2, 3  # keep the random streams of one seed apart


@dataclass(frozen=True)
class _Planned:
    """A part and the belt pixel of its centre."""

    part: Part
    x: float
    y: float

    def clear_of(self, other: _Planned) -> bool:
        return bool(np.hypot(self.x - other.x, self.y - other.y) > 0.95 * (self.part.reach + other.part.reach))


@dataclass(frozen=True)
class _Laid:
    """A part on the belt: its sprite, the sprite's corner in belt pixels, and what shows of it.

    Of the pixels that no other part and no rail covers: `first` and `last` row (picture rows, inclusive) and `count` a
    column of the sprite; `area` counts all the part's pixels, covered or not.
    """

    sprite: Sprite
    x: int
    y: int
    first: NDArray[np.int32]
    last: NDArray[np.int32]
    count: NDArray[np.int32]
    area: int


class ConveyorStream:
    """An endless camera view of one conveyor belt.

    `fps` only sets how far the belt moves from one index to the next. `loop` is the belt's length in picture widths
    after which its texture (not its parts) repeats.
    """

    def __init__(self, width: int, height: int, fps: float, seed: int, *, loop: int = 2) -> None:
        if width < 32 or height < 32 or fps <= 0 or seed < 0 or loop < 1:
            raise ValueError(f"no such stream: {width}x{height} at {fps} fps, seed {seed}, loop {loop}")
        self.width, self.height, self.fps, self.seed = width, height, fps, seed
        rng = np.random.default_rng([seed, _CAMERA])
        speed = float(rng.uniform(60.0, 260.0)) * max(width, height) / 640.0
        self._place = pick_surroundings(rng, width, height, speed)
        self._step_px = speed / fps * float(rng.choice([-1.0, 1.0]))
        self._crowding = float(rng.uniform(0.3, 4.5))
        self._mess = float(rng.uniform(0.0, 0.2))
        self._flicker = float(rng.uniform(0.0, 0.02)), float(rng.uniform(0.1, 2.5))
        self._stretch = round(_STRETCH * self._place.unit)
        self._belt = _extended(draw_belt(self._place, loop * width, rng), width)
        self._loop_px = loop * width
        self._rails = draw_rails(self._place, width, height, rng)
        self._gain = draw_gain(self._place, width, height, rng)
        self._noise = noise_bytes(self._place, width, height)
        self._plans: dict[int, list[_Planned]] = {}
        self._sprites: dict[tuple[int, int], Sprite] = {}
        self._laid: dict[int, list[_Laid]] = {}

    def frame(self, index: int, out: Image | None = None) -> Scene:
        """Frame `index` (>= 0) with its truth.

        Returns the image, uint8 (height, width, 3) BGR, drawn into `out` where given; boxes float32 (M, 4) xyxy in
        pixels, inside the image; class ids int64 (M,) into CLASSES. M = 0 gives shapes (0, 4) and (0,).
        """
        if index < 0:
            raise ValueError(f"frame index must not be negative: {index}")
        image = np.empty((self.height, self.width, 3), np.uint8) if out is None else out
        if image.shape != (self.height, self.width, 3) or image.dtype != np.uint8:
            raise ValueError(f"out must be uint8 {(self.height, self.width, 3)}, not {image.dtype} {image.shape}")
        left = round(index * self._step_px)
        parts = self._in_view(left)
        self._draw(image, left, parts, index)
        return image, *self._truth(left, parts)

    def things(self, index: int) -> tuple[Boxes, ClassIds, list[tuple[int, int]]]:
        """The truth of frame `index` without its picture, and for each box the thing that it is: the same pair of
        numbers, where it lies on the belt, for as long as the thing is in view."""
        left = round(index * self._step_px)
        parts = self._in_view(left)
        shown = [part for part in parts if _visible_box(part, left, self.width) is not None]
        return *self._truth(left, parts), [(part.x, part.y) for part in shown]

    def _draw(self, image: Image, left: int, parts: list[_Laid], index: int) -> None:
        top, bottom = self._place.top, self._place.bottom
        start = left % self._loop_px
        image[top:bottom] = self._belt[:, start : start + self.width]
        image[:top], image[bottom:] = self._rails
        on_belt = image[top:bottom]
        for part in parts:
            _lay(on_belt, part.sprite, part.x - left, part.y - top)
        swing, pace = self._flicker
        cv2.multiply(image, self._gain, dst=image, scale=(1.0 + swing * float(np.sin(pace * index))) / GAIN_ONE)
        dx, dy = np.random.default_rng([self.seed, _FRAME, index]).integers(NOISE_SHIFTS, size=2)
        window = np.s_[dy : dy + self.height, dx : dx + self.width]
        cv2.add(image, self._noise[0][window], dst=image)
        cv2.subtract(image, self._noise[1][window], dst=image)

    def _truth(self, left: int, parts: list[_Laid]) -> tuple[Boxes, ClassIds]:
        found = [(box, part.sprite.class_id) for part in parts if (box := _visible_box(part, left, self.width))]
        boxes = np.array([box for box, _ in found], np.float32).reshape(-1, 4)
        return boxes, np.array([class_id for _, class_id in found], np.int64)

    def _in_view(self, left: int) -> list[_Laid]:
        """Parts and clutter that may touch the picture, lowest first."""
        reach = self._stretch // 2
        near = range((left - reach) // self._stretch, (left + self.width + reach) // self._stretch + 1)
        self._forget(near[0] - 3, near[-1] + 3)
        parts = [part for number in near for part in self._lay_out(number)]
        self._draw_ahead(near[-1] + 2 if self._step_px > 0 else near[0] - 1)
        return parts

    def _forget(self, lowest: int, highest: int) -> None:
        for number in [known for known in self._laid if not lowest <= known <= highest]:
            del self._laid[number]
        for number in [known for known in self._plans if not lowest <= known <= highest]:
            del self._plans[number]
        for key in [known for known in self._sprites if not lowest <= known[0] <= highest]:
            del self._sprites[key]

    def _draw_ahead(self, number: int) -> None:
        """Draw one sprite of a stretch that is not needed yet, so that no single frame has to draw them all."""
        for item in range(len(self._plan(number))):
            if (number, item) not in self._sprites:
                self._sprite(number, item)
                return

    def _lay_out(self, number: int) -> list[_Laid]:
        """Stretch `number` of the belt with what shows of each part; later parts and the next stretch lie on top."""
        if number not in self._laid:
            own, above = self._placed(number), self._placed(number + 1)
            bounds = self._place.top, self._place.bottom
            self._laid[number] = [_expose(one, own[i + 1 :] + above, bounds) for i, one in enumerate(own)]
        return self._laid[number]

    def _placed(self, number: int) -> list[_Placed]:
        """The sprites on stretch `number` with their corners (x, y) in belt pixels."""
        placed = []
        for item, planned in enumerate(self._plan(number)):
            sprite = self._sprite(number, item)
            rows, columns = sprite.mask.shape
            placed.append((sprite, round(planned.x - columns / 2), round(planned.y - rows / 2)))
        return placed

    def _sprite(self, number: int, item: int) -> Sprite:
        key = number, item
        if key not in self._sprites:
            part = self._plan(number)[item].part
            self._sprites[key] = draw_sprite(part, self._place.light, self._place.lens, self._rng(_DRAW, number, item))
        return self._sprites[key]

    def _plan(self, number: int) -> list[_Planned]:
        """What lies where on stretch `number`: a function of the seed and the number."""
        if number not in self._plans:
            self._plans[number] = self._drop_parts(number * self._stretch, self._rng(_PLAN, number))
        return self._plans[number]

    def _rng(self, purpose: int, number: int, item: int = 0) -> np.random.Generator:
        return np.random.default_rng([self.seed, purpose, 2 * abs(number) + (number < 0), item])

    def _drop_parts(self, start: int, rng: np.random.Generator) -> list[_Planned]:
        place = self._place
        dropped: list[_Planned] = []
        for _ in range(min(6, rng.poisson(self._crowding))):
            part = pick_part(rng, place.unit, self._mess)
            low, high = place.top + 0.3 * part.reach, place.bottom - 0.3 * part.reach
            tries = 1 if rng.random() < 0.15 else 8  # some lie on others
            for _attempt in range(tries):
                here = _Planned(part, start + rng.uniform(0.1, 0.9) * self._stretch, rng.uniform(low, high))
                if tries == 1 or all(here.clear_of(other) for other in dropped):
                    dropped.append(here)
                    break
        return dropped


def draw_scene(rng: np.random.Generator, width: int, height: int) -> Scene:
    """One picture of a belt never seen before, with its truth; shapes as `ConveyorStream.frame`."""
    stream = ConveyorStream(width, height, 30.0, int(rng.integers(2**62)), loop=1)
    return stream.frame(int(rng.integers(100_000)))


def _extended(belt: Image, width: int) -> Image:
    """The belt with its beginning repeated behind its end, so that any view is one slice."""
    return np.ascontiguousarray(np.concatenate([belt, belt[:, :width]], axis=1))


def _lay(ground: Image, sprite: Sprite, x: int, y: int) -> None:
    """Draw `sprite` with its corner at (x, y) of `ground` (uint8 (h, w, 3), changed in place); clips at the edges."""
    rows, columns = sprite.mask.shape
    x0, y0 = max(0, x), max(0, y)
    x1, y1 = min(ground.shape[1], x + columns), min(ground.shape[0], y + rows)
    if x0 >= x1 or y0 >= y1:
        return
    window, cut = ground[y0:y1, x0:x1], np.s_[y0 - y : y1 - y, x0 - x : x1 - x]
    cv2.multiply(window, sprite.keep[cut], dst=window, scale=1.0 / 255.0)
    cv2.add(window, sprite.colour[cut], dst=window)


def _expose(one: _Placed, above: list[_Placed], bounds: tuple[int, int]) -> _Laid:
    """What shows of `one` under the sprites `above` it and between the picture rows `bounds`."""
    sprite, x, y = one
    shown = sprite.mask.copy()
    rows, columns = shown.shape
    shown[: max(0, bounds[0] - y)] = False
    shown[max(0, bounds[1] - y) :] = False
    for other, ox, oy in above:
        x0, x1 = max(x, ox), min(x + columns, ox + other.mask.shape[1])
        y0, y1 = max(y, oy), min(y + rows, oy + other.mask.shape[0])
        if x0 < x1 and y0 < y1:
            shown[y0 - y : y1 - y, x0 - x : x1 - x] &= ~other.mask[y0 - oy : y1 - oy, x0 - ox : x1 - ox]
    first = (y + shown.argmax(0)).astype(np.int32)
    last = (y + rows - 1 - shown[::-1].argmax(0)).astype(np.int32)
    return _Laid(sprite, x, y, first, last, shown.sum(0, dtype=np.int32), int(sprite.mask.sum()))


def _visible_box(part: _Laid, left: int, width: int) -> tuple[int, int, int, int] | None:
    """The part's truth box (xyxy, pixels) in a picture that starts at belt pixel `left`, or None where it has none."""
    if part.sprite.class_id == CLUTTER:
        return None
    start = max(0, left - part.x)
    count = part.count[start : max(start, left + width - part.x)]
    columns = np.flatnonzero(count)
    if not columns.size or count.sum() < VISIBLE_SHARE * part.area:
        return None
    columns += start
    x = part.x - left
    return (
        x + int(columns[0]),
        int(part.first[columns].min()),
        x + int(columns[-1]) + 1,
        int(part.last[columns].max()) + 1,
    )
