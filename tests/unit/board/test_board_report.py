"""What a person and a program get to see of a board."""

from __future__ import annotations

import dataclasses
import json

from edgeagent.board.dla import DlaAnswer
from edgeagent.board.identity import Evidence, Identity, decide_identity
from edgeagent.board.reading import Cooling, Core, Fan, Gpu, Memory, OverCurrent, Rail, Reading, Zone
from edgeagent.board.report import board_json, render_board_text

NANO = Identity(
    kind="jetson",
    module="Jetson Orin Nano 8GB",
    module_id="p3767-0005",
    carrier="p3768-0000 (recomputer)",
    soc="t234",
    compute_capability="8.7",
    dla_cores=0,
    dla=DlaAnswer("no", 0, "Jetson Orin Nano 8GB has no DLA"),
    cpus=6,
    memory_mb=7607,
    serial="1420000000001",
    l4t="36.4.7",
    jetpack="6.2.1",
    tensorrt="10.3.0",
    machine="aarch64",
)
READING = Reading(
    zones=(Zone("tj-thermal", 71.25, "", None, 104.5), Zone("cpu-thermal", 70.0, "", 99.0, 104.5)),
    cooling=(Cooling("cpu-throttle-alert", 0, 2),),
    rails=(Rail("VDD_IN", 9120.0, 4800, 1900), Rail("VDD_SOC", None, absent="permission")),
    over_current=(OverCurrent("oc3", 4),),
    cores=(Core(0, None, 1_344_000),),
    gpu=Gpu(99.0, 918_000),
    memory=Memory(7_789_952, 4_000_000),
    fans=(Fan(50.0, 2800),),
    uptime_s=93_784.0,
)


def test_the_whole_page() -> None:
    assert render_board_text(NANO, READING) == (
        "NVIDIA Jetson Orin Nano 8GB\n"
        "  module    p3767-0005 on p3768-0000 (recomputer)\n"
        "  serial    1420000000001\n"
        "  chip      t234, compute capability 8.7, 6 cores, 7607 MB, aarch64\n"
        "  DLA       no: Jetson Orin Nano 8GB has no DLA\n"
        "  software  L4T 36.4.7 (JetPack 6.2.1), TensorRT 10.3.0, no CUDA, no ONNX Runtime\n"
        "  runs      on the host for 1 d 2 h\n"
        "\n"
        "Not throttling; 29 C to go until it does.\n"
        "\n"
        "Temperatures            now   throttles at   shuts down at\n"
        "  cpu                70.0 C         99.0 C         104.5 C\n"
        "  tj                 71.2 C              -         104.5 C\n"
        "\n"
        "Power                9.12 W in all (VDD_IN)\n"
        "  VDD_IN             9.12 W\n"
        "  VDD_SOC               -  closed to this user\n"
        "  oc3       4 over-current events since boot (power peaks over the limit, common in uncapped modes)\n"
        "\n"
        "Work\n"
        "  cpu       (load: it needs two readings) at 1344 MHz\n"
        "  gpu        99.0 % busy at 918 MHz\n"
        "  memory    3906 MB of 7607 MB available\n"
        "  fan       asked for 50 %, turns at 2800 rpm\n"
    )


def test_throttling_comes_first() -> None:
    cooling = (Cooling("cpu-throttle-alert", 1, 2), Cooling("hot-surface-alert", 1, 3))
    text = render_board_text(NANO, dataclasses.replace(READING, cooling=cooling))
    assert "THROTTLING NOW: cpu. Clocks are lowered until it cools down." in text
    assert "This warning slows nothing down." in text


def test_a_dark_zone_says_why() -> None:
    text = render_board_text(NANO, Reading(zones=(Zone("cv0-thermal", None, "offline", 99.0, 104.5),)))
    assert "  cv0                   -    no answer: that part is powered down" in text
    assert "No temperature can be read here." in text


def test_contradictions_close_the_page() -> None:
    identity = dataclasses.replace(NANO, contradictions=("one says this, one says that",))
    text = render_board_text(identity, READING)
    assert text.endswith("Does not fit together\n  one says this, one says that\n")


def test_a_pc() -> None:
    identity = decide_identity(Evidence(machine="x86_64", container="docker"))
    text = render_board_text(identity, Reading(zones=(Zone("acpitz", 40.0),)))
    assert text.startswith("Not a Jetson\n  chip      x86_64\n")
    assert "in a container (docker)" in text
    assert "Whether it throttles cannot be told" in text


def test_an_unknown_jetson_shows_its_model_text() -> None:
    identity = decide_identity(Evidence(compatible=b"nvidia,tegra999\0", model=b"NVIDIA Jetson Next\0"))
    text = render_board_text(identity, Reading())
    assert text.startswith("A Jetson that this edgeagent does not know: NVIDIA Jetson Next\n")
    assert "  DLA       unknown: this edgeagent does not know the module" in text


def test_json_survives_a_round_trip() -> None:
    found = board_json(NANO, READING)
    assert json.loads(json.dumps(found, allow_nan=False)) == json.loads(json.dumps(found))
    assert found["schema"] == "edgeagent/board/1"
    assert found["throttle_alerts"] == []


def test_json_keeps_reasons_and_evidence() -> None:
    identity = decide_identity(Evidence(compatible=b"nvidia,p3767-0005\0nvidia,tegra234\0"))
    found = json.loads(json.dumps(board_json(identity, READING)))
    assert found["identity"]["evidence"][0] == {
        "fact": "compatible",
        "value": "nvidia,p3767-0005 nvidia,tegra234",
        "source": "device tree",
    }
    assert found["rails"][1]["absent"] == "permission"
    assert found["zones"][1]["headroom_c"] == 29.0
    assert found["fingerprint"]["module"] == "p3767-0005"
