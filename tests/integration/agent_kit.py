"""What the tests of the whole agent share: processes that can be accounted for, and a watcher. No tests in here."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from test_link_kit import Ear, free_port, mosquitto, settings
from wire_check import check_wire, is_inbound

from edgeagent.config.toml_text import toml_value
from edgeagent.fleet.link import MqttLink
from edgeagent.fleet.link_types import LinkEvent, Message
from edgeagent.fleet.messages import parse_message
from edgeagent.simulate.board import make_board

MARK = "EDGEAGENT_TEST_MARK"
FLEET, DEVICE = "lab", "bench-1"
EVERYTHING = f"edgeagent/v1/{FLEET}/{DEVICE}/#"
WAIT_S = 60.0


class Family:
    """Every process that carries one mark in its environment, however it was started."""

    def __init__(self) -> None:
        self.mark = uuid.uuid4().hex

    def environment(self) -> dict[str, str]:
        return {**os.environ, MARK: self.mark}

    def members(self) -> dict[int, str]:
        """pid -> command line of those alive now."""
        wanted = f"{MARK}={self.mark}".encode()
        found = {}
        for folder in Path("/proc").iterdir():
            with suppress(OSError):
                if not folder.name.isdigit() or wanted not in (folder / "environ").read_bytes().split(b"\0"):
                    continue
                if (folder / "stat").read_text().rpartition(")")[2].split()[0] != "Z":
                    found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        return found

    def pid_of(self, part: str) -> int:
        return next(pid for pid, command in self.members().items() if part in command)

    def wait_gone(self) -> None:
        """Wait on the kernel's word (pidfd) that every member has ended."""
        deadline = time.monotonic() + WAIT_S
        while members := self.members():
            for pid in members:
                with suppress(ProcessLookupError):
                    fd = os.pidfd_open(pid)
                    try:
                        left = max(0.0, deadline - time.monotonic())
                        assert select.select([fd], [], [], left)[0], f"still running: {members}"
                    finally:
                        os.close(fd)

    def kill_all(self) -> None:
        for pid in self.members():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def shared_memory() -> set[str]:
    """The names under /dev/shm, but for what a test of cameras beside this one has there."""
    return {path.name for path in Path("/dev/shm").iterdir() if not path.name.startswith("edgeagent-test-")}


class Watcher(Ear):
    """The parsed messages of a device, in order, as (topic, message)."""

    patience_s = WAIT_S  # a build takes its time on a busy machine

    def take(self, event: LinkEvent) -> None:
        if isinstance(event, Message):
            said = None if is_inbound(event.topic) else parse_message(event.topic, event.payload)
            self((event.topic, said, event.payload))

    def message(self, kind: type, fits: Callable[[Any], bool] = lambda message: True) -> Any:
        """The next message of that kind that fits."""
        return self.wait(lambda item: isinstance(item[1], kind) and fits(item[1]))[1]

    def ever(self, kind: type, fits: Callable[[Any], bool] = lambda message: True) -> Any:
        """The first message of that kind that fits, come or to come: order between topics is not promised."""
        self._next = 0
        return self.message(kind, fits)


@contextmanager
def watching(port: int, topic: str = EVERYTHING, kind: type[Watcher] = Watcher) -> Iterator[Watcher]:
    """Whoever watches; all that it saw has to keep the contract."""
    watcher = kind()
    link = MqttLink(settings(port, client_id=f"watcher-{uuid.uuid4().hex[:8]}", will=None), watcher.take)
    link.subscribe({topic: 0})  # QoS 1 would want an acknowledgement for each
    link.start()
    try:
        yield watcher
    finally:
        link.stop()
    check_wire((topic, payload) for topic, _, payload in watcher.items)


def write_config(path: Path, port: int, state_dir: Path, board: Path, **tables: Mapping[str, Any]) -> Path:
    """A config of one synthetic camera with few calibration frames, changed by `tables`."""
    standard: dict[str, Mapping[str, Any]] = {
        "device": {
            "id": DEVICE,
            "fleet": FLEET,
            "state_dir": str(state_dir),
            "run_dir": str(path.parent / "run"),
            "board_root": str(board),
        },
        "mqtt": {"url": f"mqtt://127.0.0.1:{port}"},
        "cameras.belt": {"source": {"type": "synthetic"}},
        "models.conveyor": {"path": "sample:conveyor"},
        "pipelines.parts": {"camera": "belt", "model": "conveyor"},
        "engines": {"calibration_frames": 16, "holdout_frames": 4, "calibration_interval_s": 0.0},
    }
    lines = []
    for name, values in {**standard, **{key.replace("__", "."): value for key, value in tables.items()}}.items():
        lines += [f"[{name}]", *(f"{key} = {toml_value(value)}" for key, value in values.items())]
    path.write_text("\n".join(lines) + "\n")
    return path


def virtual_board(folder: Path) -> Path:
    return make_board("orin-nano", folder / "board", seed=1).root


@contextmanager
def agent(config: Path, family: Family) -> Iterator[subprocess.Popen[bytes]]:
    """A running agent; whatever is left of its family at the end is killed."""
    with (config.parent / "agent.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "edgeagent", "run", "--config", str(config)],
            env=family.environment(),
            stdin=subprocess.DEVNULL,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        family.kill_all()


@contextmanager
def running(tmp_path: Path, state_dir: Path, **tables: Mapping[str, Any]) -> Iterator[tuple[Watcher, Family]]:
    """A broker, an agent, and a watcher that was there first."""
    port, family = free_port(), Family()
    tmp_path.mkdir(exist_ok=True)
    board = virtual_board(tmp_path)
    config = write_config(tmp_path / "config.toml", port, state_dir, board, **tables)
    with plant(board), mosquitto(tmp_path, port), watching(port) as watcher, agent(config, family):
        yield watcher, family


def entries(state: Path) -> list[str]:
    """What lies in the store beside its own bookkeeping (locks, the ledger, caches)."""
    own = {".locks", ".local", ".pipelines", ".ledger", ".timing", ".calibration", ".parts"}
    return sorted(path.name for path in (state / "engines").iterdir() if path.name not in own)


@contextmanager
def plant(board: Path) -> Iterator[None]:
    """The virtual board's files changing as a real one's do."""
    command = [sys.executable, "-m", "edgeagent.simulate.plant_child", "--root", str(board)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        try:
            yield
        finally:
            process.terminate()


def command_line(*arguments: str, family: Family, timeout: float = 150) -> subprocess.CompletedProcess[str]:
    """Run `edgeagent ARGUMENTS` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "edgeagent", *arguments],
        env=family.environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
