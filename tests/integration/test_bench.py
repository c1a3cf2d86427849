"""`edgeagent bench` as a person runs it: real processes, a real broker, and nothing left behind."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from agent_kit import WAIT_S, Family, command_line
from test_link_kit import free_port, needs_mosquitto

from edgeagent.bench.broker import broker_for
from edgeagent.fleet.url import Broker
from edgeagent.simulate.board import make_board

QUICK = ["--null", "--seconds", "1", "--size", "320x320", "--detections", "5"]


@pytest.fixture
def family() -> Iterator[Family]:
    made = Family()
    yield made
    made.kill_all()


def measured(family: Family, *arguments: str) -> dict[str, Any]:
    done = command_line("bench", *arguments, "--json", family=family)
    assert done.returncode == 0, done.stderr
    family.wait_gone()
    facts: dict[str, Any] = json.loads(done.stdout)
    return facts


def test_without_an_engine_it_tells_what_everything_else_costs(family: Family, tmp_path: Path) -> None:
    board = make_board("orin-nano", tmp_path / "board", seed=1)
    told = measured(family, *QUICK, "--cameras", "2", "--root", str(board.root))
    for name in ("engine_limit", "session_limit", "loop_limit"):
        assert told[name]["fps"] > 0 and told[name]["cpu_us"] > 0
    assert 0 < told["loop_share_of_engine"] <= 1
    whole = told["end_to_end"]
    assert whole["detections_a_frame"] == 5
    assert whole["results"] > 10, "two cameras of 30 frames a second"
    assert all(whole["cpu_us"][name] > 0 for name in ("capture", "infer", "agent", "ring_to_mqtt"))
    latency = whole["latency_ms"]
    assert {"whole", "wait", "engine", "post", "publish"} <= set(latency)
    assert 0 < latency["whole"]["p50"] <= latency["whole"]["p99"] <= latency["whole"]["max"]
    assert whole["power_w"] > 0 and whole["energy_mj"] > 0


def test_a_bundle_is_measured_on_onnx_runtime_and_shown_as_a_table(family: Family) -> None:
    done = command_line("bench", "--seconds", "1", family=family)
    assert done.returncode == 0, done.stderr
    assert "conveyor 1, FP32, ONNX Runtime on 1 thread" in done.stdout
    assert re.search(r"the loop reaches \d+\.\d % of the engine's rate", done.stdout)
    assert "no rails" in done.stdout or "mJ a frame" in done.stdout
    family.wait_gone()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--seconds", "0"], "from 1 to 3600"),
        (["--cameras", "x"], "whole number from 1 to 64"),
        (["--size", "640"], "WIDTHxHEIGHT"),
        (["--fps", "nan"], "from 1 to 240"),
        (["--null", "--engine", "abc"], "not allowed with"),
        (["--engine", "abc", "--state", "/nonexistent"], "no engine store"),
        (["--model", "/nonexistent"], "no model bundle"),
        (["--broker", "http://x"], "mqtt"),
        (["--null", "--root", "/nonexistent"], "no directory"),
    ],
)
def test_a_wrong_request_is_told_in_one_line_and_nothing_is_measured(
    family: Family, arguments: list[str], says: str
) -> None:
    done = command_line("bench", *arguments, family=family)
    assert done.returncode == 2
    assert says in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr and not done.stdout


def test_a_broker_that_is_not_there_is_said_so(family: Family) -> None:
    done = command_line("bench", *QUICK, "--broker", f"mqtt://127.0.0.1:{free_port()}", family=family)
    assert done.returncode == 1
    assert "cannot be reached: connection refused (check --broker)" in done.stderr
    family.wait_gone()


@pytest.mark.parametrize("part", ["infer_child", "still_camera"])
def test_ctrl_c_leaves_nothing(family: Family, part: str) -> None:
    """In the middle of the infer child's measurement, and of that with cameras."""
    process = subprocess.Popen(
        [sys.executable, "-m", "edgeagent", "bench", *QUICK],
        env=family.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    with process:
        until_s = time.monotonic() + WAIT_S
        while not any(part in command for command in family.members().values()):
            assert time.monotonic() < until_s and process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(WAIT_S) == 130
    family.wait_gone()


@needs_mosquitto
def test_a_broker_of_its_own_is_used_and_ended() -> None:
    with broker_for(None) as found:
        assert found.name == "mosquitto"
        assert isinstance(found.broker, Broker)
