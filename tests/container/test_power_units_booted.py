"""The power helper's units under a real systemd: who gets in, what the hardening lets pass, how the service ends.

A Debian system boots in a container with the units as they are shipped. Where the board is needed, a drop-in adds
`--root /srv/board` to the helper's command line, and nothing else.
"""

from __future__ import annotations

import json
import os
import re
import select
from collections.abc import Iterator
from pathlib import Path

import pytest
from container_cgroups import CGROUPS
from container_kit import BOARD, INSIDE, REPOSITORY, SERVICE, SOCKET, PowerMachine, power_machine
from container_machine import REBOOTED, RUN_S, mounts_below
from container_root import UnavailableError

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
PATH = "/run/edgeagent-power.sock"
CPU0 = "sys/devices/system/cpu/cpu0/cpufreq"
GPU = "sys/class/devfreq/17000000.gpu"
SECURITY_CEILING = 6.0
CAPABILITIES = {
    "CAP_CHOWN": 0,
    "CAP_DAC_OVERRIDE": 1,
    "CAP_FOWNER": 3,
    "CAP_KILL": 5,
    "CAP_SYS_PTRACE": 19,
    "CAP_SYS_ADMIN": 21,
    "CAP_SYS_BOOT": 22,
}
SHELL_TOOL = """#!/bin/bash
# Locks, stores and restores as a shell script in the manner of the real tool does it.
set -eu
board=/srv/board
if [ "$(whoami)" != root ]; then echo "run as root"; exit 1; fi
[ "$(systemctl is-active nvfancontrol || true)" ] || exit 1
files() { ls "$board"/sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_min_freq; }
case "${1:-}" in
  --store) while read -r file; do echo "$file:$(cat "$file")"; done < <(files) | sort -u > "$2" ;;
  --restore) while IFS=: read -r file value; do echo "$value" > "$file"; done < "$2" ;;
  "") for file in $(files); do cat "${file/_min_/_max_}" > "$file"; done
      cat <<< "locked $(files | wc -l | awk '{ print $1 }' | sed 's/$/ clocks/')" ;;
esac
"""
GATE = """#!/bin/sh
echo here > /srv/arrived
exec /usr/bin/python3 -I /opt/source/edgeagent/simulate/tools/nvpmodel.py /srv/board "$@"
"""


@pytest.fixture(scope="module")
def one_machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PowerMachine]:
    try:
        with power_machine(tmp_path_factory.mktemp("power")) as found:
            yield found
    except UnavailableError as error:
        pytest.skip(str(error))


@pytest.fixture
def shipped(one_machine: PowerMachine) -> PowerMachine:
    """The units as they are shipped, and no service running."""
    one_machine.start_anew()
    one_machine.serve()
    return one_machine


@pytest.fixture
def power(one_machine: PowerMachine) -> PowerMachine:
    """The helper serves the virtual board; no service is running."""
    one_machine.start_anew()
    one_machine.serve("--root", BOARD)
    return one_machine


def ends(power: PowerMachine, clock: str) -> tuple[int, int]:
    prefix = "" if "devfreq" in clock else "scaling_"
    return int(power.board(f"{clock}/{prefix}min_freq")), int(power.board(f"{clock}/{prefix}max_freq"))


# --- who gets in, and when the service runs


def test_after_a_boot_there_is_the_socket_and_no_service(shipped: PowerMachine) -> None:
    assert shipped.at_boot == {"ActiveState": "inactive", "ExecMainStartTimestampMonotonic": "0"}
    assert shipped.machine.show(SOCKET, "ActiveState", "UnitFileState", "Result") == {
        "ActiveState": "active",
        "UnitFileState": "enabled",
        "Result": "success",
    }
    assert shipped.machine.run("stat", "--format", "%A %U:%G", PATH) == "srw-rw---- root:edgeagent"


@pytest.mark.parametrize("user", ["edgeagent", "member", "root"])
def test_the_first_request_starts_the_service(shipped: PowerMachine, user: str) -> None:
    """Of the group's own user, of somebody who has it as one more group, and of root; with the unit as it is."""
    assert shipped.pid() == 0
    found = shipped.call("status", user=user)
    assert (found["result"], found["facts"]["uid"]) == ("done", 0)
    assert shipped.service("ActiveState", "SubState") == {"ActiveState": "active", "SubState": "running"}


def test_a_stranger_is_refused_by_the_kernel_and_starts_nothing(shipped: PowerMachine) -> None:
    found = shipped.call("status", user="stranger")
    assert (found["result"], found["code"]) == ("no answer", "power-helper-not-allowed")
    assert "may not use the power helper at" in found["message"]
    assert shipped.service("ActiveState") == {"ActiveState": "inactive"}


def test_a_stranger_who_gets_past_the_socket_is_refused_by_the_helper(shipped: PowerMachine) -> None:
    shipped.machine.run("chmod", "0666", PATH)
    try:
        found = shipped.call("reboot", user="stranger")
    finally:
        shipped.machine.run("chmod", "0660", PATH)
    assert (found["result"], found["code"]) == ("no answer", "power-helper-not-allowed")
    assert "the power helper refuses this user" in found["message"]


def test_an_idle_service_ends_by_itself_and_comes_back(power: PowerMachine) -> None:
    power.serve("--root", BOARD, "--idle-exit", "1")
    assert power.call("status")["result"] == "done"
    first = power.service("InvocationID")
    # systemd stops what is bound to the service when that has ended, and --wait waits for it.
    bound = ("--property", f"BindsTo={SERVICE}", "--property", f"After={SERVICE}")
    power.machine.run("systemd-run", "--quiet", "--collect", "--wait", *bound, "sleep", "infinity", check=False)
    state = power.service("ActiveState", "Result", "ExecMainStatus")
    assert state == {"ActiveState": "inactive", "Result": "success", "ExecMainStatus": "0"}
    assert power.pid() == 0
    assert power.call("status")["result"] == "done"
    assert power.service("InvocationID") != first


def test_a_helper_that_was_killed_comes_back_at_the_next_request(power: PowerMachine) -> None:
    assert power.call("status")["result"] == "done"
    before = power.pid()
    power.machine.run("systemctl", "kill", "--signal=KILL", SERVICE)
    power.machine.run("systemctl", "stop", SERVICE)  # waits for the end of what has been killed
    assert power.call("query-mode")["facts"]["mode_name"] == "25W"
    assert power.pid() not in (0, before)


# --- the hardening


def test_the_service_shares_all_namespaces_with_the_first_process(shipped: PowerMachine) -> None:
    """In a mount namespace of its own, nvpmodel would take itself to be in a chroot."""
    assert shipped.call("status")["facts"]["host_namespace"] is True
    assert shipped.namespaces(shipped.pid()) == shipped.namespaces(1)


def test_the_limits_of_the_unit_are_in_force(shipped: PowerMachine) -> None:
    shipped.call("status")
    status = shipped.status_of(shipped.pid())
    assert int(status["CapBnd"], 16) == int(status["CapEff"], 16) == sum(1 << bit for bit in CAPABILITIES.values())
    unit = (REPOSITORY / "systemd" / SERVICE).read_text()
    named = re.search("^CapabilityBoundingSet=(.*)$", unit, re.MULTILINE)
    assert named and set(named.group(1).split()) == set(CAPABILITIES)
    assert (status["NoNewPrivs"], status["Seccomp"], status["Uid"].split()) == ("1", "2", ["0"] * 4)


def test_a_tool_can_do_what_it_needs_and_nothing_else(power: PowerMachine) -> None:
    power.write_tool("nvpmodel", (INSIDE / "probe.py").read_text())
    found = power.call("query-mode")
    assert json.loads(found["output"]) == {
        "mount_namespace_of_pid_1": True,
        "root_of_pid_1": True,
        "unix": "done",
        "reboot": "EINVAL",  # it may, but there is no such command
        "new_namespace": "EPERM",
        "mount": "EPERM",
        "internet": "EAFNOSUPPORT",
        "netlink": "EAFNOSUPPORT",
        "suid": "EPERM",
        "device": "EPERM",
        "other_user": "EPERM",
    }


# --- the verbs, under the hardening


def test_a_power_mode_is_set(power: PowerMachine) -> None:
    found = power.call("set-mode", id=0, reboot=False)
    assert (found["result"], found["exit_status"]) == ("done", 0), found
    assert (ends(power, CPU0)[1], ends(power, GPU)[1]) == (1497600, 612000000)
    assert power.call("query-mode")["facts"]["mode_name"] == "15W"


def test_clocks_are_locked_and_released(power: PowerMachine) -> None:
    before = ends(power, CPU0), ends(power, GPU)
    found = power.call("lock-clocks")
    assert (found["result"], found["facts"]["ran"].endswith("; jetson_clocks")) == ("done", True), found
    locked = ends(power, CPU0), ends(power, GPU)
    assert [low for low, _ in locked] == [top for _, top in before]
    assert power.machine.run("stat", "--format", "%A %U", "/run/edgeagent-power") == "drwx------ root"
    assert power.call("release-clocks")["result"] == "done"
    assert (ends(power, CPU0), ends(power, GPU)) == before


def test_clocks_are_locked_and_released_by_a_shell_script(power: PowerMachine) -> None:
    """bash with pipes, subshells, here-strings and process substitutions, that asks systemd on the way."""
    power.write_tool("jetson_clocks", SHELL_TOOL)
    before = ends(power, CPU0)
    found = power.call("lock-clocks")
    assert (found["result"], found["output"]) == ("done", "locked 6 clocks"), found
    assert ends(power, CPU0) == (before[1], before[1])
    found = power.call("release-clocks")
    assert found["result"] == "done", found
    assert ends(power, CPU0) == before


def test_a_clock_is_capped_and_uncapped(power: PowerMachine) -> None:
    before = ends(power, GPU)
    lowest = int(power.board(f"{GPU}/available_frequencies").split()[0])
    assert power.call("cap", domain="gpu", khz=lowest // 1000)["result"] == "done"
    assert ends(power, GPU)[1] == lowest
    assert power.call("uncap", domain="gpu")["result"] == "done"
    assert ends(power, GPU) == before


def test_a_fan_profile_is_chosen_and_the_real_systemctl_restarts_the_service(power: PowerMachine) -> None:
    (power.machine.path(f"{BOARD}/bin/systemctl")).unlink()
    (power.machine.path(f"{BOARD}/bin/systemctl")).symlink_to("/usr/bin/systemctl")
    power.machine.run("systemctl", "start", "nvfancontrol")
    before = power.machine.show("nvfancontrol", "InvocationID")
    found = power.call("fan", profile="cool")
    assert (found["result"], found["exit_status"]) == ("done", 0), found
    assert re.search(r"FAN_DEFAULT_PROFILE\s+cool", power.board("etc/nvfancontrol.conf"))
    assert power.machine.show("nvfancontrol", "ActiveState") == {"ActiveState": "active"}
    assert power.machine.show("nvfancontrol", "InvocationID") != before


def test_a_mode_that_wants_a_reboot_is_told_and_gets_it_where_allowed(power: PowerMachine) -> None:
    before = ends(power, CPU0)
    found = power.call("set-mode", id=3, reboot=False)
    assert (found["result"], found["exit_status"]) == ("reboot-required", 234), found
    assert ends(power, CPU0) == before
    assert power.call("set-mode", id=3, reboot=True)["result"] == "rebooting"
    assert power.machine.path(f"{BOARD}/run/virtual-reboot").exists()


# --- how it ends, and what it leaves


def test_stopping_the_service_lets_a_slow_tool_come_to_its_end(power: PowerMachine) -> None:
    """The tool takes four seconds; the caller gets its answer although the service is to stop meanwhile."""
    power.misbehave(nvpmodel=["slow"])
    power.write_tool("nvpmodel", GATE)
    arrived = power.machine.path("/srv/arrived")
    os.mkfifo(arrived)
    fifo = os.open(arrived, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with power.calling("set-mode", id=0, reboot=False) as caller:
            assert select.select([fifo], [], [], RUN_S)[0] and os.read(fifo, 9) == b"here\n"
            power.machine.run("systemctl", "stop", SERVICE)
            answer = json.loads(caller.communicate()[0])
    finally:
        os.close(fifo)
        arrived.unlink()
    assert (answer["result"], answer["exit_status"]) == ("done", 0), answer
    assert ends(power, CPU0)[1] == 1497600
    state = power.service("ActiveState", "Result", "ExecMainStatus")
    assert state == {"ActiveState": "inactive", "Result": "success", "ExecMainStatus": "0"}
    assert power.machine.show(SOCKET, "ActiveState") == {"ActiveState": "active"}


def test_the_journal_has_each_action_with_its_priority_and_unit(power: PowerMachine) -> None:
    power.misbehave(jetson_clocks=["fail"])
    power.call("query-mode")  # a question that is answered leaves no line
    power.call("uncap", domain="cpu")
    power.call("set-mode", id=99, reboot=False)
    power.call("lock-clocks")
    pid = str(power.pid())
    lines = [line for line in power.journal() if line.get("_PID") == pid and line["_TRANSPORT"] == "stdout"]
    assert [line["PRIORITY"] for line in lines] == ["6", "4", "3"]
    assert {line["_SYSTEMD_UNIT"] for line in lines} == {SERVICE}
    uid = power.machine.run("id", "-u", "member")
    said = ("uncap domain='cpu': done", "set-mode id=99 reboot=False: refused", "lock-clocks: failed")
    for line, verb in zip(lines, said, strict=True):
        assert re.match(rf"edgeagent-power: pid \d+ uid {uid}: {verb}", line["MESSAGE"]), line["MESSAGE"]


def test_systemd_thinks_well_of_the_service(shipped: PowerMachine) -> None:
    said = shipped.machine.run("systemd-analyze", "security", "--no-pager", SERVICE)
    figure = re.search(r"Overall exposure level for \S+: ([0-9.]+) (\w+)", said)
    assert figure, said
    print(f"systemd {shipped.machine.run('systemctl', '--version').split()[1]}: {figure.group(0)}")
    assert float(figure.group(1)) < SECURITY_CEILING


def test_the_real_systemctl_reboots_the_machine(tmp_path: Path) -> None:
    """On a machine of its own: it ends in the way in which systemd-nspawn tells a reboot from a shutdown."""
    try:
        with power_machine(tmp_path) as found:
            found.serve("--root", BOARD, "--tools", "/usr/bin")
            assert found.call("reboot")["result"] == "rebooting"
            assert found.machine.end_of() == REBOOTED
    except UnavailableError as error:
        pytest.skip(str(error))


def test_nothing_of_a_machine_stays_behind_after_a_mishap(tmp_path: Path) -> None:
    class MishapError(Exception):
        pass

    try:
        with pytest.raises(MishapError), power_machine(tmp_path) as found:
            leader, root = found.machine.leader, found.machine.root
            raise MishapError
    except UnavailableError as error:
        pytest.skip(str(error))
    assert not Path(f"/proc/{leader}").exists()
    assert not root.exists()
    assert mounts_below(tmp_path) == []
    assert list(CGROUPS.rglob(found.machine.name)) == []
    assert list(Path("/run/systemd/nspawn").glob(f"*/{found.machine.name}")) == []
