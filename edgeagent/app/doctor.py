"""`edgeagent doctor`: what is ready on this device, what is not, and how to mend it.

Collects first, judges then: the children that import cv2, TensorRT, pycuda and jtop run side by side within one time
limit, everything else is a look at files. It runs as any user, on a laptop that has none of them, and never hangs.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edgeagent.app.backends import choose_backend
from edgeagent.app.doctor_board import check_board
from edgeagent.app.doctor_broker import check_broker
from edgeagent.app.doctor_cameras import check_cameras, find_cameras
from edgeagent.app.doctor_children import LIMIT_S, Probe, probe_modules
from edgeagent.app.doctor_facts import collect_machine, has_apt, hostname_of
from edgeagent.app.doctor_files import NVPMODEL_CONF
from edgeagent.app.doctor_helper import check_helper
from edgeagent.app.doctor_machine import check_machine
from edgeagent.app.doctor_modules import System, check_modules, dla_answer
from edgeagent.app.doctor_placement import Places, check_placement
from edgeagent.app.doctor_power import check_power
from edgeagent.app.doctor_report import Check, exit_code, ok, problem, render_json, render_text
from edgeagent.board.evidence import read_identity, under
from edgeagent.board.identity import Identity
from edgeagent.config.effective import device_slug
from edgeagent.config.files import load_config
from edgeagent.config.schema import Config
from edgeagent.errors import ConfigError, EngineError, OperatorError

DEVICE_CONFIG = Path("/etc/edgeagent/config.toml")
_ROOT = Path("/")
_NO_TENSORRT = 'engines.backend is "tensorrt", and the board has none'


@dataclass(frozen=True)
class _Settings:
    """The config in force: None where the file is wrong, the defaults where there is none."""

    config: Config | None
    check: Check


def run_doctor(
    root: Path, as_json: bool, config_path: Path = DEVICE_CONFIG, *, limit_s: float = LIMIT_S
) -> tuple[int, str]:
    """Exit code (0: no problem, 1: at least one) and the text to print.

    `root` is where the board's files lie: the board, its devices, disk and files are judged there, the Python modules
    and the clock are always this machine's. `limit_s` bounds each import. The config at its usual place is looked for
    under `root`; any other path is taken as it is. Raises OperatorError where `root` is no directory, or closed to us.
    """
    root = root.absolute()
    _refuse_root(root)
    checks = list(_checks(root, config_path, limit_s))
    if as_json:
        return exit_code(checks), render_json(checks, {"root": str(root), "python": sys.executable})
    return exit_code(checks), render_text(checks)


def _checks(root: Path, config_path: Path, limit_s: float) -> Iterator[Check]:
    identity = read_identity(root)
    path = under(root, str(DEVICE_CONFIG)) if config_path == DEVICE_CONFIG else config_path
    settings = _settings(path, hostname_of(root))
    config = settings.config or Config()
    machine = collect_machine(root, config.device.state_dir)
    yield from check_board(identity, machine.unreadable)
    unreadable = machine.unreadable.get(NVPMODEL_CONF, "")
    yield from check_power(identity, machine.power, unreadable, has_apt=machine.has_apt)
    yield _python(root)
    probes = probe_modules(limit_s)
    yield from check_modules(
        identity,
        probes,
        machine.user,
        jtop_socket=machine.jtop_socket,
        same_machine=identity.same_machine,
        system=_system(identity),
        tracking=[name for name, pipeline in config.pipelines.items() if pipeline.enabled and pipeline.tracking],
    )
    yield from check_machine(identity, machine, config.device.id or device_slug(machine.hostname))
    yield from check_cameras(config, find_cameras(root, config))
    yield from check_placement(config, _places(identity, probes["tensorrt"], config.engines.backend))
    yield settings.check
    if root == _ROOT:
        yield from check_broker(config.mqtt)
    yield _helper(root, identity, config)


def _refuse_root(root: Path) -> None:
    if not os.path.isdir(root):  # noqa: PTH112 - never raises
        raise OperatorError(f"{root} is no directory", mend="--root wants where the board's files lie", code="root")
    if not os.access(root, os.R_OK | os.X_OK):
        raise OperatorError(f"{root} is closed to this user", mend=f"sudo chmod a+rx {root}", code="root")


def _system(identity: Identity) -> System:
    """Of this machine, whose Python is asked: another root does not say how to install a package here."""
    if not has_apt(_ROOT):
        return "other"
    return "jetson" if identity.same_machine and identity.kind != "not-a-jetson" else "debian"


def _python(root: Path) -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    note = "" if root == _ROOT else f"; modules and clock are this machine's, not those of {root}"
    return ok("python", f"{version} ({sys.executable}){note}")


def _places(identity: Identity, tensorrt: Probe, backend: Literal["auto", "tensorrt", "onnxruntime"]) -> Places:
    """On this machine as the agent chooses; under another root by the board's own TensorRT, and told where an agent
    that is started here would have none."""
    dla = dla_answer(identity, tensorrt, same_machine=identity.same_machine)
    if identity.same_machine:
        try:
            return Places(choose_backend(backend), dla)
        except EngineError as error:
            return Places("onnxruntime", dla, missing=error.message)
    if not identity.tensorrt or backend == "onnxruntime":
        return Places("onnxruntime", dla, missing=_NO_TENSORRT if backend == "tensorrt" else "")
    lacks = choose_backend("auto") == "onnxruntime"
    note = "; so on the board, but an agent that runs on this machine has no TensorRT and computes on the CPU"
    return Places("tensorrt", dla, note=note if lacks else "")


def _settings(path: Path, hostname: str) -> _Settings:
    """A file that is not there is no fault: every setting has a default."""
    try:
        path.stat()
        return _Settings(load_config(path, {}, hostname).config, ok("config", f"{path}: no mistakes"))
    except (FileNotFoundError, NotADirectoryError):
        return _Settings(None, ok("config", f"no {path}: defaults"))
    except ConfigError as error:
        return _Settings(None, problem("config", error.message, error.mend or f"edgeagent config check {path}"))
    except OSError as error:
        return _Settings(
            None, problem("config", f"{path}: {(error.strerror or str(error)).lower()}", "chmod or chown it")
        )


def _helper(root: Path, identity: Identity, config: Config) -> Check:
    if root != _ROOT:
        return ok("power helper", "not asked: under another root, power commands start one of their own")
    if identity.kind == "not-a-jetson":
        return ok("power helper", "not needed: there are no power modes to set")
    if identity.container:
        return ok("power helper", "not needed: power is set on the host, nvpmodel ignores requests in a container")
    return check_helper(Path(config.power.helper_socket), wanted=config.power.intent is not None)
