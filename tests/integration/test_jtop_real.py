"""The real jtop service and client, in jtop's own test mode, behind our adapter.

Needs an interpreter that can import jtop, named by EDGEAGENT_JTOP_PYTHON, and root with a private mount namespace: the
service insists on root, /run/jtop.sock, /fake_sys and a group jtop, none of which may appear on this machine. All the
scenes are played once, by `tests/children/jtop_stage.py`; the tests look at what came of them.

Not shown here: a Jetson. On x86-64 the service has no NVML of a Thor, no nvpmodel and no jetson_clocks, and a client
of another Python whose pickles do not fit cannot be had.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

STAGE = Path(__file__).parents[1] / "children/jtop_stage.py"
PYTHON = os.environ.get("EDGEAGENT_JTOP_PYTHON", "")
NAMESPACE = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private"]
SAMPLE = {
    "why": "",
    "emc_khz": 2_133_000,
    "emc_load_percent": 12.0,
    "gpu_load_percent": 42.1,
    "engines": {
        "NVENC": [True, 435_200],
        "NVDEC": [False, 0],
        "DLA0_CORE": [True, 614_400],
        "DLA0_FALCON": [True, 300_000],
    },
}


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=100)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    if not PYTHON:
        pytest.skip("EDGEAGENT_JTOP_PYTHON names no interpreter that can import jtop")
    if os.geteuid() != 0:
        pytest.skip("jtop's service runs as root only")
    if shutil.which("unshare") is None or run([*NAMESPACE, "true"]).returncode:
        pytest.skip("this machine gives no private mount namespace")
    work = tmp_path_factory.mktemp("stage")
    played = run([*NAMESPACE, sys.executable, str(STAGE), str(work), PYTHON])
    assert played.returncode == 0, played.stderr
    found: dict[str, Any] = json.loads(played.stdout.splitlines()[-1])
    if "refused" in found:
        pytest.skip(f"the stage cannot be built here: {found['refused']}")
    return found


def part(scene: dict[str, Any], like: dict[str, Any]) -> dict[str, Any]:
    return {key: scene[key] for key in like}


@pytest.mark.parametrize("who", ["as_root", "as_member"])
def test_samples_hold_what_sysfs_keeps_from_ordinary_users(scenes: dict[str, Any], who: str) -> None:
    assert part(scenes[who], SAMPLE) == SAMPLE


def test_without_a_service(scenes: dict[str, Any]) -> None:
    assert (scenes["without_socket"]["why"], scenes["without_socket"]["given_up"]) == ("not-running", False)


def test_a_socket_that_a_dead_service_left(scenes: dict[str, Any]) -> None:
    assert scenes["stale_socket"]["why"] == "not-running"
    assert "not active" in scenes["stale_socket"]["detail"]


def test_a_user_outside_the_group(scenes: dict[str, Any]) -> None:
    assert (scenes["as_stranger"]["why"], scenes["as_stranger"]["given_up"]) == ("no-permission", True)


def test_a_client_of_another_version(scenes: dict[str, Any]) -> None:
    assert (scenes["other_version"]["why"], scenes["other_version"]["given_up"]) == ("version-mismatch", True)


def test_a_service_that_stalls_is_let_go_and_the_child_with_it(scenes: dict[str, Any]) -> None:
    frozen = scenes["frozen"]
    assert part(frozen["before"], SAMPLE) == SAMPLE
    assert (frozen["after"]["why"], frozen["after"]["given_up"]) == ("stalled", False)
    assert frozen["child_is_gone"]


def test_a_service_that_is_killed(scenes: dict[str, Any]) -> None:
    """Its client notices in the middle of a call, or finds nobody at the next one; either way it is tried again."""
    assert scenes["service_killed"]["why"] in ("not-running", "failed")
    assert scenes["service_killed"]["given_up"] is False


def test_our_own_process_never_saw_jtop(scenes: dict[str, Any]) -> None:
    assert (scenes["own_process"]["start_method"], scenes["own_process"]["jtop_imported"]) == (None, False)
