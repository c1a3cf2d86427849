"""What a demo needs before anything starts: its options, its directories, its number, the agent's configuration."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edgeagent.camera.spec import FileSpec, SourceSpec, V4l2Spec, parse_source
from edgeagent.config.toml_text import toml_value
from edgeagent.errors import OperatorError
from edgeagent.fleet.url import Broker

FLEET, CAMERA, MODEL, PIPELINE = "demo", "belt", "conveyor", "parts"
INSTANCES = 16
HELPER_SOCKET = "power.sock"
INTENT = "balanced"
CALIBRATION: dict[str, object] = {
    "calibration_interval_s": 0.06,
    "calibration_looks": 1,
}  # the belt is never empty, and somebody watches
HOT_FROM_C = 45.0
WORKED = 0.72
"""How busy a board in a hot room was before the demo began."""
LONG_CALIBRATION: dict[str, object] = {
    "calibration_frames": 400,
    "calibration_interval_s": 0.03,
    "calibration_looks": 1,
}  # a build that lasts long enough to be seen slowing down


@dataclass(frozen=True)
class DemoOptions:
    """What the command line asked for. `duration_s` counts from the first result; None runs until Ctrl-C.

    `started_s`: when the command was started, on the monotonic clock.
    """

    duration_s: float | None
    source: str
    module: str
    broker: str | None
    port: int | None
    headless: bool
    report: Path | None
    state_dir: Path
    ambient_c: float
    started_s: float

    @property
    def hot(self) -> bool:
        """Whether this is to show a board that gets too hot: one that comes from work, and an engine made anew."""
        return self.ambient_c >= HOT_FROM_C


def default_state_dir() -> Path:
    """Inside the virtual environment where there is one (it goes with it), else the user's state directory."""
    if sys.prefix != sys.base_prefix and os.access(sys.prefix, os.W_OK):
        return Path(sys.prefix) / "var" / "edgeagent-demo"
    state_home = os.environ.get("XDG_STATE_HOME")
    return (Path(state_home) if state_home else Path.home() / ".local/state") / "edgeagent" / "demo"


def checked_source(text: str) -> SourceSpec:
    """The source, checked as far as that goes without opening it. Raises OperatorError."""
    spec = parse_source(text)
    if isinstance(spec, FileSpec):
        path = Path(spec.path).absolute()
        if not path.is_file():
            raise OperatorError(f"--source: there is no file {spec.path}", mend="check the path", code="source_missing")
        return spec.model_copy(update={"path": str(path)})
    if isinstance(spec, V4l2Spec) and not Path(spec.device).exists():
        raise OperatorError(f"--source: there is no device {spec.device}", mend="ls /dev/video*", code="source_missing")
    return spec


@contextlib.contextmanager
def instance(state_dir: Path) -> Iterator[int]:
    """The number of this demo among those that run beside each other with one state directory, from 1."""
    try:
        (state_dir / "instances").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OperatorError(
            f"cannot write {state_dir}: {(error.strerror or str(error)).lower()}", mend="name another with --state"
        ) from error
    for number in range(1, INSTANCES + 1):
        fd = os.open(state_dir / "instances" / str(number), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            continue
        try:
            yield number
        finally:
            os.close(fd)
        return
    raise OperatorError(f"{INSTANCES} demos already run with {state_dir}", mend="stop one of them")


@contextlib.contextmanager
def run_directory(state_dir: Path, number: int) -> Iterator[Path]:
    """A fresh directory for this run's files, gone afterwards; what a killed demo left under the number goes first."""
    folder = state_dir / "run" / str(number)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_config(
    path: Path, options: DemoOptions, source: SourceSpec, broker: Broker, board: Path, device: str
) -> None:
    """The agent's configuration, as an operator would write it."""
    tables: dict[str, dict[str, object]] = {
        "device": {
            "id": device,
            "fleet": FLEET,
            "state_dir": str(path.parent / "state" if options.hot else options.state_dir),
            "run_dir": str(path.parent / "agent"),
            "board_root": str(board),
        },
        "mqtt": {
            "url": str(broker),
            "protocol": broker_protocol(options),
        },
        "power": {"intent": INTENT, "helper_socket": str(path.parent / HELPER_SOCKET)},
        f"cameras.{CAMERA}": {"source": source.model_dump(mode="json", exclude_none=True)},
        f"models.{MODEL}": {"path": "sample:conveyor"},
        "engines": LONG_CALIBRATION if options.hot else CALIBRATION,
        f"pipelines.{PIPELINE}": {"camera": CAMERA, "model": MODEL},
    }
    if broker.username is not None:
        tables["mqtt"]["username"] = broker.username
        if broker.password is not None:
            secret = path.parent / "mqtt-password"
            secret.touch(mode=0o600)
            secret.write_text(broker.password + "\n")
            tables["mqtt"]["password_file"] = str(secret)
    lines = []
    for table, values in tables.items():
        lines += [f"[{table}]", *(f"{key} = {toml_value(value)}" for key, value in values.items()), ""]
    path.touch(mode=0o600)  # a source's URL may hold a password
    path.write_text("\n".join(lines))


def broker_protocol(options: DemoOptions) -> Literal["auto", "3.1.1"]:
    """The embedded broker speaks 3.1.1 only, and says nothing at all to a client that tries 5 first."""
    return "auto" if options.broker else "3.1.1"
