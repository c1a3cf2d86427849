"""The backend against stand-ins of five TensorRT releases: every form that a release has, and a clear word for others.

The stand-ins have each release's API to the letter (trt_stand_in.py), so a call that a release lacks fails here.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from trt_kit import (
    CALIBRATED,
    DLA,
    FP16,
    FP32,
    QDQ,
    SIZE,
    Listener,
    Networks,
    as_bytes,
    build,
    job_for,
    noise_frames,
    write_networks,
)
from trt_stand_in import RELEASES
from trt_world import World

from edgeagent.engine.build.backend import BuilderOptions
from edgeagent.engine.scales import CalibrationCache, parse_cache, write_cache
from edgeagent.engine.variant import Variant
from edgeagent.errors import EngineError

WITH_FLAGS = [release for release in RELEASES if not release.startswith("11")]
WITH_DLA = ["8.6.0", "10.3.0"]


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Networks:
    return write_networks(tmp_path_factory.mktemp("networks"))


@pytest.fixture(params=RELEASES)
def world(request: pytest.FixtureRequest) -> World:
    return World(request.param)


def test_floating_point(world: World, networks: Networks, tmp_path: Path) -> None:
    for variant in (FP32, FP16):
        outcome = build(world, job_for(networks, variant, tmp_path))
        assert (tmp_path / "plan").stat().st_size > 0
        assert {layer.device for layer in outcome.layers} == {"gpu"}
        assert outcome.timing_cache == b"timings of " + world.release.encode()
        assert (outcome.sm_count, outcome.calibration_cache) == (8, None)
    fp32, fp16 = world.builds
    assert "TF32" not in fp32.flags and "TF32" in fp16.flags
    assert ("FP16" in fp16.flags) == (world.release in WITH_FLAGS)
    assert "FP16" not in fp32.flags
    assert not (fp32.calibrator or fp16.calibrator)
    assert not world.cuda.allocated


def test_fp16_where_no_flag_makes_it_is_in_the_network(networks: Networks, tmp_path: Path) -> None:
    world = World("11.4.0.106")
    outcome = build(world, job_for(networks, FP16, tmp_path))
    assert any("brought into FP16" in note for note in outcome.notes)
    kinds = _types_of_convolutions(tmp_path / "plan")
    assert onnx.TensorProto.FLOAT16 in kinds


def _types_of_convolutions(plan: Path) -> set[int]:
    _, _, rest = plan.read_bytes().partition(b"\n")
    model = onnx.load_from_string(rest[4 + int.from_bytes(rest[:4], "little") :])
    kinds = {v.name: v.type.tensor_type.elem_type for v in model.graph.value_info}
    return {kinds[node.output[0]] for node in model.graph.node if node.op_type == "Conv"}


@pytest.mark.parametrize("release", WITH_FLAGS)
def test_calibrated_int8_measures_first_and_then_builds_from_the_scales(
    release: str, networks: Networks, tmp_path: Path
) -> None:
    world, heard = World(release), Listener()
    job = job_for(networks, CALIBRATED, tmp_path)
    outcome = build(world, job, heard)
    measuring, building = world.builds
    assert measuring.pictures == [as_bytes(picture) for picture in job.pictures]
    assert (measuring.level, building.level) == (0, 3)
    assert {"INT8", "FP16"} <= measuring.flags & building.flags
    assert building.pictures == [] and building.cache is not None
    assert outcome.calibration_cache is not None
    measured, given = parse_cache(outcome.calibration_cache), parse_cache(building.cache)
    assert given.scales.items() < measured.scales.items()
    assert not any(name.startswith("edgeagent/") for name in given.scales if name != "edgeagent/image")
    assert not world.cuda.allocated


@pytest.mark.parametrize("release", WITH_FLAGS)
def test_scales_that_were_measured_before_are_used(release: str, networks: Networks, tmp_path: Path) -> None:
    first = build(World(release), job_for(networks, CALIBRATED, tmp_path))
    world = World(release)
    again = build(
        world, job_for(networks, CALIBRATED, tmp_path, pictures=(), calibration_cache=first.calibration_cache)
    )
    assert len(world.builds) == 1 and world.builds[0].cache
    assert again.calibration_cache == first.calibration_cache


def _without(cache: bytes, name: str) -> bytes:
    parsed = parse_cache(cache)
    kept = {tensor: 2 * scale for tensor, scale in parsed.scales.items() if tensor != name}
    return write_cache(CalibrationCache(parsed.version, parsed.algorithm, kept))


@pytest.mark.parametrize("release", WITH_FLAGS)
def test_tensorrt_measures_only_what_the_scales_do_not_name(release: str, networks: Networks, tmp_path: Path) -> None:
    theirs = build(World(release), job_for(networks, CALIBRATED, tmp_path)).calibration_cache
    assert theirs is not None
    ours = _without(theirs, "edgeagent/image")
    world = World(release)
    outcome = build(world, job_for(networks, CALIBRATED, tmp_path, calibration_cache=ours))
    measuring, building = world.builds
    assert measuring.pictures and building.pictures == [] and outcome.calibration_cache is not None
    kept, before = parse_cache(outcome.calibration_cache).scales, parse_cache(ours).scales
    assert before.items() < kept.items() and set(kept) - set(before) == {"edgeagent/image"}
    assert kept["edgeagent/image"] == parse_cache(theirs).scales["edgeagent/image"]
    again = World(release)
    build(again, job_for(networks, CALIBRATED, tmp_path, calibration_cache=outcome.calibration_cache))
    assert len(again.builds) == 1


def test_a_tensor_that_never_was_anything_but_zero_is_not_measured_again(networks: Networks, tmp_path: Path) -> None:
    cache = build(World("8.6.0"), job_for(networks, CALIBRATED, tmp_path)).calibration_cache
    assert cache is not None
    parsed = parse_cache(cache)
    told = write_cache(CalibrationCache(parsed.version, parsed.algorithm, {**parsed.scales, "edgeagent/image": 0.0}))
    world = World("8.6.0")
    with pytest.raises(EngineError) as caught:
        build(world, job_for(networks, CALIBRATED, tmp_path, calibration_cache=told))
    assert caught.value.error_code == "scales_missing" and world.builds == []


def test_explicit_int8(world: World, networks: Networks, tmp_path: Path) -> None:
    build(world, job_for(networks, QDQ, tmp_path))
    (built,) = world.builds
    assert ("INT8" in built.flags) == (world.release in WITH_FLAGS)
    assert not built.calibrator


def test_the_network_is_typed_only_where_no_flag_tells_the_precision(
    world: World, networks: Networks, tmp_path: Path
) -> None:
    build(world, job_for(networks, QDQ, tmp_path))
    members = world.module().NetworkDefinitionCreationFlag
    typed = world.release not in WITH_FLAGS
    assert bool(world.network_flags & (1 << int(members.STRONGLY_TYPED)) if typed else 0) == typed
    explicit = getattr(members, "EXPLICIT_BATCH", None)
    assert explicit is None or world.network_flags == 1 << int(explicit)


@pytest.mark.parametrize("release", WITH_DLA)
def test_a_dla_from_measured_scales(release: str, networks: Networks, tmp_path: Path) -> None:
    world = World(release, dla_cores=2, dla_refuses={"Reshape", "Softmax"})
    options = BuilderOptions(dla_core=1, dla_max_gpu_layers=1.0, dla_max_gpu_macs=1.0)
    outcome = build(world, job_for(networks, DLA, tmp_path, options=options))
    measuring, building = world.builds
    assert measuring.device == "GPU" and "GPU_FALLBACK" not in measuring.flags
    assert (building.device, building.dla_core, world.runtime_core) == ("DLA", 1, 1)
    assert building.cache and not building.pictures and "GPU_FALLBACK" in building.flags
    assert building.on_gpu and all(name.startswith("edgeagent/") for name in building.on_gpu)
    devices = {layer.device for layer in outcome.layers}
    assert devices == {"dla", "gpu"}
    on_dla = [layer for layer in outcome.layers if layer.device == "dla"]
    assert sum(layer.macs or 0 for layer in on_dla) > 0
    assert any("cannot run on a DLA" in note for note in outcome.notes)
    assert any("moved" in note and "to the GPU" in note for note in outcome.notes)


REFUSALS = [
    *[(release, CALIBRATED, "precision_unsupported", "no calibrator") for release in ("11.4.0.106",)],
    *[(release, DLA, "dla_refused", "supports no DLA") for release in ("10.13.3.9", "10.16.1.11", "11.4.0.106")],
    *[(release, Variant("int8", "qdq", "dla"), "precision_unsupported", "refuses Q/DQ") for release in WITH_DLA],
    *[(release, Variant("fp32", "none", "dla"), "precision_unsupported", "INT8 and FP16 only") for release in WITH_DLA],
    *[(release, DLA, "dla_refused", "TensorRT finds no DLA here") for release in WITH_DLA],
    *[(release, Variant("fp32", "none", "cpu"), "build_refused", "not compute on the CPU") for release in RELEASES],
]


@pytest.mark.parametrize(("release", "variant", "code", "words"), REFUSALS)
def test_what_a_release_lacks_is_refused_with_the_way_to_mend_it(
    release: str, variant: Variant, code: str, words: str, networks: Networks, tmp_path: Path
) -> None:
    world = World(release)
    with pytest.raises(EngineError, match=words) as caught:
        build(world, job_for(networks, variant, tmp_path))
    assert (caught.value.error_code, world.builds) == (code, [])
    assert caught.value.mend and "\n" not in caught.value.line()
    assert not (tmp_path / "plan").exists()


def test_no_gpu(world: World, networks: Networks, tmp_path: Path) -> None:
    world.no_gpu = True
    with pytest.raises(EngineError) as caught:
        build(world, job_for(networks, FP32, tmp_path))
    assert caught.value.error_code == "driver_error"
    assert "CUDA initialization failure" in caught.value.message


def test_an_operator_that_cannot_be_read_is_named(world: World, networks: Networks, tmp_path: Path) -> None:
    world.unsupported = {"Softmax"}
    with pytest.raises(EngineError) as caught:
        build(world, job_for(networks, FP32, tmp_path))
    softmax = next(node for node in onnx.load(str(networks.plain)).graph.node if node.op_type == "Softmax")
    assert caught.value.error_code == "unsupported_layer"
    assert (caught.value.facts["layer"], caught.value.facts["operator"]) == (softmax.name, "Softmax")
    assert softmax.name in caught.value.message and world.builds == []


@pytest.mark.parametrize("release", WITH_DLA)
def test_a_reduction_whose_axes_8_6_leaves_unread_is_refused(release: str, networks: Networks, tmp_path: Path) -> None:
    world = World(release)
    model = onnx.load(str(networks.plain))
    head = next(node for node in model.graph.node if node.op_type == "Softmax")
    axes = onnx.numpy_helper.from_array(np.array([1], np.int64), "some axes")
    model.graph.initializer.append(axes)
    node = onnx.helper.make_node("ReduceMean", [head.output[0], axes.name], ["a mean"], name="model/mean")
    model.graph.node.insert(list(model.graph.node).index(head) + 1, node)
    onnx.save(model, str(tmp_path / "network.onnx"))
    job = replace(job_for(networks, FP32, tmp_path), network=tmp_path / "network.onnx")
    if release == "8.6.0":
        with pytest.raises(EngineError) as caught:
            build(world, job)
        assert caught.value.error_code == "unsupported_layer" and world.builds == []
        assert (caught.value.facts["layer"], caught.value.facts["operator"]) == ("model/mean", "ReduceMean")
    else:
        assert build(world, job).layers


@pytest.mark.parametrize("timing", ["corrupt", "mismatch", "refused"])
def test_a_timing_cache_that_is_refused_costs_a_note_at_most(
    world: World, networks: Networks, tmp_path: Path, timing: str
) -> None:
    world.timing = timing
    outcome = build(world, job_for(networks, FP16, tmp_path, timing_cache=b"of last time"))
    assert outcome.timing_cache_use == "refused"
    assert outcome.timing_cache is not None


def test_a_timing_cache_that_is_taken(world: World, networks: Networks, tmp_path: Path) -> None:
    assert build(world, job_for(networks, FP16, tmp_path, timing_cache=b"x")).timing_cache_use == "used"
    assert build(world, job_for(networks, FP16, tmp_path)).timing_cache_use == "none"


def test_limits_follow_from_what_is_free_or_from_the_options(world: World, networks: Networks, tmp_path: Path) -> None:
    outcome = build(world, job_for(networks, FP32, tmp_path))
    options = BuilderOptions(optimization_level=1, workspace_mb=100, tactic_memory_mb=200, avg_timing_iterations=8)
    asked = build(world, job_for(networks, FP32, tmp_path, options=options))
    free, given = world.builds
    assert free.pools == {"WORKSPACE": 3200 << 20, "TACTIC_DRAM": 4096 << 20}
    assert given.pools == {"WORKSPACE": 100 << 20, "TACTIC_DRAM": 128 << 20}
    assert (outcome.workspace_mb, asked.workspace_mb) == (3200, 100)
    assert (outcome.optimization_level, asked.optimization_level, given.level) == (3, 1, 1)


def test_without_foreign_libraries_only_own_kernels_are_tried(
    world: World, networks: Networks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEAGENT_TENSORRT_TACTICS", "own")
    build(world, job_for(networks, FP32, tmp_path))
    sources = world.module().TacticSource
    foreign = [1 << int(sources[name]) for name in ("CUBLAS", "CUBLAS_LT", "CUDNN") if name in sources.__members__]
    assert world.builds[0].sources == 31 & ~sum(foreign)


def test_progress_only_grows_and_tells_every_phase(world: World, networks: Networks, tmp_path: Path) -> None:
    heard = Listener()
    world.during_build = _until(lambda: any(phase == "building" for phase, _, _ in heard.words))
    build(world, job_for(networks, QDQ, tmp_path), heard)
    phases = [phase for phase, _, _ in heard.words]
    assert phases == sorted(phases, key=["preparing", "calibrating", "building"].index)
    for phase in set(phases):
        percents = [percent for name, percent, _ in heard.words if name == phase]
        assert percents == sorted(percents) and percents[0] >= 0 and percents[-1] < 100


def _until(true: object) -> object:
    """A hook that holds the builder until something was heard."""

    def hold() -> None:
        while not true():  # type: ignore[operator]
            pass

    return hold


def test_the_layers_are_told_with_their_multiply_adds(world: World, networks: Networks, tmp_path: Path) -> None:
    outcome = build(world, job_for(networks, FP32, tmp_path))
    nodes = list(onnx.load(str(networks.plain)).graph.node)
    own = [layer for layer in outcome.layers if layer.parts]
    assert [layer.parts for layer in own] == [(node.name,) for node in nodes]
    assert all(layer.name.startswith("Reformatting") for layer in outcome.layers if not layer.parts)
    stem = next(layer for layer in own if layer.name.endswith("stem"))
    width, height = SIZE
    assert stem.macs == (width // 2) * (height // 2) * 8 * 3 * 9
    assert json.dumps([layer.name for layer in outcome.layers])


def test_a_picture_of_another_size_is_no_calibration(networks: Networks, tmp_path: Path) -> None:
    for pictures in (noise_frames(3, 32, 32), ()):
        world = World("8.6.0")
        with pytest.raises(EngineError) as caught:
            build(world, job_for(networks, CALIBRATED, tmp_path, pictures=pictures))
        assert caught.value.error_code == "no_calibration"
        assert not world.cuda.allocated
