"""The network as a build needs it: read with suspicion, grafted, proven to run. Made in a thread of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgeagent.engine.bundle import TASK_OF, ModelBundle
from edgeagent.engine.manifest import NetworkFacts

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True)
class Prepared:
    """The grafted network, and what was found out about it."""

    grafted: onnx.ModelProto
    facts: NetworkFacts


def prepare(bundle: ModelBundle, quantisation: str, threads: int, batch: int = 1) -> Prepared:
    """The bundle's network, and everything imported that comes next. Raises ModelError, and EngineError
    `batch_unsupported` where several frames are to go through at once and cannot."""
    from edgeagent.engine.batching import check_batching
    from edgeagent.engine.graft import graft_network
    from edgeagent.engine.network import load_network
    from edgeagent.engine.ranges import RangeMeter

    network = load_network(bundle)
    grafted = graft_network(network)
    with RangeMeter(grafted, [], threads):
        pass
    if batch > 1:
        check_batching(grafted, batch, threads)
    if quantisation == "qdq":
        import onnxruntime.quantization  # noqa: F401
    facts = NetworkFacts(
        family=network.family, task=TASK_OF[network.family], nms=network.nms, recognised=network.recognised
    )
    return Prepared(grafted, facts)
