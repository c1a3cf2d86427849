"""The head of the page and what it rests on, for a person and for a program."""

from __future__ import annotations

import dataclasses
import json

from edgeagent.board.identity import Evidence, Identity, decide_identity
from edgeagent.board.reading import Reading
from edgeagent.board.report import board_json, render_board_text
from edgeagent.board.report_identity import head, rests_on

SEEN = Evidence(
    compatible=b"nvidia,p3768-0000+p3767-0000\0nvidia,p3767-0000\0nvidia,tegra234\0",
    tegra_release=b"# R36 (release), REVISION: 4.7, GCID: 1\n",
    boot_control=b"TNSPEC 3767-300-0000-H.2-1-0-recomputer-orin-j401-\nTEGRA_CHIPID 0x23\n",
    os_release=b'PRETTY_NAME="Ubuntu 22.04.5 LTS"\n',
    packages={"nvidia-l4t-core": "36.4.7-20250918154033", "libnvinfer10": "10.3.0.30-1+cuda12.5"},
    virtual_marker=True,
)


def test_the_head_names_dla_system_and_that_the_board_is_virtual() -> None:
    lines = list(head(decide_identity(SEEN), 7_260.0))
    assert lines == [
        "NVIDIA Jetson Orin NX 16GB",
        "  module    p3767-0000 on p3768-0000 (recomputer-orin-j401)",
        "  chip      t234, compute capability 8.7",
        "  DLA       yes: Jetson Orin NX 16GB has 2 DLA cores, TensorRT 10.3.0.30 drives them: FP16, or INT8 by "
        "calibration (no Q/DQ)",
        "  software  L4T 36.4.7 (JetPack 6.2.1), Ubuntu 22.04.5 LTS, TensorRT 10.3.0.30, no CUDA, no ONNX Runtime",
        "  runs      on the host, on a virtual board made for tests, for 2 h 1 min",
    ]


def test_every_decided_fact_names_who_agrees_on_it() -> None:
    assert list(rests_on(decide_identity(SEEN))) == [
        "Rests on",
        "  module        device tree (compatible), /etc/nv_boot_control.conf (TNSPEC)",
        "  carrier       device tree (compatible), /etc/nv_boot_control.conf (TNSPEC)",
        "  SoC           device tree (compatible), /etc/nv_boot_control.conf (TEGRA_CHIPID)",
        "  compute cap.  the SoC's record",
        "  DLA           the module's record, JetPack 6.2.1, TensorRT 10.3.0.30",
        "  L4T           /etc/nv_tegra_release, package nvidia-l4t-core",
        "  JetPack       L4T 36.4.7",
        "  TensorRT      package libnvinfer",
        "  virtual       /.virtual-board.json: a virtual board, made for tests",
    ]


def test_a_virtual_machine_is_another_word() -> None:
    lines = list(head(decide_identity(Evidence(dmi=b"QEMU Standard PC", machine="x86_64")), None))
    assert lines == [
        "Not a Jetson",
        "  chip      x86_64",
        "  software  no TensorRT, no CUDA, no ONNX Runtime",
        "  runs      on the host, in a virtual machine",
    ]


def test_the_model_text_is_shown_and_not_believed() -> None:
    copied = dataclasses.replace(SEEN, model=b"NVIDIA Jetson Orin NX Developer Kit\0")
    assert "  model     NVIDIA Jetson Orin NX Developer Kit (only shown: the ids above decide)" in head(
        decide_identity(copied), None
    )
    bare = Evidence(compatible=b"nvidia,tegra234\0", meminfo=b"MemTotal: 16011264 kB\n", model=copied.model)
    lines = list(head(decide_identity(bare), None))
    assert lines[0] == "NVIDIA Jetson Orin NX 16GB"
    assert "the module is guessed" in lines[2] + lines[1]


def test_what_is_of_this_machine_and_not_of_the_board_says_so() -> None:
    copied = dataclasses.replace(
        SEEN, machine="x86_64", libraries={"onnxruntime": "1.23.0", "tensorrt": "11.4.1"}, same_machine=False
    )
    identity = decide_identity(copied)
    text = "\n".join(head(identity, None))
    assert "this machine: x86_64" in text
    assert "ONNX Runtime 1.23.0 (this machine's Python)" in text
    assert "TensorRT 10.3.0.30, no CUDA" in text
    assert (identity.dla.answer, identity.contradictions) == ("yes", ())
    told = json.loads(json.dumps(board_json(identity, Reading())))["identity"]
    assert told["same_machine"] is False
    assert told["rests_on"]["onnxruntime"] == ["Python package of this machine, not of the board"]
    assert told["rests_on"]["machine"] == ["uname of this machine, not of the board"]


def test_on_the_board_itself_the_python_package_comes_first() -> None:
    there = dataclasses.replace(SEEN, machine="aarch64", libraries={"onnxruntime": "1.23.0", "tensorrt": "11.4.1"})
    identity = decide_identity(there)
    assert (identity.tensorrt, identity.rests_on["tensorrt"]) == ("11.4.1", ("Python package",))
    assert "this machine" not in "\n".join(head(identity, None))


def test_an_identity_that_rests_on_nothing_has_no_such_section() -> None:
    assert list(rests_on(Identity(kind="not-a-jetson"))) == []
    assert "Rests on" not in render_board_text(Identity(kind="not-a-jetson"), Reading())


def test_a_program_gets_the_same() -> None:
    found = json.loads(json.dumps(board_json(decide_identity(SEEN), Reading())))["identity"]
    assert found["rests_on"]["l4t"] == ["/etc/nv_tegra_release", "package nvidia-l4t-core"]
    assert found["dla"] == {
        "answer": "yes",
        "cores": 2,
        "reason": "Jetson Orin NX 16GB has 2 DLA cores, TensorRT 10.3.0.30 drives them: FP16, or INT8 by calibration "
        "(no Q/DQ)",
        "declared": 2,
        "probed": None,
        "unprobed": "",
    }
    assert (found["virtual"], found["system"]) == ("virtual-board", "Ubuntu 22.04.5 LTS")
