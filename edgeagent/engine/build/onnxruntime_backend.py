"""The backend of machines without TensorRT: the plan is the grafted network, with Q/DQ nodes where it is INT8."""

from __future__ import annotations

import shutil

from edgeagent.engine.build.backend import BackendJob, BackendOutcome, Watcher
from edgeagent.errors import EngineError


class OnnxRuntimeBackend:
    """ONNX Runtime compiles when it loads, so nothing is left to build: the network becomes the plan."""

    name = "onnxruntime"

    def build(self, job: BackendJob, watcher: Watcher) -> BackendOutcome:
        """Copy the network. Raises EngineError for a form that the CPU does not compute."""
        if job.variant.precision == "fp16" or job.variant.placement != "cpu":
            raise EngineError(
                f"ONNX Runtime does not compute {job.variant.line()}",
                mend='set engines.precision to "int8" or "fp32"',
                code="precision_unsupported",
            )
        watcher.tell("building", 0, "ONNX Runtime compiles the network when it loads it")
        shutil.copyfile(job.network, job.plan)
        return BackendOutcome()
