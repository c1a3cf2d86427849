"""The stand-ins refuse: what a release has not cannot be asked, called, passed or set. Else they prove nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from trt_kit import CALIBRATED, FP16, Networks, build, job_for, write_networks
from trt_stand_in import RELEASES, read_api
from trt_world import World

from edgeagent.engine.build.tensorrt import capabilities, configure
from edgeagent.engine.build.tensorrt.capabilities import read_capabilities


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Networks:
    return write_networks(tmp_path_factory.mktemp("networks"))


@pytest.fixture(params=RELEASES)
def trt(request: pytest.FixtureRequest) -> Any:
    return World(request.param).module()


def logger_of(trt: Any) -> Any:
    class Quiet(trt.ILogger):
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, msg: str) -> None:
            pass

    return Quiet()


def test_every_class_and_every_member_of_the_file_is_there(trt: Any) -> None:
    for name, one in read_api(trt.__version__)["classes"].items():
        kind = getattr(trt, name)
        if "enum" in one:
            assert {member.name: int(member) for member in kind.__members__.values()} | {
                alias: int(value) for alias, value in kind.__members__.items()
            } == one["enum"]
        else:
            assert all(hasattr(kind, member) for member in (*one["methods"], *one["attributes"]))


def test_what_is_not_there_cannot_be_asked_for(trt: Any) -> None:
    builder = trt.Builder(logger_of(trt))
    config = builder.create_builder_config()
    for thing, name in [
        (trt, "Invented"),
        (builder, "build_cuda_engine"),
        (config, "invented"),
        (trt.BuilderFlag, "X"),
    ]:
        with pytest.raises(AttributeError):
            getattr(thing, name)


def test_what_is_not_there_cannot_be_set(trt: Any) -> None:
    config = trt.Builder(logger_of(trt)).create_builder_config()
    with pytest.raises(AttributeError):
        config.max_workspace_sise = 1
    if not hasattr(trt.IBuilderConfig, "int8_calibrator"):
        with pytest.raises(AttributeError):
            config.int8_calibrator = None


def test_arguments_are_those_of_the_release(trt: Any) -> None:
    builder = trt.Builder(logger_of(trt))
    config = builder.create_builder_config()
    wrong: list[Any] = [
        lambda: builder.create_network(0, 1),
        lambda: builder.create_network(flag=0),
        lambda: builder.create_network("EXPLICIT_BATCH"),
        lambda: config.set_flag("FP16"),
        config.set_flag,
        lambda: config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, 1.5),
        lambda: config.create_timing_cache("text"),
        trt.Builder,
        lambda: trt.Builder("logger"),
        trt.INetworkDefinition,
    ]
    for call in wrong:
        with pytest.raises(TypeError):
            call()


def test_a_base_that_was_not_initialised_is_noticed(trt: Any) -> None:
    class Forgetful(trt.ILogger):
        def __init__(self) -> None:
            pass

    with pytest.raises(TypeError, match="must be called"):
        trt.Builder(Forgetful())


def test_a_call_without_a_behaviour_does_not_pass(trt: Any) -> None:
    config = trt.Builder(logger_of(trt)).create_builder_config()
    with pytest.raises(AssertionError, match="no behaviour"):
        config.reset()
    with pytest.raises(AssertionError, match="no value"):
        config.engine_capability  # noqa: B018


def test_a_backend_that_took_the_capabilities_of_another_release_fails(
    networks: Networks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Told that 11 has flags and calibrators, or 8.6 a monitor, the backend calls what is not there, and that shows."""
    real = read_capabilities
    for pretended, release, variant in [
        ("10.16.1.11", "11.4.0.106", FP16),
        ("10.16.1.11", "11.4.0.106", CALIBRATED),
        ("10.3.0", "8.6.0", FP16),
    ]:
        other = real(World(pretended).module())
        monkeypatch.setattr("edgeagent.engine.build.tensorrt.work.read_capabilities", lambda trt, other=other: other)
        with pytest.raises(AttributeError):
            build(World(release), job_for(networks, variant, tmp_path))
    assert capabilities.read_capabilities is real and configure is not None


@pytest.mark.parametrize(
    ("release", "facts"),
    [
        ("8.6.0", (True, True, False, True, False, False)),
        ("10.3.0", (True, True, True, True, True, False)),
        ("10.13.3.9", (True, True, True, True, True, True)),
        ("10.16.1.11", (True, True, True, True, True, True)),
        ("11.4.0.106", (False, False, True, True, True, True)),
    ],
)
def test_capabilities(release: str, facts: tuple[bool, ...]) -> None:
    can = read_capabilities(World(release).module())
    assert (
        can.precision_flags, can.calibrator, can.monitor, can.optimization_level, can.node_names, bool(can.no_dla()),
    ) == facts  # fmt: skip
    assert can.release == release and can.version == tuple(int(part) for part in release.split("."))
    assert can.always_typed == release.startswith("11") and not can.qdq_on_dla
