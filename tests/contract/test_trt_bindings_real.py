"""The API files that the stand-ins are made of, against NVIDIA's own bindings.

Needs the directory that `tests/children/trt_bindings.py fetch DIR` fills, named by EDGEAGENT_TRT_BINDINGS.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from trt_stand_in import read_api

CHILDREN = Path(__file__).parents[1] / "children"
sys.path.append(str(CHILDREN))
from trt_bindings import RELEASES, TAG  # noqa: E402

WHERE = os.environ.get("EDGEAGENT_TRT_BINDINGS", "")


@pytest.fixture(scope="module", params=RELEASES)
def real(request: pytest.FixtureRequest) -> dict[str, Any]:
    """What the real bindings of one release have. Read in a process of its own: two releases do not fit in one."""
    folder = Path(WHERE) / request.param / TAG
    if not WHERE:
        pytest.skip("EDGEAGENT_TRT_BINDINGS names no directory of bindings")
    if not (folder / "ready").exists():
        pytest.skip(f"the bindings of {request.param} were not to be had for {TAG} on this machine")
    environment = {**os.environ, "LD_LIBRARY_PATH": str(folder / "lib"), "PYTHONPATH": str(folder / "site")}
    command = [sys.executable, str(CHILDREN / "trt_bindings.py"), "print"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60, env=environment)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_the_file_is_what_the_bindings_are(real: dict[str, Any]) -> None:
    file = read_api(real["version"])
    assert set(file["classes"]) == set(real["classes"])
    for name, told in file["classes"].items():
        assert told == real["classes"][name], name


def test_what_is_no_class_and_what_we_call_all_the_same(real: dict[str, Any]) -> None:
    assert real["plugins"]
