"""What a CUDA error means: pure, from pycuda's exception or from a line of text.

Sticky errors are those of which the driver's reference says that they leave "the process in an inconsistent state" and
that it "must be terminated and relaunched" (CUDA Driver API, CUresult), and those after which the device is not there.
They are known by the words of cuGetErrorString, which pycuda and TensorRT's log carry and which have not changed for
ten years of releases.
"""

from __future__ import annotations

from typing import Any

from edgeagent.errors import EngineError

LOST = "gpu_lost"
RESTART = "restart the service; if it stays, the device"
STICKY = (
    "an illegal memory access was encountered",  # 700
    "the launch timed out and was terminated",  # 702
    "device-side assert triggered",  # 710
    "hardware stack error",  # 714
    "an illegal instruction was encountered",  # 715
    "misaligned address",  # 716
    "operation not supported on global/shared address space",  # 717
    "invalid program counter",  # 718
    "unspecified launch failure",  # 719
    "uncorrectable ecc error encountered",  # 214
    "uncorrectable nvlink error",  # 220
    "context is destroyed",  # 709
    "driver shutting down",  # 4
    "gpu is lost",
    "fallen off the bus",
)


class CudaCallFailed(Exception):
    """A call through cuda-bindings that returned something else than success."""

    def __init__(self, message: str, *, out_of_memory: bool = False) -> None:
        super().__init__(message)
        self.out_of_memory = out_of_memory


def is_sticky(text: str) -> bool:
    """Whether every further CUDA call of this process will fail."""
    lowered = text.lower()
    return any(words in lowered for words in STICKY)


def lost(message: str) -> EngineError:
    """`retry`: in another process."""
    return EngineError(message, mend="the process starts anew; if it stays, restart the device", retry=True, code=LOST)


def failure_of(driver: Any, error: Exception, code: str) -> EngineError:  # noqa: ANN401  pycuda has no types
    """The EngineError for what pycuda or a call raised: `gpu_lost`, `out_of_memory`, or else `code`."""
    if is_sticky(str(error)):
        return lost(f"CUDA failed: {error}")
    if isinstance(error, driver.MemoryError) or (isinstance(error, CudaCallFailed) and error.out_of_memory):
        return EngineError(
            f"the GPU's memory is full: {error}",
            mend="stop what else uses the GPU, or choose a smaller model",
            retry=True,
            code="out_of_memory",
        )
    return EngineError(f"CUDA failed: {error}", mend=RESTART, retry=True, code=code)
