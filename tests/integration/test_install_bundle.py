"""A bundle has all that a Jetson without a network is given, and what builds pycuda there: the real one, unpacked."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
from install_facts import ORIN, THOR

from edgeagent.install.facts import Facts
from edgeagent.install.packages import PYCUDA, constraints, requirements
from edgeagent.install.release import LOCKED

REPOSITORY = Path(__file__).parents[2]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        "EDGEAGENT_LONG_TESTS" not in os.environ, reason="fetches 180 MB: EDGEAGENT_LONG_TESTS=1 runs it"
    ),
]
UV = Path(sys.executable).with_name("uv")
PLATFORM = "aarch64-manylinux_2_35"
"""The glibc of Ubuntu 22.04, JetPack 6; JetPack 7 has a newer one."""
NO_INDEX = ("connection", "name resolution", "no matching distribution found for hatchling")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Unpacked. Skips where there is no index to fetch from."""
    if not UV.exists():
        pytest.skip("uv is not installed")
    folder = tmp_path_factory.mktemp("bundle")
    words = [REPOSITORY / "install.sh", "--bundle", folder / "b.tar"]
    own = {**os.environ, "PYTHON": sys.executable}
    made = subprocess.run(words, capture_output=True, text=True, check=False, env=own, stdin=subprocess.DEVNULL)
    if made.returncode and any(word in made.stderr.lower() for word in NO_INDEX):
        pytest.skip(f"there is no index to fetch from: {made.stderr.strip()[-200:]}")
    assert made.returncode == 0, made.stderr
    with tarfile.open(folder / "b.tar") as tar:
        tar.extractall(folder)
    return next(folder.glob("edgeagent-*"))


def install(bundle: Path, python: str, target: Path, *wanted: str) -> set[str]:
    """Every wheel unpacked into `target` as on the device, from the bundle alone; the names of what is there."""
    words = [UV, "pip", "install", "--quiet", "--offline", "--no-index", "--find-links", bundle / "wheels", "--target"]
    words += [target, "--python-version", python, "--python-platform", PLATFORM, "--only-binary", ":all:", *wanted]
    ended = subprocess.run(words, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    assert ended.returncode == 0, ended.stderr
    return {path.name.partition("-")[0] for path in target.glob("*.dist-info")}


def pycuda_source(bundle: Path) -> tuple[list[str], list[str]]:
    """What the source in the bundle needs to be built and to run, by its own word."""
    (archive,) = bundle.glob("wheels/pycuda-*.tar.gz")
    with tarfile.open(archive) as tar:
        named = {name.partition("/")[2]: name for name in tar.getnames()}
        about = tar.extractfile(named["PKG-INFO"]).read().decode().splitlines()
        build = tar.extractfile(named["pyproject.toml"]).read().decode()
    block = build.partition("requires = [")[2].partition("]")[0]
    runs = [line.partition(": ")[2] for line in about if line.startswith("Requires-Dist: ") and "extra" not in line]
    return [line.strip(' ",') for line in block.splitlines() if line.strip()], runs


@pytest.mark.parametrize("facts", [ORIN, THOR, replace(ORIN, numpy="2.2.6")], ids=["6", "7", "6, NumPy 2"])
def test_a_jetson_is_installed_from_the_bundle_alone(facts: Facts, bundle: Path, tmp_path: Path) -> None:
    """All but pycuda itself, which that device builds."""
    (tmp_path / "c.txt").write_text(constraints(LOCKED.read_text(), facts))
    (own,) = bundle.glob("wheels/edgeagent-*.whl")
    wanted = [line for line in requirements(str(own), facts) if line != PYCUDA]
    to_build, to_run = pycuda_source(bundle)
    found = install(
        bundle, facts.python_text, tmp_path / "t", "--constraint", str(tmp_path / "c.txt"), *wanted, *to_run
    )
    assert {"edgeagent", "onnxruntime", "lap", "prometheus_client", "obstore", "cuda_bindings", "pytools"} <= found
    assert "opencv_python_headless" not in found
    assert "setuptools" in install(bundle, facts.python_text, tmp_path / "b", *to_build)
