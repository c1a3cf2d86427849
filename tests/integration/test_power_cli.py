"""`edgeagent power ...` as a person types it, on virtual boards: output, exit codes, and what it leaves alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from agent_kit import Family, command_line

from edgeagent.simulate.board import VirtualBoard, make_board

ON_ANOTHER_BOARD = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory to somebody else")


@pytest.fixture
def board(tmp_path: Path) -> VirtualBoard:
    return make_board("orin-nano", tmp_path / "board", seed=4)


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return command_line(*map(str, arguments), family=Family())


def power(board: VirtualBoard, *arguments: str) -> subprocess.CompletedProcess[str]:
    action, *rest = arguments
    return run("power", action, "--root", board.root, *rest)


def test_list_shows_what_each_intent_means_here(board: VirtualBoard):
    text = power(board, "list").stdout
    assert "max-performance  MAXN_SUPER, clocks locked, fan cool" in text
    assert "low-power        7W, clocks free, fan quiet, wants a reboot" in text
    assert "1  25W  (default, now)" in text
    found = json.loads(power(board, "list", "--json").stdout)
    assert [mode["name"] for mode in found["modes"]] == ["15W", "25W", "MAXN_SUPER", "7W"]
    assert found["intents"][0]["target"]["mode_name"] == "MAXN_SUPER"


def test_a_dry_run_says_what_would_be_done_and_does_nothing(board: VirtualBoard):
    status = board.root / "var/lib/nvpmodel/status"
    before = status.read_text()
    done = power(board, "apply", "max-performance", "--dry-run")
    assert done.returncode == 0
    assert done.stdout.splitlines()[0] == "1. set the power mode MAXN_SUPER"
    assert status.read_text() == before
    assert not (board.root / "run/edgeagent-power").exists()


def test_apply_show_restore(board: VirtualBoard):
    assert "MAXN_SUPER is in force" in power(board, "apply", "max-performance").stdout
    shown = json.loads(power(board, "show", "--json").stdout)
    assert (shown["mode"], shown["clocks_locked"], shown["fan_profile"]) == ("MAXN_SUPER", True, "cool")
    assert shown["found_at_first_start"]["mode_name"] == "25W"
    assert "25W is in force" in power(board, "restore").stdout
    again = power(board, "restore")
    assert again.returncode == 0
    assert "nothing to restore" in again.stdout


def test_a_mode_that_wants_a_reboot_is_exit_1_and_names_the_option(board: VirtualBoard):
    done = power(board, "apply", "low-power")
    assert done.returncode == 1
    assert "--allow-reboot" in done.stdout
    (board.root / "proc/uptime").write_text("4000.0 1.0\n")
    asked = power(board, "apply", "low-power", "--allow-reboot")
    assert asked.returncode == 0
    assert "after the reboot" in asked.stdout
    assert "was asked for" in power(board, "show").stdout
    assert run("simulate", "reboot", "--root", board.root).returncode == 0
    assert "7W is in force" in power(board, "apply", "low-power").stdout


def test_a_required_reboot_is_shown_everywhere_until_it_has_come(board: VirtualBoard):
    said = "reboot  required for 7W, none was made: sudo edgeagent power apply low-power --allow-reboot"
    assert power(board, "apply", "low-power").returncode == 1
    assert run("simulate", "reboot", "--root", board.root).returncode == 0  # a plain reboot does not bring it
    assert said in power(board, "show").stdout
    assert said in power(board, "list").stdout
    assert said in run("board", "--root", board.root).stdout
    assert "reboot required for the power mode 7W" in run("doctor", "--root", board.root).stdout
    for command in (["power", "show"], ["power", "list"], ["board"]):
        shown = json.loads(run(*command, "--root", board.root, "--json").stdout)
        assert shown["reboot_required"]["mode_name"] == "7W"
    assert power(board, "apply", "balanced").returncode == 0
    assert "required" not in power(board, "show").stdout


def test_the_noted_mode_is_not_taken_for_the_one_in_force(board: VirtualBoard):
    (board.root / "misbehave.json").write_text('{"nvpmodel": ["chroot"]}')
    assert power(board, "apply", "max-performance").returncode == 1
    text = power(board, "show").stdout
    assert "MAXN_SUPER is what nvpmodel noted; 25W is in force" in text
    assert "the highest clock of GPU is 918000000, not 1020000000" in text
    listed = power(board, "list").stdout
    assert "MAXN_SUPER  (noted by nvpmodel, not in force)" in listed
    assert "25W  (default, now)" in listed
    shown = json.loads(power(board, "show", "--json").stdout)
    assert (shown["mode"], shown["mode_in_force"]) == ("MAXN_SUPER", "25W")


def test_until_the_boot_has_come_the_mode_of_before_is_in_force(board: VirtualBoard):
    (board.root / "proc/uptime").write_text("4000.0 1.0\n")
    asked = power(board, "apply", "low-power", "--allow-reboot", "--json")
    assert (asked.returncode, json.loads(asked.stdout)["state"]) == (0, "rebooting")
    assert "7W is what nvpmodel noted; 25W is in force" in power(board, "show").stdout
    modes = {mode["name"]: mode for mode in json.loads(power(board, "list", "--json").stdout)["modes"]}
    assert (modes["7W"]["noted"], modes["7W"]["in_force"], modes["25W"]["in_force"]) == (True, False, True)
    assert run("simulate", "reboot", "--root", board.root).returncode == 0
    assert "mode    7W\n" in power(board, "show").stdout


def test_ends_of_single_clocks_that_were_there_before_come_back(board: VirtualBoard):
    cpus = board.root / "sys/devices/system/cpu"
    capped, raised = cpus / "cpu0/cpufreq/scaling_max_freq", cpus / "cpu4/cpufreq/scaling_min_freq"
    capped.write_text("960000\n")
    raised.write_text("883200\n")
    assert power(board, "apply", "max-performance").returncode == 0
    assert "2 clocks with ends of their own" in power(board, "show").stdout
    assert power(board, "restore").returncode == 0
    assert (capped.read_text().strip(), raised.read_text().strip()) == ("960000", "883200")


def test_a_damaged_memory_is_told_and_a_look_writes_nothing(board: VirtualBoard):
    assert power(board, "apply", "max-performance").returncode == 0
    memory = board.root / "var/lib/edgeagent/power.json"
    memory.write_text("{")
    for command in (["show"], ["list"], ["apply", "build", "--dry-run"]):
        assert "power.json is damaged; what the board was before is not known" in power(board, *command).stdout
        assert "is damaged" in json.loads(power(board, *command, "--json").stdout)["memory_problem"]
    assert memory.read_text() == "{"
    assert [path.name for path in memory.parent.iterdir()] == ["power.json"]
    done = power(board, "restore")
    assert "put aside as power.damaged" in done.stdout
    assert "leaves the fan alone" in done.stdout
    assert (memory.parent / "power.damaged").read_text() == "{"


def test_reboots_of_a_person_count_against_the_configs_limit(board: VirtualBoard):
    (board.root / "proc/uptime").write_text("4000.0 1.0\n")
    assert power(board, "apply", "low-power", "--allow-reboot").returncode == 0
    assert run("simulate", "reboot", "--root", board.root).returncode == 0
    (board.root / "proc/uptime").write_text("4000.0 1.0\n")
    refused = power(board, "restore", "--allow-reboot")
    assert refused.returncode == 1
    assert "the 1 that a day allows were used up (power.max_reboots_per_day)" in refused.stdout
    config = board.root / "etc/edgeagent/config.toml"
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text("[power]\nmax_reboots_per_day = 20\n")
    wrong = power(board, "restore", "--allow-reboot")
    assert (wrong.returncode, "power.max_reboots_per_day" in wrong.stderr) == (2, True)  # and no other limit is taken
    config.write_text("[power]\nmax_reboots_per_day = 2\n")
    assert power(board, "restore", "--allow-reboot").returncode == 0


def test_a_named_socket_is_asked_even_by_the_owner_of_the_root(board: VirtualBoard, tmp_path: Path):
    done = power(board, "apply", "max-performance", "--socket", str(tmp_path / "nobody"))
    assert done.returncode == 1
    assert str(tmp_path / "nobody") in done.stdout
    assert not (board.root / "run/edgeagent-power").exists()


def test_the_machines_own_helper_is_never_asked_for_another_board(board: VirtualBoard):
    done = power(board, "apply", "max-performance", "--socket", "/run/edgeagent-power.sock")
    assert done.returncode == 2
    assert "is another board" in done.stderr
    assert not (board.root / "var/lib/edgeagent/power.json").exists()


@pytest.mark.parametrize("kind", ["empty", "directory", "pipe", "gone"])
def test_why_there_is_no_table_of_modes_is_told(board: VirtualBoard, kind: str):
    conf = board.root / "etc/nvpmodel.conf"
    conf.unlink()
    if kind == "empty":
        conf.touch()
    elif kind == "directory":
        conf.mkdir()
    elif kind == "pipe":
        os.mkfifo(conf)
    words = {"empty": "is empty", "directory": "is a directory", "pipe": "is no ordinary file", "gone": "has no /etc"}
    done = power(board, "show")
    assert done.returncode == 1
    assert words[kind] in done.stderr
    assert ("install the package" in done.stderr) == (kind == "gone")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["power", "apply", "fast", "--root", "BOARD"], 2, "it has: max-performance, balanced, low-power, build"),
        (["power", "list", "--root", "/nowhere"], 2, "/nowhere is no directory"),
        (["board", "--root", "/etc/hostname"], 2, "is no directory"),
        (["power", "list", "--root", "BOARD", "--profiles", "/nowhere"], 2, "--profiles"),
        (["power", "apply", "balanced", "--root", "EMPTY"], 1, "not a Jetson"),
        (["simulate", "reboot", "--root", "EMPTY"], 2, "is no virtual board"),
        (["simulate", "matrix", "--board", "nothing"], 2, "no virtual board called"),
        (["bench", "telemetry", "--board", "nothing"], 2, "no virtual board called"),
    ],
)
def test_what_is_wrong_is_one_line_and_the_right_exit_code(
    board: VirtualBoard, tmp_path: Path, arguments: list[str], code: int, words: str
):
    (tmp_path / "empty").mkdir()
    places = {"BOARD": str(board.root), "EMPTY": str(tmp_path / "empty")}
    done = run(*(places.get(argument, argument) for argument in arguments))
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert list((tmp_path / "empty").iterdir()) == []  # what is refused writes nothing


def test_a_container_is_refused_everywhere(tmp_path: Path):
    board = make_board("container", tmp_path / "board", seed=1)
    for arguments in (["list"], ["apply", "balanced", "--dry-run"], ["apply", "balanced"], ["restore"]):
        done = power(board, *arguments)
        assert done.returncode == 1
        assert "inside a container (docker)" in done.stderr


@ON_ANOTHER_BOARD
def test_a_board_of_another_user_never_reaches_the_machines_own_helper(board: VirtualBoard):
    os.chown(board.root, 65534, 65534)
    done = power(board, "apply", "max-performance")
    assert done.returncode == 2
    assert "belongs to another user" in done.stderr


def test_ctrl_c_ends_it_without_a_traceback(board: VirtualBoard):
    (board.root / "misbehave.json").write_text('{"nvpmodel": ["slow"]}')
    command = [
        sys.executable,
        "-m",
        "edgeagent",
        "power",
        "apply",
        "max-performance",
        "--verbose",
        "--root",
        str(board.root),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True) as process:
        memory = board.root / "var/lib/edgeagent/power.json"
        while not memory.exists():  # it is written right before the first call
            assert process.poll() is None
            os.sched_yield()
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"Traceback" not in stderr
