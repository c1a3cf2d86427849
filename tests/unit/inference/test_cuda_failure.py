"""What a CUDA error means."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from edgeagent.inference.cuda_failure import STICKY, CudaCallFailed, failure_of, is_sticky


class Error(Exception):
    pass


class MemoryError(Error):
    pass


DRIVER = SimpleNamespace(Error=Error, MemoryError=MemoryError)


@pytest.mark.parametrize("words", STICKY)
def test_after_these_every_call_fails(words: str) -> None:
    found = failure_of(DRIVER, Error(f"cuEventSynchronize failed: {words}"), "engine_run")
    assert found.error_code == "gpu_lost" and found.retry and words in found.message


@pytest.mark.parametrize(
    "line",
    [
        "cuEventSynchronize failed: an illegal memory access was encountered",
        "1: [defaultAllocator.cpp::42] Error Code 1: Cuda Runtime (an illegal memory access was encountered)",
        "cuMemcpyHtoDAsync failed: uncorrectable ECC error encountered",
        "cuStreamSynchronize failed: unspecified launch failure",
    ],
)
def test_as_pycuda_and_tensorrt_say_it(line: str) -> None:
    assert is_sticky(line)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Error("cuMemcpyHtoDAsync failed: invalid argument"), "engine_run"),
        (Error("cuStreamCreate failed: invalid resource handle"), "engine_run"),
        (MemoryError("cuMemAlloc failed: out of memory"), "out_of_memory"),
        (CudaCallFailed("cuGraphLaunch failed: out of memory", out_of_memory=True), "out_of_memory"),
        (CudaCallFailed("cuGraphLaunch failed: invalid argument"), "engine_run"),
        (CudaCallFailed("cuGraphLaunch failed: misaligned address"), "gpu_lost"),
    ],
)
def test_codes(error: Exception, code: str) -> None:
    assert failure_of(DRIVER, error, "engine_run").error_code == code
