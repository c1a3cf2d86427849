"""Builds that want too much: which there are, and whom the board's kernel would kill."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from edgeagent.engine.build.policy import Course
from edgeagent.simulate.board_list import SPECS
from edgeagent.simulate.memory_runs import BOARD, BUILD_OOM_SCORE, Hunger, MemoryRun, hungers, worst

FREE_MB = SPECS[BOARD].memory_kb / 1024 - SPECS[BOARD].plant.memory_mb


def test_every_build_exceeds_the_board_and_every_fourth_cannot_fit() -> None:
    smallest = Course(workspace_divisor=8, level=0)
    for number, hunger in enumerate(hungers(20, 5)):
        assert hunger.at(Course()) > FREE_MB
        assert (hunger.at(smallest) > FREE_MB) == (number % 4 == 3)


def test_a_smaller_workspace_and_a_lower_level_want_less() -> None:
    hunger = Hunger(1000.0, 8000.0, 1.0)
    wants = [
        hunger.at(course) for course in (Course(), Course(workspace_divisor=2), Course(workspace_divisor=2, level=1))
    ]
    assert wants == [9000.0, 5000.0, 1000.0 + 4000.0 * 0.81]


def test_the_kernel_takes_what_the_agent_offers_it() -> None:
    sleeper = [sys.executable, "-c", "input()"]
    with subprocess.Popen(sleeper, stdin=subprocess.PIPE) as build:
        Path(f"/proc/{build.pid}/oom_score_adj").write_text(str(BUILD_OOM_SCORE))
        assert worst([os.getpid(), build.pid, 2**22 + 1]) == build.pid
        build.kill()


def test_a_run_is_right_only_with_a_live_inference() -> None:
    run = MemoryRun(1, 9000.0, 500.0, "built smaller", 2, 3000.0, ("memory_falling", "built"), 900.0, True, "")
    assert run.ok
    assert replace(run, outcome="refused").ok
    assert not replace(run, infer_survived=False).ok
    assert not replace(run, outcome="built").ok
