"""What `edgeagent bench` is told to measure: from the store, of a bundle, or nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeagent.bench.limits import measure_limits
from edgeagent.bench.power import Meter
from edgeagent.bench.processor_time import used_by, used_by_main_thread
from edgeagent.bench.subject import model_subject, null_subject, stored_subject
from edgeagent.errors import ChildError, ModelError, OperatorError
from edgeagent.simulate.board import make_board


def test_no_engine_gives_the_detections_that_were_asked_for(tmp_path: Path) -> None:
    subject = null_subject(tmp_path, 96, 64, 7)
    with subject.session() as session:
        assert (session.width, session.height, session.batch) == (96, 64, 1)
        assert len(session.run(np.zeros((1, 64, 96, 3), np.uint8))[0]) == 7
    start = subject.pipeline("p", "ring")
    assert (start.pipeline, start.ring, start.backend, start.classes) == ("p", "ring", "null", ["a", "b", "c"])


def test_a_bundle_is_grafted_and_runs(tmp_path: Path) -> None:
    subject = model_subject(tmp_path, "sample:conveyor", 1)
    assert subject.backend == "onnxruntime" and "FP32" in subject.name
    engine, session = measure_limits(subject, 0.02)
    assert engine.frames >= 10 and session.frames >= 10
    assert engine.cpu_us > 0 and engine.ms == pytest.approx(1000 / engine.fps)


def test_a_bundle_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no model bundle"):
        model_subject(tmp_path, str(tmp_path / "nothing"), 1)


@pytest.mark.parametrize("key", ["", "abc", "0" * 32])
def test_an_engine_that_is_not_in_the_store_is_said_so(tmp_path: Path, key: str) -> None:
    with pytest.raises(OperatorError, match="no engine store"):
        stored_subject(tmp_path, key, 1)
    (tmp_path / "engines").mkdir()
    with pytest.raises(OperatorError, match="not in the store"):
        stored_subject(tmp_path, key, 1)


def test_power_is_the_boards_own_and_none_without_rails(tmp_path: Path) -> None:
    board = make_board("orin-nano", tmp_path / "board", seed=1)
    with Meter(board.root).over() as power:
        pass
    assert power.mean_w is not None and power.mean_w > 0 and power.source
    (tmp_path / "bare").mkdir()
    with Meter(tmp_path / "bare").over() as power:
        pass
    assert power.mean_w is None


def test_cpu_time_of_a_process_is_the_kernels() -> None:
    import os
    import time

    before, main = used_by(os.getpid()), used_by_main_thread(os.getpid())
    assert main <= before <= time.process_time() + 0.001
    sum(range(300_000))
    assert used_by(os.getpid()) > before
    with pytest.raises(ChildError, match="ended while it was measured"):
        used_by(2**22 - 1)
