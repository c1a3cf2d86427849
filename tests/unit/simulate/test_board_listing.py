"""What `simulate boards` lists, and the wishes of `simulate board --misbehave`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgeagent.cli import main
from edgeagent.errors import OperatorError
from edgeagent.simulate.board import make_board
from edgeagent.simulate.board_list import ALIASES, SPECS
from edgeagent.simulate.listing import check_misbehaviour, list_boards, write_misbehaviour

JUNK = ["junk", "nvpmodel", "nvpmodel=dance", "toaster=hang", "=hang", ""]


def test_short_names_stand_beside_the_names_they_mean() -> None:
    lines = list_boards(as_json=False).splitlines()[: len(SPECS)]
    assert [line.split()[0] for line in lines] == list(SPECS)
    assert [line for line in lines if "orin-nano-r36 (also: orin-nano)  Jetson Orin Nano 8 GB" in line]
    assert sum("also:" in line for line in lines) == 1


def test_as_json_the_short_names_are_a_table_of_their_own() -> None:
    listed = json.loads(list_boards(as_json=True))
    assert (list(listed["boards"]), listed["aliases"]) == (list(SPECS), ALIASES)
    assert "hang" in listed["misbehaviours"]["nvpmodel"]


@pytest.mark.parametrize("wish", JUNK)
def test_a_wish_that_no_tool_knows_is_refused_and_nothing_is_written(tmp_path: Path, wish: str) -> None:
    for refuse in (check_misbehaviour, lambda wishes: write_misbehaviour(tmp_path, wishes)):
        with pytest.raises(OperatorError, match="is no misbehaviour") as caught:
            refuse(["nvpmodel=hang", wish])
        assert caught.value.mend
    assert list(tmp_path.iterdir()) == []


def test_wishes_are_gathered_by_tool(tmp_path: Path) -> None:
    wishes = ["nvpmodel=hang", "jetson_clocks=slow", "nvpmodel=warn"]
    words = {"nvpmodel": ["hang", "warn"], "jetson_clocks": ["slow"]}
    assert check_misbehaviour(wishes) == words
    write_misbehaviour(tmp_path, wishes)
    assert json.loads((tmp_path / "misbehave.json").read_text()) == words


def test_no_wish_writes_nothing(tmp_path: Path) -> None:
    write_misbehaviour(tmp_path, [])
    assert list(tmp_path.iterdir()) == []


def exit_code(*arguments: str) -> int | str | None:
    with pytest.raises(SystemExit) as ended:
        main(["simulate", *arguments])
    return ended.value.code


def test_a_wrong_wish_makes_no_board(tmp_path: Path) -> None:
    assert exit_code("board", "thor-r38", "--root", str(tmp_path / "new"), "--misbehave", "junk") == 2
    assert not (tmp_path / "new").exists()


def test_a_wrong_wish_remakes_no_board(tmp_path: Path) -> None:
    make_board("pc", tmp_path, seed=1)
    marker = (tmp_path / ".virtual-board.json").read_bytes()
    assert exit_code("board", "thor-r38", "--root", str(tmp_path), "--misbehave", "junk") == 2
    assert (tmp_path / ".virtual-board.json").read_bytes() == marker


def test_a_file_as_the_root_exits_with_2_and_says_how_to_mend_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("mine")
    assert exit_code("board", "pc", "--root", str(tmp_path / "file")) == 2
    assert "it is a file (name a directory that you may write)" in capsys.readouterr().err
