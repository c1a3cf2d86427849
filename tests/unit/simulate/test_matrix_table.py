"""The table of boards and intents: one row a pair, whatever came of it, and an exit code that tells."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from edgeagent.simulate.matrix import INTENTS, Row, judged, render_rows, run_matrix

APPLIED = Row("orin-nano-r36", "low-power", "", "25W", "mode", "7W", 4, 2, "applied", "yes, 10 values", "yes", ok=True)
REFUSED = Row("pc", "build", "", "-", "refused", "-", 0, 0, "no", "-", "untouched", "this is not a Jetson", ok=True)
WRONG = Row("thor-r38", "build", "", "120W", "fan", "120W", 2, 0, "failed", "no", "yes", "not verified: it hangs")


def test_one_table_with_a_row_for_every_pair() -> None:
    assert render_rows([APPLIED, REFUSED, WRONG]) == (
        "board          intent     mode       planned  calls  reboots  applied  verified        restored   right"
        "  reason\n"
        "orin-nano-r36  low-power  25W -> 7W  mode     4      2        applied  yes, 10 values  yes        yes\n"
        "pc             build      -          refused  0      0        no       -               untouched  yes"
        "    this is not a Jetson\n"
        "thor-r38       build      120W       fan      2      0        failed   no              yes        WRONG"
        "  not verified: it hangs\n"
        "\n"
        "3 boards, 3 pairs: 1 applied, verified and restored, 1 refused as they should be, 1 WRONG"
    )


@pytest.mark.parametrize("name", ["pc", "container"])
def test_a_board_without_modes_has_a_row_for_every_intent(name: str) -> None:
    code, text = run_matrix([name], as_json=True)
    rows = json.loads(text)
    assert code == 0
    assert [row["intent"] for row in rows] == list(INTENTS)
    assert {(row["planned"], row["applied"], row["restored"], row["ok"]) for row in rows} == {
        ("refused", "no", "untouched", True)
    }


def test_what_should_have_been_the_other_way_round_is_wrong() -> None:
    assert (judged(APPLIED), judged(REFUSED)) == (APPLIED, REFUSED)
    refused = judged(replace(REFUSED, board="orin-nano-r36"))
    assert (refused.ok, refused.reason) == (False, "should not have been refused; this is not a Jetson")
    applied = judged(replace(APPLIED, board="unknown-module"))
    assert (applied.ok, applied.reason) == (False, "should have been refused")
