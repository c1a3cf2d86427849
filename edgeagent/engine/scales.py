"""TensorRT's calibration cache as text: the scale of every tensor, read, written and compared. Pure.

    TRT-8602-EntropyCalibration2
    images: 3c008889
    model/stem: 3d1f4c2a

Behind each name stand eight hex digits: a float32 in big-endian IEEE 754, the tensor's largest absolute value divided
by 127. (Format: ONNX Runtime's `write_calibration_table`, and caches that TensorRT wrote.) A name may hold anything
but a line end, colons too: the last ": " of a line parts it from the digits.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field

from edgeagent.errors import EngineError

ENTROPY = "EntropyCalibration2"
MAX_BYTES = 64 << 20
LEVELS = 127  # of a symmetric signed INT8 on either side of 0
_HEAD = re.compile(r"TRT-(\d{1,9})-(\w{1,64})")
_HEX = re.compile(r"[0-9a-fA-F]{8}")
_ODD_LINE_ENDS = "\r\n"


@dataclass(frozen=True)
class CalibrationCache:
    """`version` is TensorRT's as the cache spells it (`cache_version_line`); `scales` has a scale a tensor."""

    version: str
    algorithm: str = ENTROPY
    scales: dict[str, float] = field(default_factory=dict)


def cache_version_line(tensorrt_version: str) -> str:
    """A release as caches spell it: 8.6.2 -> "8602", 10.3.0 -> "100300". Raises EngineError for no release.

    NV_TENSORRT_VERSION counts the major release in thousands up to 9, in ten thousands from 10 on.
    """
    parts = [int(part) for part in re.findall(r"\d+", tensorrt_version)[:3]]
    if not re.match(r"\d+\.\d+", tensorrt_version):
        raise EngineError(f"{tensorrt_version!r} is no TensorRT release", code="bad_calibration_cache")
    major, minor, patch = [*parts, 0][:3]
    return str(major * (1000 if major < 10 else 10_000) + minor * 100 + patch)


def parse_cache(data: bytes) -> CalibrationCache:
    """Read a cache; CRLF and blank lines are taken. Raises EngineError `bad_calibration_cache` with the line."""
    if len(data) > MAX_BYTES:
        raise _bad("it is larger than 64 MiB")
    try:
        lines = data.decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise _bad("it is no text") from error
    numbered = [(number, line.rstrip("\r")) for number, line in enumerate(lines, 1) if line.strip()]
    if not numbered:
        raise _bad("it is empty")
    head = _HEAD.fullmatch(numbered[0][1].strip())
    if head is None:
        raise _bad(f"line {numbered[0][0]} is not like TRT-8602-{ENTROPY}")
    scales: dict[str, float] = {}
    for number, line in numbered[1:]:
        name, scale = _entry(number, line)
        if scales.setdefault(name, scale) != scale:
            raise _bad(f"line {number} gives {name} another scale than a line before it")
    return CalibrationCache(head[1], head[2], scales)


def _entry(number: int, line: str) -> tuple[str, float]:
    name, parted, digits = line.rpartition(": ")
    digits = digits.strip()
    if not parted or not name or _HEX.fullmatch(digits) is None:
        raise _bad(f"line {number} is not a tensor's name, a colon and eight hex digits")
    scale: float = struct.unpack("!f", bytes.fromhex(digits))[0]
    if not (math.isfinite(scale) and scale >= 0):
        raise _bad(f"line {number} gives the scale {scale}")
    return name, scale


def write_cache(cache: CalibrationCache) -> bytes:
    """The cache as text, by tensor name. Raises EngineError for a name or a scale that has no such form."""
    head = f"TRT-{cache.version}-{cache.algorithm}"
    if _HEAD.fullmatch(head) is None:
        raise _bad(f"{head!r} is no first line")
    lines = [head, *(_line(name, cache.scales[name]) for name in sorted(cache.scales))]
    return ("\n".join(lines) + "\n").encode("utf-8")


def _line(name: str, scale: float) -> str:
    if not name or any(end in name for end in _ODD_LINE_ENDS):
        raise _bad(f"a tensor is named {name!r}")
    try:
        packed = struct.pack("!f", scale)
        name.encode("utf-8")
    except (OverflowError, UnicodeEncodeError) as error:
        raise _bad(f"{name!r} with the scale {scale} has no such form") from error
    if not (math.isfinite(scale) and scale >= 0):
        raise _bad(f"{name} has the scale {scale}")
    return f"{name}: {packed.hex()}"


def missing_scales(wanted: Iterable[str], cache: CalibrationCache) -> list[str]:
    """The tensors among `wanted` that the cache has no scale for, in their order, each once.

    A scale of 0 counts as none: a tensor that never was anything but 0 while calibrating would stay 0 for good.
    """
    return [name for name in dict.fromkeys(wanted) if not cache.scales.get(name, 0.0) > 0]


def scale_of(lowest: float, highest: float) -> float:
    """The symmetric scale of a tensor that moves between these values."""
    return max(abs(lowest), abs(highest)) / LEVELS


def _bad(reason: str) -> EngineError:
    return EngineError(
        f"the calibration cache cannot be used: {reason}",
        mend="delete it; the next build measures anew",
        code="bad_calibration_cache",
    )
