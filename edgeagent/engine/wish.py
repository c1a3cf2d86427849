"""From a model bundle and the engine settings to the wish that the key digests: the one place that spells it out."""

from __future__ import annotations

from collections.abc import Mapping

from edgeagent.engine.bundle import ModelBundle
from edgeagent.engine.key import EngineWish
from edgeagent.engine.variant import Variant

# Raised whenever edgeagent/engine/graft.py or quantise.py makes another graph from the same model and frames.
GRAFT_VERSION = 5


def wish_for(
    bundle: ModelBundle,
    variant: Variant,
    *,
    calibration_digest: str,
    backend: str,
    fingerprint: Mapping[str, str],
    builder: Mapping[str, int | float | str | bool] | None = None,
    plugins: Mapping[str, str] | None = None,
) -> EngineWish:
    """The engine wanted for `bundle`. `calibration_digest` counts only where scales are measured."""
    size = bundle.spec.input
    batch = variant.batch
    measured = variant.quantisation in ("calibrator", "qdq")
    return EngineWish(
        model_digest=bundle.digest,
        graft_version=GRAFT_VERSION,
        options=bundle.spec.model_dump(mode="json", exclude={"name", "version", "onnx"}),
        precision=variant.precision,
        quantisation=variant.quantisation,
        calibration_digest=calibration_digest if measured else "",
        placement=variant.placement,
        batch=batch,
        shapes={"frames": (batch, size.height, size.width, 3)},
        backend=backend,
        fingerprint=dict(fingerprint),
        builder=dict(builder or {}),
        plugins=dict(plugins or {}),
    )
