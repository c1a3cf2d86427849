"""The demo's processes: broker, the virtual board's plant and power helper, agent. Started in order, stopped backwards.

Each is tied to the demo by the kernel, so that killing the demo leaves nothing running, and sits in a session of its
own, so that Ctrl-C reaches the demo alone, which then stops them in order.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from edgeagent.errors import EdgeAgentError, OperatorError
from edgeagent.power.client import PROGRAM
from edgeagent.simulate.board import VirtualBoard
from edgeagent.simulate.broker import pick_port, port_is_free
from edgeagent.supervise.lifeline import environment_for_child

STOP_S = 1.5
DEFAULT_PORT = 1883
TIED = """
import runpy, sys
from edgeagent.supervise.lifeline import tie_to_parent
tie_to_parent()
sys.argv.pop(0)
runpy.run_path(sys.argv[0], run_name="__main__")
"""
"""The helper knows nothing of the package, so something else makes it end with the demo."""


class ChildDidNotStart(EdgeAgentError):
    code = "child_did_not_start"


@dataclass
class Processes:
    """What runs, in the order in which it was started."""

    log: IO[bytes]
    running: list[tuple[str, subprocess.Popen[bytes]]] = field(default_factory=list)
    _restart: dict[str, Callable[[], int]] = field(default_factory=dict)

    def start(self, name: str, arguments: list[str], *, environment: dict[str, str] | None = None) -> int:
        """Start `python ARGUMENTS`; returns the pid."""
        process = subprocess.Popen(
            [sys.executable, *arguments],
            stdin=subprocess.PIPE,
            stdout=self.log,
            stderr=self.log,
            env=environment_for_child() | (environment or {}),
            start_new_session=True,
        )
        self.running.append((name, process))
        self._restart[name] = lambda: self.start(name, arguments, environment=environment)
        return process.pid

    def keep_alive(self, name: str) -> None:
        """Start it again if it has ended."""
        if self.exited(name) is not None:
            ended = next(entry for entry in self.running if entry[0] == name)
            self.running.remove(ended)
            _close_streams(ended[1])
            self._restart[name]()

    def start_ready(self, name: str, arguments: list[str]) -> int:
        """Start it and wait for its line `ready`. Raises ChildDidNotStart with what it said instead."""
        process = subprocess.Popen(
            [sys.executable, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment_for_child(),
            start_new_session=True,
        )
        self.running.append((name, process))
        assert process.stdout is not None  # noqa: S101  it was asked for above
        if process.stdout.readline().strip() != b"ready":
            said = process.communicate()[1].decode(errors="replace").strip().splitlines()
            self.running.remove((name, process))
            raise ChildDidNotStart(f"the {name} did not start: {said[-1] if said else 'it said nothing'}")
        return process.pid

    def exited(self, name: str) -> int | None:
        """The exit code of a process that has ended, else None."""
        return next((process.poll() for known, process in self.running if known == name), None)

    def stop(self) -> None:
        """Stop everything, last started first. A process that does not end in its time is killed."""
        while self.running:
            _, process = self.running.pop()
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            try:
                process.wait(timeout=STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            _close_streams(process)


def _close_streams(process: subprocess.Popen[bytes]) -> None:
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            stream.close()


def start_broker(processes: Processes, port: int | None) -> int:
    """The embedded broker on `port`, or on a free one; returns the port."""
    if port is not None:
        if port_is_free(port):
            processes.start_ready("broker", _broker_arguments(port))
            return port
        raise OperatorError(
            f"port {port} is in use", mend="leave --port out, and a free one is picked", code="port_in_use"
        )
    for preferred in (DEFAULT_PORT, 0, 0, 0):  # another program may take a free port before the broker does
        chosen = pick_port(preferred)
        with contextlib.suppress(ChildDidNotStart):
            processes.start_ready("broker", _broker_arguments(chosen))
            return chosen
    raise OperatorError("the embedded broker finds no free port", mend="name one with --port", code="port_in_use")


def _broker_arguments(port: int) -> list[str]:
    return ["-m", "edgeagent.simulate.broker", "--port", str(port)]


def start_plant(processes: Processes, board: VirtualBoard, ambient_c: float, worked: float) -> None:
    """The board's plant: it is heated by what the demo's own processes do, the build above all.

    `worked` is how busy the board was before, 0..1.
    """
    place = ["--root", str(board.root), "--ambient", str(ambient_c), "--worked", str(worked)]
    processes.start("plant", ["-m", "edgeagent.simulate.plant_child", *place, "--follow", str(os.getpid())])


def start_power_helper(processes: Processes, board: VirtualBoard, listening_at: Path) -> None:
    """The program that is root's part on a device: here it has the rights of this user, who owns the board."""
    state_dir = board.root / "run/edgeagent-power"
    places = ["--root", str(board.root), "--state-dir", str(state_dir), "--socket", str(listening_at)]
    processes.start("power helper", ["-c", TIED, str(PROGRAM), *places])


def start_agent(processes: Processes, config: Path, tools: Path) -> int:
    """The agent with the board's stand-in tools first in its PATH."""
    path = f"{tools}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    return processes.start("agent", ["-m", "edgeagent", "run", "--config", str(config)], environment={"PATH": path})


class AgentDied(EdgeAgentError):
    code = "agent_died"


def why_ended(code: int, log: Path) -> str:
    """How the agent ended, and, where it ended by itself, the last line of its log."""
    if code < 0:
        return f"the agent was ended by {signal.Signals(-code).name}"
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return f"the agent ended with code {code}: {lines[-1] if lines else 'it said nothing'}"
