"""What `edgeagent fleet` and `edgeagent simulate fleet` understand on the command line."""

from __future__ import annotations

import json

import pytest

from edgeagent.cli import main
from edgeagent.cli_parser import make_parser


def test_settings_and_devices_stand_side_by_side() -> None:
    options = make_parser().parse_args(["fleet", "config", "set", "a", "b", "x.y=1", "--trial", "5"])
    assert (options.word, options.trial, options.no_wait) == (["a", "b", "x.y=1"], 5.0, False)


def test_a_command_has_a_name_and_whom_it_is_for() -> None:
    options = make_parser().parse_args(["fleet", "cmd", "--group", "g", "doctor"])
    assert (options.name, options.word, options.group, options.all) == ("doctor", [], "g", False)


@pytest.mark.parametrize(
    "words",
    [
        ["fleet"],
        ["fleet", "cmd"],
        ["fleet", "cmd", "doctor", "--group", "g", "--all"],
        ["fleet", "config", "get"],
        ["fleet", "cmd", "doctor", "d", "--deadline", "-1"],
        ["fleet", "cmd", "doctor", "d", "--deadline", "soon"],
        ["simulate", "fleet", "--devices", "0"],
        ["simulate", "fleet", "--devices", "many"],
        ["simulate", "fleet", "--rate", "nan"],
    ],
)
def test_what_cannot_be_meant_is_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        make_parser().parse_args(words)
    assert end.value.code == 2
    assert "usage: edgeagent" in capsys.readouterr().err


def run(*words: str) -> object:
    with pytest.raises(SystemExit) as end:
        main(list(words))
    return end.value.code


def test_the_contract_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("edgeagent.fleet.schemas", reason="the schemas of both directions are not part of this tree")
    assert run("fleet", "schema", "status") == 0
    assert json.loads(capsys.readouterr().out)["properties"]["schema"]
    assert run("fleet", "schema", "--asyncapi") == 0
    assert json.loads(capsys.readouterr().out)["asyncapi"].startswith("3.")
    assert run("fleet", "schema", "nothing") == 2


def test_the_integrations_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("edgeagent.fleet.integrations", reason="the files for other programs are not part of this tree")
    assert run("fleet", "integration") == 0
    names = capsys.readouterr().out.split()
    assert "telegraf" in names
    for name in names:
        assert run("fleet", "integration", name) == 0
        assert capsys.readouterr().out.strip()
