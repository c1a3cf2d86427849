"""`edgeagent doctor`: what is ready on this device, what is not, and how to mend it.

Collects first, judges then: the children that import cv2, TensorRT, pycuda and jtop run side by side within one time
limit, everything else is a look at files. It runs as any user, on a laptop that has none of them, and never hangs.

Three things may be apart. The board lies under `root`. Its home is where the paths of the config and the host name are
looked for: `root` again, as on the disk of a device, or this machine, where the config says that an agent runs here
with the board of that root (`device.board_root`). Python's modules, the user, jtop's service and the clock are always
this machine's.
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
from edgeagent.app.doctor_broker import broker_elsewhere, check_broker
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
from edgeagent.app.power import SYSTEM_SOCKET
from edgeagent.board.evidence import read_identity, under
from edgeagent.board.identity import Identity
from edgeagent.config.effective import device_slug
from edgeagent.config.files import DEVICE_CONFIG, load_config
from edgeagent.config.schema import Config
from edgeagent.errors import ConfigError, EngineError, OperatorError

_ROOT = Path("/")
Wanted = Literal["auto", "tensorrt", "onnxruntime"]
_NO_TENSORRT = 'engines.backend is "tensorrt", and the board has none'


@dataclass(frozen=True)
class _Settings:
    """The config in force: None where the file is wrong, the defaults where there is none."""

    config: Config | None
    check: Check


def run_doctor(
    root: Path | None, as_json: bool, config_path: Path | None = None, *, limit_s: float = LIMIT_S
) -> tuple[int, str]:
    """Exit code (0: no problem, 1: at least one) and the text to print.

    `root` None: the one that the config names. `config_path` is taken as it is; None is the usual place, under `root`
    where one is given. `limit_s` bounds each import. Raises OperatorError where the root is no directory, or closed to
    us.
    """
    path = config_path or under(root or _ROOT, str(DEVICE_CONFIG))
    named = _root_of(path).absolute()
    root = root.absolute() if root is not None else named
    _refuse_root(root)
    checks = list(_checks(root, _ROOT if root == named else root, path, limit_s))
    if as_json:
        return exit_code(checks), render_json(checks, {"root": str(root), "python": sys.executable})
    return exit_code(checks), render_text(checks)


def _checks(root: Path, home: Path, path: Path, limit_s: float) -> Iterator[Check]:
    """`home`: where the paths that the config names are to be looked for."""
    identity = read_identity(root)
    here = identity if root == _ROOT else read_identity(_ROOT)
    settings = _settings(path, hostname_of(home))
    config = settings.config or Config()
    state_dir = under(home, config.device.state_dir)
    machine = collect_machine(root, state_dir, hostname_of(home), contained=bool(here.container))
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
        system=_system(here),
        tracking=[name for name, pipeline in config.pipelines.items() if pipeline.enabled and pipeline.tracking],
    )
    yield from check_machine(identity, machine, config.device.id or device_slug(machine.hostname))
    yield from check_cameras(config, find_cameras(home, config))
    yield from check_placement(config, _places(identity, probes["tensorrt"], config.engines.backend, home))
    yield settings.check
    yield from check_broker(config.mqtt) if home == _ROOT else broker_elsewhere(config.mqtt, home)
    yield _helper(root, home, identity, config)


def _root_of(path: Path) -> Path:
    """Whose board the config says, as the agent that runs with it; this machine's own where it cannot be read."""
    config = _settings(path, "").config
    return Path(config.device.board_root) if config is not None else _ROOT


def _refuse_root(root: Path) -> None:
    if not os.path.isdir(root):  # noqa: PTH112 - never raises
        mend = "--root, or else device.board_root of the config, says where the board's files lie"
        raise OperatorError(f"{root} is no directory", mend=mend, code="root")
    if not os.access(root, os.R_OK | os.X_OK):
        raise OperatorError(f"{root} is closed to this user", mend=f"sudo chmod a+rx {root}", code="root")


def _system(here: Identity) -> System:
    """Of this machine, whose Python is asked: another root does not say how to install a package here."""
    if not has_apt(_ROOT):
        return "other"
    return "jetson" if here.kind != "not-a-jetson" else "debian"


def _python(root: Path) -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    note = "" if root == _ROOT else f"; modules, user, jtop and clock are this machine's, not those of {root}"
    return ok("python", f"{version} ({sys.executable}){note}")


def _places(identity: Identity, tensorrt: Probe, backend: Wanted, home: Path) -> Places:
    """As the agent chooses that runs on this machine; for a board that is at home elsewhere by its own TensorRT, and
    told where an agent that is started here would have none."""
    dla = dla_answer(identity, tensorrt, same_machine=identity.same_machine)
    if home == _ROOT:
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
        mend = "sudo edgeagent doctor" if isinstance(error, PermissionError) else "see that it is an ordinary file"
        return _Settings(None, problem("config", f"{path}: {(error.strerror or str(error)).lower()}", mend))


def _helper(root: Path, home: Path, identity: Identity, config: Config) -> Check:
    if home != _ROOT or (root != _ROOT and config.power.helper_socket == SYSTEM_SOCKET):
        return ok("power helper", "not asked: under another root, power commands start one of their own")
    if identity.kind == "not-a-jetson":
        return ok("power helper", "not needed: there are no power modes to set")
    if identity.container:
        return ok("power helper", "not needed: power is set on the host, nvpmodel ignores requests in a container")
    return check_helper(Path(config.power.helper_socket), wanted=config.power.intent is not None)
