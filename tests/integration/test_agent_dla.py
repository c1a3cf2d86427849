"""The DLA's cores as `edgeagent board` and the agent's `info` tell them, with a made up TensorRT on this machine."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from agent_kit import Family, Watcher, agent, command_line, watching, write_config
from agent_kit import running as whole_agent
from test_link_kit import free_port, mosquitto, needs_mosquitto

from edgeagent.fleet.states import EngineState, Info, Status

pytestmark = pytest.mark.timeout(120)
ANSWERS = (
    "class Logger:\n    ERROR = 1\n    def __init__(self, level): ...\n"
    "class Runtime:\n    num_DLA_cores = 2\n    def __init__(self, logger): ...\n"
)
HANGS = "import os\nr, w = os.pipe()\nos.read(r, 1)\n"


@pytest.fixture
def tensorrt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where every Python that this test starts finds TensorRT."""
    directory = tmp_path / "packages"
    directory.mkdir()
    monkeypatch.setenv("PYTHONPATH", str(directory))
    return directory / "tensorrt.py"


@contextmanager
def running(folder: Path, family: Family) -> Iterator[tuple[Watcher, subprocess.Popen[bytes]]]:
    """A broker and an agent without cameras that looks at this machine itself."""
    port = free_port()
    off = {"source": {"type": "synthetic"}, "enabled": False}
    parts = {"camera": "belt", "model": "conveyor", "enabled": False}
    state = folder / "state"
    config = write_config(folder / "config.toml", port, state, Path("/"), cameras__belt=off, pipelines__parts=parts)
    with mosquitto(folder, port), watching(port) as watcher, agent(config, family) as process:
        yield watcher, process


def test_the_command_shows_declared_and_probed(tensorrt: Path) -> None:
    tensorrt.write_text(ANSWERS)
    done = command_line("board", "--json", family=Family())
    identity = json.loads(done.stdout)["identity"]
    assert (identity["dla"]["declared"], identity["dla"]["probed"]) == (0, 2)
    assert ["DLA cores probed", "2"] in [[found["fact"], found["value"]] for found in identity["evidence"]]
    assert "DLA: 0 declared (only Jetson modules have a DLA), 2 probed" in identity["contradictions"][-1]
    assert "cores: 0 declared, 2 probed" in command_line("board", family=Family()).stdout


def test_the_command_says_why_it_could_not_be_probed(tensorrt: Path) -> None:
    tensorrt.write_text("import os, signal\nos.kill(os.getpid(), signal.SIGABRT)\n")
    done = command_line("board", "--json", family=Family())
    assert done.returncode == 0
    assert "signal SIGABRT" in json.loads(done.stdout)["identity"]["dla"]["unprobed"]


@needs_mosquitto
def test_info_is_published_again_with_what_was_probed(tensorrt: Path, tmp_path: Path) -> None:
    tensorrt.write_text(ANSWERS)
    with running(tmp_path, Family()) as (watcher, _):
        info = watcher.ever(Info, lambda i: i.module.dla_probed is not None)
        assert (info.module.dla, info.module.dla_cores, info.module.dla_declared, info.module.dla_probed) == (
            "yes",
            2,
            0,
            2,
        )
        assert "2 probed" in info.module.contradictions[-1]


@needs_mosquitto
def test_one_that_hangs_delays_neither_the_start_nor_the_stop(tensorrt: Path, tmp_path: Path) -> None:
    """The agent is ready, and is stopped, while the child hangs within its limit."""
    tensorrt.write_text(HANGS)
    family = Family()
    with running(tmp_path, family) as (watcher, process):
        watcher.ever(Status, lambda s: s.state in ("ready", "degraded"))
        info = watcher.ever(Info)
        assert (info.module.dla_probed, info.module.dla_unprobed) == (None, "")
        family.pid_of("doctor_probe.py")  # raises where it does not run any more
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        family.wait_gone()
        watcher.ever(Status, lambda s: s.state == "stopped")


@needs_mosquitto
def test_where_there_is_no_tensorrt_info_says_so(tmp_path: Path) -> None:
    with running(tmp_path, Family()) as (watcher, _):
        watcher.ever(Info, lambda i: i.module.dla_unprobed == "this Python has no TensorRT")


@needs_mosquitto
def test_a_pipeline_s_own_placement_counts_before_that_of_all(tmp_path: Path) -> None:
    wish = {"camera": "belt", "model": "conveyor", "placement": "dla1"}
    with whole_agent(tmp_path, tmp_path / "state", pipelines__parts=wish) as (watcher, _):
        told = watcher.ever(EngineState, lambda e: e.state == "failed")
    assert told.reason.startswith("placement is 'dla1', and ONNX Runtime computes on the CPU")
