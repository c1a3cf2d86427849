"""Nothing outlives the agent: a real process tree whose root is killed with SIGKILL."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys

import pytest
from test_supervisor_kit import WAIT_S, environment, eye_on, wait_gone

from edgeagent.supervise.lifeline import PARENT_VARIABLE


def test_sigkill_of_the_agent_ends_all_its_children() -> None:
    command = [sys.executable, "-m", "children.troupe"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, env={**os.environ, **environment()}
    ) as troupe:
        try:
            assert troupe.stdout is not None
            pids = [int(word) for _ in range(4) for word in troupe.stdout.readline().split() if int(word)]
            assert len(set(pids)) == 5  # four children and one grandchild
            with contextlib.ExitStack() as stack:
                eyes = [stack.enter_context(eye_on(pid)) for pid in pids]
                os.kill(troupe.pid, signal.SIGKILL)
                troupe.wait(WAIT_S)
                assert [wait_gone(eye) for eye in eyes] == [True] * 5
        finally:
            troupe.kill()


@pytest.mark.parametrize("parent", ["1", str(2**30)])
def test_a_child_whose_parent_died_before_it_could_tie_itself_ends(parent: str) -> None:
    code = "from edgeagent.supervise.lifeline import tie_to_parent; tie_to_parent(); print('alive')"
    environ = {**os.environ, PARENT_VARIABLE: parent}
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, timeout=WAIT_S, check=False)
    assert (done.returncode, done.stdout) == (1, b"")


def test_a_program_that_a_person_started_is_tied_to_nobody() -> None:
    code = "from edgeagent.supervise.lifeline import tie_to_parent; tie_to_parent(); print('alive')"
    environ = {name: value for name, value in os.environ.items() if name != PARENT_VARIABLE}
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, timeout=WAIT_S, check=False)
    assert (done.returncode, done.stdout) == (0, b"alive\n")


def test_a_child_that_a_person_starts_says_who_starts_it() -> None:
    command = [sys.executable, "-m", "children.actor"]
    done = subprocess.run(
        command, env={**os.environ, **environment()}, capture_output=True, timeout=WAIT_S, check=False, text=True
    )
    assert (done.returncode, done.stderr) == (1, "this program is started by the agent (edgeagent run)\n")
