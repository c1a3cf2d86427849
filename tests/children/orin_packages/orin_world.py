"""The TensorRT and the GPU of an AGX Orin, one of each a process: what `tensorrt`, `pycuda` and `cuda` here give."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "contract"))
from cuda_stand_in import CudaStandIn
from trt_world import World

WORLD = World("10.3.0", cuda=CudaStandIn(free_mb=40_000, total_mb=64_000, integrated=True), dla_cores=2)
TENSORRT = WORLD.module()
