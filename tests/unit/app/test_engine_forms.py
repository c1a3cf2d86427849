"""What is asked of a build: forms, builder options, plug-ins, the calibration set's name, the registry."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "engine"))
from edgeagent.app.engine_forms import (
    Site,
    builder_for,
    calibration_name,
    candidates_for,
    plugin_digests,
    registry_wish,
)
from edgeagent.app.registry_call import registry_toml
from edgeagent.board.dla import DlaAnswer
from edgeagent.camera.spec import parse_source
from edgeagent.config.engine_tables import EngineSettings, RegistrySettings
from edgeagent.config.files import load_config
from edgeagent.engine.bundle import load_bundle
from edgeagent.errors import EngineError

CPU = Site("onnxruntime", {"board": "test"}, tensorrt=())
ORIN = Site("tensorrt", {"board": "test"}, DlaAnswer("yes", 2, "it has two"), (10, 3, 0))
THOR = Site("tensorrt", {"board": "test"}, DlaAnswer("no", 0, "Thor has no DLA"), (10, 13, 3))
SAMPLE = load_bundle("sample:conveyor")


def lines(settings: EngineSettings, site: Site) -> list[str]:
    return [one.variant.line() for one in candidates_for(settings, site, SAMPLE)]


def test_forms_follow_from_the_device() -> None:
    wish = EngineSettings()
    assert lines(wish, CPU) == ["INT8 on the CPU, Q/DQ"]
    assert [one.variant.placement for one in candidates_for(wish, ORIN, SAMPLE)] == ["dla", "gpu"]
    assert [one.variant.quantisation for one in candidates_for(wish, ORIN, SAMPLE)] == ["calibrator", "qdq"]
    assert [one.variant.quantisation for one in candidates_for(wish, THOR, SAMPLE)] == ["qdq"]


def test_a_model_that_cannot_be_read_may_be_there_later(tmp_path: Path) -> None:
    bundle = SAMPLE.model_copy(update={"onnx_path": tmp_path / "gone.onnx"})
    with pytest.raises(EngineError, match=r"gone\.onnx cannot be read") as caught:
        candidates_for(EngineSettings(), CPU, bundle)
    assert caught.value.retry


def test_builder_options_count_for_tensorrt_only() -> None:
    settings = EngineSettings(optimization_level=2, workspace_mb=512)
    assert builder_for(settings, CPU, candidates_for(settings, CPU, SAMPLE)[0], {}).facts == {}
    on_dla, on_gpu = candidates_for(settings, ORIN, SAMPLE)
    gpu = builder_for(settings, ORIN, on_gpu, {})
    assert gpu.facts == {"optimization_level": 2, "workspace_mb": 512}
    assert (gpu.optimization_level, gpu.workspace_mb, gpu.own_scales_apart) == (2, 512, False)
    dla = builder_for(settings, ORIN, on_dla, {})
    assert dla.facts == {
        **gpu.facts, "dla_max_gpu_layers": 0.5, "dla_max_gpu_macs": 0.2, "calibration_ranges": "extremes",
    }  # fmt: skip
    assert dla.own_scales_apart, "before 10.8 a DLA refuses Q/DQ nodes"


def test_free_memory_does_not_change_the_key() -> None:
    settings = EngineSettings()
    facts = builder_for(settings, ORIN, candidates_for(settings, ORIN, SAMPLE)[1], {}).facts
    assert facts == {"optimization_level": "default", "workspace_mb": "free memory"}


def test_plugins_count_by_their_bytes(tmp_path: Path) -> None:
    library = tmp_path / "libmine.so"
    library.write_bytes(b"code")
    settings = EngineSettings(plugins=(str(library),))
    digests = plugin_digests(settings)
    assert digests == {str(library): hashlib.sha256(b"code").hexdigest()}
    wish = builder_for(settings, ORIN, candidates_for(settings, ORIN, SAMPLE)[1], digests)
    assert wish.plugin_digests == {"libmine.so": digests[str(library)]}
    library.unlink()
    with pytest.raises(EngineError, match=r"the plugin library .*libmine\.so: no such file"):
        plugin_digests(settings)


# the calibration set's name


def name_of(folder: Path, width: int = 320, height: int = 320) -> str:
    return calibration_name(str(folder), [("camera", None)], width, height)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    (folder / "below").mkdir(parents=True)
    for name in ("a.png", "b.png", "below/c.png"):
        (folder / name).write_bytes(name.encode())
    return folder


def test_a_set_is_named_by_what_is_in_the_directory(pictures: Path, tmp_path: Path) -> None:
    before = name_of(pictures)
    assert name_of(pictures) == before
    assert name_of(pictures.rename(tmp_path / "moved")) == before
    assert name_of(tmp_path / "moved", 640) != before


def test_a_file_more_less_or_changed_is_another_set(pictures: Path) -> None:
    names = {name_of(pictures)}
    (pictures / "below" / "d.png").write_bytes(b"new")
    names.add(name_of(pictures))
    (pictures / "a.png").unlink()
    names.add(name_of(pictures))
    (pictures / "b.png").write_bytes(b"longer than before")
    names.add(name_of(pictures))
    os.utime(pictures / "b.png", ns=(1, 1))
    names.add(name_of(pictures))
    assert len(names) == 5


def test_what_lies_behind_a_link_counts_too(pictures: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (pictures / "linked").symlink_to(elsewhere)
    before = name_of(pictures)
    (elsewhere / "e.png").write_bytes(b"e")
    assert name_of(pictures) != before
    (pictures / "round").symlink_to(pictures)
    assert name_of(pictures).startswith("images-"), "a link that goes round has an end"


def test_a_directory_that_the_build_will_refuse_has_a_name_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert name_of(tmp_path / "empty") == name_of(tmp_path / "nowhere")


def test_a_cameras_set_follows_its_source() -> None:
    one, other = parse_source("synthetic"), parse_source("/dev/video0")
    names = {calibration_name(None, [("belt", source)], 320, 320) for source in (one, other, None)}
    assert len(names) == 3 and not any(name.startswith("images-") for name in names)


def test_cameras_that_share_an_engine_share_a_set_whoever_asks_first() -> None:
    belt, gate = ("belt", parse_source("synthetic")), ("gate", parse_source("/dev/video0"))
    both = calibration_name(None, [belt, gate], 320, 320)
    assert both == calibration_name(None, [gate, belt], 320, 320) and both.startswith("2-cameras-")
    others = {calibration_name(None, cameras, 320, 320) for cameras in ([belt], [gate], [belt, ("gate", None)])}
    assert both not in others and len(others) == 3


# the registry

KEY = "ed25519:11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="


def test_without_a_trusted_key_nothing_is_looked_for() -> None:
    assert registry_wish(RegistrySettings(urls=("file:///srv",))).urls == ()
    wish = registry_wish(RegistrySettings(urls=("file:///srv",), trusted_keys=(KEY,), stall_s=3, max_download_mb=7))
    assert (wish.urls, wish.trusted_keys, wish.stall_s, wish.max_download_mb) == (("file:///srv",), (KEY,), 3, 7)


def test_the_registrys_settings_survive_the_way_into_a_process_of_its_own(tmp_path: Path) -> None:
    settings = RegistrySettings(
        urls=("https://a.example/x", "file:///srv/b"), trusted_keys=(KEY,), publish=True,
        signing_key_file="/etc/edgeagent/registry-key", valid_days=9, stall_s=1.5, timeout_s=60, max_download_mb=3,
    )  # fmt: skip
    for one in (settings, RegistrySettings()):
        (tmp_path / "config.toml").write_text(registry_toml(one))
        assert load_config(tmp_path / "config.toml", {}, "host").config.registry == one
