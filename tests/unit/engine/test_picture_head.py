"""Kind and size of a picture from its first bytes, against what OpenCV writes and reads."""

from __future__ import annotations

import struct

import cv2
import numpy as np
import pytest

from edgeagent.engine.picture_head import PictureHead, read_head

KINDS = {".png": "PNG", ".jpg": "JPEG", ".bmp": "BMP", ".webp": "WebP"}


def encoded(kind: str, width: int, height: int, *how: int, channels: int = 3) -> bytes:
    image = np.random.default_rng(1).integers(0, 256, (height, width, channels), np.uint8)
    done, data = cv2.imencode(kind, image, list(how))
    assert done
    return data.tobytes()


@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize(("width", "height"), [(1, 1), (17, 33), (640, 480), (300, 2)])
def test_what_opencv_writes(kind: str, width: int, height: int) -> None:
    assert read_head(encoded(kind, width, height)) == PictureHead(KINDS[kind], width, height, whole=True)


@pytest.mark.parametrize(
    ("kind", "how", "channels"),
    [
        (".jpg", [cv2.IMWRITE_JPEG_PROGRESSIVE, 1], 3),
        (".jpg", [cv2.IMWRITE_JPEG_RST_INTERVAL, 4], 3),
        (".jpg", [], 1),
        (".webp", [cv2.IMWRITE_WEBP_QUALITY, 50], 3),
        (".webp", [cv2.IMWRITE_WEBP_QUALITY, 101], 3),
        (".webp", [cv2.IMWRITE_WEBP_QUALITY, 50], 4),
        (".png", [], 4),
        (".bmp", [], 1),
        (".bmp", [], 4),
    ],
)
def test_the_ways_to_write_each_kind(kind: str, how: list[int], channels: int) -> None:
    head = read_head(encoded(kind, 50, 40, *how, channels=channels))
    assert head == PictureHead(KINDS[kind], 50, 40, whole=True)


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_file_cut_short_is_not_whole_or_no_picture(kind: str) -> None:
    data = encoded(kind, 64, 48)
    for length in (0, 1, 4, 10, 20, 27, len(data) // 3, len(data) // 2, len(data) - 20):
        head = read_head(data[:length])
        assert head is None or (not head.whole and (head.width, head.height) == (64, 48))


def test_a_thumbnails_end_is_not_the_pictures_end() -> None:
    """A camera's JPEG has a small one inside, in a segment before the picture's own."""
    data, small = encoded(".jpg", 64, 48), encoded(".jpg", 8, 6)
    segment = b"\xff\xe1" + struct.pack(">H", len(small) + 2) + small
    assert read_head(data[:2] + segment + data[2:]) == PictureHead("JPEG", 64, 48, whole=True)
    assert read_head((data[:2] + segment + data[2:])[:-30]) == PictureHead("JPEG", 64, 48, whole=False)


def test_a_bitmap_that_begins_at_the_top_and_an_old_one() -> None:
    info = struct.pack("<iiHHIIiiII", 4, -3, 1, 24, 0, 0, 0, 0, 0, 0)
    data = b"BM" + struct.pack("<IHHII", 0, 0, 0, 54, 40) + info + bytes(36)
    assert read_head(data) == PictureHead("BMP", 4, 3, whole=True)
    old = b"BM" + struct.pack("<IHHII", 0, 0, 0, 26, 12) + struct.pack("<HHHH", 4, 3, 1, 24) + bytes(36)
    assert read_head(old) == PictureHead("BMP", 4, 3, whole=True)


@pytest.mark.parametrize(
    "data",
    [b"", b"BM", b"BM" + bytes(60), b"RIFF\x04\x00\x00\x00WAVE", b"RIFF\x99\x00\x00\x00WEBPVP9 ", b"\xff\xd8\xff\xd9",
     b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"<html>", b"PK\x03\x04"],
)  # fmt: skip
def test_what_is_no_picture(data: bytes) -> None:
    assert read_head(data) is None


def test_a_picture_of_no_size_is_none() -> None:
    data = bytearray(encoded(".png", 5, 5))
    data[16:20] = bytes(4)
    assert read_head(bytes(data)) is None
