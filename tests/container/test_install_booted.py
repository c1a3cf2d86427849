"""Installing on a device, from nothing to nothing: a Debian that boots, a virtual Orin Nano under it, a broker in it.

Nothing here reaches a network: the bundle that is installed was made before. Each test has a machine of its own.
Figures that a person may want to read are printed (`pytest -s`), and not held to anything: docs/install.md has them.
"""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path

import pytest
from container_feed import RESULT, STATUS, Feed
from install_kit import (
    AGENT,
    FIRST,
    HERE,
    INSTALLED,
    SETTINGS,
    Device,
    device,
    installed,
    look_until,
    tree,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
OURS = ("/opt", "/etc", "/usr/local")
EVERYTHING = ("/etc", "/opt", "/usr", "/var/lib", "/var/cache", "/home", "/root")
BOOKKEEPING = re.compile(
    r"etc/(passwd|shadow|group|gshadow|subuid|subgid)-$|etc/\.pwd\.lock$|etc/resolv\.conf$|etc/\.updated$|var/lib/(systemd|mosquitto|dbus)"
    r"|var/cache/ldconfig|__pycache__|var/lib/private"
)
"""What changes under any system that runs and makes a user."""
SECURITY_CEILING = 2.5


# --- from nothing to nothing


def test_a_device_from_the_first_install_to_the_purge(root: Path) -> None:
    with device(root) as found, found.listening() as feed:
        before = tree(root, *EVERYTHING)
        dry = found.install(*FIRST, "--dry-run")
        assert dry.returncode == 0 and "would make /opt/edgeagent/releases/" in dry.stdout, dry.stdout + dry.stderr
        assert differences(before, tree(root, *EVERYTHING)) == {}

        started = time.monotonic()
        done = found.install(*FIRST)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "is installed and" in done.stdout
        first = feed.wait(RESULT)
        print(f"install to first result, wheels at hand: {first.at_s - started:.1f} s")
        feed.wait(STATUS, lambda status: status["state"] == "ready")

        the_same_again_changes_nothing(found)
        the_service_is_as_little_privileged_as_promised(found)
        the_journal_has_fields(found)
        the_board_was_set_through_the_helper(found)
        a_frozen_agent_is_replaced(found, feed)
        killed_children_come_back(found, feed)
        an_idle_agent_costs_little(found)

        uninstalled = found.install("--uninstall", program=INSTALLED)
        assert uninstalled.returncode == 0, uninstalled.stdout + uninstalled.stderr
        left = set(differences(before, tree(root, *EVERYTHING)))
        ours = ("etc/edgeagent", "var/lib/edgeagent", "etc/passwd", "etc/shadow", "etc/group", "etc/gshadow")
        assert {name for name in left if not name.startswith(ours)} == set()
        assert found.machine.path("/etc/edgeagent/config.toml").exists()
        assert found.board_mode() == "25W", "the board's power was not set back"

        purged = found.install("--purge")
        assert purged.returncode == 0, purged.stdout + purged.stderr
        assert differences(before, tree(root, *EVERYTHING)) == {}


def the_same_again_changes_nothing(found: Device) -> None:
    before, pid = tree(found.machine.root, *OURS), found.pid()
    again = found.install(*FIRST)
    assert again.returncode == 0 and "was already installed" in again.stdout, again.stdout + again.stderr
    assert tree(found.machine.root, *OURS) == before
    assert found.pid() == pid, "it was started anew"
    refused = found.install(*HERE, "--broker", "mqtt://other.example")
    assert (refused.returncode, "says another mqtt.url" in refused.stderr) == (2, True), refused.stderr


def the_service_is_as_little_privileged_as_promised(found: Device) -> None:
    said = found.machine.run("systemd-analyze", "security", "--no-pager", AGENT)
    figure = re.search(r"Overall exposure level for \S+: ([0-9.]+)", said)
    assert figure and float(figure.group(1)) <= SECURITY_CEILING, said
    print(f"systemd {found.machine.run('systemctl', '--version').split()[1]}: {figure.group(0)}")
    status = found.machine.run("cat", f"/proc/{found.pid()}/status")
    fields = {name: value.split() for name, _, value in (line.partition(":") for line in status.splitlines())}
    assert (fields["CapEff"], fields["CapBnd"], fields["NoNewPrivs"], fields["Seccomp"]) == (["0" * 16],) * 2 + (
        ["1"],
        ["2"],
    )
    uid = found.machine.run("id", "-u", "edgeagent")
    assert fields["Uid"] == [uid] * 4 and uid != "0"


def the_journal_has_fields(found: Device) -> None:
    found.machine.run("journalctl", "--sync")
    lines = found.machine.run("journalctl", "-u", AGENT, "-o", "json", "EDGEAGENT_EVENT=engine").splitlines()
    entry = json.loads(lines[-1])
    assert (entry["EDGEAGENT_PIPELINE"], entry["PRIORITY"], entry["SYSLOG_IDENTIFIER"]) == ("parts", "6", "edgeagent")
    assert entry["MESSAGE"].startswith("level=info event=engine pipeline=parts")


def the_board_was_set_through_the_helper(found: Device) -> None:
    """By the unprivileged agent, through the socket; by nobody else."""
    assert found.board_mode() == "MAXN_SUPER"
    found.machine.run("journalctl", "--sync")
    said = found.machine.run("journalctl", "-u", "edgeagent-power.service", "-o", "cat")
    uid = found.machine.run("id", "-u", "edgeagent")
    assert re.search(rf"uid {uid}: set-mode id=\d+ reboot=False: done", said), said
    assert (found.knock("edgeagent"), found.knock("mosquitto")) == ("connected", "Permission denied")


def a_frozen_agent_is_replaced(found: Device, feed: Feed) -> None:
    """What it had to say to a broker that was not there is said by the next one; its engines are whole."""
    pid, session = found.pid(), found.status()["session"]
    found.machine.run("systemctl", "stop", "mosquitto")
    found.machine.run("systemctl", "reload", AGENT)
    look_until(lambda: found.outbox_holds("config-file-read"), "the event waits on the disk")
    now = time.monotonic()
    found.machine.run("sh", "-c", f"kill -STOP {pid}")
    found.machine.run("systemctl", "start", "mosquitto")
    ready = feed.wait(STATUS, lambda status: status["state"] == "ready", since_s=now)
    print(f"frozen agent: ready again {ready.at_s - now:.1f} s later")
    assert found.pid() not in (0, pid)
    assert "watchdog" in found.machine.run("journalctl", "-u", AGENT, "-o", "cat")
    feed.wait("/e/config-file-read$", lambda event: event["session"] == session, since_s=now)
    feed.wait(r"/m/agent$", lambda values: values["outbox_waiting"] == 0, since_s=ready.at_s)
    assert found.bad_engines() == []
    feed.flows()


def killed_children_come_back(found: Device, feed: Feed) -> None:
    pid = found.pid()
    for child in ("[c]apture_child", "[i]nfer_child"):  # a pattern that does not match the program that looks for it
        found.machine.run("sh", "-c", f"kill -KILL $(grep -lz {child} /proc/[0-9]*/cmdline | cut -d/ -f3)")
        feed.flows()
    assert found.pid() == pid, "the death of a child was the service's"


def an_idle_agent_costs_little(found: Device) -> None:
    """With no cameras, as it says of itself."""
    config = found.machine.path("/etc/edgeagent/config.toml")
    kept = config.read_text()
    config.write_text(SETTINGS[: SETTINGS.index("[cameras")])
    with found.listening() as feed:
        found.machine.run("systemctl", "restart", AGENT)
        now = time.monotonic()
        for _ in range(6):
            measured = feed.wait(r"/m/agent$", lambda values: values["published"] > 0, since_s=now)
            now = measured.at_s + 0.01
    print(f"idle agent: {measured.payload['rss_mb']:.0f} MB, {measured.payload['cpu_percent']:.1f} % of a core")
    config.write_text(kept)


def differences(before: dict[str, str], after: dict[str, str]) -> dict[str, tuple[str | None, str | None]]:
    """Paths that came, went or changed, but for the system's own bookkeeping."""
    names = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    return {name: (before.get(name), after.get(name)) for name in names if not BOOKKEEPING.search(name)}


# --- from one release to another


def crash(folder: Path) -> None:
    append(folder / "edgeagent/app/agent.py", 'Agent.run = lambda self: __import__("os")._exit(3)')


def stay_silent(folder: Path) -> None:
    """It runs, and never says that it is ready."""
    append(folder / "edgeagent/app/publisher.py", "Publisher.started = lambda self: None")


def append(path: Path, line: str) -> None:
    path.write_text(f"{path.read_text()}\n{line}\n")


def forget_a_dependency(folder: Path) -> None:
    for metadata in folder.glob("edgeagent-*.dist-info/METADATA"):
        metadata.write_text(re.sub("^Requires-Dist: paho.*\n", "", metadata.read_text(), flags=re.MULTILINE))


def test_a_release_that_works_stays_and_a_person_can_go_back(root: Path) -> None:
    with installed(root) as (found, feed):
        first = found.current()
        feed.wait(STATUS, lambda status: status["state"] == "ready")

        good = found.put_release("good", lambda folder: None, "9.1.0")
        now = time.monotonic()
        done = found.install(*HERE, "--upgrade", program=good)
        assert done.returncode == 0, done.stdout + done.stderr
        assert (found.current(), found.status()["version"]) == ("9.1.0", "9.1.0")
        feed.flows()
        print(f"upgrade: {feed.longest_gap(RESULT, now):.1f} s without a result")

        now = time.monotonic()
        done = found.install("--rollback", program=INSTALLED)
        assert done.returncode == 0 and found.current() == first, done.stdout + done.stderr
        print(f"rollback by hand: {feed.longest_gap(RESULT, now):.1f} s without a result")
        assert found.install("--rollback", program=INSTALLED).returncode == 0
        assert found.current() == "9.1.0"


def test_releases_that_do_not_work_are_left(root: Path) -> None:
    with installed(root) as (found, feed):
        first = found.current()
        feed.wait(STATUS, lambda status: status["state"] == "ready")
        a_release_is_left(found, feed, "crashes", crash, "9.2.0", "it crashed")
        a_release_is_left(found, feed, "silent", stay_silent, "9.3.0", "it says init")

        lacking = found.put_release("lacking", forget_a_dependency, "9.4.0")
        pid = found.pid()
        refused = found.install(*HERE, "--upgrade", program=lacking)
        assert refused.returncode == 1 and "No module named 'paho'" in refused.stderr, refused.stderr
        assert (found.current(), found.pid()) == (first, pid), "it was switched to, although it cannot be loaded"

        done = found.install(*HERE)  # the one that runs, once more: all is well, says the operator
        assert done.returncode == 0, done.stderr
        assert [path.name for path in found.machine.path("/opt/edgeagent/releases").iterdir()] == [first]
        feed.wait(STATUS, lambda status: status["state"] == "ready", since_s=time.monotonic() - 1)


def a_release_is_left(found: Device, feed: Feed, name: str, spoil: object, version: str, why: str) -> None:
    """By itself, within its time, and the fleet is told."""
    runs, program = found.current(), found.put_release(name, spoil, version)  # type: ignore[arg-type]
    now = time.monotonic()
    done = found.install(*HERE, "--upgrade", "--healthy-within", "20", program=program)
    assert done.returncode == 1 and why in done.stderr and f"back to release {runs}" in done.stderr, done.stderr
    assert found.current() == runs
    told = feed.wait(STATUS, lambda status: f"rolled back from {version}" in status["reason"], since_s=now)
    assert told.payload["state"] == "degraded"
    event = feed.wait("/e/release-rolled-back$", lambda event: event["facts"]["from"] == version, since_s=now)
    assert why in event.payload["text"]
    feed.flows()
    print(f"{name}: {feed.longest_gap(RESULT, now):.1f} s without a result, told after {told.at_s - now:.1f} s")


# --- power cuts


def test_the_power_fails_at_every_stage_of_the_first_install(root: Path) -> None:
    """Each run is cut a little later than the one before; the last one completes what they began.

    The line is said before it is done, and the cut comes a moment later: between two runs of this test it can be at
    another step. Every step in turn is what tests/unit/install is for.
    """
    stages = (
        "make its virtual environment",
        "install its Python packages",
        "write /etc/edgeagent/config.toml",
        "is on trial",
        "start release",
    )
    for stage in stages:
        with device(root) as found:
            found.cut_at(stage, *FIRST)
    with device(root) as found, found.listening() as feed:
        done = found.install(*FIRST)
        assert done.returncode == 0, done.stdout + done.stderr
        feed.wait(RESULT)
        assert not found.machine.path("/opt/edgeagent/trial.json").exists()
        feed.wait(STATUS, lambda status: status["state"] == "ready")
    booted = time.monotonic()
    with device(root) as found, found.listening() as feed:
        first = feed.wait(RESULT)
        print(f"boot to first result, engine in the store: {first.at_s - booted:.1f} s")


@pytest.mark.skipif(
    "EDGEAGENT_LONG_TESTS" not in os.environ, reason="takes two minutes: EDGEAGENT_LONG_TESTS=1 runs it"
)
def test_the_power_fails_during_upgrades(root: Path) -> None:
    with installed(root) as (found, feed):
        first = found.current()
        feed.wait(STATUS, lambda status: status["state"] == "ready")
        good = found.put_release("good", lambda folder: None, "9.1.0")
        bad = found.put_release("bad", stay_silent, "9.2.0")
        found.cut_at("install its Python packages", *HERE, "--upgrade", program=good)
    with device(root) as found, found.listening() as feed:
        feed.wait(RESULT)  # by itself: the device came up with what it had
        assert found.current() == first
        found.cut_at("link /opt/edgeagent/current", *HERE, "--upgrade", program=good)
    with device(root) as found, found.listening() as feed:
        feed.wait(RESULT)
        done = found.install(*HERE, "--upgrade", program=good)
        assert done.returncode == 0 and found.current() == "9.1.0", done.stdout + done.stderr
        feed.flows()
        found.cut_at("waiting until release", *HERE, "--upgrade", "--healthy-within", "12", program=bad)
    with device(root) as found, found.listening() as feed:
        told = feed.wait(STATUS, lambda status: "rolled back from 9.2.0" in status["reason"])
        assert told.payload["state"] == "degraded"
        feed.flows()
        assert found.current() == "9.1.0"
        assert not found.machine.path("/opt/edgeagent/trial.json").exists()
