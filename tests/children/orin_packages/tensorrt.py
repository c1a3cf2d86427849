"""TensorRT of a virtual AGX Orin: its interface to the letter, ONNX Runtime behind it (tests/contract/trt_world.py)."""

from orin_world import TENSORRT

__version__ = TENSORRT.__version__
globals().update({name: value for name, value in vars(TENSORRT).items() if not name.startswith("_")})
