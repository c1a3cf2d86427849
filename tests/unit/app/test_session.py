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


@pytest.mark.parametrize("content", [b"", b"many", b"-5", b"\xff\xfe", b"1" * 16, b"9" * 9000])
def test_a_damaged_count_is_mended_by_the_next_start(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "starts").write_bytes(content)
    first, second = (int(next_session(tmp_path).rpartition("-")[2]) for _ in range(2))
    assert second == first + 1


def test_without_a_state_directory_no_session_comes_twice(tmp_path: Path) -> None:
    """A process id would: in a container it is the same with every start, and events would repeat each other's ids."""
    (tmp_path / "file").write_text("")
    code = (
        "import sys; from pathlib import Path; from edgeagent.app.session import next_session\n"
        "print(next_session(Path(sys.argv[1])))"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "file" / "state")]
    first, second = (subprocess.run(command, check=True, capture_output=True, text=True).stdout for _ in range(2))
    assert int(first.rpartition("-")[2]) < int(second.rpartition("-")[2])


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
