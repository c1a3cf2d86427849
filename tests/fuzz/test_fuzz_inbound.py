"""The fuzzer of what comes in, for a moment: that it runs, and finds nothing at once. Long runs are for a person."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("fuzz_inbound.py")


@pytest.mark.skipif(
    importlib.util.find_spec("atheris") is None, reason="atheris is not installed: no wheel for this Python"
)
def test_a_few_thousand_inputs_of_the_fuzzers_making() -> None:
    command = [sys.executable, str(PROGRAM), "-runs=4000", "-max_len=2000", "-seed=7", "-timeout=20"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Done 4000 runs" in done.stderr
