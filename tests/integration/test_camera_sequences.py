"""Random faults over four cameras at once, one of them through GStreamer: nothing is stuck, nobody else is disturbed.

A few sequences of tests/bench/bench_camera_faults.py, on the distribution's interpreter; the bench runs a hundred.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from camera_kit import SYSTEM_PYTHON
from test_capture_streams import (
    needs_opencv_with_gstreamer,
    needs_rtsp_server,
    needs_same_version,
    path_with_packages,
)

BENCH = Path(__file__).parents[1] / "bench" / "bench_camera_faults.py"
AGENT_NEEDS = ("anyio", "idna", "structlog")
SEQUENCES, SEED = 4, 3


@pytest.mark.slow
@pytest.mark.timeout(600)
@needs_rtsp_server
@needs_opencv_with_gstreamer
@needs_same_version
def test_random_faults_leave_no_camera_stuck_and_no_other_camera_disturbed(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    packages = tmp_path / "packages"
    packages.mkdir()
    with path_with_packages(packages, AGENT_NEEDS) as path:
        done = subprocess.run(
            [SYSTEM_PYTHON, str(BENCH), "--sequences", str(SEQUENCES), "--seed", str(SEED), "--json", str(report)],
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            timeout=590,
            check=False,
        )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    found = json.loads(report.read_text())
    assert (found["stuck"], found["disturbed"]) == ([], 0)
    assert sum(line["times"] for line in found["faults"].values()) >= SEQUENCES
