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

from dataclasses import dataclass, replace
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
    """`cores` is the number to go by (None: unknown): the probed one where TensorRT was asked, else the declared one.

    `reason` is one sentence without a full stop. `declared` is what the module's record says, `probed` what TensorRT
    says, and `unprobed` why it could not be asked; "" where it was, and where nobody has tried.
    """

    answer: Answer
    cores: int | None
    reason: str
    declared: int | None = None
    probed: int | None = None
    unprobed: str = ""


@dataclass(frozen=True)
class DlaProbe:
    """What came of asking TensorRT for its num_DLA_cores: the number, or why there is none."""

    cores: int | None = None
    why_not: str = ""


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
    answer = _declared(module, is_jetson, software)
    return replace(answer, declared=answer.cores)


def _declared(module: Module | None, is_jetson: bool, software: Software) -> DlaAnswer:
    if module is None:
        if not is_jetson:
            return DlaAnswer("no", 0, "only Jetson modules have a DLA")
        return DlaAnswer("unknown", None, "this edgeagent does not know the module, TensorRT's num_DLA_cores tells")
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


def with_probe(declared: DlaAnswer, probe: DlaProbe) -> DlaAnswer:
    """What TensorRT says of itself is the last word; where it could not be asked, the declared answer stays."""
    if probe.cores is None:
        return replace(declared, unprobed=probe.why_not)
    if probe.cores == 0:
        reason = "TensorRT reports no DLA core" + (f" ({declared.reason})" if declared.answer != "no" else "")
        return replace(declared, answer="no", cores=0, reason=reason, probed=0)
    how = f"; {declared.reason}" if declared.answer == "yes" else ""
    reason = f"TensorRT reports num_DLA_cores {probe.cores}{how}"
    return replace(declared, answer="yes", cores=probe.cores, reason=reason, probed=probe.cores)


def dla_contradiction(declared: DlaAnswer, probe: DlaProbe) -> str:
    """One sentence where TensorRT says other than was to be expected; "" where nothing was, or it agrees."""
    expected = {"yes": (declared.cores,), "no": (0,), "unknown": (0, declared.cores)}[declared.answer]
    if probe.cores is None or declared.cores is None or probe.cores in expected:
        return ""
    return f"DLA: {declared.cores} declared ({declared.reason}), {probe.cores} probed (TensorRT's num_DLA_cores)"
