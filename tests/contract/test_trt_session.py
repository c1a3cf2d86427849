"""The TensorRT session against stand-ins of TensorRT and of pycuda: the plan runs on ONNX Runtime, the rest is real."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np
import onnx
import pytest
from cuda_stand_in import LogicError, MemoryError
from trt_kit import FP32, NET, QDQ, SIZE, Networks, build, job_for, noise_frames, write_networks
from trt_stand_in import RELEASES
from trt_world import MARK, World

from edgeagent.errors import EngineError
from edgeagent.inference.cuda import available_mb, retain
from edgeagent.inference.onnxruntime_session import OnnxRuntimeSession
from edgeagent.inference.tensorrt_session import TensorRtSession


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Networks:
    return write_networks(tmp_path_factory.mktemp("networks"))


@pytest.fixture(params=RELEASES)
def world(request: pytest.FixtureRequest) -> World:
    return World(request.param)


def opened(world: World, plan: Path, **more: object) -> TensorRtSession:
    return TensorRtSession(plan, trt=world.module(), gpu=retain(world.cuda.driver), **more)  # type: ignore[arg-type]


@pytest.fixture
def plan(world: World, networks: Networks, tmp_path: Path) -> Path:
    build(world, job_for(networks, FP32, tmp_path))
    return tmp_path / "plan"


def test_it_says_what_onnx_runtime_says(world: World, plan: Path, networks: Networks) -> None:
    frames = noise_frames(3, *SIZE)
    with closing(opened(world, plan)) as session, closing(OnnxRuntimeSession(networks.plain, 1)) as reference:
        assert (session.batch, session.width, session.height) == (1, *SIZE)
        for frame in frames:
            found, wanted = session.run(frame[None])[0], reference.run(frame[None])[0]
            for one, two in zip(vars(found).values(), vars(wanted).values(), strict=True):
                np.testing.assert_array_equal(one, two)
                assert one.dtype == two.dtype


def test_what_it_returned_belongs_to_the_caller(world: World, plan: Path) -> None:
    first, second = noise_frames(2, *SIZE)
    with closing(opened(world, plan)) as session:
        found = session.run(first[None])[0]
        kept = found.boxes.copy()
        session.run(second[None])
        np.testing.assert_array_equal(found.boxes, kept)


def test_everything_is_given_back_and_it_may_be_closed_twice(world: World, plan: Path) -> None:
    session = opened(world, plan)
    assert len(world.cuda.allocated) == 2 and world.cuda.pinned == 4
    session.close()
    session.close()
    assert not world.cuda.allocated and world.cuda.pinned == 0
    with pytest.raises(EngineError, match="closed"):
        session.run(noise_frames(1, *SIZE)[0][None])


def test_two_sessions_close_in_any_order(world: World, plan: Path) -> None:
    """The new engine is loaded beside the old one, and the old one goes first."""
    gpu, trt = retain(world.cuda.driver), world.module()
    old, new = TensorRtSession(plan, trt=trt, gpu=gpu), TensorRtSession(plan, trt=trt, gpu=gpu)
    old.close()
    assert len(new.run(noise_frames(1, *SIZE)[0][None])) == 1
    new.close()
    assert not world.cuda.allocated


@pytest.mark.parametrize("shape", [(1, 32, 32, 3), (2, 32, 64, 3), (32, 64, 3), (1, 3, 32, 64)])
def test_frames_of_another_shape_are_refused(world: World, plan: Path, shape: tuple[int, ...]) -> None:
    with closing(opened(world, plan)) as session:
        with pytest.raises(EngineError, match="the engine takes uint8"):
            session.run(np.zeros(shape, np.uint8))
        with pytest.raises(EngineError, match="the engine takes uint8"):
            session.run(np.zeros((1, 32, 64, 3), np.float32))


@pytest.mark.parametrize("content", [b"", b"junk", MARK + b"9.9.9\n", None], ids=["empty", "junk", "release", "gone"])
def test_a_file_that_is_no_plan(world: World, tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "plan").write_bytes(content)
    with pytest.raises(EngineError) as caught:
        opened(world, tmp_path / "plan")
    assert caught.value.error_code == "engine_load" and not world.cuda.allocated


def test_a_plan_that_takes_floats_or_gives_no_candidates(world: World, networks: Networks, tmp_path: Path) -> None:
    head = MARK + world.release.encode() + b"\n" + (2).to_bytes(4, "little") + b"[]"
    silent = onnx.load(str(networks.plain))
    del silent.graph.output[1]
    for network, words in [(NET.model(), "does not take uint8 frames"), (silent, "does not give candidates")]:
        (tmp_path / "other").write_bytes(head + network.SerializeToString())
        with pytest.raises(EngineError, match=words) as caught:
            opened(world, tmp_path / "other")
        assert caught.value.error_code == "engine_load" and not world.cuda.allocated


def test_a_cuda_error_is_the_engines_and_memory_is_memory(world: World, plan: Path) -> None:
    with closing(opened(world, plan)) as session:
        for error, code in [(LogicError("launch failed"), "engine_run"), (MemoryError("full"), "out_of_memory")]:
            world.cuda.fail_next = error
            with pytest.raises(EngineError) as caught:
                session.run(noise_frames(1, *SIZE)[0][None])
            assert caught.value.error_code == code
        assert len(session.run(noise_frames(1, *SIZE)[0][None])) == 1


def test_the_core_of_the_dla_is_set_before_the_plan_is_loaded(networks: Networks, tmp_path: Path) -> None:
    world = World("10.3.0", dla_cores=2)
    build(world, job_for(networks, QDQ, tmp_path))
    with closing(opened(world, tmp_path / "plan", dla_core=1)):
        assert world.runtime_core == 1
    with pytest.raises(EngineError, match="core 2 of the DLA") as caught:
        opened(world, tmp_path / "plan", dla_core=2)
    assert caught.value.error_code == "engine_load"


def test_what_the_kernel_could_free() -> None:
    assert available_mb("MemTotal: 100 kB\nMemAvailable:    2097152 kB\n") == 2048
    assert available_mb("MemTotal: 100 kB\n") is None
