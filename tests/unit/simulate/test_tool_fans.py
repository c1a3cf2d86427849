"""The stand-ins for nvfancontrol and systemctl: profiles, the service's state, reboots, and what they refuse."""

from __future__ import annotations

from pathlib import Path

import pytest
from toolbox import CPU, edit, give_away, reboot_is_pending, run, text

from edgeagent.simulate.board import VirtualBoard, make_board, reboot_board

CONF = "etc/nvfancontrol.conf"
STATUS = "var/lib/nvfancontrol/status"


@pytest.fixture
def board(tmp_path: Path) -> VirtualBoard:
    return make_board("orin-nano", tmp_path / "board", seed=11)


def other(name: str, tmp_path: Path) -> VirtualBoard:
    return make_board(name, tmp_path / name, seed=11)


def profile(board: VirtualBoard) -> str:
    done = run(board, "nvfancontrol", "-q")
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()[0]


def choose(board: VirtualBoard, name: str) -> None:
    edit(board, CONF, r"FAN_DEFAULT_PROFILE \w+", f"FAN_DEFAULT_PROFILE {name}")


def restart_fans(board: VirtualBoard) -> object:
    return run(board, "systemctl", "restart", "nvfancontrol.service")


def different(board: VirtualBoard) -> str:
    return "quiet" if profile(board).endswith("cool") else "cool"


# --- nvfancontrol ----------------------------------------------------------------------------------------------------


def test_the_query_names_profile_governor_and_control(board: VirtualBoard) -> None:
    lines = run(board, "nvfancontrol", "-q").stdout.splitlines()
    assert [line.rpartition(":")[0] for line in lines] == [
        "FAN1:FAN_PROFILE",
        "FAN1:FAN_GOVERNOR",
        "FAN1:FAN_CONTROL",
    ]


def test_a_new_default_counts_once_the_status_is_gone_and_the_service_restarted(board: VirtualBoard) -> None:
    new = different(board)
    choose(board, new)
    assert run(board, "systemctl", "restart", "nvfancontrol").returncode == 0
    assert profile(board) != f"FAN1:FAN_PROFILE:{new}"
    (board.root / STATUS).unlink()
    done = run(board, "systemctl", "restart", "nvfancontrol")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert profile(board) == f"FAN1:FAN_PROFILE:{new}"
    assert text(board, STATUS) == run(board, "nvfancontrol", "-q").stdout


def test_a_profile_stays_over_a_reboot(board: VirtualBoard) -> None:
    new = different(board)
    choose(board, new)
    (board.root / STATUS).unlink()
    run(board, "systemctl", "restart", "nvfancontrol")
    assert profile(reboot_board(board.root)) == f"FAN1:FAN_PROFILE:{new}"


def test_an_ordinary_user_may_not_even_ask(board: VirtualBoard) -> None:
    give_away(board)
    done = run(board, "nvfancontrol", "-q")
    assert done.returncode == 1
    assert "Sudo permissions are required" in done.stderr


def test_nvfancontrol_knows_no_other_option(board: VirtualBoard) -> None:
    assert run(board, "nvfancontrol", "-p").returncode == 1


def test_a_default_that_is_no_profile_keeps_the_service_from_starting(board: VirtualBoard) -> None:
    choose(board, "loud")
    (board.root / STATUS).unlink()
    done = run(board, "systemctl", "restart", "nvfancontrol")
    assert done.returncode == 1
    assert done.stderr.startswith("Job for nvfancontrol.service failed")
    done = run(board, "nvfancontrol", "-q")
    assert (done.returncode, done.stderr) == (1, "NVFAN ERROR: FAN 1: the default of FAN_PROFILE is not declared\n")


def test_remarks_in_the_conf_are_remarks(board: VirtualBoard) -> None:
    before = profile(board)
    edit(board, CONF, r"^(\s*)FAN_DEFAULT_PROFILE", r"# FAN_DEFAULT_PROFILE loud\n\1FAN_DEFAULT_PROFILE")
    (board.root / STATUS).unlink()
    assert run(board, "systemctl", "restart", "nvfancontrol").returncode == 0
    assert profile(board) == before


def test_r32_has_no_nvfancontrol(tmp_path: Path) -> None:
    nano = other("nano-r32", tmp_path)
    assert not (nano.bin_dir / "nvfancontrol").exists()
    assert run(nano, "systemctl", "is-active", "nvfancontrol").returncode == 3
    done = run(nano, "systemctl", "restart", "nvfancontrol")
    assert (done.returncode, done.stderr) == (
        5,
        "Failed to restart nvfancontrol.service: Unit nvfancontrol.service not found.\n",
    )


def test_a_pc_has_none_of_the_tools(tmp_path: Path) -> None:
    pc = other("pc", tmp_path)
    assert not pc.bin_dir.exists() or not list(pc.bin_dir.iterdir())


# --- systemctl -------------------------------------------------------------------------------------------------------


def test_a_stopped_service_runs_again_after_a_restart_or_a_reboot(board: VirtualBoard) -> None:
    for revive in (restart_fans, lambda board: reboot_board(board.root)):
        run(board, "jetson_clocks", "--fan")
        done = run(board, "systemctl", "is-active", "nvfancontrol")
        assert (done.returncode, done.stdout) == (3, "inactive\n")
        revive(board)
        done = run(board, "systemctl", "is-active", "nvfancontrol.service")
        assert (done.returncode, done.stdout) == (0, "active\n")


def test_a_oneshot_that_has_run_and_a_unit_there_is_not_are_inactive(board: VirtualBoard) -> None:
    assert run(board, "systemctl", "is-active", "nvpmodel").stdout == "inactive\n"
    assert run(board, "systemctl", "is-active", "nothing").returncode == 3


def test_restarting_nvpmodel_undoes_clock_locks(board: VirtualBoard) -> None:
    run(board, "jetson_clocks")
    assert run(board, "systemctl", "restart", "nvpmodel").returncode == 0
    assert text(board, f"{CPU}/cpu0/cpufreq/scaling_min_freq") == "729600\n"


def test_restarting_nvpmodel_fails_where_it_would_have_to_ask(board: VirtualBoard) -> None:
    (board.root / "var/lib/nvpmodel/status").write_text("pmode:0003")
    done = run(board, "systemctl", "restart", "nvpmodel")
    assert done.returncode == 1
    assert done.stderr.startswith("Job for nvpmodel.service failed")
    assert text(board, f"{CPU}/online") == "0-5\n"


def test_a_reboot_is_left_to_whoever_holds_the_board(board: VirtualBoard) -> None:
    done = run(board, "systemctl", "reboot")
    assert (done.returncode, done.stdout) == (0, "")
    assert reboot_is_pending(board)


@pytest.mark.parametrize("words", [["reboot"], ["restart", "nvfancontrol"]])
def test_an_ordinary_user_must_prove_who_he_is(board: VirtualBoard, words: list[str]) -> None:
    give_away(board)
    done = run(board, "systemctl", *words)
    assert done.returncode == 1
    assert "Interactive authentication required." in done.stderr
    assert not reboot_is_pending(board)


@pytest.mark.parametrize(
    ("words", "status", "complaint"),
    [
        (["restart", "ssh"], 5, "Failed to restart ssh.service: Unit ssh.service not found.\n"),
        (["kexec"], 1, "Unknown command verb kexec.\n"),
        (["reboot", "now"], 1, "Unknown command verb reboot.\n"),
        ([], 1, "Too few arguments.\n"),
    ],
)
def test_what_systemctl_does_not_do(board: VirtualBoard, words: list[str], status: int, complaint: str) -> None:
    done = run(board, "systemctl", *words)
    assert (done.returncode, done.stderr) == (status, complaint)


def test_a_container_has_no_systemd(tmp_path: Path) -> None:
    container = other("container", tmp_path)
    done = run(container, "systemctl", "reboot")
    assert done.returncode == 1
    assert done.stderr.startswith("System has not been booted with systemd")
    assert not reboot_is_pending(container)
