"""docs/commands.md says what there is: every command with its arguments, turn and limit, and every refusal."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import edgeagent.app.job_intake
import edgeagent.app.jobs
import edgeagent.fleet.job_verdict
from edgeagent.app.commands_all import KINDS

TEXT = (Path(__file__).parents[3] / "docs/commands.md").read_text()
ROWS = {row.split("|")[1].strip(" `"): row for row in TEXT.splitlines() if row.startswith("| `")}
TURNS = {"at_once": "at once", "beside": "beside", "alone": "alone"}


@pytest.mark.parametrize("name", KINDS)
def test_a_command_stands_there_with_its_arguments(name: str) -> None:
    _, _, args, turn, _, _ = re.split(r"(?<!\\)\|", ROWS[name])
    kind = KINDS[name]
    for argument in kind.args.model_fields:
        assert f"`{argument}`" in args, argument
    assert turn.strip().startswith(TURNS[kind.turn])
    limit_s = kind.timeout_s
    told = {360 * 60: "6 h", 3600: "1 h"}.get(int(limit_s), f"{limit_s / 60:g} min")
    assert kind.turn == "at_once" or told in turn, told


def test_no_command_stands_there_that_does_not_exist() -> None:
    section = TEXT[TEXT.index("## The commands") : TEXT.index("Other codes")]
    named = {row.split("|")[1].strip(" `") for row in section.splitlines() if row.startswith("| `")}
    assert named == set(KINDS)


def test_every_refusal_is_explained() -> None:
    codes = set()
    for module in (edgeagent.app.jobs, edgeagent.app.job_intake, edgeagent.fleet.job_verdict):
        source = Path(str(module.__file__)).read_text()
        codes |= set(re.findall(r'(?:refusal|Stale)\(\s*"([a-z_]+)"', source))
    assert {"retained", "expired", "busy", "id_reused", "not_allowed"} <= codes
    for code in (codes | {"bad_message", "too_large", "bad_args", "jobs_not_stored", "busy", "not_allowed"}) - {
        "internal"
    }:
        assert code in ROWS, code
