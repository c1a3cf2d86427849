"""What this process could build and run engines with: asked of Python's own records, nothing is imported.

Whether it works in earnest is the doctor's question, and the build's: this module only keeps `auto` from choosing
what is not there.
"""

from __future__ import annotations

from importlib import metadata, util
from pathlib import Path
from typing import Literal

from edgeagent.board.versions import version_key
from edgeagent.errors import EngineError

Backend = Literal["tensorrt", "onnxruntime"]
GPU_NODES = ("dev/nvhost-gpu", "dev/nvgpu/igpu0/power", "dev/nvhost-ctrl-gpu", "dev/nvidiactl", "dev/nvidia0")


def tensorrt_version() -> tuple[int, ...]:
    """The release of the TensorRT that `import tensorrt` would load, () where there is none."""
    for name in ("tensorrt", "tensorrt-cu13", "tensorrt-cu12"):
        try:
            return version_key(metadata.version(name))
        except metadata.PackageNotFoundError:
            continue
    return (0,) if util.find_spec("tensorrt") is not None else ()


def has_gpu(root: Path = Path("/")) -> bool:
    """Whether a device file of an NVIDIA GPU is there."""
    return any((root / node).exists() for node in GPU_NODES)


def choose_backend(wanted: Literal["auto", "tensorrt", "onnxruntime"]) -> Backend:
    """The backend for a setting. Raises EngineError where the one asked for by name is not there."""
    missing = _missing()
    if wanted == "onnxruntime" or (wanted == "auto" and missing):
        return "onnxruntime"
    if missing:
        raise EngineError(
            f'engines.backend is "tensorrt", and {missing}',
            mend='see `edgeagent doctor`, or set engines.backend = "auto"',
            code="no_gpu",
        )
    return "tensorrt"


def _missing() -> str:
    """What keeps TensorRT from being used here, "" when nothing does."""
    if not tensorrt_version():
        return "this Python has no TensorRT"
    if util.find_spec("pycuda") is None:
        return "this Python has no pycuda"
    return "" if has_gpu() else "there is no NVIDIA GPU here"
