"""Which forms of an engine to try, in which order: what the operator asked for against what the device can do. Pure.

The operator's wish is never replaced in silence: a form that was not asked for carries its reason, and a wish that
nothing here can meet is an error with its mend.

Which way INT8 comes about follows from TensorRT's release and from the placement:

* a DLA before 10.8 takes INT8 by calibration only, and refuses Q/DQ nodes; from 11.4.1 on it takes nothing else;
* on the GPU Q/DQ, which every release takes, and TensorRT 11 nothing else;
* ONNX Runtime computes INT8 from Q/DQ nodes.

Where several frames at once are wanted, each form is followed by itself for one frame: not every network takes more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from edgeagent.engine.variant import Precision, Quantisation, Variant
from edgeagent.errors import EngineError

_NO_CALIBRATOR_FROM = (11,)
_DLA_BACK = (11, 4, 1)
CORES: Mapping[str, int] = {"dla0": 0, "dla1": 1}


@dataclass(frozen=True)
class FormWish:
    """What the settings say: the keys of [engines] with these names. `max_batch` may be a model's own."""

    precision: Precision = "int8"
    precision_fallback: Sequence[Precision] = ()
    placement: Literal["auto", "gpu", "dla", "dla0", "dla1"] = "auto"
    dla_fallback: Literal["gpu", "refuse"] = "gpu"
    quantisation: Literal["auto", "calibrator", "qdq"] = "auto"
    max_batch: int = 1


@dataclass(frozen=True)
class Ground:
    """What the device has. `tensorrt` is (10, 3, 0), () where unknown; `dla_cores` None where the number is not known;
    `own_qdq`: the model brings Q/DQ nodes."""

    backend: Literal["tensorrt", "onnxruntime"]
    tensorrt: tuple[int, ...] = ()
    dla: Literal["yes", "no", "unknown"] = "unknown"
    dla_reason: str = ""
    dla_cores: int | None = None
    own_qdq: bool = False


@dataclass(frozen=True)
class Candidate:
    """One form to try. `dla_core` is the core that was asked for, None where any will do; `reason` says why it is not
    what was wished for."""

    variant: Variant
    dla_core: int | None = None
    reason: str = ""


def list_candidates(wish: FormWish, ground: Ground) -> list[Candidate]:
    """The forms to try, best first; never empty. Raises EngineError when the wish fits nothing that is here."""
    forms = _on_the_cpu(wish, ground) if ground.backend == "onnxruntime" else _on_the_board(wish, ground)
    if wish.max_batch == 1:
        return forms
    return [sized for form in forms for sized in _sized(form, wish.max_batch)]


def _sized(form: Candidate, batch: int) -> tuple[Candidate, Candidate]:
    several = replace(form, variant=replace(form.variant, batch=batch))
    return several, replace(form, reason=form.reason or f"one frame at once, instead of {batch}")


def _on_the_board(wish: FormWish, ground: Ground) -> list[Candidate]:
    placements = _placements(wish, ground)
    precisions = list(dict.fromkeys([wish.precision, *wish.precision_fallback]))
    found = [
        candidate
        for precision in precisions
        for place in placements
        for candidate in _formed(wish, ground, place, precision)
    ]
    if not found:
        raise EngineError(
            f"{wish.precision.upper()} is not to be had here: {_why_not(wish, ground)}",
            mend='set engines.quantisation = "auto", or placement = "gpu" (engines, or the pipeline)',
            code="precision_unsupported",
        )
    return [found[0], *(replace(one, reason=one.reason or _after(found[0], one)) for one in found[1:])]


def _on_the_cpu(wish: FormWish, ground: Ground) -> list[Candidate]:
    if wish.placement != "auto":
        raise EngineError(
            f"placement is {wish.placement!r}, and ONNX Runtime computes on the CPU",
            mend='set placement = "auto" (engines, or the pipeline), or install TensorRT',
            code="placement_unsupported",
        )
    if wish.quantisation == "calibrator" and wish.precision == "int8":
        raise EngineError(
            'engines.quantisation is "calibrator", which only TensorRT has',
            mend='set engines.quantisation = "auto"',
            code="precision_unsupported",
        )
    precisions = [p for p in dict.fromkeys([wish.precision, *wish.precision_fallback]) if p != "fp16"]
    if not precisions:
        raise EngineError(
            "ONNX Runtime on the CPU has no FP16",
            mend='set engines.precision to "int8" or "fp32"',
            code="precision_unsupported",
        )
    qdq: Quantisation = "model" if ground.own_qdq else "qdq"
    found = [Candidate(Variant(p, qdq if p == "int8" else "none", "cpu")) for p in precisions]
    skipped = "ONNX Runtime on the CPU has no FP16" if wish.precision == "fp16" else ""
    return [replace(one, reason=skipped or ("" if number == 0 else _after(found[0], one)))
            for number, one in enumerate(found)]  # fmt: skip


def _placements(wish: FormWish, ground: Ground) -> list[Candidate]:
    """GPU and DLA in the order to try them; the variant's precision is filled in later."""
    gpu, dla = _place("gpu"), _place("dla", CORES.get(wish.placement))
    if wish.placement == "gpu":
        return [gpu]
    if why := why_no_dla(wish.placement, ground):
        if wish.placement != "auto" and wish.dla_fallback == "refuse":
            raise EngineError(
                f"placement is {wish.placement!r}: {why}",
                mend='set placement (engines, or the pipeline) to "gpu" or "auto", or engines.dla_fallback to "gpu"',
                code="dla_refused",
            )
        return [gpu if wish.placement == "auto" else replace(gpu, reason=why)]
    if wish.placement == "auto":
        return [dla, gpu] if ground.dla == "yes" else [gpu]
    return [dla, gpu] if wish.dla_fallback == "gpu" else [dla]


def why_no_dla(placement: str, ground: Ground) -> str:
    """Why nothing can be put there, "" where it can or where that is not known. A core that the board lacks is no DLA,
    however many others there are."""
    core = CORES.get(placement, 0)
    if ground.dla == "no":
        return ground.dla_reason
    if ground.dla_cores is None or core < ground.dla_cores:
        return ""
    return f"there is no core {core} of the DLA ({ground.dla_reason})"


def _place(placement: Literal["gpu", "dla"], core: int | None = None) -> Candidate:
    return Candidate(Variant("fp32", "none", placement), core)


def _formed(wish: FormWish, ground: Ground, place: Candidate, precision: Precision) -> Iterator[Candidate]:
    """The placement with a precision, where there is a way to it. A DLA computes in INT8 and FP16 only."""
    on_dla = place.variant.placement == "dla"
    if precision == "fp32" and on_dla:
        return
    quantisation = _quantisation(wish, ground, on_dla) if precision == "int8" else "none"
    if quantisation is not None:
        yield replace(place, variant=replace(place.variant, precision=precision, quantisation=quantisation))


def _quantisation(wish: FormWish, ground: Ground, on_dla: bool) -> Quantisation | None:
    """Where INT8 scales come from, None where the wished way does not exist."""
    version = ground.tensorrt
    by_calibrator = not version or version < _NO_CALIBRATOR_FROM
    if ground.own_qdq:
        return "model"  # on a DLA that wants calibration, its scales are taken out of the network
    if on_dla:
        needed: Quantisation = "qdq" if version >= _DLA_BACK else "calibrator"
        return needed if wish.quantisation in ("auto", needed) else None
    if wish.quantisation == "calibrator":
        return "calibrator" if by_calibrator else None
    return "qdq"


def _why_not(wish: FormWish, ground: Ground) -> str:
    if wish.precision == "fp32":
        return "a DLA computes in INT8 and FP16 only"
    release = f"TensorRT {'.'.join(map(str, ground.tensorrt))}" if ground.tensorrt else "this TensorRT"
    if wish.quantisation == "calibrator":
        return f"{release} has no calibrator"
    return f"a DLA under {release} takes INT8 by calibration only"


def _after(first: Candidate, one: Candidate) -> str:
    """Why a later form is tried at all: what was allowed, in case the first comes to nothing."""
    return f"instead of {first.variant.line()}"
