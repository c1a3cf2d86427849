"""Installing where not all is as on a fresh device: root's umask is tight, its pip set to its own packages, and its
directory gone; disks of their own are mounted, a person presses Ctrl-C, another person is in our group, and what
crashed before has used its starts up."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
from install_kit import AGENT, BUNDLE, FIRST, HERE, STATE, Device, device, look_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
HOME = "/opt/edgeagent"
SHELL = 'umask 077; export PIP_USER=1; cd "$(mktemp -d)"; rmdir "$PWD"; exec "$0" "$@"'
UNUSUAL = ("/bin/sh", "-c", SHELL, f"{BUNDLE}/install.sh")
CRASHES = "[Service]\nExecStart=\nExecStart=/bin/false\nRestartSec=0\n"


def test_an_unusual_device_is_installed_on_mended_and_purged(root: Path) -> None:
    with device(root) as found:
        found.machine.run("useradd", "person")
        for place in (HOME, STATE):
            found.machine.run("mkdir", "-p", place)
            found.machine.run("mount", "-t", "tmpfs", "-o", "mode=700", "none", place)
        an_interrupted_install_is_judged_all_the_same(found)
        somebody_who_may_not_look_is_told_so(found)
        what_used_its_starts_up_is_started_again(found)
        found.machine.run("usermod", "-aG", "edgeagent", "person")
        purged = found.install("--purge")
        assert purged.returncode == 0 and "nothing of it is left" in purged.stdout, purged.stdout + purged.stderr
        assert [found.machine.run("ls", "-A", place) for place in (HOME, STATE)] == ["", ""]
        assert found.machine.run("getent", "group", "edgeagent", check=False) == ""


def an_interrupted_install_is_judged_all_the_same(found: Device) -> None:
    """Ctrl-C comes in the middle of the switch: this is done to its end, and what is new does not stay unjudged."""
    process = subprocess.Popen(
        found.machine.command(*UNUSUAL, *FIRST),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    said = ""
    with process:
        assert process.stdout is not None
        for line in process.stdout:
            said += line
            if f"link {HOME}/current" in line:
                os.killpg(process.pid, signal.SIGINT)
    assert "interrupted; the new release is judged all the same" in said, said
    seen = Path(f"/proc/{found.machine.leader}/root{HOME}")  # on a disk that only the machine has mounted
    look_until(lambda: not (seen / "trial.json").exists(), "the trial is over")
    assert json.loads((seen / "last-trial.json").read_text())["word"] == "healthy"
    assert not found.machine.path("/root/.local").exists(), "pip has put packages there"
    again = found.install(*FIRST)
    assert again.returncode == 0 and "was already installed" in again.stdout, again.stdout + again.stderr


def somebody_who_may_not_look_is_told_so(found: Device) -> None:
    command = f"{BUNDLE}/install.sh {' '.join(HERE)} --dry-run 2>&1"
    said = found.machine.run("sh", "-c", command, user="person", check=False).splitlines()[-1]
    assert said.endswith("/config.toml: permission denied; only root may look there: sudo ./install.sh")


def what_used_its_starts_up_is_started_again(found: Device) -> None:
    drop_in = f"/etc/systemd/system/{AGENT}.d/override.conf"
    found.machine.run("install", "-D", "-m", "0644", "/dev/stdin", drop_in, text=CRASHES)
    found.machine.run("systemctl", "daemon-reload")
    found.machine.run("systemctl", "restart", AGENT, check=False)
    look_until(lambda: found.machine.show(AGENT, "ActiveState")["ActiveState"] == "failed", "systemd gave up")
    found.machine.run("systemctl", "stop", AGENT)
    found.machine.run("rm", drop_in)
    found.machine.run("systemctl", "daemon-reload")
    mended = found.install(*FIRST)
    assert mended.returncode == 0, mended.stdout + mended.stderr
