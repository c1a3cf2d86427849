"""The letterbox of sizes that occur, and its pixels against a straightforward reference."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edgeagent.vision.letterbox import PAD_VALUE, apply_letterbox, fit_letterbox, map_to_input, map_to_source

SIZES = [
    (640, 480), (1920, 1080), (3840, 2160), (1080, 1920), (320, 320), (321, 319), (33, 47), (1, 1), (1, 300),
    (300, 1), (2, 2), (16, 16), (160, 160), (159, 161), (4096, 3), (640, 640),
]  # fmt: skip
INPUTS = [(320, 320), (640, 640), (640, 384), (31, 33), (1, 1)]


def picture(width: int, height: int) -> np.ndarray:
    return np.random.default_rng(width * 10_007 + height).integers(0, 256, (height, width, 3), np.uint8)


def reference(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """Scale by the smaller ratio, round to whole pixels, put in the middle of grey. What is more than twice as large is
    halved first, each pixel the mean of four."""
    source_height, source_width = image.shape[:2]
    ratio = min(width / source_width, height / source_height)
    size = max(1, round(source_width * ratio)), max(1, round(source_height * ratio))
    while all(is_now > 2 * wanted for is_now, wanted in zip(image.shape[1::-1], size, strict=True)):
        if image.shape[0] % 2 or image.shape[1] % 2:
            break
        fours = image.reshape(image.shape[0] // 2, 2, image.shape[1] // 2, 2, 3).astype(int)
        image = ((fours.sum(axis=(1, 3)) + 2) // 4).astype(np.uint8)
    if size != (source_width, source_height):
        far = image.shape[1] > 2 * size[0] or image.shape[0] > 2 * size[1]
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA if far else cv2.INTER_LINEAR)
    whole = np.full((height, width, 3), PAD_VALUE, np.uint8)
    x, y = (width - size[0]) // 2, (height - size[1]) // 2
    whole[y : y + size[1], x : x + size[0]] = image
    return whole


@pytest.mark.parametrize("target", INPUTS)
@pytest.mark.parametrize("size", SIZES)
def test_pixels_are_those_of_the_reference(size: tuple[int, int], target: tuple[int, int]) -> None:
    image = picture(*size)
    out = np.full((target[1], target[0], 3), 7, np.uint8)  # what was there before must not show
    apply_letterbox(image, fit_letterbox(*size, *target), out)
    assert np.array_equal(out, reference(image, *target))


@pytest.mark.parametrize("size", [(640, 480), (100, 333), (320, 320), (3840, 2160), (1, 1)])
@pytest.mark.parametrize("cut", ["rows", "columns", "every_other_column", "reversed", "planes"])
def test_it_writes_into_any_view(size: tuple[int, int], cut: str) -> None:
    image = picture(*size)
    whole = np.full((400, 800, 3), 7, np.uint8)
    out = {
        "rows": whole[13:333, :320],
        "columns": whole[:320, 200:520],
        "every_other_column": whole[:320, 0:640:2],
        "reversed": whole[319::-1, 319::-1],
        "planes": np.full((3, 320, 320), 7, np.uint8).transpose(1, 2, 0),
    }[cut]
    assert out.shape == (320, 320, 3)
    untouched = whole.copy()
    apply_letterbox(image, fit_letterbox(*size, 320, 320), out)
    assert np.array_equal(out, reference(image, 320, 320))
    out[:] = 7
    assert np.array_equal(whole, untouched)


@pytest.mark.parametrize("size", [(1920, 1080), (2592, 1944), (3840, 2160), (1366, 768), (1281, 721)])
@pytest.mark.parametrize("side", [320, 416, 640])
def test_no_pixel_is_passed_over(size: tuple[int, int], side: int) -> None:
    """Stripes as fine as can be become the grey between them, whichever way they run."""
    box = fit_letterbox(*size, side, side)
    (width, height), x, y = box.inner, int(box.pad_x), int(box.pad_y)
    for axis in (0, 1):
        image = np.zeros((size[1], size[0], 3), np.uint8)
        np.moveaxis(image, axis, 0)[::2] = 200
        out = np.empty((side, side, 3), np.uint8)
        apply_letterbox(image, box, out)
        inner = out[y : y + height, x : x + width].astype(int)
        assert abs(inner.mean() - 100) < 1 and inner.std() < 22


def test_it_reads_from_any_view() -> None:
    """A picture of four channels with the last one cut off, one upside down, one of every other pixel."""
    four = np.random.default_rng(1).integers(0, 256, (480, 640, 4), np.uint8)
    for image in (four[:, :, :3], four[::-1, :, :3], four[::2, ::2, :3], four[:, ::-1, 2::-1], four[:, :, 1:]):
        out = np.empty((320, 320, 3), np.uint8)
        apply_letterbox(image, fit_letterbox(image.shape[1], image.shape[0], 320, 320), out)
        assert np.array_equal(out, reference(np.ascontiguousarray(image), 320, 320))


def test_a_picture_of_the_right_size_is_copied_as_it_is() -> None:
    image, out = picture(320, 320), np.zeros((320, 320, 3), np.uint8)
    apply_letterbox(image, fit_letterbox(320, 320, 320, 320), out)
    assert np.array_equal(out, image)


@pytest.mark.parametrize("sizes", [(0, 10, 320, 320), (10, 0, 320, 320), (10, 10, 0, 320), (10, 10, 320, -1)])
def test_nothing_has_no_letterbox(sizes: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError, match="empty frame"):
        fit_letterbox(*sizes)


def test_full_hd_in_320() -> None:
    box = fit_letterbox(1920, 1080, 320, 320)
    assert (box.inner, box.pad_x, box.pad_y) == ((320, 180), 0.0, 70.0)
    boxes = np.array([[0, 0, 1920, 1080], [960, 540, 1020, 600]], np.float32)
    assert map_to_input(boxes, box).tolist() == [[0, 70, 320, 250], [160, 160, 170, 170]]
    assert map_to_source(map_to_input(boxes, box), box) == pytest.approx(boxes)


def test_no_boxes_stay_no_boxes() -> None:
    box, none = fit_letterbox(640, 480, 320, 320), np.zeros((0, 4), np.float32)
    for mapped in (map_to_source(none, box), map_to_input(none, box)):
        assert (mapped.shape, mapped.dtype) == ((0, 4), np.float32)


def test_what_lies_on_the_bars_is_clipped_to_the_frame() -> None:
    box = fit_letterbox(640, 480, 320, 320)
    mapped = map_to_source(np.array([[-10, 0, 400, 320]], np.float32), box)
    assert mapped.tolist() == [[0, 0, 640, 480]]
