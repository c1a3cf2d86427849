"""`edgeagent fleet` as an operator runs it: a real mosquitto, simulated devices with the real protocol, processes."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fleet_cli_kit import Operator, simulated
from test_link_kit import WAIT_S, Ear, needs_mosquitto, program

from edgeagent.fleet.inbound import parse_desired

pytestmark = needs_mosquitto

DEVICES = 32
WELL, WELL_TOO, DEGRADED, BUILDING, LOST = "sim-0001", "sim-0002", "sim-0026", "sim-0005", "sim-0000"
MIN_SCORE = "pipelines.people.min_score"


@pytest.fixture(scope="module")
def ops(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    with simulated(tmp_path_factory.mktemp("fleet"), DEVICES) as operator:
        wait_until(lambda: row(operator, LOST)["state"] == "lost")
        yield operator


def wait_until(holds: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 2 * WAIT_S
    while not holds():
        assert time.monotonic() < deadline_s


def row(ops: Operator, device: str) -> dict:
    return next(each for each in ops.json("watch", "--once", "--only", device)[1] if each["device"] == device)


def test_once_shows_every_device(ops: Operator) -> None:
    code, rows = ops.json("watch", "--once")
    assert (code, len(rows)) == (0, DEVICES)
    by_name = {each["device"]: each for each in rows}
    assert (by_name[WELL]["state"], by_name[WELL]["trouble"], by_name[WELL]["module"]) == (
        "ready",
        False,
        "Orin Nano 8GB",
    )
    assert by_name[WELL]["temp_c"] > 30
    assert by_name[WELL]["fps"] > 25
    assert by_name[BUILDING]["engines"]["people"]["state"] == "building"
    assert (by_name[DEGRADED]["state"], by_name[DEGRADED]["trouble"]) == ("degraded", True)
    assert (by_name[LOST]["state"], by_name[LOST]["temp_c"]) == ("lost", None)


def test_once_in_text_with_a_filter_and_totals(ops: Operator) -> None:
    done = ops.fleet("watch", "--once", "--trouble", "--sort", "state")
    lines = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (0, "")
    assert lines[0].startswith("device")
    assert lines[1].split()[:2] == [f"default/{LOST}", "lost"]
    assert lines[-1].startswith(f"{DEVICES} devices: ")


def test_a_good_wish_is_committed_on_both_devices_and_shown(ops: Operator) -> None:
    done = ops.fleet("config", "set", WELL, WELL_TOO, f"{MIN_SCORE}=0.4")
    assert done.returncode == 0, done.stderr
    assert [line.rpartition(" ")[2] for line in done.stdout.splitlines()] == ["committed", "committed"]
    assert re.search(rf"default/{WELL}: trial", done.stderr)
    code, (shown,) = ops.json("config", "get", WELL)
    assert (code, shown["reported"]["state"], shown["pending"]) == (0, "committed", None)
    assert shown["reported"]["desired"] == {"pipelines": {"people": {"min_score": 0.4}}}
    assert f"{MIN_SCORE} = 0.4" in ops.fleet("config", "get", WELL).stdout
    assert f"{MIN_SCORE}: 0.4  (desired)" in ops.fleet("config", "get", "--effective", WELL).stdout


def test_settings_add_up_and_are_taken_back(ops: Operator) -> None:
    device = "sim-0003"
    assert ops.fleet("config", "set", device, f"{MIN_SCORE}=0.4").returncode == 0
    assert ops.fleet("config", "set", device, "pipelines.people.iou=0.5", "--patch").returncode == 0
    (shown,) = ops.json("config", "get", device)[1]
    assert shown["reported"]["desired"]["pipelines"] == {"people": {"min_score": 0.4, "iou": 0.5}}
    assert ops.fleet("config", "set", device, f"{MIN_SCORE}=null").returncode == 0
    (shown,) = ops.json("config", "get", device)[1]
    assert shown["reported"]["desired"]["pipelines"] == {"people": {"iou": 0.5}}
    assert ops.fleet("config", "clear", device).returncode == 0
    assert ops.json("config", "get", device)[1][0]["reported"]["desired"] == {}


def test_a_file_is_the_whole_layer(ops: Operator, tmp_path: Path) -> None:
    file = tmp_path / "wish.toml"
    file.write_text("[pipelines.people]\nmin_score = 0.6\n")
    device = "sim-0004"
    assert ops.fleet("config", "set", device, "pipelines.people.iou=0.5").returncode == 0
    assert ops.fleet("config", "set", device, "--file", str(file)).returncode == 0
    (shown,) = ops.json("config", "get", device)[1]
    assert shown["reported"]["desired"] == {"pipelines": {"people": {"min_score": 0.6}}}


def test_a_wish_with_mistakes_is_2_and_a_line_for_each(ops: Operator) -> None:
    done = ops.fleet("config", "set", "sim-0006", f"{MIN_SCORE}=7", "pipelines.people.bogus=1")
    assert done.returncode == 2
    lines = [line for line in done.stdout.splitlines() if "pipelines.people" in line]
    assert [line.split(": ")[1] for line in lines] == [MIN_SCORE, "pipelines.people.bogus"]


def test_a_wish_that_does_not_hold_is_1(ops: Operator) -> None:
    code, (end,) = ops.json("config", "set", "sim-0007", "mqtt.url=mqtt://elsewhere", "--trial", "1")
    assert (code, end["state"]) == (1, "rolled_back")
    assert "the link was not up" in end["reason"]


def test_a_device_that_is_not_there_does_not_answer(ops: Operator) -> None:
    code, (end,) = ops.json("config", "set", LOST, f"{MIN_SCORE}=0.4", "--answer", "1")
    assert (code, end["state"]) == (1, "no_answer")
    assert end["reason"].startswith("the device is lost; the wish stays")
    code, (shown,) = ops.json("config", "get", LOST)
    assert (code, shown["pending"]["version"]) == (0, end["version"])


def test_a_name_that_nobody_has_is_2_and_nothing_is_published(ops: Operator) -> None:
    heard = Ear()
    listen = ["mosquitto_sub", "-p", str(ops.port), "-t", "edgeagent/v1/default/sim-7777/#", "-W", "3"]
    with program(listen, heard):
        done = ops.fleet("config", "set", "sim-7777", f"{MIN_SCORE}=0.4")
    assert done.returncode == 2
    assert "has never reported a config" in done.stderr
    assert not any(line.startswith("{") for line in heard.items)


def test_a_wish_can_be_left_for_a_device_that_was_never_seen(ops: Operator) -> None:
    done = ops.fleet("config", "set", "sim-8888", f"{MIN_SCORE}=0.4", "--unseen", "--no-wait")
    assert done.returncode == 0
    topic = "edgeagent/v1/default/sim-8888/config/desired"
    kept = subprocess.run(
        ["mosquitto_sub", "-p", str(ops.port), "-t", topic, "-C", "1", "-W", "10"], capture_output=True, check=True
    )
    wish = parse_desired(kept.stdout.strip())
    assert wish is not None
    assert (wish.version, wish.config) == (1, {"pipelines": {"people": {"min_score": 0.4}}})


def test_a_command_to_three_devices_one_of_which_fails(ops: Operator) -> None:
    code, told = ops.json("cmd", "bench", WELL, DEGRADED, WELL_TOO)
    states = {each["device"]: (each["state"], each["code"]) for each in told["devices"]}
    assert code == 1
    assert states == {
        f"default/{WELL}": ("succeeded", ""),
        f"default/{WELL_TOO}": ("succeeded", ""),
        f"default/{DEGRADED}": ("failed", "not_well"),
    }


def test_a_long_command_shows_how_it_goes(ops: Operator) -> None:
    done = ops.fleet("cmd", "build", WELL, "pipeline=people")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"default/{WELL}: succeeded")
    assert re.search(r"running [1-9]0 %: ", done.stderr)


def test_a_command_to_a_group_reaches_its_devices(ops: Operator) -> None:
    code, told = ops.json("cmd", "doctor", "--group", "entrances")
    names = {each["device"] for each in told["devices"]}
    assert names == {f"default/sim-{number:04d}" for number in range(0, DEVICES, 4)}
    assert {each["state"] for each in told["devices"] if each["device"] != f"default/{LOST}"} == {"succeeded"}
    assert code == 1  # one of them is lost


def test_a_refused_command_is_1_with_its_reason(ops: Operator) -> None:
    done = ops.fleet("cmd", "reboot", WELL)
    assert done.returncode == 1
    assert "refused: remote.allow_reboot is false on this device [not_allowed]" in done.stdout


def test_nobody_in_a_group_is_said(ops: Operator) -> None:
    done = ops.fleet("cmd", "doctor", "--group", "nobody")
    assert done.returncode == 1
    assert "no device of group nobody of fleet default is known" in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("cmd", "doctor"),
        ("cmd", "doctor", "--all", WELL),
        ("cmd", "Not A Name", WELL),
        ("cmd", "doctor", WELL, "--args", "[1]"),
        ("config", "set", WELL),
        ("config", "set", f"{MIN_SCORE}=1"),
        ("config", "set", WELL, "a=1", "--file", "/x"),
        ("watch", "--sort", "nothing"),
        ("watch", "--wait", "0"),
    ],
)
def test_what_makes_no_sense_is_2(ops: Operator, words: tuple[str, ...]) -> None:
    assert ops.fleet(*words).returncode == 2


def test_without_a_terminal_changes_are_lines(ops: Operator) -> None:
    heard = Ear()
    command = [sys.executable, "-m", "edgeagent", "fleet", "watch", "--only", "sim-0008"]
    with program(command, heard, env=ops.environment) as process:
        heard.wait(lambda line: "default/sim-0008: ready" in line)
        assert ops.fleet("config", "set", "sim-0008", f"{MIN_SCORE}=0.3").returncode == 0
        heard.wait(lambda line: "config" in line and line.endswith("v1"))
        assert not any("sim-0009" in line for line in heard.items)
        process.send_signal(signal.SIGINT)
        assert process.wait(WAIT_S) == 130


class Screen:
    """`fleet watch` on a pseudo terminal."""

    def __init__(self, ops: Operator) -> None:
        self.pid, self._file = pty.fork()
        if self.pid == 0:
            size = {"TERM": "xterm-256color", "COLUMNS": "120", "LINES": "20"}
            os.execve(
                sys.executable, [sys.executable, "-m", "edgeagent", "fleet", "watch"], {**ops.environment, **size}
            )
        self.text = ""

    def press(self, keys: str) -> None:
        self.text = ""
        os.write(self._file, keys.encode())

    def see(self, pattern: str) -> None:
        deadline_s = time.monotonic() + WAIT_S
        while re.search(pattern, self.text) is None:
            assert time.monotonic() < deadline_s, self.text[-3000:]
            if select.select([self._file], [], [], 0.1)[0]:
                self.text += os.read(self._file, 65536).decode(errors="replace")

    def end(self) -> int:
        """Reads what is left, because a full terminal would hold the process up."""
        while True:
            try:
                if not os.read(self._file, 65536):
                    break
            except OSError:
                break
        os.close(self._file)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def test_the_live_table_obeys_its_keys(ops: Operator) -> None:
    screen = Screen(ops)
    screen.see(f"1-17 of {DEVICES}")
    screen.press("\x1b[F")
    screen.see(f"16-{DEVICES} of {DEVICES}")
    screen.press("/lost\r")
    screen.see(r"only: lost")
    screen.see(r"sim-0000 +")
    screen.press("\x1b")
    screen.see(rf"of {DEVICES}\b")
    screen.press("t\r")
    screen.see(r"╭.* default/sim-\d{4} ")
    screen.press("?")
    screen.see("more about the device under the cursor")
    screen.press("q")
    assert screen.end() == 0


def test_the_live_table_ends_with_ctrl_c(ops: Operator) -> None:
    screen = Screen(ops)
    screen.see(rf"of {DEVICES}\b")
    screen.press("\x03")
    assert screen.end() == 130
