"""What stands against installing: each problem has a sentence, and a mend that a person can carry out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from install_facts import ORIN, PC, THOR

from edgeagent.install.checks import check, numpy_1_only, wanted_packages
from edgeagent.install.facts import parse_l4t, read_facts, read_l4t
from edgeagent.install.places import Places
from edgeagent.install.system import System
from edgeagent.simulate.board import make_board


@pytest.mark.parametrize("facts", [ORIN, THOR], ids=["JetPack 6", "JetPack 7"])
def test_a_device_with_everything_has_nothing_against_it(facts: Any) -> None:
    assert check(facts, any_host=False) == []


@pytest.mark.parametrize(
    ("changes", "said", "mend"),
    [
        ({"root": False}, "needs root", "sudo ./install.sh"),
        ({"python": (3, 8)}, "Python 3.8 is too old", "JetPack 6 or 7"),
        ({"python": (3, 11)}, "python3 is 3.11", "Python 3.10 again"),
        ({"systemd": 0}, "systemd does not run", "--demo"),
        ({"systemd": 245}, "systemd 245 is older", "JetPack 6"),
        ({"free_mb": 800}, "800 MB are free", "apt clean"),
        ({"links": ("/var/lib/edgeagent",)}, "/var/lib/edgeagent is a link", "mount --bind DIR /var/lib/edgeagent"),
        ({"l4t": "32.7.6"}, "this is JetPack 4 (L4T 32.7.6)", "flash"),
        ({"l4t": "35.6.4"}, "this is JetPack 5 (L4T 35.6.4)", "flash"),
        ({"l4t": "40.1.0"}, "does not know yet", "JetPack 6 and 7"),
        ({"l4t": ""}, "L4T release is not to be found", "nvidia-l4t-core"),
        ({"tensorrt": ""}, "no TensorRT", "python3-libnvinfer"),
        ({"cv2": "", "cv2_gstreamer": False}, "no OpenCV", "libopencv-python"),
        ({"cv2_gstreamer": False}, "without GStreamer", "pip3 uninstall opencv-python"),
        ({"nvcc": ""}, "nvcc is missing", "cuda-nvcc"),
        ({"venv": False}, "virtual environment", "python3.10-venv"),
    ],
)
def test_each_problem_is_told_with_its_mend(changes: dict[str, Any], said: str, mend: str) -> None:
    fatal = [finding for finding in check(replace(ORIN, **changes), any_host=False) if finding.fatal]
    assert any(said in finding.text and mend in finding.mend for finding in fatal), fatal


def test_room_is_needed_only_for_a_release_that_is_not_there_yet() -> None:
    assert check(replace(ORIN, free_mb=100), any_host=False, makes_release=False) == []


def test_what_is_only_a_pity_does_not_stop_anything() -> None:
    found = check(replace(ORIN, journal=False, year=1970), any_host=False)
    assert [finding.fatal for finding in found] == [False, False]
    assert wanted_packages(found) == ["python3-systemd"]


def test_a_host_that_is_no_jetson_is_refused_unless_it_may_be_any() -> None:
    refused = check(PC, any_host=False)
    assert refused[0].fatal and "--any-host" in refused[0].mend
    assert check(PC, any_host=True) == []


def test_a_virtual_jetson_on_any_host_does_without_jetpacks_parts() -> None:
    found = check(replace(PC, jetson=True, l4t="36.4.7"), any_host=True)
    assert found and not any(finding.fatal for finding in found)


def test_any_host_does_not_make_an_old_jetpack_acceptable() -> None:
    assert check(replace(ORIN, l4t="35.4.1"), any_host=True)[0].fatal


def test_several_problems_are_told_at_once_the_fatal_ones_first() -> None:
    found = check(replace(ORIN, root=False, tensorrt="", journal=False), any_host=False)
    assert [finding.fatal for finding in found] == [True, True, False]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# R36 (release), REVISION: 4.7, GCID: 1, BOARD: generic\n", "36.4.7"),
        ("# R32 (release), REVISION: 7.6, GCID: 1\n", "32.7.6"),
        ("", ""),
        ("something else", ""),
    ],
)
def test_the_release_file(text: str, expected: str) -> None:
    assert parse_l4t(text) == expected


@pytest.mark.parametrize(
    ("numpy", "cv2", "expected"), [("1.21.5", "4.8.0", True), ("2.2.6", "4.8.0", False), ("", "", False)]
)
def test_where_numpy_must_stay_at_1(numpy: str, cv2: str, expected: bool) -> None:
    assert numpy_1_only(replace(PC, numpy=numpy, cv2=cv2)) is expected


@pytest.mark.parametrize(("name", "l4t"), [("orin-nano", "36."), ("xavier-nx-r35", "35."), ("thor-r38", "38.")])
def test_virtual_boards_are_recognised(tmp_path: Path, name: str, l4t: str) -> None:
    root = make_board(name, tmp_path / "board", seed=3).root
    system = System(dry_run=True, say=print)
    assert read_l4t(system, root).startswith(l4t)
    facts = read_facts(system, Places(tmp_path), root)
    assert facts.jetson
    old = any("JetPack 5" in finding.text for finding in check(facts, any_host=True))
    assert old is (l4t == "35.")
