"""The synthetic belt and the room around it: texture, dirt, side rails, light across the picture, sensor noise.

Every texture repeats along x after its own width, so that a belt can run for ever. Pure: numpy and cv2 drawing, all
randomness from the generator that is passed in. Knows nothing of parts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeagent.simulate.scene_parts import Lens, Light, blur_for

Grid: TypeAlias = NDArray[np.float32]
Image: TypeAlias = NDArray[np.uint8]

GAIN_ONE: Final = 128
"""The byte in a gain map that leaves a pixel as it is."""
NOISE_SHIFTS: Final = 64
"""The noise plate is this much larger than the picture each way; every frame takes another corner of it."""

_BELTS: Final = (
    (58, 54, 52),  # black rubber
    (78, 76, 74),  # dark grey
    (118, 116, 112),  # grey
    (84, 112, 52),  # green PVC
    (140, 96, 50),  # blue
    (168, 190, 200),  # beige
    (66, 86, 108),  # brown
    (196, 198, 196),  # white
)


@dataclass(frozen=True)
class Surroundings:
    """What stays the same while one camera looks at one belt.

    `unit`: pixels a reference pixel (the reference picture is 640 on its longer side). `top`, `bottom`: rows between
    which the belt runs. `base`: the belt's BGR. `gain`, `tint`, `slope`: brightness, BGR balance and the change of
    brightness from one side of the picture to the other. `noise`: sigma of the sensor noise in grey levels.
    """

    unit: float
    top: int
    bottom: int
    base: tuple[int, int, int]
    light: Light
    lens: Lens
    gain: float
    tint: tuple[float, float, float]
    slope: tuple[float, float]
    noise: float


def pick_surroundings(rng: np.random.Generator, width: int, height: int, speed_px_s: float) -> Surroundings:
    """Draw one camera's circumstances for a (height, width) picture of a belt that moves at `speed_px_s`."""
    scale = max(width, height) / 640.0
    rail = int(height * rng.uniform(0.03, 0.1)) if rng.random() < 0.55 else 0
    warm = rng.uniform(-0.14, 0.14)
    base = _BELTS[rng.integers(len(_BELTS))]
    return Surroundings(
        unit=scale * rng.uniform(0.8, 1.25),
        top=rail,
        bottom=height - (rail if rng.random() < 0.8 else 0),
        base=base,
        light=_pick_light(rng, scale),
        lens=Lens(scale * max(0.0, rng.uniform(-0.3, 1.5)), round(speed_px_s * rng.uniform(0.001, 0.018))),
        gain=min(float(rng.uniform(0.7, 1.4)), 195.0 / max(base)),  # as a camera's exposure control would
        tint=(1.0 - warm, 1.0 + rng.uniform(-0.04, 0.04), 1.0 + warm),
        slope=(float(rng.normal(0.0, 0.14)), float(rng.normal(0.0, 0.1))),
        noise=float(rng.uniform(1.0, 8.0)),
    )


def _pick_light(rng: np.random.Generator, scale: float) -> Light:
    around, tilt = rng.uniform(0.0, 2 * np.pi), rng.uniform(0.2, 0.95)
    towards = (float(np.cos(around) * np.sin(tilt)), float(np.sin(around) * np.sin(tilt)), float(np.cos(tilt)))
    ambient, shadow = float(rng.uniform(0.25, 0.6)), float(rng.uniform(0.25, 0.7))
    return Light(towards, ambient, shadow, float(scale * rng.uniform(1.0, 4.5)))


def draw_belt(place: Surroundings, length: int, rng: np.random.Generator) -> Image:
    """The belt's upper side, uint8 (bottom - top, length, 3) BGR, repeating along x; dirt and blur included."""
    rows = place.bottom - place.top
    weave = _WEAVES[rng.integers(len(_WEAVES))](rows, length, place.unit, rng)
    fine = _wrapped_noise(rng, (rows, length), 0.0) * rng.uniform(0.01, 0.05)
    broad = _wrapped_noise(rng, (rows, length), 40.0 * place.unit) * rng.uniform(0.01, 0.05)
    tone = np.clip(1.0 + weave + fine + broad, 0.2, 1.9).astype(np.float32)
    belt = np.clip(tone[..., None] * np.asarray(place.base, np.float32), 0, 255).astype(np.uint8)
    for _ in range(rng.poisson(length * rows / (place.unit**2 * 30_000.0))):
        _MARKS[rng.choice(len(_MARKS), p=_MARK_SHARES)](belt, place, rng)
    wrap = 16 + place.lens.smear
    wide = cv2.copyMakeBorder(belt, 0, 0, wrap, wrap, cv2.BORDER_WRAP)
    return np.ascontiguousarray(blur_for(place.lens, wide)[:, wrap:-wrap])


def _wrapped_noise(rng: np.random.Generator, shape: tuple[int, int], sigma: float) -> Grid:
    """Noise of deviation about 1 that repeats along x; `sigma` px is the size of its grains (0: single pixels)."""
    if sigma < 1.0:
        return rng.standard_normal(shape, dtype=np.float32)
    rows, columns = (max(4, round(extent / sigma)) for extent in shape)
    grid = rng.standard_normal((rows, columns), dtype=np.float32)
    wide = np.concatenate([grid[:, -2:], grid, grid[:, :2]], axis=1)
    step = shape[1] / columns
    big = cv2.resize(wide, (round(step * (columns + 4)), shape[0]), interpolation=cv2.INTER_CUBIC)
    start = round(2 * step)
    return np.asarray(big[:, start : start + shape[1]], np.float32)


def _cycles(length: int, period: float) -> float:
    """Angular step for a wave of about `period` px that fits `length` a whole number of times."""
    return 2 * np.pi * max(1, round(length / period)) / length


def _smooth(rows: int, length: int, unit: float, rng: np.random.Generator) -> Grid:
    return np.zeros((rows, length), np.float32)


def _woven(rows: int, length: int, unit: float, rng: np.random.Generator) -> Grid:
    period = unit * rng.uniform(4.0, 9.0)
    x = np.sin(np.arange(length) * _cycles(length, period))[None, :]
    y = np.sin(np.arange(rows) * (2 * np.pi / period))[:, None]
    return np.asarray(rng.uniform(0.04, 0.12) * x * y, np.float32)


def _ribbed(rows: int, length: int, unit: float, rng: np.random.Generator) -> Grid:
    phase = np.arange(length)[None, :] * _cycles(length, unit * rng.uniform(14.0, 48.0))
    lean = np.abs(np.arange(rows) - rows / 2)[:, None] * (rng.choice([0.0, 0.05]) / unit)
    wave = np.cos(phase + lean)
    return np.asarray(rng.uniform(0.08, 0.22) * np.clip(6.0 * (wave - 0.86), -0.3, 1.0), np.float32)


def _linked(rows: int, length: int, unit: float, rng: np.random.Generator) -> Grid:
    pitch = unit * rng.uniform(34.0, 60.0)
    along = np.cos(np.arange(length) * _cycles(length, pitch))[None, :]
    across = np.cos(np.arange(rows) * (2 * np.pi / pitch))[:, None]
    gap = np.maximum(np.where(along > 0.985, 1.0, 0.0), np.where(across > 0.99, 0.7, 0.0))
    pin = np.where((along < -0.93) & (across < -0.93), 0.6, 0.0)
    return np.asarray(-rng.uniform(0.2, 0.45) * np.maximum(gap, pin), np.float32)


_WEAVES: Final[tuple[Callable[[int, int, float, np.random.Generator], Grid], ...]] = (
    _smooth,
    _smooth,
    _woven,
    _ribbed,
    _linked,
)


def _spot(belt: Image, reach: int, rng: np.random.Generator) -> tuple[int, int]:
    """A place (x, y) whose surroundings of `reach` px stay clear of the belt's joint, so that the wrap has no edge."""
    rows, length = belt.shape[:2]
    edge = min(reach + 1, length // 2 - 1)
    return int(rng.integers(edge, length - edge)), int(rng.integers(0, rows))


def _scratch(belt: Image, place: Surroundings, rng: np.random.Generator) -> None:
    reach = int(place.unit * rng.uniform(10, 70))
    x, y = _spot(belt, reach, rng)
    turn, bend = rng.uniform(0, 6.3), rng.normal(0.0, 0.3)
    t = np.linspace(-0.5, 0.5, 7) * reach
    points = np.stack([x + t * np.cos(turn + bend * t / reach), y + t * np.sin(turn + bend * t / reach)], 1)
    tone = np.clip(np.asarray(place.base) * rng.choice([0.6, 0.8, 1.25, 1.5]), 0, 255)
    thick = max(1, round(place.unit * rng.uniform(0.4, 1.6)))
    cv2.polylines(belt, [np.round(points * 8).astype(np.int32)], False, tone.tolist(), thick, cv2.LINE_AA, 3)


def _stain(belt: Image, place: Surroundings, rng: np.random.Generator) -> None:
    reach = int(place.unit * rng.uniform(10, 60))
    x, y = _spot(belt, reach, rng)
    y0, y1 = max(0, y - reach), min(belt.shape[0], y + reach)
    window = belt[y0:y1, x - reach : x + reach]
    if not window.size:
        return
    down, across = np.ogrid[y0 - y : y1 - y, -reach:reach]
    rough = cv2.resize(
        rng.normal(0, 0.25, (6, 6)).astype(np.float32), window.shape[1::-1], interpolation=cv2.INTER_CUBIC
    )
    out = np.hypot(down, across) / reach
    cover = np.clip((1.0 - 1.25 * out + rough) * 3.0, 0.0, 1.0) * np.clip(4.0 - 4.0 * out, 0.0, 1.0)
    cover *= rng.uniform(0.1, 0.5)
    tone = np.asarray([20, 26, 30] if rng.random() < 0.7 else [190, 195, 200], np.float32)
    window[:] = (window * (1.0 - cover[..., None]) + tone * cover[..., None]).astype(np.uint8)


def _hole(belt: Image, place: Surroundings, rng: np.random.Generator) -> None:
    """A punched hole with a worn rim: close to a washer, and not one."""
    reach = max(2, int(place.unit * rng.uniform(3, 9)))
    x, y = _spot(belt, reach + 2, rng)
    rim = np.clip(np.asarray(place.base) * rng.uniform(0.7, 1.25), 0, 255).tolist()
    cv2.circle(belt, (x, y), reach + max(1, reach // 4), rim, -1, cv2.LINE_AA)
    cv2.circle(belt, (x, y), reach, (np.asarray(place.base) * 0.3).tolist(), -1, cv2.LINE_AA)


def _joint(belt: Image, place: Surroundings, rng: np.random.Generator) -> None:
    """Where the belt's ends are stapled together."""
    x, _ = _spot(belt, 12, rng)
    dark = (np.asarray(place.base) * 0.6).tolist()
    cv2.line(belt, (x, 0), (x, belt.shape[0]), dark, max(1, round(1.5 * place.unit)), cv2.LINE_AA)
    step = max(6, round(place.unit * rng.uniform(9, 20)))
    for y in range(step // 2, belt.shape[0], step):
        reach = max(2, round(5 * place.unit))
        cv2.line(belt, (x - reach, y), (x + reach, y), (150, 152, 154), max(1, round(1.4 * place.unit)), cv2.LINE_AA)


def _print(belt: Image, place: Surroundings, rng: np.random.Generator) -> None:
    """Worn lettering."""
    text = f"{'ABCDEFGHKLMNPRST'[rng.integers(16)]}{rng.integers(10, 99)}-{rng.integers(100, 999)}"
    size = place.unit * rng.uniform(0.5, 1.1)
    x, y = _spot(belt, int(110 * size), rng)
    layer = belt.copy()
    tone = (225, 228, 230) if sum(place.base) < 400 else (40, 40, 42)
    cv2.putText(layer, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, size, tone, max(1, round(2 * size)), cv2.LINE_AA)
    share = rng.uniform(0.15, 0.5)
    cv2.addWeighted(layer, share, belt, 1.0 - share, 0.0, dst=belt)


_MARKS: Final[tuple[Callable[[Image, Surroundings, np.random.Generator], None], ...]] = (
    _scratch,
    _stain,
    _hole,
    _print,
    _joint,
)
_MARK_SHARES: Final = (0.48, 0.28, 0.18, 0.05, 0.01)


def draw_rails(place: Surroundings, width: int, height: int, rng: np.random.Generator) -> tuple[Image, Image]:
    """The fixed side rails above and below the belt: uint8 (top, width, 3) and (height - bottom, width, 3) BGR."""
    base = np.asarray([(172, 172, 168), (110, 112, 114), (60, 140, 190), (150, 110, 70)][rng.integers(4)], np.float32)
    upper = _rail(place, place.top, width, base, rng)
    lower = _rail(place, height - place.bottom, width, base, rng)
    return upper, np.ascontiguousarray(lower[::-1])


def _rail(place: Surroundings, rows: int, width: int, base: NDArray[np.float32], rng: np.random.Generator) -> Image:
    if rows == 0:
        return np.zeros((0, width, 3), np.uint8)
    across = np.linspace(0.0, 1.0, rows, dtype=np.float32)[:, None, None]
    profile = 1.0 + 0.18 * np.cos(across * 5.0) - 0.5 * np.clip(across - 0.85, 0.0, 1.0) / 0.15
    brushed = 1.0 + 0.03 * cv2.blur(rng.standard_normal((rows, width), dtype=np.float32), (31, 1))[..., None] * 5.0
    rail = np.clip(base * profile * brushed, 0, 255).astype(np.uint8)
    step, reach = round(place.unit * rng.uniform(90, 220)), max(2, round(rows * 0.22))
    for x in range(int(rng.integers(step)), width, step):
        cv2.circle(rail, (x, rows // 2), reach, (base * 0.7).tolist(), -1, cv2.LINE_AA)
        cv2.circle(rail, (x, rows // 2), max(1, reach // 2), (base * 0.35).tolist(), -1, cv2.LINE_AA)
    return np.asarray(blur_for(Lens(place.lens.focus, 0), rail), np.uint8)


def draw_gain(place: Surroundings, width: int, height: int, rng: np.random.Generator) -> Image:
    """Light across the picture as a gain map, uint8 (height, width, 3), GAIN_ONE = unchanged.

    Lamp gradient, lens vignette, colour temperature, the rails' shadow on the belt and, in one picture of four, the
    soft shadow of something beside the belt.
    """
    y, x = np.meshgrid(
        np.linspace(-1, 1, height, dtype=np.float32), np.linspace(-1, 1, width, dtype=np.float32), indexing="ij"
    )
    gain = place.gain * (1.0 + place.slope[0] * x + place.slope[1] * y)
    gain *= 1.0 - rng.uniform(0.0, 0.18) * (x * x + y * y)
    if rng.random() < 0.25:
        turn, at, edge = rng.uniform(0, 6.3), rng.uniform(-0.6, 0.6), rng.uniform(4.0, 14.0)
        side = 1.0 / (1.0 + np.exp(-edge * (x * float(np.cos(turn)) + y * float(np.sin(turn)) - at)))
        gain *= 1.0 - rng.uniform(0.15, 0.45) * side
    _shade_under_rails(gain, place)
    colour = gain[..., None] * np.asarray(place.tint, np.float32) * GAIN_ONE
    return np.round(np.clip(colour, 0, 255)).astype(np.uint8)


def _shade_under_rails(gain: NDArray[np.floating[Any]], place: Surroundings) -> None:
    rows = gain.shape[0]
    line = np.arange(rows, dtype=np.float32)
    fall = 8.0 * place.unit
    dark = np.zeros(rows, np.float32)
    if place.top:
        dark = np.maximum(dark, np.where(line >= place.top, np.exp((place.top - line) / fall), 0.0))
    if place.bottom < rows:
        dark = np.maximum(dark, np.where(line < place.bottom, np.exp((line - place.bottom) / fall), 0.0))
    gain *= 1.0 - 0.45 * dark[:, None]


@lru_cache(maxsize=4)
def _noise_plate(height: int, width: int) -> Grid:
    """Standard normal noise, (height + NOISE_SHIFTS, width + NOISE_SHIFTS, 3): mostly brightness, partly colour."""
    rng = np.random.default_rng(0x5EED)
    shape = (height + NOISE_SHIFTS, width + NOISE_SHIFTS)
    common = rng.standard_normal((*shape, 1), dtype=np.float32)
    return np.asarray(0.8 * common + 0.6 * rng.standard_normal((*shape, 3), dtype=np.float32), np.float32)


def noise_bytes(place: Surroundings, width: int, height: int) -> tuple[Image, Image]:
    """What the sensor noise adds and what it takes, two uint8 plates larger than the picture by NOISE_SHIFTS."""
    noise = np.rint(_noise_plate(height, width) * np.float32(place.noise))
    return np.clip(noise, 0, 255).astype(np.uint8), np.clip(-noise, 0, 255).astype(np.uint8)
