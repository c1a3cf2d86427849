"""Where evidence is looked for, under any root."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeagent.board.evidence import read_evidence, read_identity, under


def write(root: Path, path: str, content: bytes) -> None:
    target = root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)


def test_an_empty_root_gives_no_evidence(tmp_path: Path) -> None:
    evidence = read_evidence(tmp_path)
    assert (evidence.compatible, evidence.meminfo, evidence.packages, evidence.container) == (b"", b"", {}, "")
    assert evidence.machine


def test_proc_stands_in_for_a_hidden_sys_firmware(tmp_path: Path) -> None:
    write(tmp_path, "proc/device-tree/compatible", b"nvidia,p3767-0005\0nvidia,tegra234\0")
    assert read_identity(tmp_path).module_id == "p3767-0005"


def test_sys_firmware_comes_first(tmp_path: Path) -> None:
    write(tmp_path, "proc/device-tree/serial-number", b"2\0")
    write(tmp_path, "sys/firmware/devicetree/base/serial-number", b"1\0")
    assert read_evidence(tmp_path).serial == b"1\0"


@pytest.mark.parametrize(
    ("path", "content", "name"),
    [(".dockerenv", b"", "docker"), ("run/.containerenv", b"", "podman"), ("run/systemd/container", b"lxc\n", "lxc")],
)
def test_containers(tmp_path: Path, path: str, content: bytes, name: str) -> None:
    write(tmp_path, path, content)
    assert read_evidence(tmp_path).container == name


def test_the_first_gpu_of_a_pc(tmp_path: Path) -> None:
    for bus, model in (("0000:41:00.0", b"NVIDIA B"), ("0000:01:00.0", b"NVIDIA A")):
        write(tmp_path, f"proc/driver/nvidia/gpus/{bus}/information", b"Model: \t\t " + model + b"\n")
    assert read_identity(tmp_path).gpu == "NVIDIA A"


def test_packages_are_those_of_the_root(tmp_path: Path) -> None:
    write(
        tmp_path,
        "var/lib/dpkg/status",
        b"Package: nvidia-l4t-core\nStatus: install ok installed\nVersion: 36.5.0-20260115194252\n",
    )
    assert read_identity(tmp_path).l4t == "36.5.0"


def test_under_keeps_absolute_paths_inside_the_root() -> None:
    assert under(Path("/tree"), "/etc/hostname") == Path("/tree/etc/hostname")
    assert under(Path("/"), "/etc/hostname") == Path("/etc/hostname")
