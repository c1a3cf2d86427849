"""What pip is told: the locked versions, JetPack's parts never, NumPy 1 where they need it."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from install_facts import ORIN, PC, THOR

from edgeagent.install.bundle import bindings_for, download_arguments, pinned_for
from edgeagent.install.packages import (
    constraints,
    install_arguments,
    requirements,
    shadowing,
    source_arguments,
)
from edgeagent.install.release import LOCKED

REPOSITORY = Path(__file__).parents[3]
LOCK = LOCKED.read_text()


def test_a_jetson_gets_no_opencv_and_no_tensorrt() -> None:
    assert requirements("/w/edgeagent.whl", ORIN) == [
        "/w/edgeagent.whl[device]",
        "pycuda>=2024.1",
        "cuda-bindings>=12.6,<13",
    ]
    assert requirements("/w/edgeagent.whl", THOR)[-1] == "cuda-bindings>=13,<14"


def test_a_host_without_opencv_gets_the_one_without_windows() -> None:
    assert requirements("e.whl", PC) == ["e.whl[device]", "opencv-python-headless"]
    assert requirements("e.whl", replace(PC, cv2="4.6.0")) == ["e.whl[device]"]


def test_numpy_is_kept_at_1_where_jetpacks_parts_were_built_for_it() -> None:
    changed = [line for line in constraints(LOCK, ORIN).splitlines() if line.startswith(("numpy", "ml-dtypes"))]
    assert changed == ["numpy==1.26.4", "ml-dtypes==0.5.4"]
    assert "numpy==1.26.4" not in constraints(LOCK, PC)


def test_nothing_of_an_index_is_asked_without_a_network() -> None:
    assert source_arguments(["/w"], online=False) == ["--no-index", "--find-links", "/w"]
    assert source_arguments([], online=True) == []
    words = install_arguments(["e.whl"], "/c.txt", ["--no-index"])
    assert words[0] == "install" and words[-3:] == ["--constraint", "/c.txt", "e.whl"]


def test_a_newer_pycuda_is_not_built_again() -> None:
    words = install_arguments(["e.whl"], "/c.txt", [])
    assert words[words.index("--only-binary") + 1] == "pycuda"


def test_packages_go_into_the_environment_whatever_roots_pip_is_set_to() -> None:
    assert "--no-user" in install_arguments(["e.whl"], "/c.txt", [])


def test_a_package_that_hides_jetpacks_is_noticed() -> None:
    inside = ["numpy", "opencv_python_headless", "Tensorrt", "jetson-stats", "edgeagent"]
    assert shadowing(inside, ORIN) == ["opencv-python-headless", "tensorrt"]
    assert shadowing(["numpy", "opencv-python-headless"], PC) == []


def test_the_exported_versions_are_those_of_the_lock() -> None:
    """How to mend it stands in the file's first line."""
    uv = Path(sys.executable).with_name("uv")
    if not uv.exists():
        pytest.skip("uv is not installed")
    first, _, exported = LOCK.partition("\n")
    command = [str(uv), *first.partition(": uv ")[2].split(), "--quiet", "--offline"]
    made = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert made.stdout == exported


@pytest.mark.parametrize(("python", "only"), [("3.10", "tomli"), ("3.12", "")])
def test_markers_are_those_of_the_device_and_not_of_this_machine(python: str, only: str) -> None:
    pinned = list(pinned_for(LOCK, python, "aarch64", headless=False))
    names = [line.partition("==")[0] for line in pinned]
    assert len(set(names)) == len(names), "two versions of one package"
    assert ("tomli" in names) is (only == "tomli")
    assert "opencv-python-headless" not in names
    assert {"onnxruntime", "numpy", "pydantic-core", "cffi"} <= set(names)


def test_a_bundle_has_what_pycuda_needs_and_not_pycuda_of_the_lock() -> None:
    """The device builds it once for its JetPack; a pinned version would ask for another one after an upgrade."""
    names = {line.partition("==")[0] for line in pinned_for(LOCK, "3.10", "aarch64", headless=False)}
    assert {"pytools", "platformdirs", "mako", "markupsafe", "siphash24"} <= names
    assert not names & {"pycuda", "cuda-bindings", "jetson-stats", "systemd-python"}


def test_a_bundle_has_the_bindings_of_each_jetpacks_cuda() -> None:
    assert bindings_for("3.10") == ["cuda-bindings>=12.6,<13"]
    assert bindings_for("3.12") == ["cuda-bindings>=13,<14"]
    assert bindings_for("3.11") == []


def test_whatever_a_setting_may_ask_for_is_on_a_device() -> None:
    names = {line.partition("==")[0] for line in pinned_for(LOCK, "3.12", "aarch64", headless=False)}
    assert {"lap", "prometheus-client", "obstore"} <= names


def test_wheels_are_asked_for_by_the_devices_processor_and_glibc() -> None:
    words = download_arguments(Path("/w"), "3.10", "aarch64")
    assert {"manylinux_2_28_aarch64", "manylinux_2_35_aarch64", "manylinux2014_aarch64"} <= set(words)
    assert not any("2_39" in word or "x86" in word for word in words)
