"""How hard a real GPU works, from its own power reading through NVML: what a virtual board's GPU then does.

Needs the package `nvidia-ml-py` (imported as pynvml) and an NVIDIA driver; without either there is no such GPU, which
is no error.
"""

from __future__ import annotations

import contextlib
import importlib
from types import TracebackType
from typing import Any


class GpuPower:
    """The first GPU of this machine. Use in a `with`; `open_gpu` makes one."""

    def __init__(self, nvml: Any) -> None:  # noqa: ANN401  the module pynvml, or what stands in for it
        self._nvml = nvml
        self._gpu = nvml.nvmlDeviceGetHandleByIndex(0)
        self._limit_w = nvml.nvmlDeviceGetPowerManagementLimit(self._gpu) / 1000
        self._lowest_w = self._power_w()

    def __enter__(self) -> GpuPower:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(self._nvml.NVMLError):
            self._nvml.nvmlShutdown()

    def share(self) -> float | None:
        """Power above the lowest seen, as a share of what the limit leaves above it, 0..1. None: it does not answer."""
        try:
            watts = self._power_w()
        except self._nvml.NVMLError:
            return None
        self._lowest_w = min(self._lowest_w, watts)
        room_w = self._limit_w - self._lowest_w
        return min(1.0, max(0.0, (watts - self._lowest_w) / room_w)) if room_w > 0 else None

    def _power_w(self) -> float:
        return float(self._nvml.nvmlDeviceGetPowerUsage(self._gpu)) / 1000


def open_gpu() -> GpuPower | None:
    """This machine's first GPU; None where there is none that tells its power."""
    try:
        nvml = importlib.import_module("pynvml")
    except ImportError:
        return None
    try:
        nvml.nvmlInit()
        return GpuPower(nvml)
    except nvml.NVMLError:
        return None
