"""A build that wants more memory than there is ends in a smaller one or in a refusal, and takes nothing else along.

Twenty of them: tests/bench/bench_memory.py.
"""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest
from test_memory_kit import Appetite, SmallDevice

pytestmark = pytest.mark.timeout(180)


def test_a_build_whose_workspace_is_too_large_is_made_with_a_smaller_one(tmp_path: Path) -> None:
    device = SmallDevice(tmp_path, 1500, Appetite(150, 2.5, 500))
    ended = anyio.run(device.run)
    assert ended.built and ended.cancels >= 1 and set(ended.codes) == {"memory_falling"}
    assert ended.infer_survived and ended.least_mb > 0, "the kernel would have had to kill"
    told = [facts["next"] for kind, _, facts in device.told.events if kind == "engine-failed"]
    assert told[0] == "again with 1/2 of the workspace"
    assert [kind for kind, _, _ in device.told.events].count("build-cancelled") == ended.cancels
    assert device.told.states[-1]["state"] == "ready"


def test_a_build_that_is_too_large_in_any_form_is_refused_with_the_reason(tmp_path: Path) -> None:
    device = SmallDevice(tmp_path, 1200, Appetite(1500, 0.0, 700))
    ended = anyio.run(device.run)
    assert not ended.built and ended.attempts == 4
    assert set(ended.codes) == {"memory_falling"}
    assert ended.infer_survived and ended.least_mb > 0
    last = device.told.states[-1]
    assert last["state"] == "failed" and "memory" in str(last["reason"])
