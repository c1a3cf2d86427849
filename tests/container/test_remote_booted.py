"""A device that is set and commanded over MQTT, as install.sh has put it there: through boots and power cuts.

The broker is a real mosquitto in the machine; the agent is the service's unprivileged user, and asks the helper's
socket for what needs root.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from container_feed import RESULT, STATUS, Feed, Operator, Said
from install_kit import BOARD, COMMAND, STATE, Device, device, installed, look_until, reboot_board

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
NETWORK, PLAN, WHOLE = ".new-*/network.onnx", ".new-*/plan", "[0-9a-f]*/manifest.json"
"""Files of an engine in the order in which they come; the last one is there when the directory gets its name."""
KEY = re.compile("[0-9a-f]{32}")
KEPT = {"pipelines": {"parts": {"min_score": 0.6}}}
DEAD = {"cameras": {"belt": {"source": {"type": "rtsp", "url": "rtsp://127.0.0.1:1/x", "open_timeout_s": 0.5}}}}


@contextmanager
def again(root: Path) -> Iterator[tuple[Device, Feed, Operator, Said]]:
    """The machine is booted once more; results come."""
    with device(root) as found, found.listening() as feed:
        feed.wait(RESULT)
        yield found, feed, Operator(found.machine, feed)


def test_a_device_that_is_set_and_commanded_over_mqtt(root: Path) -> None:
    with installed(root) as (found, feed):
        operator = Operator(found.machine, feed)
        a_wish_is_tried_and_kept(found, operator)
        a_bad_wish_is_taken_back(found, feed, operator)
        a_picture_is_taken(feed, operator)
        a_power_intent_goes_through_the_helper(found, operator)
        a_command_has_one_effect(found, operator)
    with again(root) as (found, feed, operator):
        what_was_kept_is_in_force(found, feed)
        a_command_has_no_effect_after_a_boot(found, operator)
        operator.wish(3, {"pipelines": {"parts": {"iou": 0.3}}}, trial_s=600)
        operator.reported(3, "trial")
        found.machine.cut_power()
    with again(root) as (found, feed, operator):
        a_trial_that_was_cut_off_is_undone(found, feed)
        operator.command("build", "anew", pipeline="parts", force=True)
        the_power_fails_while_an_engine_is_written(found, PLAN)
        assert {path.name.split("-")[0] for path in engine_folders(found)} == {".new", ".apart"}
    with again(root) as (found, feed, operator):
        the_store_is_whole_and_the_build_goes_on(found, operator, "anew")


def a_wish_is_tried_and_kept(found: Device, operator: Operator) -> None:
    operator.wish(1, KEPT, trial_s=2)
    operator.reported(1, "trial")
    kept = operator.reported(1, "committed")
    assert (kept["in_force"], kept["desired"]) == (1, KEPT)
    assert min_score(found) == ["0.6", "desired"]


def min_score(found: Device) -> list[str]:
    """Its value and its layer, as the device's own command line says."""
    lines = found.machine.run(COMMAND, "config", "show", "/etc/edgeagent/config.toml").splitlines()
    return next(line.split()[1:3] for line in lines if line.startswith("pipelines.parts.min_score"))


def a_bad_wish_is_taken_back(found: Device, feed: Feed, operator: Operator) -> None:
    """By the device itself: the camera gives frames again, and what was kept before is in force."""
    operator.wish(2, DEAD, trial_s=2)
    back = operator.reported(2, "rolled_back")
    assert back["in_force"] == 1 and "camera belt" in back["reason"], back
    feed.flows()
    assert min_score(found) == ["0.6", "desired"]


def a_picture_is_taken(feed: Feed, operator: Operator) -> None:
    done = operator.do("snapshot", "picture", camera="belt")
    assert done["state"] == "succeeded", done
    picture = feed.wait("/snap/belt/parts$").payload
    assert picture["frame"] == done["result"]["frame"]


def a_power_intent_goes_through_the_helper(found: Device, operator: Operator) -> None:
    """The board's tool was started by root, because the agent's user asked; nobody else is let in."""
    done = operator.do("power", "slower", intent="balanced")
    assert done["state"] == "succeeded", done
    assert done["result"]["mode"] == found.board_mode() == "25W"
    found.machine.run("journalctl", "--sync")
    said = found.machine.run("journalctl", "-u", "edgeagent-power.service", "-o", "cat")
    uid = found.machine.run("id", "-u", "edgeagent")
    assert re.search(rf"uid {uid}: set-mode id=\d+ reboot=False: done", said), said
    assert (found.knock("edgeagent"), found.knock("mosquitto")) == ("connected", "Permission denied")


def a_command_has_one_effect(found: Device, operator: Operator) -> None:
    """However often it comes."""
    done = operator.do("restart", "once", camera="belt")
    assert done["state"] == "succeeded", done
    pid = done["result"]["pid"]
    now = time.monotonic()
    operator.command("restart", "once", camera="belt")
    assert operator.answer("once", since_s=now)["result"] == done["result"]
    assert capture_pid(found) == pid


def capture_pid(found: Device) -> int:
    return int(found.machine.run("sh", "-c", "grep -lz [c]apture_child /proc/[0-9]*/cmdline | cut -d/ -f3"))


def what_was_kept_is_in_force(found: Device, feed: Feed) -> None:
    """After an orderly boot. The wish that was taken back is still on the broker, and is not tried again."""
    report = first_report(feed)
    assert (report["version"], report["state"], report["in_force"]) == (2, "rolled_back", 1)
    assert min_score(found) == ["0.6", "desired"]


def first_report(feed: Feed) -> Said:
    """The first one of this boot: the broker may still have one from before."""
    session = feed.wait(RESULT).payload["session"]
    return feed.wait("/config/reported$", lambda said: said["session"] == session).payload


def a_command_has_no_effect_after_a_boot(found: Device, operator: Operator) -> None:
    pid, now = capture_pid(found), time.monotonic()
    operator.command("restart", "once", camera="belt")
    assert operator.answer("once", since_s=now)["state"] == "succeeded"
    assert capture_pid(found) == pid


def a_trial_that_was_cut_off_is_undone(found: Device, feed: Feed) -> None:
    """At the boot; the device says so. The broker, cut off with it, may have lost the wish: then an older one comes
    again, which is ignored for the sake of the newer one that was answered."""
    answered = json.loads(found.machine.path(f"{STATE}/config/answered.json").read_text())
    assert (answered["version"], answered["state"]) == (3, "rolled_back")
    assert "ended during the trial" in answered["reason"]
    report = first_report(feed)
    assert 3 in (report["version"], report.get("answered"))
    assert (report["in_force"], report["desired"]) == (1, KEPT)
    assert min_score(found) == ["0.6", "desired"]


def the_power_fails_while_an_engine_is_written(found: Device, file: str) -> None:
    """When that file is there. An engine that was there before has been set apart for the new one."""
    engines = found.machine.path(f"{STATE}/engines")
    look_until(lambda: list(engines.glob(file)), f"{file} is written")
    found.machine.cut_power()


def the_store_is_whole_and_the_build_goes_on(found: Device, operator: Operator, job: str) -> None:
    """The engine from before serves at once; the command that was cut off is taken up again."""
    done = operator.answer(job)
    assert (done["state"], done["result"]["engines"][0]["serves"]) == ("succeeded", True), done
    assert found.bad_engines() == []
    assert [path.name for path in engine_folders(found)] == [done["result"]["engines"][0]["engine"]]


def engine_folders(found: Device) -> list[Path]:
    """Those that hold an engine, or parts of one."""
    return [path for path in found.machine.path(f"{STATE}/engines").iterdir() if KEY.search(path.name)]


# --- another board


def test_an_agx_orin_gets_a_power_mode_that_wants_a_reboot(agx_root: Path) -> None:
    with installed(agx_root) as (found, feed):
        operator = Operator(found.machine, feed)
        feed.wait(STATUS, lambda status: status["state"] == "ready")
        it_is_an_agx_orin(found, feed)
        refused = operator.do("power", "live", intent="max-performance")
        assert (refused["state"], refused["code"]) == ("failed", "not_in_force") and "reboot" in refused["reason"]
        operator.wish(1, {"power": {"intent": "max-performance", "allow_reboot": True}}, trial_s=2)
        operator.reported(1, "committed")
        feed.wait("/info$", lambda info: info.get("power", {}).get("state") == "rebooting")
        assert found.machine.path(f"{BOARD}/run/virtual-reboot").exists()
    reboot_board(agx_root)
    with again(agx_root) as (found, feed, operator):
        info = feed.wait("/info$", lambda info: info.get("power", {}).get("state") == "applied").payload
        assert (info["power"]["mode"], info["power"]["clocks"]) == ("MAXN", "lock")
        assert found.board_mode() == "MAXN"
        feed.wait(STATUS, lambda status: status["state"] == "ready")


def it_is_an_agx_orin(found: Device, feed: Feed) -> None:
    info = feed.wait("/info$", lambda info: info.get("power", {}).get("state") == "applied").payload
    assert (info["module"]["id"], info["module"]["soc"], info["power"]["mode"]) == ("p3701-0005", "t234", "MODE_30W")
    assert found.board_mode() == "MODE_30W"


@pytest.mark.skipif("EDGEAGENT_LONG_TESTS" not in os.environ, reason="takes a minute: EDGEAGENT_LONG_TESTS=1 runs it")
def test_the_power_fails_at_each_file_of_an_engine(root: Path) -> None:
    """Of the only engine, which is built anew at the next boot, and of one that is to take the place of another."""
    with installed(root) as (found, _):
        found.machine.cut_power()
        shutil.rmtree(found.machine.path(f"{STATE}/engines"))
    for file in (NETWORK, PLAN, WHOLE):
        with device(root) as found:
            the_power_fails_while_an_engine_is_written(found, file)
    for number, file in enumerate((NETWORK, PLAN)):
        with again(root) as (found, _, operator):
            assert found.bad_engines() == []
            operator.command("build", f"anew-{number}", pipeline="parts", force=True)
            the_power_fails_while_an_engine_is_written(found, file)
    with again(root) as (found, _, operator):
        the_store_is_whole_and_the_build_goes_on(found, operator, "anew-1")
