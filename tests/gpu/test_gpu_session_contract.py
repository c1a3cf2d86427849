"""What every session does (tests/contract/test_session_halves.py), with the real TensorRT."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))
sys.path.append(str(Path(__file__).parents[1] / "contract"))
from gpu_kit import require_gpu
from session_kit import mean_plan, sharing_gpu
from test_session_halves import *  # noqa: F403

from edgeagent.inference.session import InferenceSession
from edgeagent.inference.tensorrt_session import TensorRtSession

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def plans(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    require_gpu()
    return cache(lambda batch: mean_plan(tmp_path_factory.mktemp("plans"), batch))


@pytest.fixture(params=["graph", "enqueue", "in place"])
def opener(request: pytest.FixtureRequest, plans: Callable[[int], Path]) -> Callable[[Path, int], InferenceSession]:
    gpu = sharing_gpu() if request.param == "in place" else None
    return lambda folder, batch: TensorRtSession(plans(batch), graphs=request.param != "enqueue", gpu=gpu)
