"""What the doctor looks for under --root, and what on this machine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgeagent.app.doctor import run_doctor
from edgeagent.app.doctor_facts import collect_machine
from edgeagent.errors import OperatorError
from edgeagent.simulate.board import make_board

SOON_S = 0.1


def lines(root: Path | None, config: Path | None = None) -> dict[str, str]:
    _, text = run_doctor(root, True, config, limit_s=SOON_S)
    return {check["name"]: check["text"] for check in json.loads(text)["checks"]}


@pytest.fixture
def virtual(tmp_path: Path) -> Path:
    """The config of an agent that runs on this machine with a virtual board."""
    board = make_board("agx-orin-r36", tmp_path / "board", seed=1).root
    config = tmp_path / "config.toml"
    config.write_text(
        f'[device]\nid = "line-3"\nboard_root = "{board}"\nstate_dir = "{tmp_path}/state"\n'
        f'[mqtt]\nusername = "line-3"\npassword_file = "{tmp_path}/password"\n'
        f'[cameras.door.source]\ntype = "v4l2"\ndevice = "/dev/video63"\n'
    )
    (tmp_path / "password").write_text("secret\n")
    (tmp_path / "password").chmod(0o600)
    (tmp_path / "state").mkdir()
    (board / "dev").mkdir(exist_ok=True)
    (board / "dev/video63").touch()
    return config


def test_where_an_agent_runs_here_with_a_virtual_board_its_paths_are_this_machine_s(
    virtual: Path, tmp_path: Path
) -> None:
    told = lines(tmp_path / "board", virtual)
    assert f"free for {tmp_path}/state" in told["disk"]
    assert told["broker files"] == "password_file: can be used"
    assert told["camera door"] == "there is no /dev/video63"


def test_where_the_root_is_a_whole_device_its_paths_are_below_it(virtual: Path, tmp_path: Path) -> None:
    virtual.write_text(virtual.read_text().replace(f'board_root = "{tmp_path}/board"\n', ""))
    told = lines(tmp_path / "board", virtual)
    assert f"free for {tmp_path}/board{tmp_path}/state (not made yet)" in told["disk"]
    belongs = f"not looked at, they belong to the device under {tmp_path}/board"
    assert told["broker files"] == f"password_file: {belongs}"
    assert told["camera door"] == "/dev/video63"


def test_without_a_root_the_board_is_the_one_that_the_config_names(virtual: Path, tmp_path: Path) -> None:
    found = json.loads(run_doctor(None, True, virtual, limit_s=SOON_S)[1])
    assert found["root"] == str(tmp_path / "board")
    assert any(check["name"] == "board" and "AGX Orin" in check["text"] for check in found["checks"])
    virtual.write_text("[device\n")
    assert json.loads(run_doctor(None, True, virtual, limit_s=SOON_S)[1])["root"] == "/"


def test_a_board_that_the_config_names_and_that_is_not_there_is_refused(virtual: Path, tmp_path: Path) -> None:
    virtual.write_text(f'[device]\nboard_root = "{tmp_path}/gone"\n')
    with pytest.raises(OperatorError, match="gone is no directory") as refused:
        run_doctor(None, True, virtual, limit_s=SOON_S)
    assert "device.board_root" in (refused.value.mend or "")


def test_a_config_that_is_named_is_not_looked_for_under_the_root(tmp_path: Path) -> None:
    """Not even the one at its usual place, which an agent that runs with a virtual board has."""
    make_board("pc", tmp_path / "board", seed=1)
    told = lines(tmp_path / "board", Path("/etc/edgeagent/config.toml"))
    assert str(tmp_path) not in told["config"]
    assert lines(tmp_path / "board")["config"].startswith(f"no {tmp_path}/board/etc/edgeagent")


def test_user_clock_and_jtop_are_this_machine_s(tmp_path: Path) -> None:
    for path in ("run/jtop.sock", "run/systemd/timesync/synchronized"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    board, here = (collect_machine(root, tmp_path, "line-3") for root in (tmp_path, Path("/")))
    assert (board.user, board.clock, board.jtop_socket) == (here.user, here.clock, here.jtop_socket)
    assert collect_machine(tmp_path, tmp_path, "line-3", contained=True).clock.of_host
