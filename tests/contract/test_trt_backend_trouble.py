"""The TensorRT backend when things go wrong: refused, out of memory, unwanted, without scales."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from trt_kit import CALIBRATED, DLA, FP16, FP32, QDQ, Listener, Networks, build, job_for, noise_frames, write_networks
from trt_stand_in import RELEASES
from trt_world import World

from edgeagent.engine.build.backend import BuilderOptions
from edgeagent.engine.build.report import Cancelled
from edgeagent.engine.scales import parse_cache
from edgeagent.errors import EngineError, StoreError

WITH_MONITOR = [release for release in RELEASES if release != "8.6.0"]


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Networks:
    return write_networks(tmp_path_factory.mktemp("networks"))


@pytest.fixture(params=RELEASES)
def world(request: pytest.FixtureRequest) -> World:
    return World(request.param)


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        ([("ERROR", "Error Code 2: OutOfMemory (no further information)")], "out_of_memory"),
        ([("ERROR", "Cuda Runtime (out of memory)")], "out_of_memory"),
        (
            [
                ("WARNING", "Skipping tactic 3 due to insufficient memory on requested size of 1073741824"),
                ("ERROR", "Error Code 10: Internal Error (Could not find any implementation for node model/stem.)"),
            ],
            "out_of_memory",
        ),
        (
            [("ERROR", "Could not find any implementation for node model/stem due to insufficient workspace.")],
            "out_of_memory",
        ),
        (
            [("ERROR", "Error Code 10: Internal Error (Could not find any implementation for node model/stem.)")],
            "unsupported_layer",
        ),
        ([("ERROR", "Cuda Runtime (an illegal memory access was encountered)")], "driver_error"),
        ([("ERROR", "Assertion xyz failed")], "build_refused"),
        ([("INFO", "[MemUsageChange] Init CUDA: CPU +321, GPU +0: CUDA runtime loaded")], "build_refused"),
        ([], "build_refused"),
    ],
)
def test_a_builder_that_gives_nothing_back_is_classified_by_its_log(
    lines: list[tuple[str, str]], code: str, networks: Networks, tmp_path: Path
) -> None:
    world = World("8.6.0", lines=lines, refuse=True)
    with pytest.raises(EngineError) as caught:
        build(world, job_for(networks, FP16, tmp_path))
    error = caught.value
    assert (error.error_code, bool(error.mend)) == (code, True)
    if "model/stem" in str(lines):
        assert "model/stem" in error.message
    if code == "unsupported_layer":
        assert error.facts["layer"] == "model/stem"
    assert error.facts["workspace_mb"] == 3200
    assert not (tmp_path / "plan").exists()


def test_kernels_left_out_for_memory_are_noted(world: World, networks: Networks, tmp_path: Path) -> None:
    world.lines = [("WARNING", "Skipping tactic 3 due to insufficient memory on requested size of 1073741824")] * 2
    outcome = build(world, job_for(networks, FP32, tmp_path))
    assert any(note.startswith("2 kernels were not tried") for note in outcome.notes)
    assert outcome.log.count(b"Skipping tactic") == 2


@pytest.mark.parametrize("release", WITH_MONITOR)
def test_an_unwanted_build_is_told_and_waited_for(release: str, networks: Networks, tmp_path: Path) -> None:
    """The builder goes through its steps for ever, until one of them says that the build is not wanted."""
    world, begun, heard = World(release, steps=10**9), threading.Event(), Listener()
    world.during_build = begun.set
    heard.pause = lambda seconds: _raise() if begun.is_set() else None  # type: ignore[method-assign]
    with pytest.raises(Cancelled):
        build(world, job_for(networks, FP32, tmp_path), heard)
    assert not (tmp_path / "plan").exists()
    assert not [thread for thread in threading.enumerate() if thread.name == "tensorrt-build"]


def test_8_6_cannot_be_told_so_the_build_is_left_behind(networks: Networks, tmp_path: Path) -> None:
    world, begun, ended = World("8.6.0"), threading.Event(), threading.Event()

    def hold() -> None:
        begun.set()
        ended.wait(60)

    world.during_build = hold
    heard = Listener()
    heard.pause = lambda seconds: _raise() if begun.is_set() else None  # type: ignore[method-assign]
    with pytest.raises(Cancelled):
        build(world, job_for(networks, FP32, tmp_path), heard)
    assert begun.is_set() and not ended.is_set()
    (thread,) = [thread for thread in threading.enumerate() if thread.name == "tensorrt-build"]
    assert thread.daemon
    ended.set()
    thread.join(60)


def _raise() -> None:
    raise Cancelled


class Endless(Sequence[np.ndarray]):
    """A billion pictures: whoever asks for all of them never ends."""

    def __init__(self, begun: threading.Event) -> None:
        self._begun = begun
        self.asked = 0

    def __len__(self) -> int:
        return 10**9

    def __getitem__(self, index: int) -> np.ndarray:  # type: ignore[override]
        self.asked += 1
        self._begun.set()
        return noise_frames(1, 64, 32)[0]


def test_unwanted_while_calibrating(networks: Networks, tmp_path: Path) -> None:
    """The calibrator is asked for no further picture, and the build ends by itself."""
    begun = threading.Event()
    pictures, heard = Endless(begun), Listener()
    heard.pause = lambda seconds: _raise() if begun.is_set() else None  # type: ignore[method-assign]
    with pytest.raises(Cancelled):
        build(World("10.3.0"), job_for(networks, CALIBRATED, tmp_path, pictures=pictures), heard)
    assert 0 < pictures.asked < len(pictures) and not (tmp_path / "plan").exists()
    assert not [thread for thread in threading.enumerate() if thread.name == "tensorrt-build"]


@pytest.mark.parametrize("release", ["8.6.0", "10.16.1.11"])
def test_a_tensor_without_a_scale_is_named_before_anything_is_built(
    release: str, networks: Networks, tmp_path: Path
) -> None:
    world = World(release, unscaled={"edgeagent/image"})
    with pytest.raises(EngineError) as caught:
        build(world, job_for(networks, CALIBRATED, tmp_path))
    assert caught.value.error_code == "scales_missing"
    assert "edgeagent/image" in caught.value.message
    assert [built.cache for built in world.builds] == [None]  # only the measuring


def test_at_most_five_tensors_are_named(networks: Networks, tmp_path: Path) -> None:
    first = build(World("8.6.0"), job_for(networks, CALIBRATED, tmp_path))
    assert first.calibration_cache is not None
    head = first.calibration_cache.splitlines()[0]
    with pytest.raises(EngineError) as caught:
        build(World("8.6.0"), job_for(networks, CALIBRATED, tmp_path, pictures=(), calibration_cache=head + b"\n"))
    assert caught.value.error_code == "scales_missing"
    assert caught.value.facts["missing"] == caught.value.facts["wanted"] or caught.value.message.count(",") <= 4


def test_on_a_dla_every_tensor_needs_its_scale(networks: Networks, tmp_path: Path) -> None:
    first = build(World("8.6.0"), job_for(networks, CALIBRATED, tmp_path))
    assert first.calibration_cache is not None
    names = list(parse_cache(first.calibration_cache).scales)
    plain = "model/stem"  # a ReLU takes it, no convolution
    assert plain in names
    lines = [line for line in first.calibration_cache.splitlines() if not line.startswith(f"{plain}:".encode())]
    cache = b"\n".join(lines) + b"\n"
    on_gpu = build(World("8.6.0"), job_for(networks, CALIBRATED, tmp_path, pictures=(), calibration_cache=cache))
    assert any(plain in note and "stay in FP16" in note for note in on_gpu.notes)
    with pytest.raises(EngineError) as caught:
        build(World("8.6.0", dla_cores=1), job_for(networks, DLA, tmp_path, pictures=(), calibration_cache=cache))
    assert caught.value.error_code == "scales_missing"


def test_a_cache_that_is_none(networks: Networks, tmp_path: Path) -> None:
    with pytest.raises(EngineError) as caught:
        build(World("8.6.0"), job_for(networks, CALIBRATED, tmp_path, calibration_cache=b"\x00\x01junk"))
    assert caught.value.error_code == "bad_calibration_cache"


def test_a_picture_that_cannot_be_read_ends_the_build_with_its_own_error(networks: Networks, tmp_path: Path) -> None:
    """TensorRT asks from C++; the error must come through all the same."""

    class Broken(list):  # type: ignore[type-arg]
        def __getitem__(self, index: int) -> object:
            raise StoreError("0001.png is gone", mend="collect anew")

    for release in ("8.6.0", "10.3.0"):
        world = World(release)
        with pytest.raises(StoreError, match="is gone"):
            build(world, job_for(networks, CALIBRATED, tmp_path, pictures=Broken([1, 2])))
        assert not world.cuda.allocated


def test_a_core_that_is_not_there(networks: Networks, tmp_path: Path) -> None:
    world = World("10.3.0", dla_cores=1)
    with pytest.raises(EngineError, match="only 1 DLA core") as caught:
        build(world, job_for(networks, DLA, tmp_path, options=BuilderOptions(dla_core=1)))
    assert (caught.value.error_code, caught.value.facts["dla_cores"]) == ("dla_refused", 1)


def test_a_dla_that_takes_no_convolution(networks: Networks, tmp_path: Path) -> None:
    world = World("10.3.0", dla_cores=1, dla_refuses={"Conv", "ConvTranspose", "MatMul", "Gemm"})
    with pytest.raises(EngineError) as caught:
        build(world, job_for(networks, DLA, tmp_path))
    assert caught.value.error_code == "dla_refused" and "model/n_stem" in caught.value.message
    assert world.builds == []  # asked before anything is measured


def test_the_gpu_is_full(networks: Networks, tmp_path: Path) -> None:
    world = World("8.6.0")
    world.cuda.free_mb = 0
    with pytest.raises(EngineError) as caught:
        build(world, job_for(networks, CALIBRATED, tmp_path, pictures=noise_frames(2, 64, 32), batch=1))
    assert caught.value.error_code in ("out_of_memory", "no_calibration")


def test_a_network_that_takes_other_than_frames(networks: Networks, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="uint8 frames") as caught:
        build(World("8.6.0"), job_for(networks, FP32, tmp_path, batch=2))
    assert caught.value.error_code == "build_refused"


def test_a_plugin_library_that_is_not_there(networks: Networks, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="gone") as caught:
        build(World("8.6.0"), job_for(networks, FP32, tmp_path, plugins=(tmp_path / "gone.so",)))
    assert caught.value.error_code == "unsupported_layer"


def test_one_memory_for_cpu_and_gpu(networks: Networks, tmp_path: Path) -> None:
    """On a Jetson what is free is what the kernel could free, and not what CUDA says."""
    world = World("10.3.0")
    world.cuda.integrated, world.cuda.free_mb = True, 1
    outcome = build(world, job_for(networks, QDQ, tmp_path))
    assert outcome.workspace_mb is not None and outcome.workspace_mb >= 64
    assert world.builds[0].pools["WORKSPACE"] > 1 << 20
