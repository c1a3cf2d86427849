"""Simulated devices on a real mosquitto, and the operator's commands as processes. No tests in here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from test_link_kit import Ear, free_port, mosquitto, program

COMMAND_S = 60.0


class Operator:
    """`edgeagent fleet ...` against one broker."""

    def __init__(self, port: int, folder: Path) -> None:
        self.port = port
        self.url = f"mqtt://127.0.0.1:{port}"
        self.environment = {**os.environ, "EDGEAGENT_BROKER": self.url, "XDG_CONFIG_HOME": str(folder)}

    def fleet(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "edgeagent", "fleet", *words]
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=COMMAND_S,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            check=False,
        )

    def json(self, *words: str) -> tuple[int, Any]:
        done = self.fleet(*words, "--json")
        assert done.stdout, done.stderr
        return done.returncode, json.loads(done.stdout)


@contextmanager
def simulated(folder: Path, devices: int) -> Iterator[Operator]:
    """A broker, and so many devices that have all been connected."""
    port = free_port()
    operator = Operator(port, folder)
    simulate = [
        sys.executable,
        "-m",
        "edgeagent",
        "simulate",
        "fleet",
        "--devices",
        str(devices),
        "--broker",
        operator.url,
    ]
    with mosquitto(folder, port), program([*simulate, "--rate", "20"], Ear(), env=operator.environment) as process:
        watch = [sys.executable, "-m", "edgeagent", "fleet", "watch", "--broker", operator.url]
        heard = Ear()
        with program(watch, heard, env=operator.environment):
            missing = {f"default/sim-{number:04d}:" for number in range(devices)}
            while missing:
                line = heard.wait(lambda line: line.split()[1] in missing if " default/" in line else False)
                missing.discard(line.split()[1])
        yield operator
        assert process.poll() is None, "the simulation has ended"
