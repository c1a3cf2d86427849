"""`edgeagent engine build MODEL`: get one engine now, the way the agent does, and show how it goes.

The same desk, gate, child and policy as in the agent; only that an operator waits for it: what was remembered of
earlier attempts is forgotten first, and when the budget of builds is spent it ends instead of waiting.
"""

from __future__ import annotations

import argparse
import json
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import anyio

from edgeagent.app.backends import choose_backend
from edgeagent.app.build_power import BuildPower, NoPower, PowerLoan
from edgeagent.app.build_screen import BuildScreen
from edgeagent.app.cameras import Camera
from edgeagent.app.engine_forms import Site, calibration_name, candidates_for
from edgeagent.app.engine_job import Wanted
from edgeagent.app.engine_look import Ready
from edgeagent.app.engines import EngineDesk
from edgeagent.app.governor import GovernorDesk
from edgeagent.app.groups import first_error
from edgeagent.app.logs import configure_logs
from edgeagent.app.models import local_path
from edgeagent.app.power import helper_for, open_power
from edgeagent.app.wiring import engine_fingerprint
from edgeagent.board.evidence import read_identity
from edgeagent.board.identity import Identity
from edgeagent.board.telemetry import BoardReader
from edgeagent.camera.spec import SourceSpec, parse_source
from edgeagent.clock import Clock, SystemClock
from edgeagent.config.files import config_file, load_config
from edgeagent.config.schema import Config
from edgeagent.engine.bundle import ModelBundle, load_bundle
from edgeagent.engine.registry.layout import digest_in
from edgeagent.errors import EngineError, ModelError, OperatorError

if sys.version_info < (3, 11):
    from exceptiongroup import BaseExceptionGroup

CAMERA, PIPELINE = "camera", "command-line"
SAMPLE_EVERY_S = 2.0
STOPPED = 128  # plus the signal


@dataclass(frozen=True)
class Asked:
    """What the command line and the config come to."""

    config: Config
    model: str
    bundle: ModelBundle
    images: str | None
    source: SourceSpec | None
    camera: str = CAMERA
    pipeline: str = PIPELINE
    max_batch: int | None = None


def run_build(options: argparse.Namespace) -> int:
    """Exit code: 0 the engine is there, 1 it is not, 2 what was asked for is wrong (by exception), 128 + signal."""
    configure_logs("error")
    asked = _asked(options)
    screen = BuildScreen(plain=options.json)
    clock = SystemClock()
    try:
        with screen:
            ready = anyio.run(_get_unless_stopped, asked, screen, clock)
    except BaseExceptionGroup as group:
        raise first_error(group) from group
    if not isinstance(ready, Ready):
        return _failed(asked, screen, ready, as_json=options.json)
    if options.json:
        print(json.dumps(_facts(ready), indent=1))  # noqa: T201
    else:
        print(_lines(ready))  # noqa: T201
    return 0


def _failed(asked: Asked, screen: BuildScreen, code: int, *, as_json: bool) -> int:
    """Tell a failure's code, and with --json all of it; a model or pictures that are no good are a wrong request."""
    failure, reason = ("cancelled", "the build was stopped") if code > STOPPED else screen.failure or ("", "")
    if not failure:
        return code
    if as_json:
        print(json.dumps({"ok": False, "error": {"code": failure, "message": reason}}, indent=1))  # noqa: T201
    stopped = "the build was stopped: " if code > STOPPED else ""
    sys.stderr.write(f"edgeagent: {stopped}there is no engine [{failure}]\n")
    if stopped:
        return code
    wrong_request = failure.startswith("model") or (failure == "no_calibration" and asked.images is not None)
    return 2 if wrong_request else 1


def _asked(options: argparse.Namespace) -> Asked:
    overrides: dict[str, dict[str, object]] = {"engines": {}, "device": {}}
    for name in ("precision", "placement", "backend", "max_batch"):
        if getattr(options, name) is not None:
            overrides["engines"][name] = getattr(options, name)
    if options.state is not None:
        overrides["device"]["state_dir"] = str(options.state.absolute())
    if options.root is not None:
        overrides["device"]["board_root"] = str(options.root.absolute())
    file = config_file(options.config)
    config = load_config(file, {name: table for name, table in overrides.items() if table}, socket.gethostname()).config
    images = str(options.images.absolute()) if options.images else config.engines.calibration_images
    source = parse_source(options.source) if options.source else None
    known = _pipeline_of(config, options.model)
    model = config.models[known[1]].path if known else options.model
    model = _here(model, Path(config.device.state_dir))
    own_batch = config.models[known[1]].max_batch if known and options.max_batch is None else None
    asked = Asked(config, model, _bundle(model), images, source, max_batch=own_batch)
    if source is not None or images is not None or known is None:
        return _with_something_to_see(asked)
    name, _, camera = known
    return replace(asked, images=None, source=config.cameras[camera].source, camera=camera, pipeline=name)


def _here(model: str, state_dir: Path) -> str:
    """The bundle's own path, also of a model `registry:DIGEST` that was pulled. Raises OperatorError for one that was
    not."""
    try:
        return local_path(model, state_dir)
    except ModelError as error:
        raise OperatorError(
            error.message, mend=f"edgeagent engine pull --model {digest_in(model)}", code=error.error_code
        ) from error


def _bundle(model: str) -> ModelBundle:
    if Path(model).suffix == ".onnx":
        raise OperatorError(
            f"{model} is a network, and what a build wants is a bundle: a directory with it and a model.toml",
            mend="see docs/models.md; `edgeagent engine plan` takes the network alone",
            code="model",
        )
    return load_bundle(model)


def _with_something_to_see(asked: Asked) -> Asked:
    if asked.source is None and asked.images is None:
        raise OperatorError(
            "there is nothing to calibrate with and to compare on",
            mend="name a directory of pictures with --images, or a camera with --source",
            code="no_calibration",
        )
    return asked


def _pipeline_of(config: Config, model: str) -> tuple[str, str, str] | None:
    """The config's first pipeline that uses this model, by id or path: its name, the model's id, the camera's."""
    for name, pipeline in config.pipelines.items():
        if model in (pipeline.model, config.models[pipeline.model].path):
            return name, pipeline.model, pipeline.camera
    return None


async def _get_unless_stopped(asked: Asked, screen: BuildScreen, clock: Clock) -> Ready | int:
    """The engine, or the exit code. SIGINT and SIGTERM end the build as a cancelled one: nothing is left of it."""
    result: list[Ready | int] = []

    async def stop_on_signal(scope: anyio.CancelScope) -> None:
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async for number in signals:
                result[:] = [128 + number]
                scope.cancel()
                return

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(stop_on_signal, tasks.cancel_scope)
        ready = await _get(asked, screen, clock)
        result.append(ready or 1)
        tasks.cancel_scope.cancel()
    return result[0]


async def _get(asked: Asked, screen: BuildScreen, clock: Clock) -> Ready | None:
    """The engine, or None; why stands on the screen."""
    config, state_dir, root = asked.config, Path(asked.config.device.state_dir), Path(asked.config.device.board_root)
    identity = read_identity(root)
    backend = choose_backend(config.engines.backend)
    site = Site(backend, engine_fingerprint(identity, backend, root), identity.dla)
    _check_form(asked, site)
    governor = GovernorDesk(config.thermal, clock, heat_expected=identity.kind != "not-a-jetson", note=screen.note)
    desk = EngineDesk(
        config.engines,
        config.registry,
        state_dir,
        site,
        screen,
        clock,
        patient=False,
        governor=governor,
        power=_power(config, identity, clock),
        pacing=config.thermal.pace,
    )
    desk.sweep()
    found: list[Ready] = []

    async def take(wanted: Wanted, ready: Ready) -> None:
        found.append(ready)

    async with _ring(asked, screen, clock) as ring_fd, anyio.create_task_group() as tasks:
        reader = BoardReader(root, state_dir=state_dir, soc=identity.soc, clock=clock)
        governor.read = reader.read_quick
        tasks.start_soon(_sample, reader, desk, governor)
        tasks.start_soon(governor.run)
        done = await desk.provide(_wanted(asked, state_dir, ring_fd), take)
        tasks.cancel_scope.cancel()
    return found[-1] if done and found else None


def _check_form(asked: Asked, site: Site) -> None:
    """A form that fits nothing here is a wrong request, told before anything is started."""
    try:
        candidates_for(asked.config.engines, site, asked.bundle, asked.max_batch)
    except EngineError as error:
        if error.retry:
            return  # the desk tries again
        raise OperatorError(error.message, mend=error.mend, code=error.error_code) from error


def _wanted(asked: Asked, state_dir: Path, ring_fd: int | None) -> Wanted:
    size = asked.bundle.spec.input
    name = calibration_name(asked.images, [(asked.camera, asked.source)], size.width, size.height)
    return Wanted(
        pipeline=asked.pipeline,
        model=asked.model,
        bundle=asked.bundle,
        calibration=state_dir / "calibration" / name,
        ring_fd=ring_fd,
        images=asked.images,
        max_batch=asked.max_batch,
    )


def _power(config: Config, identity: Identity, clock: Clock) -> PowerLoan:
    """The board's power where the operator leaves it to itself; an agent that keeps an intent would set it again."""
    if config.power.intent is not None:
        return NoPower()
    root, state_dir = Path(config.device.board_root), Path(config.device.state_dir)
    return BuildPower(
        lambda: open_power(root, state_dir, identity, config.power, clock),
        helper_for(root, config.power.helper_socket),
    )


async def _sample(reader: BoardReader, desk: EngineDesk, governor: GovernorDesk) -> None:
    try:
        while True:
            reading = reader.read()
            desk.surroundings.look(reading)
            governor.take(reading)
            await anyio.sleep(SAMPLE_EVERY_S)
    finally:
        reader.close()


@asynccontextmanager
async def _ring(asked: Asked, screen: BuildScreen, clock: Clock) -> AsyncIterator[int | None]:
    """The ring of a camera that runs for the block; None where the pictures come from a directory."""
    if asked.images is not None or asked.source is None:
        yield None
        return
    size = asked.bundle.spec.input
    sizes = [(size.width, size.height)]
    camera = Camera(asked.camera, asked.source, sizes, screen, clock, Random())  # noqa: S311  jitter
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_give_up_without, camera, screen)
            tasks.start_soon(camera.supervisor.run)
            yield camera.rings[sizes[0]].fd
            tasks.cancel_scope.cancel()
    finally:
        camera.close()


async def _give_up_without(camera: Camera, screen: BuildScreen) -> None:
    """The agent waits for a camera; a person who has named one wants to know that it never opened."""
    failed, reasons = anyio.Event(), [""]

    def take(reason: str) -> bool:
        if camera.state.opened is None:
            reasons[0] = reason
            failed.set()
        return failed.is_set()

    screen.on_camera_failed = take
    await failed.wait()
    raise OperatorError(reasons[0].removeprefix(f"camera {camera.name}: "), code="camera")


def _facts(ready: Ready) -> dict[str, object]:
    manifest = ready.entry.manifest
    return {
        "key": manifest.key,
        "origin": ready.origin,
        "plan": str(ready.entry.plan_path),
        "form": ready.candidate.variant.line(),
        "form_reason": ready.candidate.reason,
        "agreement": ready.agreement.model_dump(mode="json") if ready.agreement else None,
        "manifest": manifest.model_dump(mode="json", by_alias=True, exclude_none=True),
    }


def _lines(ready: Ready) -> str:
    manifest = ready.entry.manifest
    agreement = ready.agreement
    where = {"store": "was in the store", "registry": "came from the registry", "build": "was built"}[ready.origin]
    lines = [
        f"engine   {manifest.key}  {where}",
        f"form     {ready.candidate.variant.line()}"
        + (f"  ({ready.candidate.reason})" if ready.candidate.reason else ""),
        f"plan     {ready.entry.plan_path}  {manifest.plan_bytes / 1e6:.1f} MB",
    ]
    if agreement is not None:
        lines.append(
            f"proof    agrees to {agreement.value:.3f} with the FP32 network on {agreement.frames} held-out frames; "
            f"{agreement.engine_ms:.1f} ms a frame there, the network itself {agreement.reference_ms:.1f} ms"
        )
    return "\n".join(lines)
