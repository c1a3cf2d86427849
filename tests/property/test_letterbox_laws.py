"""Laws of the letterbox, for any two sizes."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edgeagent.vision.letterbox import PAD_VALUE, apply_letterbox, fit_letterbox, map_to_input, map_to_source

SIDE = st.integers(1, 8192)
INPUT = st.integers(1, 1280)
SMALL = st.integers(1, 90)
SHARE = st.floats(0.0, 1.0)


@given(SIDE, SIDE, INPUT, INPUT)
def test_the_picture_lies_inside_and_in_the_middle(source_w: int, source_h: int, width: int, height: int) -> None:
    box = fit_letterbox(source_w, source_h, width, height)
    inner_w, inner_h = box.inner
    assert 1 <= inner_w <= width
    assert 1 <= inner_h <= height
    assert inner_w == width or inner_h == height
    for pad, inner, whole in ((box.pad_x, inner_w, width), (box.pad_y, inner_h, height)):
        left, right = int(pad), whole - inner - int(pad)
        assert pad == left
        assert left >= 0
        assert 0 <= right - left <= 1


@given(SIDE, SIDE, INPUT, INPUT)
def test_the_shape_is_kept_to_within_half_a_pixel(source_w: int, source_h: int, width: int, height: int) -> None:
    box = fit_letterbox(source_w, source_h, width, height)
    for inner, source in zip(box.inner, (source_w, source_h), strict=True):
        assert abs(inner - source * box.scale) <= 0.5 or inner == 1


@given(SIDE, SIDE, INPUT, INPUT, st.lists(st.tuples(SHARE, SHARE, SHARE, SHARE), max_size=5))
def test_there_and_back_is_where_it_began(
    source_w: int, source_h: int, width: int, height: int, shares: list[tuple[float, float, float, float]]
) -> None:
    """To within half a source pixel, as long as an input pixel is not made of thousands of them."""
    box = fit_letterbox(source_w, source_h, width, height)
    boxes = np.array(shares, np.float32).reshape(-1, 4) * np.array([source_w, source_h] * 2, np.float32)
    inside = map_to_input(boxes, box)
    tolerance = max(0.5, 1e-6 * max(width, height) / box.scale)
    assert (np.abs(map_to_source(inside, box) - boxes) <= tolerance).all()
    assert (inside >= np.array([box.pad_x, box.pad_y] * 2) - 1e-3).all()


@given(SIDE, SIDE, INPUT, INPUT, st.lists(st.tuples(*[st.floats(-1e4, 1e4, width=32)] * 4), min_size=1, max_size=5))
def test_no_box_comes_back_from_outside_the_frame(
    source_w: int, source_h: int, width: int, height: int, rows: list[tuple[float, ...]]
) -> None:
    mapped = map_to_source(np.array(rows, np.float32), fit_letterbox(source_w, source_h, width, height))
    assert (mapped >= 0).all()
    assert (mapped[:, [0, 2]] <= source_w).all()
    assert (mapped[:, [1, 3]] <= source_h).all()


@given(SMALL, SMALL, SMALL, SMALL, st.integers(0, 255))
def test_a_plain_picture_stays_plain_and_the_bars_are_grey(
    source_w: int, source_h: int, width: int, height: int, level: int
) -> None:
    box = fit_letterbox(source_w, source_h, width, height)
    out = np.full((height, width, 3), 255 - PAD_VALUE, np.uint8)
    apply_letterbox(np.full((source_h, source_w, 3), level, np.uint8), box, out)
    x, y = int(box.pad_x), int(box.pad_y)
    inner_w, inner_h = box.inner
    expected = np.full_like(out, PAD_VALUE)
    expected[y : y + inner_h, x : x + inner_w] = level
    assert np.array_equal(out, expected)
