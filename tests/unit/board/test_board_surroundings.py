"""In a container or on the host; real, virtual board or virtual machine."""

from __future__ import annotations

import pytest

from edgeagent.board.identity import Evidence, decide_identity
from edgeagent.board.surroundings import decide_container, decide_virtual

ID = "3f" * 32
HOST = (
    "0::/init.scope\n",
    "0::/user.slice/user-1000.slice/session-3.scope\n",
    "0::/system.slice/docker.service\n",
    "0::/system.slice/edgeagent.service\n",
    "12:memory:/\n0::/\n",
    "",
)


@pytest.mark.parametrize("cgroup", HOST)
def test_a_host_is_a_host(cgroup: str) -> None:
    assert decide_container("", "", cgroup, "").word == ""


@pytest.mark.parametrize(
    ("cgroup", "word"),
    [
        (f"12:devices:/docker/{ID}\n", "docker"),
        (f"0::/system.slice/docker-{ID}.scope\n", "docker"),
        (f"0::/machine.slice/libpod-{ID}.scope/container\n", "podman"),
        ("1:name=systemd:/lxc/box/init.scope\n", "lxc"),
        ("0::/lxc.payload.box/system.slice\n", "lxc"),
        (f"0::/kubepods.slice/kubepods-burstable.slice/cri-containerd-{ID}.scope\n", "kubernetes"),
        (f"11:cpu:/kubepods/besteffort/pod1/{ID}\n", "kubernetes"),
        ("0::/system.slice/snap.edgeagent.agent.service\n", "snap"),
    ],
)
def test_runtimes_by_their_control_group(cgroup: str, word: str) -> None:
    assert decide_container("", "", cgroup, "") == (word, "/proc/self/cgroup")


def test_kubernetes_is_named_although_its_runtime_left_a_marker() -> None:
    assert decide_container("docker", "/.dockerenv", "0::/kubepods/pod1\n", "").word == "kubernetes"
    assert decide_container("docker", "/.dockerenv", "0::/\n", "") == ("docker", "/.dockerenv")


def test_in_its_own_control_group_namespace_a_container_is_told_by_its_root_mount() -> None:
    inside = f"300 1 0:50 / / rw - overlay overlay rw,lowerdir=/var/lib/docker/overlay2/{ID}/diff,upperdir=/x\n"
    beside = f"300 1 0:50 / /var/lib/docker/overlay2/{ID}/merged rw - overlay overlay rw,lowerdir=/var/lib/docker/a\n"
    assert decide_container("", "", "0::/\n", inside) == ("docker", "/proc/self/mountinfo")
    assert decide_container("", "", "0::/\n", beside).word == ""


@pytest.mark.parametrize(
    ("dmi", "cpuinfo", "hypervisor", "word"),
    [
        ("Dell Inc.\n Latitude 7420\n", b"flags\t\t: fpu vme sse2\n", "", ""),
        ("QEMU\n Standard PC (Q35 + ICH9, 2009)\n", b"", "", "virtual-machine"),
        ("Microsoft Corporation\n Virtual Machine\n", b"", "", "virtual-machine"),
        ("Microsoft Corporation\n Surface Laptop\n", b"", "", ""),
        ("", b"flags\t\t: fpu hypervisor lahf_lm\n", "", "virtual-machine"),
        ("", b"model name\t: hypervisor chip\n", "", ""),
        ("", b"", "xen", "virtual-machine"),
        ("", b"", "", ""),
    ],
)
def test_virtual_machines(dmi: str, cpuinfo: bytes, hypervisor: str, word: str) -> None:
    virtual, why = decide_virtual(False, dmi, cpuinfo, hypervisor)
    assert (virtual, bool(why)) == (word, bool(word))


def test_a_board_made_for_tests_says_so() -> None:
    identity = decide_identity(Evidence(virtual_marker=True, dmi=b"QEMU"))
    assert identity.virtual == "virtual-board"
    assert identity.rests_on["virtual"] == ("/.virtual-board.json: a virtual board, made for tests",)


def test_being_virtual_changes_nothing_else() -> None:
    seen = {"compatible": b"nvidia,p3767-0005\0nvidia,tegra234\0", "meminfo": b"MemTotal: 7789952 kB\n"}
    real, virtual = decide_identity(Evidence(**seen)), decide_identity(Evidence(**seen, virtual_marker=True))  # type: ignore[arg-type]
    told = [
        {key: value for key, value in vars(one).items() if key not in ("virtual", "rests_on")}
        for one in (real, virtual)
    ]
    assert told[0] == told[1]
