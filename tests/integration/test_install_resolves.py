"""What a device is given resolves to wheels for its processor and its Python: asked of the index, by uv's resolver."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from install_facts import ORIN

from edgeagent.install.bundle import pinned_for
from edgeagent.install.facts import Facts
from edgeagent.install.packages import CUDA_BINDINGS, NUMPY_1, constraints
from edgeagent.install.release import LOCKED

REPOSITORY = Path(__file__).parents[2]
pytestmark = pytest.mark.slow
UV = Path(sys.executable).with_name("uv")
PLATFORM = "aarch64-manylinux_2_35"
"""The glibc of Ubuntu 22.04, JetPack 6; JetPack 7 has a newer one."""
JETPACK_6 = ORIN
JETPACK_7 = replace(JETPACK_6, python=(3, 12), l4t="38.2.1", numpy="1.26.4")


def resolve(facts: Facts, folder: Path, *wanted: str) -> dict[str, str]:
    """Name -> version. Skips where there is no index to ask."""
    if not UV.exists():
        pytest.skip("uv is not installed")
    (folder / "constraints.txt").write_text(constraints(LOCKED.read_text(), facts))
    words = [UV, "pip", "compile", "--quiet", "--no-header", "--no-annotate", "--only-binary", ":all:"]
    words += ["--python-version", facts.python_text, "--python-platform", PLATFORM, "--constraint", "constraints.txt"]
    ended = subprocess.run(
        [*words, *wanted],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    if "error sending request" in ended.stderr.lower() or "could not connect" in ended.stderr.lower():
        pytest.skip(f"there is no index to ask: {ended.stderr.strip()[-200:]}")
    assert ended.returncode == 0, ended.stderr
    return dict(line.split("==") for line in ended.stdout.splitlines() if "==" in line)


def in_a_bundle(facts: Facts) -> set[str]:
    return {*pinned_for(LOCKED.read_text(), facts.python_text, facts.arch, headless=False), *NUMPY_1}


@pytest.mark.parametrize("facts", [JETPACK_6, JETPACK_7], ids=["JetPack 6", "JetPack 7"])
def test_a_jetsons_packages_are_all_wheels_and_leave_jetpacks_alone(facts: Facts, tmp_path: Path) -> None:
    """NumPy stays at 1, which JetPack's OpenCV was built for. A bundle has each of them (test_install_bundle.py fetches
    one and unpacks it)."""
    found = resolve(facts, tmp_path, str(REPOSITORY / "pyproject.toml"), "--extra", "device")
    assert {"numpy", "onnx", "onnxruntime", "paho-mqtt", "pydantic"} <= found.keys()
    assert found["numpy"] == "1.26.4"
    assert not [name for name in found if name.startswith(("opencv", "tensorrt"))]
    assert {f"{name}=={version}" for name, version in found.items()} <= in_a_bundle(facts), "not in the bundle"


@pytest.mark.parametrize("facts", [JETPACK_6, JETPACK_7], ids=["JetPack 6", "JetPack 7"])
def test_an_arm64_host_that_is_no_jetson_gets_wheels_too(facts: Facts, tmp_path: Path) -> None:
    host = replace(facts, cv2="", tensorrt="", numpy="")
    found = resolve(host, tmp_path, str(REPOSITORY / "pyproject.toml"), "--extra", "device", "--extra", "any-host")
    assert found["opencv-python-headless"]
    locked = [line for line in LOCKED.read_text().splitlines() if line.startswith("numpy==")]
    assert f"numpy=={found['numpy']}" in [line.split(" ;")[0] for line in locked]


@pytest.mark.parametrize(("facts", "cuda"), [(JETPACK_6, "12."), (JETPACK_7, "13.")], ids=["CUDA 12", "CUDA 13"])
def test_cuda_bindings_are_wheels(facts: Facts, cuda: str, tmp_path: Path) -> None:
    (tmp_path / "wanted.in").write_text(f"{CUDA_BINDINGS[facts.l4t_major]}\n")
    assert resolve(facts, tmp_path, "wanted.in")["cuda-bindings"].startswith(cuda)
