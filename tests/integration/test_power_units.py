"""The power helper's units: they start the helper there is, for the group there is, and make no mount namespace."""

from __future__ import annotations

import grp
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
UNITS = REPOSITORY / "systemd"
SERVICE, SOCKET = UNITS / "edgeagent-power.service", UNITS / "edgeagent-power.socket"
HELPER = REPOSITORY / "edgeagent/power/helper.py"
MOUNT_NAMESPACE = [
    "BindPaths",
    "BindReadOnlyPaths",
    "DynamicUser",
    "ExecPaths",
    "ExtensionDirectories",
    "ExtensionImages",
    "InaccessiblePaths",
    "LoadCredential",
    "LoadCredentialEncrypted",
    "LogNamespace",
    "MountAPIVFS",
    "MountFlags",
    "MountImages",
    "NoExecPaths",
    "PrivateBPF",
    "PrivateDevices",
    "PrivateIPC",
    "PrivateMounts",
    "PrivateNetwork",
    "PrivatePIDs",
    "PrivateTmp",
    "PrivateUsers",
    "ProcSubset",
    "ProtectClock",
    "ProtectControlGroups",
    "ProtectHome",
    "ProtectHostname",
    "ProtectKernelLogs",
    "ProtectKernelModules",
    "ProtectKernelTunables",
    "ProtectProc",
    "ProtectSystem",
    "ReadOnlyPaths",
    "ReadWritePaths",
    "RootDirectory",
    "RootEphemeral",
    "RootImage",
    "RootMStack",
    "SetCredential",
    "TemporaryFileSystem",
]
"""Directives of systemd.exec(5) that make a mount namespace, in some release or on some system."""
HARMLESS = [
    "CapabilityBoundingSet",
    "ExecStart",
    "KeyringMode",
    "KillMode",
    "LimitCORE",
    "LockPersonality",
    "MemoryMax",
    "NoNewPrivileges",
    "Restart",
    "RestrictAddressFamilies",
    "RestrictNamespaces",
    "RestrictRealtime",
    "RestrictSUIDSGID",
    "SystemCallArchitectures",
    "SystemCallErrorNumber",
    "SystemCallFilter",
    "TasksMax",
    "TimeoutStopSec",
    "Type",
    "UMask",
    "User",
]
"""Directives that are known to make none: capabilities, seccomp, cgroups, limits."""


def parse(path: Path) -> dict[str, list[tuple[str, str]]]:
    """The directives of a unit by section. Anything that is no section, comment or directive fails the test."""
    sections: dict[str, list[tuple[str, str]]] = {}
    for line in path.read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        if heading := re.fullmatch(r"\[(\w+)\]", line):
            section = sections.setdefault(heading.group(1), [])
        else:
            name, equals, value = line.partition("=")
            assert equals and re.fullmatch(r"\w+", name) and not value.endswith("\\"), line
            section.append((name, value))
    return sections


def test_the_service_makes_no_mount_namespace() -> None:
    names = {name for name, _ in parse(SERVICE)["Service"]}
    assert names & set(MOUNT_NAMESPACE) == set()
    assert names - set(HARMLESS) == set(), "not known to make no mount namespace: look it up in systemd.exec(5) first"


def test_nvpmodel_may_look_at_the_first_process() -> None:
    """With a smaller bounding set and without CAP_SYS_PTRACE, /proc/1/ns/mnt cannot be read, even by root."""
    assert "CAP_SYS_PTRACE" in dict(parse(SERVICE)["Service"])["CapabilityBoundingSet"].split()


def test_the_socket_is_for_the_group_that_the_helper_admits() -> None:
    socket = dict(parse(SOCKET)["Socket"])
    assert (socket["SocketMode"], socket["Accept"], socket["SocketUser"]) == ("0660", "no", "root")
    command = shlex.split(dict(parse(SERVICE)["Service"])["ExecStart"])
    assert command[command.index("--allow-group") + 1] == socket["SocketGroup"]


def test_the_service_starts_the_helper_with_options_that_it_knows(tmp_path: Path) -> None:
    interpreter, isolated, program, *options = shlex.split(dict(parse(SERVICE)["Service"])["ExecStart"])
    assert (interpreter, isolated) == ("/usr/bin/python3", "-I")
    assert program == "/opt/edgeagent/current/libexec/edgeagent-power"
    options[options.index("edgeagent")] = grp.getgrgid(os.getgid()).gr_name  # the group is made by the installer
    command = [sys.executable, "-I", str(HELPER), *options, "--state-dir", str(tmp_path / "state"), "--serve-fd", "999"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "file descriptor 999" in ended.stderr or "run as root" in ended.stderr


def test_systemd_has_no_objection() -> None:
    tool = shutil.which("systemd-analyze")
    if tool is None:
        pytest.skip("needs systemd-analyze")
    ended = subprocess.run([tool, "verify", str(SOCKET), str(SERVICE)], capture_output=True, text=True, check=False)
    said = [line for line in (ended.stdout + ended.stderr).splitlines() if "edgeagent" in line]
    assert said == []
    assert ended.returncode == 0, ended.stderr
