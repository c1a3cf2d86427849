"""The broker of a measurement: the one that was named, mosquitto where it is installed, or the demo's."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edgeagent.errors import LinkError
from edgeagent.fleet.link_types import ProtocolWish
from edgeagent.fleet.url import Broker
from edgeagent.simulate.broker import HOST, pick_port
from edgeagent.simulate.demo_processes import Processes, start_broker
from edgeagent.supervise.lifeline import environment_for_child

REACH_S, STOP_S = 5.0, 2.0
TIED = """
import os, sys
from edgeagent.supervise.lifeline import tie_to_parent
tie_to_parent()
os.execv(sys.argv[1], sys.argv[1:])
"""
"""The kernel keeps the tie over the change of program."""


@dataclass(frozen=True)
class Found:
    """A broker that runs: what it is, where, and what it speaks."""

    name: str
    broker: Broker
    protocol: ProtocolWish


def check_reached(broker: Broker) -> None:
    """Before minutes of other measurements. Raises LinkError where nothing listens."""
    try:
        socket.create_connection((broker.host, broker.port), REACH_S).close()
    except OSError as error:
        raise LinkError(
            f"the broker {broker} cannot be reached: {(error.strerror or str(error)).lower()}",
            mend="check --broker",
            retry=True,
        ) from error


@contextmanager
def broker_for(named: Broker | None) -> Iterator[Found]:
    """Raises OperatorError where none can be started."""
    if named is not None:
        yield Found(str(named), named, "auto")
        return
    program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
    with tempfile.TemporaryDirectory(prefix="edgeagent-bench-") as folder:
        if program is None:
            with Path(folder, "log").open("wb") as log:
                processes = Processes(log)
                try:
                    yield Found("the demo's broker", Broker(HOST, start_broker(processes, None), tls=False), "3.1.1")
                finally:
                    processes.stop()
        else:
            port = pick_port(0)
            with _mosquitto(program, Path(folder), port):
                yield Found("mosquitto", Broker(HOST, port, tls=False), "5")


@contextmanager
def _mosquitto(program: str, folder: Path, port: int) -> Iterator[None]:
    config = folder / "mosquitto.conf"
    config.write_text(f"listener {port} {HOST}\nallow_anonymous true\nlog_dest none\n")
    process = subprocess.Popen(
        [sys.executable, "-c", TIED, program, "-c", str(config)],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment_for_child(),
        start_new_session=True,
    )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
