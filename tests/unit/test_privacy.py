"""Running a model tells nobody and leaves no file outside our directories."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

CODE = """
from edgeagent.engine.bundle import load_bundle
import onnxruntime
bundle = load_bundle("sample:conveyor")
onnxruntime.InferenceSession(str(bundle.onnx_path), providers=["CPUExecutionProvider"])
"""


def test_loading_an_engine_writes_nothing_into_the_home_directory(tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache"), "XDG_STATE_HOME": str(tmp_path / "state")}
    environment = {key: value for key, value in os.environ.items() if "TELEMETRY" not in key}
    subprocess.run([sys.executable, "-c", CODE], env=environment | home, check=True)
    assert list(tmp_path.rglob("*")) == []
