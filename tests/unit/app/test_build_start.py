"""What a build needs of the board, told from the model and the form that is tried."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeagent.app.build_start import BuildMaker
from edgeagent.app.engine_forms import Site
from edgeagent.config.engine_tables import EngineSettings, RegistrySettings
from edgeagent.engine.build.gate import memory_need_mb
from edgeagent.engine.bundle import load_bundle


def test_a_build_needs_memory_for_the_frames_of_its_form(tmp_path: Path) -> None:
    maker = BuildMaker(EngineSettings(), RegistrySettings(), tmp_path, Site("onnxruntime", {}, tensorrt=()))
    one, eight = (maker.need(load_bundle("sample:conveyor"), batch) for batch in (1, 8))
    assert one.frame_mb == pytest.approx(320 * 320 * 3 * 4 / 1e6) and (one.batch, eight.batch) == (1, 8)
    assert memory_need_mb(eight) - memory_need_mb(one) == pytest.approx(7 * 4 * one.frame_mb, abs=1)
