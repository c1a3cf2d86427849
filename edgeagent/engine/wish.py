"""From a model bundle and the engine settings to the wish that the key digests: the one place that spells it out."""

from __future__ import annotations

from collections.abc import Mapping

from edgeagent.engine.bundle import ModelBundle
from edgeagent.engine.key import EngineWish

# Raised whenever edgeagent/engine/graft.py or quantise.py makes another graph from the same model and frames.
GRAFT_VERSION = 3


def wish_for(
    bundle: ModelBundle, *, precision: str, calibration_digest: str, backend: str, fingerprint: Mapping[str, str]
) -> EngineWish:
    """The engine wanted for `bundle`. `calibration_digest` counts for INT8 only."""
    return EngineWish(
        model_digest=bundle.digest,
        graft_version=GRAFT_VERSION,
        options=bundle.spec.model_dump(mode="json", exclude={"name", "version", "onnx"}),
        precision=precision,
        calibration_digest=calibration_digest if precision == "int8" else "",
        placement="cpu" if backend == "onnxruntime" else "gpu",
        batch=1,
        backend=backend,
        fingerprint=dict(fingerprint),
    )
