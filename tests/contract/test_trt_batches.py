"""Engines for several frames at once, on every release: how they are built, loaded, recorded and run."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from cuda_stand_in import MemoryError
from trt_kit import CALIBRATED, DLA, FP16, FP32, QDQ, SIZE, Networks, build, job_for, noise_frames, write_networks
from trt_stand_in import RELEASES
from trt_world import COMPUTES_IN, World

from edgeagent.engine.batching import with_batch
from edgeagent.engine.build.backend import BackendJob
from edgeagent.engine.variant import Variant
from edgeagent.errors import EngineError
from edgeagent.inference.cuda import retain
from edgeagent.inference.cuda_bindings import Bindings
from edgeagent.inference.onnxruntime_session import OnnxRuntimeSession
from edgeagent.inference.tensorrt_session import DEPTH, TensorRtSession
from edgeagent.vision.detections import Candidates

BATCH = 4


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Networks:
    return write_networks(tmp_path_factory.mktemp("networks"))


@pytest.fixture(params=RELEASES)
def world(request: pytest.FixtureRequest) -> World:
    return World(request.param)


def job(networks: Networks, variant: Variant, folder: Path, batch: int = BATCH, **changes: object) -> BackendJob:
    one = job_for(networks, variant, folder, **changes)
    sized = with_batch(onnx.load(str(one.network)), batch, fixed=variant.fixed_batch)
    onnx.save(sized, str(folder / "network.onnx"))
    return replace(one, network=folder / "network.onnx", batch=batch)


def opened(world: World, plan: Path, **more: object) -> TensorRtSession:
    gpu = retain(world.cuda.driver, Bindings(world.cuda.bindings))
    return TensorRtSession(plan, trt=world.module(), gpu=gpu, **more)  # type: ignore[arg-type]


@pytest.fixture
def plan(world: World, networks: Networks, tmp_path: Path) -> Path:
    build(world, job(networks, FP32, tmp_path))
    return tmp_path / "plan"


def test_any_number_of_frames_gives_what_onnx_runtime_gives_for_each(
    world: World, plan: Path, networks: Networks
) -> None:
    frames = list(noise_frames(BATCH, *SIZE))
    with closing(OnnxRuntimeSession(networks.plain, 1)) as reference:
        wanted = [reference.run(frame[None])[0] for frame in frames]
    with closing(opened(world, plan)) as session:
        assert (session.batch, session.width, session.height, session.pads) == (BATCH, *SIZE, False)
        for count in (1, 2, 3, 4, 1, 3):
            session.submit(frames[:count])
            assert_alike(session.collect(), wanted[:count])
        assert_alike(session.run(np.stack(frames)), wanted)


def assert_alike(found: list[Candidates], wanted: list[Candidates]) -> None:
    assert len(found) == len(wanted)
    for one, two in zip(found, wanted, strict=True):
        for ours, theirs in zip(vars(one).values(), vars(two).values(), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


def test_batches_of_different_sizes_are_under_way_together(world: World, plan: Path) -> None:
    frames = list(noise_frames(BATCH, *SIZE))
    with closing(opened(world, plan)) as session:
        alone = [session.run(np.stack([frame] * BATCH))[0] for frame in frames]
        session.submit(frames[:3])
        session.submit(frames[3:])
        assert_alike(session.collect(), alone[:3])
        session.submit(frames[:1])
        assert_alike(session.collect(), alone[3:])
        assert_alike(session.collect(), alone[:1])


def test_a_graph_for_each_number_of_frames_is_recorded_when_it_is_opened(world: World, plan: Path) -> None:
    frames = list(noise_frames(BATCH, *SIZE))
    with closing(opened(world, plan)) as session:
        assert "a CUDA graph" in session.how
        graphs = dict(world.cuda.graphs)
        assert len(graphs) == BATCH * DEPTH
        for count in range(1, BATCH + 1):
            session.submit(frames[:count])
            session.collect()
        assert set(world.cuda.graphs) == set(graphs), "no frame waits for a recording"
    assert not world.cuda.graphs


def test_an_engine_that_cannot_be_recorded_runs_all_the_same(world: World, plan: Path) -> None:
    world.no_capture = True
    frames = list(noise_frames(BATCH, *SIZE))
    with closing(opened(world, plan)) as session:
        assert "no graph can be made of it" in session.how
        for count in (4, 1, 2):
            session.submit(frames[:count])
            assert len(session.collect()) == count


def test_contexts_share_the_memory_that_they_compute_in_and_all_is_given_back(world: World, plan: Path) -> None:
    session = opened(world, plan)
    assert [len(one) for one in world.cuda.allocated.values()].count(COMPUTES_IN) == 1
    session.close()
    session.close()
    assert not world.cuda.allocated and world.cuda.pinned == 0


def test_no_memory_for_the_contexts(world: World, plan: Path) -> None:
    world.cuda.fail_next = MemoryError("full")
    with pytest.raises(EngineError) as caught:
        opened(world, plan)
    assert caught.value.error_code == "out_of_memory" and not world.cuda.allocated


@pytest.mark.parametrize("variant", [FP32, FP16, QDQ], ids=lambda one: one.line())
def test_every_form_is_built_for_one_to_that_many(
    world: World, networks: Networks, tmp_path: Path, variant: Variant
) -> None:
    build(world, job(networks, variant, tmp_path))
    with closing(opened(world, tmp_path / "plan")) as session:
        assert session.batch == BATCH and len(session.run(np.stack(noise_frames(BATCH, *SIZE)))) == BATCH


@pytest.mark.parametrize("release", [one for one in RELEASES if not one.startswith("11.")])
def test_scales_are_measured_on_whole_batches(release: str, networks: Networks, tmp_path: Path) -> None:
    world = World(release)
    pictures = noise_frames(2 * BATCH + 1, *SIZE)
    build(world, job(networks, CALIBRATED, tmp_path, pictures=pictures))
    shown = [np.frombuffer(one, np.uint8).reshape(BATCH, SIZE[1], SIZE[0], 3) for one in world.builds[0].pictures]
    np.testing.assert_array_equal(np.concatenate(shown), np.stack(pictures[: 2 * BATCH]))


def test_a_dla_gets_a_fixed_batch_and_computes_all_of_it(networks: Networks, tmp_path: Path) -> None:
    world = World("10.3.0", dla_cores=2)
    build(world, job(networks, DLA, tmp_path, pictures=noise_frames(BATCH, *SIZE)))
    assert world.builds[-1].device == "DLA"
    frames = list(noise_frames(BATCH, *SIZE))
    with closing(opened(world, tmp_path / "plan", dla_core=0)) as session:
        assert (session.batch, session.pads) == (BATCH, True)
        whole = session.run(np.stack(frames))
        session.submit(frames[:2])
        assert_alike(session.collect(), whole[:2])


def test_a_range_of_frames_on_a_dla_is_nothing_that_tensorrt_builds(networks: Networks, tmp_path: Path) -> None:
    """Why a DLA's batch is fixed."""
    world = World("10.3.0", dla_cores=2)
    wrong = job(networks, CALIBRATED, tmp_path, pictures=noise_frames(BATCH, *SIZE))
    with pytest.raises(EngineError):
        build(world, replace(wrong, variant=DLA))


def test_a_network_for_another_number_of_frames_is_a_fault_of_ours(networks: Networks, tmp_path: Path) -> None:
    world = World("10.3.0")
    fixed = job(networks, FP32, tmp_path)
    onnx.save(with_batch(onnx.load(str(networks.plain)), BATCH, fixed=True), str(fixed.network))
    with pytest.raises(EngineError, match=r"uint8 frames \(2, height, width, 3\)") as caught:
        build(world, replace(fixed, batch=2))
    assert caught.value.error_code == "build_refused"


def test_frames_read_in_place_go_through_alone(networks: Networks, tmp_path: Path) -> None:
    """A batch of several lies in several places; one frame is read where it is, also by an engine for more."""
    from halves_kit import Pages

    world = World("10.3.0")
    world.cuda.integrated = True
    build(world, job(networks, FP32, tmp_path))
    frames = list(noise_frames(2, *SIZE))
    with closing(Pages(2, *SIZE)) as pages, closing(opened(world, tmp_path / "plan")) as session:
        session.lend(pages.memory)
        for place, frame in zip(pages.frames, frames, strict=True):
            place[:] = frame
        together = [*_through(session, pages.frames)]
        world.cuda.copied.clear()
        assert_alike([one for place in pages.frames for one in _through(session, [place])], together)
        assert not world.cuda.copied
        session.close()


def _through(session: TensorRtSession, frames: list[np.ndarray]) -> list[Candidates]:
    session.submit(frames)
    return session.collect()
