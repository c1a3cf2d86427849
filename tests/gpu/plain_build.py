"""TensorRT by the book, nothing of edgeagent's: `plain_build.py NETWORK PLAN WORKSPACE_MB LEVEL FLAG,FLAG [CACHE]`.

What an engine of ours is measured against: the same network, flags, workspace, level and kernel sources, in the fewest
lines that TensorRT's own samples need. CACHE: a calibration cache to take INT8 scales from.
"""

import sys

import tensorrt as trt

network_path, plan_path, workspace_mb, level, flags, *cache_path = sys.argv[1:]
logger = trt.Logger(trt.Logger.WARNING)


class Scales(trt.IInt8EntropyCalibrator2):
    def __init__(self):
        trt.IInt8EntropyCalibrator2.__init__(self)

    def get_batch_size(self):
        return 1

    def get_batch(self, names):
        return None

    def read_calibration_cache(self):
        return open(cache_path[0], "rb").read()  # noqa: PTH123

    def write_calibration_cache(self, cache):
        pass


builder = trt.Builder(logger)
builder.max_threads = 4
network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.EXPLICIT_BATCH))
parser = trt.OnnxParser(network, logger)
if not parser.parse_from_file(network_path):
    sys.exit(str(parser.get_error(0)))
config = builder.create_builder_config()
for flag in flags.split(","):
    config.set_flag(getattr(trt.BuilderFlag, flag))
config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, int(workspace_mb) << 20)
config.builder_optimization_level = int(level)
foreign = (trt.TacticSource.CUBLAS, trt.TacticSource.CUBLAS_LT, trt.TacticSource.CUDNN)
config.set_tactic_sources(config.get_tactic_sources() & ~sum(1 << int(source) for source in foreign))
scales = Scales() if cache_path else None
if scales is not None:
    config.int8_calibrator = scales
plan = builder.build_serialized_network(network, config)
with open(plan_path, "wb") as file:  # noqa: PTH123
    file.write(plan)
