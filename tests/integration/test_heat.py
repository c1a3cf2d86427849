"""Real processes that heat a virtual board: what is followed, what a signal does to it, and a scenario as a whole."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from edgeagent.cli_heat import DeskSteer
from edgeagent.simulate.board import make_board
from edgeagent.simulate.heat_control import OnOff
from edgeagent.simulate.heat_figures import figures_of
from edgeagent.simulate.heat_real import WORKER, run_real
from edgeagent.simulate.heat_scenarios import SCENARIOS
from edgeagent.simulate.heat_steer import sense_steer
from edgeagent.simulate.memory_runs import hungers, run_one
from edgeagent.simulate.plant_follow import Follower
from edgeagent.simulate.plant_work import Work
from edgeagent.thermal.sense import Sense

PARENT = f"""
import subprocess, sys
child = subprocess.Popen([sys.executable, "-m", "{WORKER}", *sys.argv[1:]])
print(child.pid, flush=True)
child.wait()
"""


@pytest.fixture
def start() -> Iterator[Callable[..., tuple[int, int]]]:
    """Starts a process that starts a worker; gives the pids of both. All of it ends with the test."""
    running: list[subprocess.Popen[str]] = []

    def begin(*words: str) -> tuple[int, int]:
        process = subprocess.Popen(
            [sys.executable, "-c", PARENT, *words], stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        running.append(process)
        assert process.stdout is not None
        return process.pid, int(process.stdout.readline())

    yield begin
    for process in running:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def spun(follower: Follower, until: Callable[[Work], bool]) -> Work:
    """Look until it is so; the test's timeout is the end of patience."""
    while True:
        sum(range(2_000_000))
        if until(work := follower.look()):
            return work


def test_the_work_of_a_grandchild_is_seen_and_named(start: Callable[..., tuple[int, int]]) -> None:
    parent, _ = start("build")
    work = spun(Follower(parent), lambda work: work.build > 0.9)
    assert work.infer == 0.0
    assert work.memory_mb is not None and work.memory_mb > 5.0


def test_a_stopped_build_does_nothing_at_once_and_goes_on(start: Callable[..., tuple[int, int]]) -> None:
    parent, child = start("build")
    follower = Follower(parent)
    spun(follower, lambda work: work.build > 0.9)
    os.kill(child, signal.SIGSTOP)
    follower.look()
    spun(follower, lambda work: work.build < 0.01)
    os.kill(child, signal.SIGCONT)
    spun(follower, lambda work: work.build > 0.9)


def test_inference_is_as_busy_as_it_is(start: Callable[..., tuple[int, int]]) -> None:
    parent, _ = start("infer", "0.4")
    work = spun(Follower(parent), lambda work: 0.2 < work.infer < 0.6)
    assert work.build == 0.0


def test_a_process_that_has_gone_does_nothing(start: Callable[..., tuple[int, int]]) -> None:
    parent, child = start("build")
    follower = Follower(parent)
    spun(follower, lambda work: work.build > 0.9)
    os.kill(child, signal.SIGKILL)
    spun(follower, lambda work: work.build == 0.0)


def test_the_plant_follows_and_traces(tmp_path: Path, start: Callable[..., tuple[int, int]]) -> None:
    parent, _ = start("build")
    board = make_board("orin-nano", tmp_path / "board", seed=3)
    (board.root / "load.json").write_text(json.dumps({"ambient_c": 41, "fan_failed": 1}))
    trace = tmp_path / "trace"
    options = ["--follow", str(parent), "--accelerate", "20", "--trace", str(trace), "--cooler", "fanless"]
    command = [sys.executable, "-m", "edgeagent.simulate.plant_child", "--root", str(board.root), *options]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as plant:
        assert plant.stdout is not None
        assert plant.stdout.readline() == b"ready\n"
        told = {"at_s": 0.0, "done_s": 0.0}
        while told["done_s"] < 20.0:
            sum(range(2_000_000))
            told = json.loads(trace.read_text().rpartition("\n")[0].rpartition("\n")[2] or json.dumps(told))
    assert told["ambient_c"] == 41
    assert told["rpm"] < 20  # it runs down
    assert told["hottest_c"] > 48.0
    assert told["build"] > 0.5


class Half:
    """A duty of a half, whatever the board says; it keeps what it was told."""

    def __init__(self) -> None:
        self.seen: list[Sense] = []

    def look(self, sense: Sense) -> float:
        self.seen.append(sense)
        return 0.5


def test_slices_of_a_real_process_are_half_a_build_and_half_its_pace() -> None:
    scenario = replace(SCENARIOS[0], work_s=30.0)
    half = Half()
    run = run_real(scenario, "half", sense_steer(half), 10.0)
    assert run.finished
    assert 45.0 < run.wall_s < 90.0  # of the board's time
    assert len(half.seen) > 20
    zones = {zone.name: zone.celsius for zone in half.seen[-1].zones}
    assert abs((zones["gpu-thermal"] or 0.0) - run.points[-1].hottest_c) < 5.0


def test_a_whole_scenario_with_cameras_reaches_the_trip_and_leaves_nothing_behind() -> None:
    scenario = replace(SCENARIOS[3], work_s=40.0, ambient_c=((0.0, 75.0),))
    run = run_real(scenario, "free", sense_steer(OnOffNever()), 20.0)
    figures = figures_of(scenario, run, 40.0)
    assert figures.alert_s > 0
    assert figures.frames < 1.0
    running = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert f"{WORKER} infer {scenario.infer}" not in running


class OnOffNever(OnOff):
    def look(self, sense: Sense) -> float:
        super().look(sense)
        return 1.0


def test_builds_that_want_too_much_end_smaller_or_refused_and_the_inference_lives() -> None:
    """One of each: the first of the series can be made to fit, the fourth cannot."""
    first, fourth = (run_one(number, hungers(4, 5)[number - 1], DeskSteer) for number in (1, 4))
    assert (first.outcome, fourth.outcome) == ("built smaller", "refused")
    assert first.ok and fourth.ok
    assert first.endings[0] in ("memory_falling", "out_of_memory")
    assert first.got_mb < first.wanted_mb
    assert fourth.attempts > 3
