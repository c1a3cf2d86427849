"""The calibration cache on its way to the builder: is every scale there, and only those that are wanted. Pure."""

from __future__ import annotations

from edgeagent.engine.build.tensorrt.dla import named
from edgeagent.engine.build.tensorrt.scaled import ScaledTensors
from edgeagent.engine.scales import CalibrationCache, missing_scales, parse_cache, write_cache
from edgeagent.errors import EngineError


def unmeasured(cache: bytes, tensors: ScaledTensors) -> tuple[str, ...]:
    """The wanted tensors that the cache does not name: those that TensorRT's parser put in, which nobody else can
    measure. One that is named with 0 was measured and never was anything else."""
    known = parse_cache(cache).scales
    return tuple(name for name in tensors.wanted if name not in known)


def with_measured(cache: bytes | None, measured: bytes, tensors: ScaledTensors) -> bytes:
    """The cache with what TensorRT measured of the tensors that it did not name: 0 where that is nothing."""
    if cache is None:
        return measured
    parsed, theirs = parse_cache(cache), parse_cache(measured).scales
    added = {name: theirs.get(name, 0.0) for name in unmeasured(cache, tensors)}
    return write_cache(CalibrationCache(parsed.version, parsed.algorithm, {**parsed.scales, **added}))


def fitting_scales(cache: bytes, tensors: ScaledTensors, *, on_dla: bool) -> tuple[bytes, tuple[str, ...]]:
    """The cache cut down to the tensors that are wanted in eight bits, and the names of those it lacks.

    A tensor that flows into a convolution must have its scale, and for a DLA every one must: what has none is
    computed in FP16, there or on the GPU, and nobody would notice. Raises EngineError `scales_missing`.
    """
    parsed = parse_cache(cache)
    missing = missing_scales(tensors.wanted, parsed)
    fatal = missing if on_dla else missing_scales(tensors.needed, parsed)
    if fatal:
        raise EngineError(
            f"the calibration has no scale for {len(fatal)} of {len(tensors.wanted)} tensors: {named(fatal)}",
            mend="calibrate anew with pictures that show what the model is for; a constant tensor never gets a scale",
            facts={"missing": len(fatal), "wanted": len(tensors.wanted)},
            code="scales_missing",
        )
    kept = {name: parsed.scales[name] for name in tensors.wanted if name not in set(missing)}
    return write_cache(CalibrationCache(parsed.version, parsed.algorithm, kept)), tuple(missing)
