"""Which stream a command answers on: a program reads JSON, and how an agent is, from stdout."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgeagent.cli import main


def ended(*words: str) -> int | str | None:
    with pytest.raises(SystemExit) as caught:
        main(list(words))
    return caught.value.code


@pytest.mark.parametrize("form", [["--json"], []])
def test_the_status_of_an_agent_that_is_not_ready_is_an_answer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], form: list[str]
) -> None:
    said = {"version": "1", "pid": 1, "state": "init", "reason": "", "components": {}, "connected": True, "results": 0}
    (tmp_path / "status.json").write_text(json.dumps(said))
    assert ended("status", "--run-dir", str(tmp_path), *form) == 1
    out, err = capsys.readouterr()
    assert (json.loads(out)["state"] == "init" if form else "init" in out) and err == ""


@pytest.mark.parametrize("command", ["check", "show"])
def test_mistakes_of_a_config_are_lines_on_stderr_and_json_on_stdout(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    file = tmp_path / "config.toml"
    file.write_text("nonsense = 1\n")
    assert ended("config", command, str(file)) == 2
    out, err = capsys.readouterr()
    assert out == "" and "nonsense" in err
    assert ended("config", command, str(file), "--json") == 2
    out, err = capsys.readouterr()
    assert [one["path"] for one in json.loads(out)["mistakes"]] == ["nonsense"] and err == ""
