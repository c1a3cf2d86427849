"""What a line of TensorRT's build log means. Pure.

TensorRT tells the reasons of a failure in its log and nowhere else: a builder that gives up returns nothing. The
wordings are those of 8.6 (seen on a real builder: out of memory, timing cache, missing scales), and of the public
sources and reports of 10.x for what only a Jetson says; a wording that changes costs an explanation, never an engine.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Meaning = Literal[
    "skipped_for_memory", "dla_fallback", "timing_refused", "no_memory", "no_tactic", "driver", "no_scale"
]


@dataclass(frozen=True)
class Finding:
    """`subject` names the layer or tensor that the line speaks of, "" where it names none."""

    meaning: Meaning
    subject: str = ""


WORDINGS: tuple[tuple[Meaning, str], ...] = (
    ("timing_refused", r"timing cache will not be used|timing cache.*(?:mismatch|corrupt)|deserializeFromBuffer"),
    ("skipped_for_memory", r"skipping tactic.*(?:insufficient|memory)|memory is insufficient to use tactic"),
    ("dla_fallback", r"layer '(?P<name>[^']+)' \(\w+\): unsupported on DLA"),
    ("dla_fallback", r"DLA is enabled but layer (?P<name>.+?) is not (?:supported|running) on DLA"),
    ("dla_fallback", r"(?:DLA validation failed|internal DLA error) for layer:? (?P<name>[^,.\s]\S*)"),
    ("no_memory", r"any implementation for node (?P<name>.+?) due to insufficient workspace"),
    ("no_tactic", r"any implementation for node (?P<name>.+?)[.)]*$"),
    ("no_memory", r"out ?of ?memory|could not be allocated|insufficient workspace|bad_alloc|MemoryAllocation"),
    ("no_scale", r"missing (?:dynamic range|scale and zero-point) for tensor (?P<name>.+?), expect"),
    ("driver", r"cuda (?:runtime|driver|initialization|error|failure)|no CUDA-capable|cudnn error|illegal memory"),
)
PATTERNS = tuple((meaning, re.compile(wording, re.IGNORECASE)) for meaning, wording in WORDINGS)
# What a line must contain before the patterns are tried: at VERBOSE there are a hundred thousand lines a build.
TELLING = re.compile(
    r"memory|timing cache|deserializeFromBuffer|DLA|implementation|workspace|alloc|cuda|missing", re.IGNORECASE
)


def read_line(text: str) -> Finding | None:
    """What the line says, None where it is only talk."""
    if TELLING.search(text) is None:
        return None
    for meaning, pattern in PATTERNS:
        found = pattern.search(text)
        if found:
            return Finding(meaning, found.groupdict().get("name") or "")
    return None
