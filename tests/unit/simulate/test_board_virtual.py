"""Making, remaking and loading virtual boards, and what is refused."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgeagent.errors import OperatorError
from edgeagent.simulate.board import VirtualBoard, load_board, make_board, reboot_board
from edgeagent.simulate.board_list import SPECS
from edgeagent.simulate.board_tree_disk import TOOLS


def contents(root: Path) -> dict[str, bytes | str]:
    """Every file's content and every link's target, by path."""
    found: dict[str, bytes | str] = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if path.is_symlink():
            found[name] = str(path.readlink())
        elif path.is_file():
            found[name] = path.read_bytes()
    return found


def test_an_unknown_name_lists_the_names_there_are(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="no virtual board called 'orin-giga'") as caught:
        make_board("orin-giga", tmp_path, seed=1)
    assert caught.value.mend == f"names: {', '.join(sorted([*SPECS, 'orin-nano']))}"
    assert caught.value.error_code == "virtual-board-name"


def test_one_seed_makes_one_tree(tmp_path: Path) -> None:
    first = contents(make_board("orin-nano", tmp_path / "a" / "board", seed=7).root)
    second = contents(make_board("orin-nano", tmp_path / "b" / "board", seed=7).root)
    differing = {name for name in first if first[name] != second[name]}
    assert set(first) == set(second)
    assert differing <= {f"bin/{tool}" for tool in TOOLS}


def test_a_directory_with_something_else_in_it_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").write_bytes(b"x")
    with pytest.raises(OperatorError, match="not empty"):
        make_board("orin-nano", tmp_path, seed=1)
    assert [path.name for path in tmp_path.iterdir()] == ["holiday.jpg"]


def test_the_machines_own_root_is_refused() -> None:
    with pytest.raises(OperatorError, match="not empty"):
        make_board("orin-nano", Path("/"), seed=1)


@pytest.mark.parametrize("name", ["board", "board/below"])
def test_a_file_is_the_operators_mistake_and_left_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / "board").write_text("mine\n")
    with pytest.raises(OperatorError, match="no virtual board can be written to") as caught:
        make_board("orin-nano", tmp_path / name, seed=1)
    assert caught.value.error_code == "virtual-board-directory"
    assert caught.value.mend
    assert (tmp_path / "board").read_text() == "mine\n"


@contextlib.contextmanager
def as_an_ordinary_user() -> Iterator[None]:
    """Root may write everywhere, so become nobody for a while."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


@pytest.fixture
def closed() -> Iterator[Path]:
    """A directory that everybody may read and nobody but root may write, outside of pytest's private ones."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        path.chmod(0o555)
        yield path
        path.chmod(0o700)


@pytest.mark.parametrize("name", [".", "board"])
def test_a_directory_that_cannot_be_written_is_the_operators_mistake(closed: Path, name: str) -> None:
    with as_an_ordinary_user(), pytest.raises(OperatorError, match="Permission denied") as caught:
        make_board("orin-nano", closed / name, seed=1)
    assert "name a directory that you may write" in caught.value.line()
    assert list(closed.iterdir()) == []


def test_another_user_s_board_cannot_be_rebooted(closed: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can make a board that another user may not write")
    make_board("orin-nano", closed, seed=1)
    with as_an_ordinary_user(), pytest.raises(OperatorError, match="Permission denied"):
        reboot_board(closed)


def test_remaking_keeps_the_agents_state_and_leaves_no_old_numbers(tmp_path: Path) -> None:
    make_board("orin-nano", tmp_path, seed=1)
    state = tmp_path / "var/lib/edgeagent/outbox.db"
    state.parent.mkdir()
    state.write_bytes(b"kept")
    remade = contents(make_board("orin-nano", tmp_path, seed=2).root)
    assert state.read_bytes() == b"kept"
    hwmons = [name for name in remade if name.startswith("sys/class/hwmon/")]
    assert len(hwmons) == 4


def test_load_board_gives_what_make_board_gave(tmp_path: Path) -> None:
    made = make_board("orin-nano", tmp_path, seed=5)
    assert load_board(tmp_path) == made
    assert isinstance(made, VirtualBoard)
    assert made.spec is SPECS["orin-nano-r36"]


def test_load_board_elsewhere_is_the_operators_mistake(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="no virtual board"):
        load_board(tmp_path)


def test_every_role_has_its_file(tmp_path: Path) -> None:
    board = make_board("orin-nano", tmp_path, seed=3)
    assert all(board.path(role).is_file() for role in board.files)
    assert board.path("zone:cpu-thermal").read_text().strip().isdigit()
