"""A real GPU's power as a share, with a stand-in for NVML that fails where the real one does."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from edgeagent.simulate.plant_gpu import open_gpu


class NvmlError(Exception):
    pass


class Nvml(SimpleNamespace):
    """Answers in milliwatts, in order; None is an error."""

    NVMLError = NvmlError

    def __init__(self, *milliwatts: int | None, limit: int = 300_000, there: bool = True) -> None:
        super().__init__(answers=list(milliwatts), limit=limit, there=there, closed=0)

    def nvmlInit(self) -> None:
        if not self.there:
            raise NvmlError("Driver Not Loaded")

    def nvmlShutdown(self) -> None:
        self.closed += 1

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def nvmlDeviceGetPowerManagementLimit(self, gpu: int) -> int:
        return self.limit

    def nvmlDeviceGetPowerUsage(self, gpu: int) -> int:
        milliwatts = self.answers.pop(0)
        if milliwatts is None:
            raise NvmlError("Unknown Error")
        return int(milliwatts)


def given(monkeypatch: pytest.MonkeyPatch, nvml: Nvml | None) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", nvml)


def test_the_share_is_of_what_the_limit_leaves_above_the_lowest(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = Nvml(100_000, 200_000, 60_000, 180_000, 400_000)
    given(monkeypatch, nvml)
    gpu = open_gpu()
    assert gpu is not None
    with gpu:
        assert [gpu.share() for _ in range(4)] == [pytest.approx(0.5), 0.0, pytest.approx(0.5), 1.0]
    assert nvml.closed == 1


def test_a_gpu_that_does_not_answer_has_no_share(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, Nvml(100_000, None, 100_000))
    gpu = open_gpu()
    assert gpu is not None
    assert gpu.share() is None
    assert gpu.share() == 0.0


@pytest.mark.parametrize("nvml", [None, Nvml(there=False), Nvml(None)], ids=["package", "driver", "sensor"])
def test_no_gpu_is_no_error(monkeypatch: pytest.MonkeyPatch, nvml: Nvml | None) -> None:
    given(monkeypatch, nvml)
    assert open_gpu() is None


def test_a_limit_below_the_lowest_is_no_share(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, Nvml(100_000, 100_000, limit=50_000))
    gpu = open_gpu()
    assert gpu is not None
    assert gpu.share() is None
