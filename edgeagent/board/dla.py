"""Can a network be placed on a DLA here: yes, no or unknown, and why. Pure.

Three things decide together: whether the module has the cores, which TensorRT is installed, and the JetPack under it.

* TensorRT before 10.8 (JetPack 4 to 6): INT8 by calibration, or FP16; Q/DQ nodes are refused.
* 10.8 to 11.4.0: no DLA on any Jetson, although the Python symbols are still there.
* 11.4.1 and later on JetPack 7.2.2 and later: AGX Orin only, explicit precision (Q/DQ) only.

Where the table has no JetPack for a release of Jetson Linux, the release itself tells: 7.2.2 ships L4T 39.2.2.

Sources: NVIDIA's TensorRT documentation, "Working with DLA" of 10.7 and 11.4.1, and its release notes. Orin NX is not
named in the statement for 11.4.1: unknown until it is asked. The last word is `num_DLA_cores` of TensorRT's builder.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from edgeagent.board.catalogue import Module
from edgeagent.board.versions import version_key

Answer = Literal["yes", "no", "unknown"]

_GONE = (10, 8)
_BACK = (11, 4, 1)
_BACK_JETPACK = (7, 2, 2)
_BACK_L4T = (39, 2, 2)


@dataclass(frozen=True)
class DlaAnswer:
    """`cores` is the number declared for the module (None: unknown), or the probed one after `probed`.

    `reason` is one sentence without a full stop.
    """

    answer: Answer
    cores: int | None
    reason: str


class Software(NamedTuple):
    """Versions, "" where unknown or missing; `jetpack` may be `7.x`."""

    tensorrt: str = ""
    jetpack: str = ""
    l4t: str = ""

    @property
    def is_back(self) -> bool | None:
        """Whether this JetPack is one that has the DLA again; None where that cannot be told."""
        jetpack, l4t = version_key(self.jetpack), version_key(self.l4t)
        if jetpack and not self.jetpack.endswith(".x"):
            return jetpack >= _BACK_JETPACK
        return l4t >= _BACK_L4T if l4t else None


def decide_dla(module: Module | None, is_jetson: bool, software: Software) -> DlaAnswer:
    """The answer without asking TensorRT."""
    if module is None:
        if not is_jetson:
            return DlaAnswer("no", 0, "only Jetson modules have a DLA")
        return DlaAnswer("unknown", None, "this release does not know the module: ask TensorRT for num_DLA_cores")
    if module.dla_cores == 0:
        return DlaAnswer("no", 0, f"{module.name} has no DLA")
    answer, why = _by_software(module, software.is_back, version_key(software.tensorrt))
    has = f"{module.name} has {module.dla_cores} DLA core{'s' if module.dla_cores > 1 else ''}"
    return DlaAnswer(answer, module.dla_cores, f"{has}, {f'TensorRT {software.tensorrt}'.rstrip()} {why}")


def _by_software(module: Module, is_back: bool | None, tensorrt: tuple[int, ...]) -> tuple[Answer, str]:
    """The first rule that applies. () is a version that is not known."""
    unsure = "drives them with JetPack 7.2.2 or later, and which JetPack this is cannot be told"
    rules: tuple[tuple[bool, Answer, str], ...] = (
        (not tensorrt, "unknown", "is not installed"),
        (tensorrt < _GONE, "yes", "drives them: FP16, or INT8 by calibration (no Q/DQ)"),
        (tensorrt < _BACK, "no", "does not drive them (10.8 to 11.4.0 have no DLA)"),
        (module.family not in ("AGX Orin", "Orin NX"), "no", "does not drive them (from 11.4.1 on AGX Orin only)"),
        (is_back is None, "unknown", unsure),
        (not is_back, "no", "drives them with JetPack 7.2.2 or later only"),
        (module.family == "Orin NX", "unknown", "is said to drive those of AGX Orin only: ask it for num_DLA_cores"),
        (True, "yes", "drives them: explicit precision only (Q/DQ, no calibration)"),
    )
    return next((answer, why) for applies, answer, why in rules if applies)


def probed(declared: DlaAnswer, num_dla_cores: int) -> DlaAnswer:
    """What TensorRT says of itself is the last word; a declared number that differs is named."""
    if num_dla_cores == 0:
        reason = "TensorRT reports no DLA core" + (f" ({declared.reason})" if declared.answer != "no" else "")
        return DlaAnswer("no", 0, reason)
    how = f"; {declared.reason}" if declared.answer == "yes" else ""
    return DlaAnswer("yes", num_dla_cores, f"TensorRT reports num_DLA_cores {num_dla_cores}{how}")
