"""What the first bytes of a JPEG, PNG, BMP or WebP file say: its kind and size, before anything is decoded. Pure.

A picture of a few kilobytes can unpack to gigabytes, so its size is known first. Formats: ITU T.81 (JPEG), the PNG
specification, Microsoft's BITMAPINFOHEADER, RFC 9649 (WebP).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

PNG = b"\x89PNG\r\n\x1a\n"
FRAME_HEADS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # markers that carry a JPEG's size
ALONE = frozenset({0x01, *range(0xD0, 0xD8)})  # markers without a length
CORE_HEADER = 12  # of bitmaps older than BITMAPINFOHEADER


@dataclass(frozen=True)
class PictureHead:
    """`whole`: the file ends as its kind must; a file cut short does not."""

    kind: str
    width: int
    height: int
    whole: bool


def read_head(data: bytes) -> PictureHead | None:
    """The kind and size of the picture whose file's bytes these are; None for what is no such picture."""
    for reader in (_png, _jpeg, _webp, _bmp):
        try:
            head = reader(data)
        except (struct.error, IndexError):  # it ends within its own head
            head = None
        if head is not None:
            return head if head.width > 0 and head.height > 0 else None
    return None


def _png(data: bytes) -> PictureHead | None:
    if not data.startswith(PNG) or data[12:16] != b"IHDR":
        return None
    width, height = struct.unpack_from(">II", data, 16)
    return PictureHead("PNG", width, height, b"IEND" in data)


def _jpeg(data: bytes) -> PictureHead | None:
    if not data.startswith(b"\xff\xd8\xff"):
        return None
    for marker, at in _segments(data):
        if marker in FRAME_HEADS:
            height, width = struct.unpack_from(">HH", data, at + 3)
            return PictureHead("JPEG", width, height, data.rfind(b"\xff\xd9") > at)
    return None


def _segments(data: bytes) -> Iterator[tuple[int, int]]:
    """Each marker of a JPEG with where its segment begins, up to the first scan."""
    at = 2
    while data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # padding
            at += 1
        elif marker in ALONE:
            at += 2
        elif marker in (0xD9, 0xDA):
            return
        else:
            yield marker, at + 2
            at += 2 + max(2, struct.unpack_from(">H", data, at + 2)[0])


def _webp(data: bytes) -> PictureHead | None:
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP":
        return None
    kind, whole = data[12:16], len(data) >= struct.unpack_from("<I", data, 4)[0] + 8
    if kind == b"VP8X":
        width, height = (int.from_bytes(data[at : at + 3], "little") + 1 for at in (24, 27))
    elif kind == b"VP8L":
        bits = struct.unpack_from("<I", data, 21)[0]
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    elif kind == b"VP8 ":
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", data, 26))
    else:
        return None
    return PictureHead("WebP", width, height, whole)


def _bmp(data: bytes) -> PictureHead | None:
    if data[:2] != b"BM":
        return None
    pixels_at, header = struct.unpack_from("<II", data, 10)
    if header == CORE_HEADER:
        width, height = struct.unpack_from("<HH", data, 18)
        return PictureHead("BMP", width, height, len(data) > pixels_at)
    if not CORE_HEADER < header <= 124:
        return None
    width, height, _, bits, packed = struct.unpack_from("<iiHHI", data, 18)
    row = (max(0, width) * bits + 31) // 32 * 4
    wanted = pixels_at + row * abs(height) if packed in (0, 3) else pixels_at + 1
    return PictureHead("BMP", width, abs(height), len(data) >= wanted)
