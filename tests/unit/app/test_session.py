"""Which run this is, and that there is one agent only for a run directory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from edgeagent.app.session import next_session, only_agent
from edgeagent.errors import OperatorError


def test_every_start_has_its_number(tmp_path: Path) -> None:
    first, second = next_session(tmp_path / "state"), next_session(tmp_path / "state")
    assert first.rpartition("-")[0] == second.rpartition("-")[0]
    assert [name.rpartition("-")[2] for name in (first, second)] == ["1", "2"]


@pytest.mark.parametrize("content", ["", "many", "-"])
def test_a_damaged_count_does_not_stop_a_start(tmp_path: Path, content: str) -> None:
    (tmp_path / "starts").write_text(content)
    assert next_session(tmp_path).rpartition("-")[2].isdigit()


def test_a_state_directory_that_cannot_be_made_does_not_stop_a_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert next_session(tmp_path / "file" / "state").rpartition("-")[2].isdigit()


def test_a_second_agent_is_refused_until_the_first_has_gone(tmp_path: Path) -> None:
    with only_agent(tmp_path), pytest.raises(OperatorError, match="another agent already runs"), only_agent(tmp_path):
        pytest.fail("two agents hold one run directory")
    with only_agent(tmp_path):
        pass


def test_a_killed_agent_leaves_no_lock(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path; from edgeagent.app.session import only_agent\n"
        "with only_agent(Path(sys.argv[1])): os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert done.returncode == -9
    with only_agent(tmp_path):
        pass


def test_a_run_directory_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OperatorError, match="cannot use"), only_agent(tmp_path / "file" / "run"):
        pytest.fail("there is no such directory")
