"""The agent and its board's power: a real agent, the real helper, a virtual Orin Nano, a real mosquitto."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from agent_kit import DEVICE, FLEET, Family, Watcher, agent, command_line, plant, watching, write_config
from test_link_kit import free_port, mosquitto, needs_mosquitto

from edgeagent.config.files import load_config
from edgeagent.fleet.answers import ConfigReported
from edgeagent.fleet.measurements import CpuMeasurement
from edgeagent.fleet.results import Event
from edgeagent.fleet.states import Alarm, Health, Info, Status
from edgeagent.power.client import PROGRAM
from edgeagent.simulate.board import VirtualBoard, make_board, reboot_board

pytestmark = [needs_mosquitto, pytest.mark.timeout(120)]
STOP_S = 30


@contextmanager
def helper(board: VirtualBoard, socket: Path) -> Iterator[None]:
    """The power helper as systemd would run it, for this board."""
    places = ["--root", str(board.root), "--state-dir", str(socket.parent / "helper"), "--socket", str(socket)]
    with subprocess.Popen([sys.executable, "-I", str(PROGRAM), *places], stderr=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.terminate()


def a_board(folder: Path, name: str = "orin-nano") -> VirtualBoard:
    board = make_board(name, folder / "board", seed=2)
    (board.root / "proc/uptime").write_text("4000.00 4000.00\n")
    return board


@contextmanager
def running(folder: Path, board: VirtualBoard, **power: object) -> Iterator[tuple[Watcher, subprocess.Popen[bytes]]]:
    """A broker, and an agent without cameras that has the board to care for."""
    folder.mkdir(exist_ok=True)
    port, family = free_port(), Family()
    off = {"cameras__belt": {"source": {"type": "synthetic"}, "enabled": False}}
    parts = {"camera": "belt", "model": "conveyor", "enabled": False}
    settings = {"helper_socket": str(folder / "power.sock"), "sample_interval_s": 0.2, **power}
    state_dir = board.root / "var/lib/edgeagent"
    config = write_config(
        folder / "config.toml", port, state_dir, board.root, pipelines__parts=parts, power=settings, **off
    )
    with mosquitto(folder, port), watching(port) as watcher, agent(config, family) as process:
        yield watcher, process


def power_state(word: str):
    return lambda info: info.power is not None and info.power.state == word


def component(name: str, health: str):
    return lambda message: any(c.name == name and c.health == health for c in message.components)


def test_an_intent_is_applied_at_start_and_info_tells_the_board(tmp_path: Path) -> None:
    board = a_board(tmp_path)
    awake = ExitStack()
    awake.enter_context(plant(board.root))
    awake.enter_context(helper(board, tmp_path / "power.sock"))
    with awake, running(tmp_path, board, intent="max-performance") as (watcher, _):
        info = watcher.ever(Info, power_state("applied"))
        assert (info.power.mode, info.power.clocks, info.power.fan) == ("MAXN_SUPER", "lock", "cool")
        assert info.module.virtual
        assert info.module.dla == "no"
        assert "p3768" in info.module.carrier
        event = watcher.ever(Event, lambda e: e.type == "power-applied")
        assert "MAXN_SUPER" in event.text
        watcher.ever(Health, component("power", "ok"))
        locked = watcher.ever(CpuMeasurement, lambda m: (m.model_extra or {}).get("clocks_locked") is True)
        assert locked.freq_mhz is not None


def test_clocks_that_something_unlocks_are_locked_again_and_told(tmp_path: Path) -> None:
    board = a_board(tmp_path)
    low = board.root / "sys/devices/system/cpu/cpufreq/policy0/scaling_min_freq"
    with helper(board, tmp_path / "power.sock"), running(tmp_path, board, intent="max-performance") as (watcher, _):
        watcher.message(Info, power_state("applied"))
        locked = low.read_text()
        low.write_text("729600\n")  # what `systemctl isolate` does by running nvpmodel.service again
        watcher.message(Event, lambda e: e.type == "power-undone" and "free" in e.text)
        watcher.message(Event, lambda e: e.type == "power-applied")
        assert low.read_text() == locked


def test_repairs_have_a_limit_and_then_an_alarm(tmp_path: Path) -> None:
    board = a_board(tmp_path)
    low = board.root / "sys/devices/system/cpu/cpufreq/policy0/scaling_min_freq"
    settings = {"intent": "max-performance", "max_repairs_per_hour": 0}
    with helper(board, tmp_path / "power.sock"), running(tmp_path, board, **settings) as (watcher, _):
        watcher.message(Info, power_state("applied"))
        low.write_text("729600\n")
        alarm = watcher.message(Alarm, lambda a: a.type == "power-state")
        assert "now left as it is" in alarm.text
        watcher.ever(Health, component("power", "degraded"))
        assert low.read_text() == "729600\n"


def test_a_mode_that_wants_a_reboot_is_an_alarm_and_no_reboot(tmp_path: Path) -> None:
    board = a_board(tmp_path)
    with helper(board, tmp_path / "power.sock"), running(tmp_path, board, intent="low-power") as (watcher, _):
        alarm = watcher.ever(Alarm, lambda a: a.type == "reboot-required")
        assert "7W wants a reboot" in alarm.text
        info = watcher.ever(Info, power_state("reboot_required"))
        assert info.power.mode == "7W"
        watcher.ever(Health, component("power", "degraded"))
        assert not (board.root / "run/virtual-reboot").exists()


def test_an_allowed_reboot_is_made_and_the_plan_resumes_after_it(tmp_path: Path) -> None:
    board = a_board(tmp_path)
    allowed = {"intent": "low-power", "allow_reboot": True}
    with helper(board, tmp_path / "power.sock"), running(tmp_path, board, **allowed) as (watcher, process):
        watcher.ever(Info, power_state("rebooting"))
        assert (board.root / "run/virtual-reboot").exists()
        process.send_signal(signal.SIGTERM)  # what the system does on its way down
        assert process.wait(STOP_S) == 0
    reboot_board(board.root)
    after = tmp_path / "after"
    after.mkdir()
    with helper(board, after / "power.sock"), running(after, board, **allowed) as (watcher, _):
        info = watcher.ever(Info, power_state("applied"))
        assert info.power.mode == "7W"
        assert (board.root / "sys/devices/system/cpu/cpu5/online").read_text() == "0\n"


def test_an_intent_over_mqtt_that_wants_a_reboot_is_kept_before_the_board_reboots(tmp_path: Path) -> None:
    """A reboot ends a trial, and would so undo every such wish."""
    board = a_board(tmp_path, "agx-orin-r36")
    with helper(board, tmp_path / "power.sock"), running(tmp_path, board, intent="balanced") as (watcher, _):
        watcher.ever(Info, power_state("applied"))
        fast: dict[str, object] = {"intent": "max-performance"}
        publish_desired(tmp_path, {"version": 1, "trial_s": 1, "config": {"power": fast}})
        back = watcher.ever(ConfigReported, lambda report: report.state == "rolled_back")
        assert "reboot-required" in back.reason
        fast |= {"allow_reboot": True}
        publish_desired(tmp_path, {"version": 2, "trial_s": 2, "config": {"power": fast}})
        waits = watcher.ever(Info, lambda info: info.power is not None and "on trial" in info.power.reason)
        assert waits.power.state == "reboot_required"
        kept = watcher.ever(ConfigReported, lambda report: report.state == "committed")
        assert watcher.ever(Info, power_state("rebooting")).ts >= kept.ts
        assert (board.root / "run/virtual-reboot").exists()


def publish_desired(folder: Path, wish: dict[str, object]) -> None:
    port = load_config(folder / "config.toml", {}, "any").config.mqtt.url.rpartition(":")[2]
    words = ["-p", port, "-q", "1", "-r", "-t", f"edgeagent/v1/{FLEET}/{DEVICE}/config/desired", "-m", json.dumps(wish)]
    subprocess.run(["mosquitto_pub", "-h", "127.0.0.1", *words], check=True)


def test_stopping_brings_back_the_state_of_before(tmp_path: Path) -> None:
    board = a_board(tmp_path)
    low = board.root / "sys/devices/system/cpu/cpufreq/policy0/scaling_min_freq"
    status = board.root / "var/lib/nvpmodel/status"
    before = low.read_text(), status.read_text()
    with (
        helper(board, tmp_path / "power.sock"),
        running(tmp_path, board, intent="max-performance") as (watcher, process),
    ):
        watcher.ever(Info, power_state("applied"))
        assert (low.read_text(), status.read_text()) != before
        process.send_signal(signal.SIGTERM)
        assert process.wait(STOP_S) == 0
        watcher.message(Status, lambda s: s.state == "stopped")
    assert (low.read_text(), status.read_text()) == before


def test_without_a_helper_the_reason_and_the_mend_are_told_and_it_is_tried_again(tmp_path: Path) -> None:
    board = a_board(tmp_path)
    with running(tmp_path, board, intent="max-performance") as (watcher, _):
        info = watcher.ever(Info, power_state("failed"))
        assert "edgeagent-power.socket" in info.power.reason
        watcher.ever(Alarm, lambda a: a.type == "power-state")
        with helper(board, tmp_path / "power.sock"):
            watcher.message(Info, power_state("applied"))
            watcher.ever(Health, component("power", "ok"))


def test_without_an_intent_the_board_is_left_alone(tmp_path: Path) -> None:
    board = a_board(tmp_path)
    with running(tmp_path, board) as (watcher, _):
        watcher.ever(Info, power_state("left_alone"))
        watcher.ever(Status, lambda s: s.state == "ready")
    assert not (board.root / "var/lib/edgeagent/power.json").exists()


@pytest.mark.parametrize(("name", "words"), [("pc", "not a Jetson"), ("container", "docker")])
def test_an_intent_where_there_is_nothing_to_set_is_told(tmp_path: Path, name: str, words: str) -> None:
    board = a_board(tmp_path, name)
    with running(tmp_path, board, intent="balanced") as (watcher, _):
        info = watcher.ever(Info, power_state("unsupported"))
        assert words in info.power.reason
        watcher.ever(Health, component("power", "degraded"))


def test_a_board_under_another_root_never_gets_the_machines_own_helper(tmp_path: Path) -> None:
    board = a_board(tmp_path)
    own = {"intent": "max-performance", "helper_socket": "/run/edgeagent-power.sock"}
    with running(tmp_path, board, **own) as (watcher, _):
        info = watcher.ever(Info, power_state("failed"))
        assert "another root" in info.power.reason


def test_an_intent_taken_out_after_a_crash_is_undone_at_the_next_start(tmp_path: Path) -> None:
    board = a_board(tmp_path)
    status = board.root / "var/lib/nvpmodel/status"
    before = status.read_text()
    with (
        helper(board, tmp_path / "power.sock"),
        running(tmp_path, board, intent="max-performance") as (watcher, process),
    ):
        watcher.ever(Info, power_state("applied"))
        process.kill()
        process.wait()
    assert status.read_text() != before
    after = tmp_path / "after"
    after.mkdir()
    with helper(board, after / "power.sock"), running(after, board) as (watcher, _):
        info = watcher.ever(Info, lambda i: i.power is not None and "back to before" in i.power.reason)
        assert info.power.state == "left_alone"
    assert status.read_text() == before


def test_what_a_person_has_set_is_not_the_agents_to_undo(tmp_path: Path) -> None:
    board = a_board(tmp_path)
    status = board.root / "var/lib/nvpmodel/status"
    done = command_line("power", "apply", "max-performance", "--root", str(board.root), family=Family())
    assert done.returncode == 0
    with helper(board, tmp_path / "power.sock"), running(tmp_path, board) as (watcher, process):
        watcher.ever(Status, lambda s: s.state == "ready")
        process.send_signal(signal.SIGTERM)
        assert process.wait(STOP_S) == 0
    assert status.read_text() == "pmode:0002"


def test_a_plan_that_a_person_began_is_finished_after_the_boot(tmp_path: Path) -> None:
    """Its clocks are locked after the boot only; the agent's config names no intent of its own."""
    board, profiles = a_board(tmp_path), tmp_path / "profiles"
    profiles.mkdir()
    text = '[intent.night]\nmodes = ["7W"]\nclocks = "lock"\nreboot = true\n'
    (profiles / "own.toml").write_text('schema = "edgeagent/profile/1"\nfamily = "Orin Nano"\n' + text)
    (board.root / "proc/uptime").write_text("4000.0 1.0\n")
    where = ["--root", str(board.root), "--profiles", str(profiles)]
    asked = command_line("power", "apply", "night", "--allow-reboot", *where, family=Family())
    assert "after the reboot" in asked.stdout
    assert command_line("simulate", "reboot", "--root", str(board.root), family=Family()).returncode == 0
    cpu = board.root / "sys/devices/system/cpu/cpu0/cpufreq"
    memory = board.root / "var/lib/edgeagent/power.json"
    with (
        helper(board, tmp_path / "power.sock"),
        running(tmp_path, board, profiles_dir=str(profiles)) as (watcher, process),
    ):
        watcher.ever(Status, lambda s: s.state == "ready")
        until = time.monotonic() + 30
        while json.loads(memory.read_text())["pending"] is not None:
            assert time.monotonic() < until
            os.sched_yield()
        assert (cpu / "scaling_min_freq").read_text() == (cpu / "scaling_max_freq").read_text()
        process.send_signal(signal.SIGTERM)
        assert process.wait(STOP_S) == 0
    assert json.loads(memory.read_text())["keeper"] == "person"
    assert (board.root / "var/lib/nvpmodel/status").read_text() == "pmode:0003"


def test_an_agents_own_plan_is_undone_where_the_config_has_lost_its_intent_over_the_boot(tmp_path: Path) -> None:
    board = a_board(tmp_path)
    with (
        helper(board, tmp_path / "power.sock"),
        running(tmp_path, board, intent="low-power", allow_reboot=True) as (watcher, process),
    ):
        watcher.ever(Info, power_state("rebooting"))
        process.kill()
        process.wait()
    reboot_board(board.root)
    after = tmp_path / "after"
    after.mkdir()
    with helper(board, after / "power.sock"), running(after, board) as (watcher, _):
        info = watcher.ever(Info, lambda i: i.power is not None and "back to before" in i.power.reason)
        assert "25W wants a reboot" in info.power.reason
        assert info.power.state == "reboot_required"
        watcher.ever(Alarm, lambda a: a.type == "reboot-required" and "25W wants a reboot" in a.text)


def test_a_persons_plan_that_cannot_be_finished_is_told(tmp_path: Path) -> None:
    board = a_board(tmp_path)
    asked = command_line("power", "apply", "low-power", "--allow-reboot", "--root", str(board.root), family=Family())
    assert asked.returncode == 0
    reboot_board(board.root)
    memory = board.root / "var/lib/edgeagent/power.json"
    memory.write_text(memory.read_text().replace('"wish": "low-power"', '"wish": "night"'))
    after = tmp_path / "after"
    after.mkdir()
    with running(after, board) as (watcher, _):
        info = watcher.ever(Info, lambda i: i.power is not None and "was not finished" in i.power.reason)
        assert "no intent 'night'" in info.power.reason
        watcher.ever(Health, component("power", "degraded"))


def test_an_intent_is_found_in_a_profile_that_is_written_later(tmp_path: Path) -> None:
    board = a_board(tmp_path)
    profiles = tmp_path / "profiles"
    with (
        helper(board, tmp_path / "power.sock"),
        running(tmp_path, board, intent="night", profiles_dir=str(profiles)) as (watcher, _),
    ):
        watcher.ever(Info, power_state("failed"))
        profiles.mkdir()
        text = 'schema = "edgeagent/profile/1"\nfamily = "Orin Nano"\n[intent.night]\nmodes = ["15W"]\n'
        (profiles / "own.toml").write_text(text)
        info = watcher.message(Info, power_state("applied"))
        assert info.power.mode == "15W"


def test_an_intent_that_no_profile_has_is_told_with_those_there_are(tmp_path: Path) -> None:
    board = a_board(tmp_path)
    with running(tmp_path, board, intent="warp-speed") as (watcher, _):
        info = watcher.ever(Info, power_state("failed"))
        assert "max-performance, balanced, low-power, build" in info.power.reason


def test_throttling_and_over_current_are_alarms_that_end(tmp_path: Path) -> None:
    board = a_board(tmp_path)
    alert = board.path("cooling:gpu-throttle-alert")
    with running(tmp_path, board) as (watcher, _):
        watcher.ever(Status, lambda s: s.state == "ready")
        alert.write_text("1\n")
        board.path("oc1").write_text("1\n")
        assert watcher.ever(Alarm, lambda a: a.type == "throttling").text == "the board is throttling: gpu"
        assert "oc1" in watcher.ever(Alarm, lambda a: a.type == "over-current").text
        watcher.ever(Health, component("board", "degraded"))
        alert.write_text("0\n")
        watcher.wait(lambda item: item[0].endswith("/a/throttling") and item[2] == b"")
