"""Versions of TensorRT and CUDA where no package says them: library names, headers, text files. Pure, never raises.

Container images often hide /var/lib/dpkg, and distributions without JetPack have none. What is left is the file name
of the library (`libnvinfer.so.10.3.0`), TensorRT's header NvInferVersion.h (from 10.8 on the numbers stand in
TRT_*_ENTERPRISE), and the CUDA toolkit's version.txt (`CUDA Version 10.2.300`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_DEFINE = re.compile(
    rb"^[ \t]*#[ \t]*define[ \t]+(?:NV_TENSORRT|TRT)_(MAJOR|MINOR|PATCH|BUILD)(?:_ENTERPRISE)?[ \t]+([0-9]{1,6})\b",
    re.MULTILINE,
)
_CUDA_TEXT = re.compile(rb"CUDA Version ([0-9]{1,4}(?:\.[0-9]{1,4}){1,3})")


def parse_soname(paths: Iterable[str], library: str) -> tuple[str, str]:
    """Version and path of the newest `<library>.so.X.Y.Z` among `paths`; ("", "") when there is none.

    A name with the major number alone (`libnvinfer.so.10`) is a link and says too little.
    """
    pattern = re.compile(rf"{re.escape(library)}\.so\.([0-9]{{1,6}}(?:\.[0-9]{{1,6}}){{1,3}})")
    found = [(match.group(1), path) for path in paths if (match := pattern.fullmatch(path.rpartition("/")[2]))]
    return max(found, key=lambda one: version_key(one[0]), default=("", ""))


def parse_tensorrt_header(raw: bytes) -> str:
    """`10.14.1.48` of NvInferVersion.h; "" when major, minor or patch is missing."""
    numbers = {name.decode(): value.decode() for name, value in reversed(_DEFINE.findall(raw))}
    if not {"MAJOR", "MINOR", "PATCH"} <= numbers.keys():
        return ""
    return ".".join(numbers[name] for name in ("MAJOR", "MINOR", "PATCH", "BUILD") if name in numbers)


def parse_cuda_text(raw: bytes) -> str:
    """The toolkit's version in /usr/local/cuda/version.txt (CUDA 10 and older); "" when there is none."""
    found = _CUDA_TEXT.search(raw)
    return found.group(1).decode() if found else ""


def parse_jetpack_package(version: str) -> str:
    """`6.2.1` of the Debian version `6.2.1+b38`; "" for junk."""
    found = re.match(r"[0-9]{1,3}(?:\.[0-9]{1,3}){1,2}", version)
    return found.group() if found else ""


def version_key(version: str) -> tuple[int, ...]:
    """For comparing: (10, 3, 0) of `10.3.0`; numbers that no version has are left out."""
    return tuple(int(part) for part in version.split(".") if part.isascii() and part.isdigit() and len(part) < 10)


def same_release(one: str, other: str) -> bool:
    """Whether two versions agree as far as both say: `10.3.0` and `10.3.0.30` do."""
    return all(a == b for a, b in zip(version_key(one)[:3], version_key(other)[:3], strict=False))
