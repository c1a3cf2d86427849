"""What is around this process: a container or the host, a real board, a virtual one or a virtual machine. Pure.

Control group paths: cgroups(7); the names that container runtimes give theirs are those of their documentation. DMI
strings are what hypervisors put there: see systemd-detect-virt(1).
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

Virtual = Literal["", "virtual-board", "virtual-machine"]

_CGROUPS = (
    ("kubernetes", re.compile(r"/kubepods|kubepods[.-]|cri-containerd-|/crio-")),
    ("docker", re.compile(r"/docker/[0-9a-f]{12}|docker-[0-9a-f]{12,64}\.scope")),
    ("podman", re.compile(r"libpod-[0-9a-f]{12}")),
    ("lxc", re.compile(r"/lxc(?:\.payload\S*)?/|:/lxc\.payload")),
    ("snap", re.compile(r"/snap\.[a-z0-9-]+\.")),
)
_ROOT_MOUNTS = (
    ("docker", re.compile(r"/docker/(?:overlay2|containerd|rootfs)/|/var/lib/docker/")),
    ("podman", re.compile(r"/containers/storage/overlay")),
    ("containerd", re.compile(r"io\.containerd\.snapshotter")),
)
_HYPERVISORS = re.compile(
    r"QEMU|KVM|VMware|VirtualBox|innotek|Xen|Bochs|Parallels|Virtual Machine|Amazon EC2|Google Compute|Firecracker",
    re.I,
)


class Surroundings(NamedTuple):
    """A word, "" for none, and the file that says so."""

    word: str
    source: str


NOWHERE = Surroundings("", "")


def decide_container(marker: str, marker_source: str, cgroup: str, mounts: str) -> Surroundings:
    """The container runtime: Kubernetes by its control group, else a marker file, else control group or root mount.

    Kubernetes comes first because the runtime below it leaves its marker too. `mounts` is /proc/self/mountinfo, of
    which only the line of "/" counts: a host that runs containers has their layers mounted elsewhere.
    """
    by_group = _matching(_CGROUPS, cgroup)
    if by_group == "kubernetes":
        return Surroundings(by_group, "/proc/self/cgroup")
    if marker:
        return Surroundings(marker, marker_source)
    if by_group:
        return Surroundings(by_group, "/proc/self/cgroup")
    lines = (line for line in mounts.splitlines() if line.split(" ")[4:5] == ["/"] and " overlay " in line)
    by_mount = _matching(_ROOT_MOUNTS, "\n".join(lines))
    return Surroundings(by_mount, "/proc/self/mountinfo") if by_mount else NOWHERE


def decide_virtual(marked: bool, dmi: str, cpuinfo: bytes, hypervisor: str) -> tuple[Virtual, str]:
    """Virtual or real, and why: a directory made for tests, a virtual machine, or ("", "") for real hardware."""
    if marked:
        return "virtual-board", "/.virtual-board.json: a virtual board, made for tests"
    if found := _HYPERVISORS.search(dmi):
        return "virtual-machine", f"DMI names {found.group()}"
    if hypervisor:
        return "virtual-machine", f"/sys/hypervisor/type is {hypervisor}"
    if re.search(rb"^flags\s*:.* hypervisor(?:\s|$)", cpuinfo, re.MULTILINE):
        return "virtual-machine", "/proc/cpuinfo has the flag hypervisor"
    return "", ""


def _matching(names: tuple[tuple[str, re.Pattern[str]], ...], text: str) -> str:
    return next((name for name, pattern in names if pattern.search(text)), "")
