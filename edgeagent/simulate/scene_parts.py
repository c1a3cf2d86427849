"""The parts that lie on the synthetic belt: shapes, metal, light and shadow, drawn once into a sprite.

A shape is a formula: for every pixel, seen from the part's own axes, it gives the signed distance to the outline
(negative inside, pixels), the height above the belt (pixels) and a tone (1.0 = the material's own brightness).
Light, shadow and blur follow from those three for every shape alike.

Pure: numpy and cv2 drawing, all randomness from the generator that is passed in. Knows nothing of belts or cameras.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

Grid: TypeAlias = NDArray[np.float32]
Image: TypeAlias = NDArray[np.uint8]
Field: TypeAlias = NDArray[np.floating[Any]]
Relief: TypeAlias = tuple[Field, Field, Field]
Pixel = TypeVar("Pixel", np.uint8, np.float32)
Shape: TypeAlias = Callable[[Grid, Grid, float, np.random.Generator], Relief]

CLASSES: Final = ("bolt", "nut", "washer", "screw", "gear", "bracket")
CLUTTER: Final = -1

Colour: TypeAlias = tuple[float, float, float]

# Materials are BGR at even white light, with how strongly they mirror.
_METALS: Final[tuple[tuple[Colour, float], ...]] = (
    ((186, 184, 178), 0.9),  # steel
    ((168, 170, 172), 0.9),  # steel, greyer
    ((206, 206, 202), 0.7),  # zinc
    ((92, 168, 202), 0.8),  # brass
    ((128, 190, 205), 0.7),  # yellow zinc
    ((88, 118, 188), 0.7),  # copper
    ((62, 58, 56), 1.0),  # black oxide
    ((84, 82, 80), 0.9),  # burnt steel
)
_PAINTS: Final[tuple[tuple[Colour, float], ...]] = (
    ((214, 216, 214), 0.25),  # nylon
    ((150, 92, 40), 0.35),  # blue
    ((48, 52, 180), 0.35),  # red
    ((36, 120, 222), 0.35),  # orange
    ((70, 70, 68), 0.3),  # black plastic
)


@dataclass(frozen=True)
class Light:
    """Where the lamp is and how hard it is.

    `towards`: unit vector from the belt to the lamp, x right, y down, z to the camera. `ambient`: share of light
    without a direction (0..1). `shadow`: how much of the light a full shadow takes (0..1). `softness`: blur of the
    shadow's edge in pixels.
    """

    towards: tuple[float, float, float]
    ambient: float
    shadow: float
    softness: float


@dataclass(frozen=True)
class Lens:
    """Blur of the picture in pixels: `focus` is the sigma of the defocus, `smear` the way moved during exposure."""

    focus: float
    smear: int


@dataclass(frozen=True)
class Sprite:
    """A part ready to be laid over a picture: result = ground * keep / 255 + colour.

    colour: uint8 (h, w, 3) BGR, already multiplied by its opacity. keep: uint8 (h, w, 3), the share of the ground
    that stays (the shadow is in here). mask: bool (h, w), the pixels that the part itself covers by half or more.
    `class_id` is an index into CLASSES, or CLUTTER for things that are not parts.
    """

    colour: Image
    keep: Image
    mask: NDArray[np.bool_]
    class_id: int


def blur_for(lens: Lens, image: NDArray[Pixel]) -> NDArray[Pixel]:
    """`image`, (h, w) or (h, w, channels), as the lens shows it: defocused, then smeared along x."""
    blurred: Any = image
    if lens.focus > 0.25:
        blurred = cv2.GaussianBlur(blurred, (0, 0), lens.focus)
    if lens.smear > 1:
        blurred = cv2.blur(blurred, (lens.smear, 1))
    return np.asarray(blurred, image.dtype)


# Shapes. u, v: pixel coordinates in the part's own axes, centre 0; s: half of the longest extent, in pixels.


def _plate(distance: Field, thickness: float, bevel: float) -> Field:
    return np.asarray(thickness * np.clip(-distance / max(bevel, 1.0), 0.0, 1.0))


def _washer(u: Grid, v: Grid, s: float, rng: np.random.Generator) -> Relief:
    radius = np.hypot(u, v)
    hole = s * rng.uniform(0.42, 0.6)
    distance = np.maximum(radius - s, hole - radius)
    return distance, _plate(distance, 0.12 * s, 0.12 * s), np.ones_like(u)


def _nut(u: Grid, v: Grid, s: float, rng: np.random.Generator) -> Relief:
    radius, across = np.hypot(u, v), 0.866 * s
    p, q = np.abs(u), np.abs(v)
    hole = across * rng.uniform(0.5, 0.62)
    bore = hole * 0.84
    distance = np.maximum(np.maximum(q, 0.866 * p + 0.5 * q) - across, bore - radius)
    chamfer = 0.5 * np.maximum(radius - 0.9 * across, 0.0) + 0.9 * np.maximum(1.12 * hole - radius, 0.0)
    height = _plate(distance, 0.45 * s, 0.1 * s) - chamfer
    tone = np.where(radius < hole, 0.45 + 0.2 * np.sin(radius * (9.0 / max(hole - bore, 1.0))), 1.0)
    return distance, height, tone


def _gear(u: Grid, v: Grid, s: float, rng: np.random.Generator) -> Relief:
    radius, angle = np.hypot(u, v), np.arctan2(v, u)
    teeth, depth = int(rng.integers(9, 19)), rng.uniform(0.15, 0.22) * s
    outline = s - depth + depth * np.clip(0.5 + 1.5 * np.cos(teeth * angle), 0.0, 1.0)
    bore = s * rng.uniform(0.12, 0.22)
    distance = np.maximum(0.85 * (radius - outline), bore - radius)
    style = rng.integers(0, 3)
    if style == 0:
        distance = np.maximum(distance, _ring_of_holes(u, v, 0.53 * s, s * rng.uniform(0.11, 0.16), rng))
    height = _plate(distance, 0.2 * s, 0.06 * s)
    web = (radius > bore * 1.8) & (radius < s - 1.7 * depth)
    height = np.where(web, height * (0.55 if style == 1 else 1.0), height)
    return distance, height, np.where(web & (style == 1), 0.85, 1.0)


def _ring_of_holes(u: Grid, v: Grid, at: float, hole: float, rng: np.random.Generator) -> Field:
    count = int(rng.integers(3, 7))
    cut = np.full_like(u, -1e3)
    for turn in np.arange(count) * (2 * np.pi / count):
        cut = np.maximum(cut, hole - np.hypot(u - at * float(np.cos(turn)), v - at * float(np.sin(turn))))
    return cut


def _bracket(u: Grid, v: Grid, s: float, rng: np.random.Generator) -> Relief:
    a, leg = 0.76 * s, s * rng.uniform(0.4, 0.56)
    top = -a * rng.uniform(0.35, 1.0)
    flat = np.maximum(np.abs(u) - a, np.abs(v - (a - leg / 2)) - leg / 2)
    wall = np.maximum(np.abs(u + a - leg / 2) - leg / 2, np.maximum(top - v, v - a))
    corner = 0.3 * leg - 0.7071 * ((u + a) + (a - v))  # the outer corner is cut off
    distance = np.maximum(np.minimum(flat, wall), corner)
    hole = leg * rng.uniform(0.17, 0.25)
    for x, y in ((0.62 * a, a - leg / 2), (leg / 2 - a, top + leg / 2), (0.02 * a, a - leg / 2))[: rng.integers(2, 4)]:
        distance = np.maximum(distance, hole - np.hypot(u - x, v - y))
    bent = v < a - leg
    tone = np.where(bent, rng.uniform(0.7, 0.95), 1.0)
    return distance, _plate(distance, 0.1 * s, 0.05 * s), tone


def _shaft(v: Field, half: Field) -> Field:
    """Height of a round shaft of half width `half` that lies on its side."""
    return np.asarray(np.sqrt(np.maximum(half * half - v * v, 0.0)))


def _bolt(u: Grid, v: Grid, s: float, rng: np.random.Generator) -> Relief:
    head, wide, half = s * rng.uniform(0.28, 0.36), s * rng.uniform(0.34, 0.42), s * rng.uniform(0.16, 0.2)
    neck, pitch = head - s, max(2.8, 0.1 * s)
    plain = neck + rng.choice([0.0, 0.25, 0.6]) * s
    width = half - np.maximum(u - (s - 0.6 * half), 0.0) * 0.8
    block = np.maximum(np.abs(v) - wide, np.maximum(-s - u, u - neck))
    rod = np.maximum(np.abs(v) - width, np.maximum(neck - 1.0 - u, u - s))
    facets = wide * np.minimum(0.866, 1.4 * np.maximum(1.0 - np.abs(v) / wide, 0.0))
    rounding = 0.5 * np.maximum(0.0, -(u + s) + 0.3 * head)
    turns = np.sin((u + 0.22 * v) * (2 * np.pi / pitch))
    shaft = _shaft(v, width) + np.where(u > plain, 0.2 * pitch * turns, 0.0)
    height = np.where(u < neck, facets - rounding, shaft)
    groove = np.where((u > plain) & (u >= neck), 0.9 + 0.16 * turns, 1.0)
    return np.minimum(block, rod), height, groove


def _screw(u: Grid, v: Grid, s: float, rng: np.random.Generator) -> Relief:
    head, wide, half = s * rng.uniform(0.22, 0.3), s * rng.uniform(0.3, 0.38), s * rng.uniform(0.12, 0.15)
    neck, pitch = head - s, max(4.0, s * rng.uniform(0.15, 0.2))
    point = s * rng.uniform(0.3, 0.5)
    core = half * np.clip((s - u) / point, 0.0, 1.0)
    crest = 1.0 + 0.45 * np.abs(np.sin((u + 0.3 * v) * (np.pi / pitch)))
    taper = (u + s) / head
    cone = np.abs(v) - (half + (wide - half) * np.clip(1.0 - taper, 0.0, 1.0) ** rng.uniform(0.5, 1.1))
    block = np.maximum(cone * 0.8, np.maximum(-s - u, u - neck))
    rod = np.maximum(np.abs(v) - core * crest, np.maximum(neck - 1.0 - u, u - s))
    turns = (u + 0.3 * v) * (2 * np.pi / pitch)
    shaft = _shaft(v, core * crest) + np.where(u > neck, 0.12 * pitch * np.sin(turns), 0.0)
    head_round = np.sqrt(np.maximum((wide * np.clip(1.1 - taper, 0.1, 1.0)) ** 2 - v * v, 0.0))
    height = np.where(u < neck, 0.8 * head_round, shaft)
    groove = np.where(u > neck, 0.84 + 0.24 * np.cos(turns), 1.0)
    return np.minimum(block, rod), height, groove


def _label(u: Grid, v: Grid, s: float, rng: np.random.Generator) -> Relief:
    distance = np.maximum(np.abs(u) - 0.85 * s, np.abs(v) - s * rng.uniform(0.3, 0.55))
    print_ = (np.sin(v * (2 * np.pi / (0.22 * s))) > 0.5) & (np.abs(u) < 0.65 * s) & (np.sin(u * (9.0 / s)) > -0.8)
    return distance, _plate(distance, 0.4, 1.0), np.where(print_, 0.35, 1.0)


def _pebble(u: Grid, v: Grid, s: float, rng: np.random.Generator) -> Relief:
    angle = np.arctan2(v, u)
    waves = sum(rng.uniform(0.02, 0.12) * np.cos(k * angle + rng.uniform(0, 6.3)) for k in (1, 2, 3, 5))
    distance = np.hypot(u, v) - s * (0.8 + waves)
    return distance, np.sqrt(np.maximum(-distance, 0.0) * s).astype(np.float32), np.ones_like(u)


def _swarf(u: Grid, v: Grid, s: float, rng: np.random.Generator) -> Relief:
    turns, wire = rng.uniform(1.0, 2.4), max(0.8, 0.05 * s)
    t = np.linspace(0.0, 1.0, 40)
    radius = s * (1.0 - rng.uniform(0.2, 0.7) * t)
    points = np.stack([radius * np.cos(t * turns * 6.28), radius * np.sin(t * turns * 6.28) * rng.uniform(0.5, 1.0)], 1)
    shift = np.array([u.min(), v.min()])
    canvas = np.full(u.shape, 255, np.uint8)
    at = np.round((points - shift) * 8).astype(np.int32)
    cv2.polylines(canvas, [at.reshape(-1, 1, 2)], False, 0, 1, cv2.LINE_8, 3)
    distance = cv2.distanceTransform(canvas, cv2.DIST_L2, 3).astype(np.float32) - wire
    return distance, np.maximum(-distance, 0.0), np.ones_like(u)


@dataclass(frozen=True)
class Kind:
    """One sort of thing: its formula, its `reach` (half of the longest extent: smallest and largest, in pixels of a
    picture whose longer side is 640), its half width across (`slim`) and its height (`rise`), both as shares of reach.
    """

    shape: Shape
    reach: tuple[float, float]
    slim: float
    rise: float


_PARTS: Final = (
    Kind(_bolt, (40.0, 72.0), 0.43, 0.37),
    Kind(_nut, (22.0, 40.0), 1.0, 0.45),
    Kind(_washer, (21.0, 42.0), 1.0, 0.12),
    Kind(_screw, (34.0, 64.0), 0.4, 0.34),
    Kind(_gear, (28.0, 58.0), 1.0, 0.2),
    Kind(_bracket, (34.0, 62.0), 1.0, 0.1),
)
_RUBBISH: Final = (
    Kind(_label, (18.0, 44.0), 0.6, 0.03),
    Kind(_pebble, (4.0, 14.0), 1.15, 1.0),
    Kind(_swarf, (6.0, 18.0), 1.0, 0.1),
)
LARGEST_REACH: Final = 72.0


@dataclass(frozen=True)
class Part:
    """What to draw: `class_id` (or CLUTTER), its `kind`, and `reach`, half of its longest extent in pixels."""

    class_id: int
    kind: Kind
    reach: float


def pick_part(rng: np.random.Generator, unit: float, clutter_share: float) -> Part:
    """A random part or piece of clutter. `unit`: pixels a reference pixel, the reference picture being 640 long."""
    if rng.random() < clutter_share:
        kind = _RUBBISH[rng.integers(len(_RUBBISH))]
        return Part(CLUTTER, kind, unit * rng.uniform(*kind.reach))
    class_id = int(rng.integers(len(CLASSES)))
    kind = _PARTS[class_id]
    return Part(class_id, kind, max(3.0, unit * rng.uniform(*kind.reach)))


def draw_sprite(part: Part, light: Light, lens: Lens, rng: np.random.Generator) -> Sprite:
    """Draw one part at a random turn, in a random material, lit by `light` and seen through `lens`."""
    turn = rng.uniform(0.0, 2 * np.pi)
    u, v = _axes(part, light, lens, turn, rng)
    fields = part.kind.shape(u, v, part.reach, rng)
    distance, height, tone = (np.asarray(field, np.float32) for field in fields)
    opacity = np.clip(0.5 - distance, 0.0, 1.0).astype(np.float32)
    colour = np.zeros((*opacity.shape, 3), np.uint8)
    own = _bounds(opacity > 0.0)
    colour[own] = _shade(part, height[own], tone[own], light, rng) * opacity[own][..., None]
    keep = (1.0 - opacity) * _shadow(opacity, float(height.max()), light)
    return _cropped(blur_for(lens, colour), blur_for(lens, keep), opacity >= 0.5, part.class_id)


def _bounds(used: NDArray[np.bool_]) -> tuple[slice, slice]:
    """The smallest window with all true pixels; one pixel where there is none."""
    rows, columns = np.flatnonzero(used.any(1)), np.flatnonzero(used.any(0))
    if not rows.size:
        return slice(0, 1), slice(0, 1)
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def _axes(part: Part, light: Light, lens: Lens, turn: float, rng: np.random.Generator) -> tuple[Grid, Grid]:
    """Pixel coordinates in the part's axes, on a window that has room for its shadow and its blur."""
    c, s = float(np.cos(turn)), float(np.sin(turn))
    tilt_x, tilt_y, _ = light.towards
    margin = 3.0 + 2.0 * lens.focus + 2.0 * light.softness
    throw = _throw(part.kind.rise * part.reach, light)
    half_x = part.reach * (abs(c) + part.kind.slim * abs(s)) + margin + throw * abs(tilt_x) + lens.smear
    half_y = part.reach * (abs(s) + part.kind.slim * abs(c)) + margin + throw * abs(tilt_y)
    cap_x, cap_y = (part.reach + margin + throw * abs(tilt) for tilt in (tilt_x, tilt_y))
    x = _centred(min(half_x, cap_x + lens.smear), rng)[None, :]
    y = _centred(min(half_y, cap_y), rng)[:, None]
    return x * c + y * s, y * c - x * s


def _centred(half: float, rng: np.random.Generator) -> Grid:
    whole = int(np.ceil(half))
    return np.asarray(np.arange(-whole, whole + 1) + rng.uniform(-0.5, 0.5), np.float32)


def _throw(height: float, light: Light) -> float:
    """How far a shadow falls for each unit of the lamp's sideways direction, pixels."""
    return min(height, 30.0) / max(light.towards[2], 0.3)


def _shade(part: Part, height: Grid, tone: Grid, light: Light, rng: np.random.Generator) -> Grid:
    """BGR colour of every pixel, float32 (h, w, 3) 0..255, from the slope of `height` under `light`."""
    base, gloss = _material(part, rng)
    relief = cv2.GaussianBlur(height, (3, 3), 0)
    slope_x = cv2.Sobel(relief, cv2.CV_32F, 1, 0, scale=0.125)
    slope_y = cv2.Sobel(relief, cv2.CV_32F, 0, 1, scale=0.125)
    upright = 1.0 / np.sqrt(1.0 + slope_x * slope_x + slope_y * slope_y)
    lx, ly, lz = light.towards
    lit = np.clip((lz - slope_x * lx - slope_y * ly) * upright / lz, 0.0, 1.9)
    matte = light.ambient + (1.0 - light.ambient) * lit
    between = 1.0 / (2.0 + 2.0 * lz) ** 0.5  # scales lamp + camera direction to a unit vector
    mirror = np.clip(((lz + 1.0 - slope_x * lx - slope_y * ly) * between) * upright, 0.0, 1.0)
    glint = gloss * rng.uniform(0.4, 1.0) * (mirror ** rng.uniform(18, 50))
    room = 1.0 + gloss * 0.22 * np.sin(3.0 * slope_x + 2.0 * slope_y + rng.uniform(0, 6.3))  # reflected surroundings
    shade = tone * matte * room * _grain(height.shape, rng)
    colour = shade[..., None] * np.asarray(base, np.float32) + (70.0 * glint * tone)[..., None]
    return _soiled(np.asarray(np.clip(colour, 0.0, 255.0), np.float32), rng)


def _material(part: Part, rng: np.random.Generator) -> tuple[NDArray[np.float64], float]:
    """BGR and gloss: paper and stone for clutter, metal for parts, paint or plastic for some of the larger ones."""
    base: Colour
    if part.class_id == CLUTTER:
        is_paper = part.kind.shape is _label
        grey = 150 + 90 * rng.random() if is_paper else 40 + 120 * rng.random()
        base, gloss = (grey, grey, grey), 0.1 if is_paper else 0.4
    elif part.class_id >= CLASSES.index("gear") and rng.random() < 0.4:
        base, gloss = _PAINTS[rng.integers(len(_PAINTS))]
    else:
        base, gloss = _METALS[rng.integers(len(_METALS))]
    return np.asarray(base) * rng.uniform(0.85, 1.12) * rng.uniform(0.96, 1.04, 3), gloss


def _grain(shape: tuple[int, ...], rng: np.random.Generator) -> Grid:
    """Brushed metal and uneven reflection: about 1.0, float32 (h, w)."""
    coarse = rng.normal(1.0, 0.16, (4, 4)).astype(np.float32)
    fine = 0.05 * rng.standard_normal(shape, np.float32) if rng.random() < 0.6 else np.zeros(shape, np.float32)
    big = cv2.resize(coarse, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)
    return np.asarray(np.clip(big + fine, 0.5, 1.5), np.float32)


def _soiled(colour: Grid, rng: np.random.Generator) -> Grid:
    """Rust or oil on one part in five."""
    if rng.random() > 0.2:
        return colour
    stain = np.array([30, 60, 110] if rng.random() < 0.6 else [30, 34, 36], np.float32)
    cover = cv2.resize(
        rng.normal(0.0, 1.0, (7, 7)).astype(np.float32), colour.shape[1::-1], interpolation=cv2.INTER_CUBIC
    )
    share = (np.clip(cover - 0.3, 0.0, 1.0) * rng.uniform(0.4, 0.9))[..., None]
    return np.asarray(colour * (1.0 - share) + stain * share, np.float32)


def _shadow(opacity: Grid, height: float, light: Light) -> Grid:
    """Share of the light that the belt around the part still gets, float32 (h, w) 0..1."""
    lx, ly, _ = light.towards
    reach = _throw(height, light)
    shade = opacity
    for step in (0.35, 0.7, 1.0):
        move = np.array([[1, 0, -lx * reach * step], [0, 1, -ly * reach * step]], np.float32)
        shade = np.maximum(shade, cv2.warpAffine(opacity, move, opacity.shape[::-1]))
    cast = light.shadow * cv2.GaussianBlur(shade, (0, 0), light.softness)
    contact = 0.35 * cv2.GaussianBlur(opacity, (0, 0), 1.0 + 0.5 * light.softness)
    return np.asarray((1.0 - cast) * (1.0 - contact), np.float32)


def _cropped(colour: Image, keep: Grid, mask: NDArray[np.bool_], class_id: int) -> Sprite:
    """Cut away the rim where the sprite changes nothing, and go to bytes."""
    keep8 = np.round(keep * 255.0).astype(np.uint8)
    window = _bounds(keep8 < 254)
    keep3 = np.ascontiguousarray(np.repeat(keep8[window][..., None], 3, axis=2))
    return Sprite(np.ascontiguousarray(colour[window]), keep3, np.ascontiguousarray(mask[window]), class_id)
