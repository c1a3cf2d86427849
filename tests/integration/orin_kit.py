"""A whole agent on a virtual AGX Orin: a GPU and two DLA cores that ONNX Runtime stands in for. No tests in here.

Everything that is edgeagent's runs as on the device: TensorRT's backend builds, its session runs, each accelerator has
its own process. Only `tensorrt`, `pycuda` and `cuda` are others (tests/children/orin_packages), and compute nothing on
a DLA.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from agent_kit import Family, agent, write_config
from remote_kit import ENGINES, QUICK, Device, operator, pictures
from test_link_kit import free_port, mosquitto

from edgeagent.fleet.results import Result
from edgeagent.fleet.states import Health
from edgeagent.simulate.board import VirtualBoard, make_board

PACKAGES = Path(__file__).parents[1] / "children" / "orin_packages"
SMALL: Mapping[str, Any] = {"source": {"type": "synthetic", "width": 320, "height": 240, "fps": 10.0}}
GPU, DLA = "gpu", "dla"
PLACES: Mapping[str, str] = {"parts": GPU, "boxes": GPU, "plates": DLA, "people": DLA}
CAMERAS: Mapping[str, str] = {"parts": "belt", "boxes": "door", "plates": "belt", "people": "door"}


def be_an_orin(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every Python that is started from now on finds the packages of an AGX Orin."""
    others = os.environ.get("PYTHONPATH", "")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(PACKAGES), others))))


def orin_board(folder: Path) -> VirtualBoard:
    """One that has been on for an hour."""
    board = make_board("agx-orin-r36", folder, seed=1)
    (board.root / "proc/uptime").write_text("4000.00 4000.00\n")
    return board


def placed(**places: str) -> dict[str, Mapping[str, Any]]:
    """The tables of these pipelines, with these placements."""
    return {
        f"pipelines__{name}": {"camera": CAMERAS[name], "model": "conveyor", "placement": place}
        for name, place in places.items()
    }


@contextmanager
def orin(
    folder: Path, state_dir: Path, board: VirtualBoard | None = None, **changes: Mapping[str, Any]
) -> Iterator[Device]:
    """A broker, an agent on an AGX Orin, and an operator who was there first."""
    port, family = free_port(), Family()
    folder.mkdir(exist_ok=True)
    root = (board or orin_board(folder / "board")).root
    standard: dict[str, Mapping[str, Any]] = {
        "cameras__belt": SMALL,
        "cameras__door": SMALL,
        "remote": QUICK,
        "thermal": {"govern": False},
        "engines": {**ENGINES, **pictures(state_dir)},
        **placed(**PLACES),
    }
    config = write_config(folder / "config.toml", port, state_dir, root, **{**standard, **changes})
    with mosquitto(folder, port), operator(port) as (watcher, link), agent(config, family):
        yield Device(watcher, family, link, config, port, state_dir)


def accelerators(health: Health) -> dict[str, str]:
    """The infer children of a health message: how each is."""
    return {one.name: one.health for one in health.components if one.name.startswith("infer/")}


def all_serve(it: Device) -> dict[str, Result]:
    """The first result of each pipeline."""
    return {name: it.watcher.ever(Result, lambda result, name=name: result.pipeline == name) for name in PLACES}
