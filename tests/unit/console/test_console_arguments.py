"""What stands where on the line of `edgeagent fleet cmd` and `config set`."""

from __future__ import annotations

from itertools import permutations

import pytest

from edgeagent import cli, cli_fleet
from edgeagent.fleet import inbound

PARTS = [("restart",), ("--group", "yard"), ("camera=belt",), ("--answer", "3")]
NAME_FIRST = [line for line in permutations(PARTS) if line.index(PARTS[0]) < line.index(PARTS[2])]


@pytest.mark.parametrize("line", NAME_FIRST)
def test_options_and_words_in_any_order(line: tuple[tuple[str, ...], ...]) -> None:
    options = cli.parsed(["fleet", "cmd", *(word for part in line for word in part)])
    assert (options.name, options.group, options.word, options.answer) == ("restart", "yard", ["camera=belt"], 3.0)


def test_an_option_between_devices_and_settings() -> None:
    options = cli.parsed(["fleet", "config", "set", "gate-1", "--patch", "a.b=-1", "--trial", "2", "gate-2"])
    assert (options.word, options.patch, options.trial) == (["gate-1", "a.b=-1", "gate-2"], True, 2.0)


@pytest.mark.parametrize("line", [["fleet", "cmd", "doctor", "--bogus", "gate-1"], ["fleet", "watch", "gate-1"]])
def test_what_is_not_understood_is_refused(line: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.parsed(line)
    assert "unrecognized arguments" in capsys.readouterr().err


@pytest.mark.parametrize("seconds", ["0.5", "3601", "long", "nan"])
def test_a_trial_that_no_device_would_take_is_refused_here(seconds: str) -> None:
    with pytest.raises(SystemExit):
        cli.parsed(["fleet", "config", "set", "gate-1", "a.b=1", "--trial", seconds])


def test_the_console_and_the_wish_have_the_same_bounds() -> None:
    assert (cli_fleet.LEAST_TRIAL_S, cli_fleet.MOST_TRIAL_S) == (inbound.LEAST_TRIAL_S, inbound.MOST_TRIAL_S)
