"""Which board is recognised from which witnesses, and which disagreements are named."""

from __future__ import annotations

import dataclasses

import pytest

from edgeagent.board.dla import DlaAnswer
from edgeagent.board.fingerprint import board_fingerprint
from edgeagent.board.identity import Evidence, decide_identity

ORIN_NANO = Evidence(
    compatible=b"nvidia,p3768-0000+p3767-0005-super\0nvidia,p3767-0005\0nvidia,tegra234\0",
    model=b"NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super\0",
    serial=b"1420000000001\0",
    tegra_release=b"# R36 (release), REVISION: 4.7, GCID: 42132812, BOARD: generic, EABI: aarch64\n",
    boot_control=b"TNSPEC 3767-300-0005-S.1-1-1-jetson-orin-nano-devkit-super-\n",
    meminfo=b"MemTotal:        7789952 kB\n",
    cpus_present=b"0-5\n",
    cuda_json=b'{"cuda": {"version": "12.6.68"}}',
    packages={"nvidia-l4t-core": "36.4.7-20250918154033", "libnvinfer10": "10.3.0.30-1+cuda12.5"},
    libraries={"tensorrt": "10.3.0", "onnxruntime": "1.23.0"},
    machine="aarch64",
)


def eeprom(part: str) -> bytes:
    """A module's EEPROM: the part number at offset 20, padding and a checksum around it."""
    return (b"\x02\x00\xfc\x00" + bytes(16) + part.encode()).ljust(255, b"\0") + b"\xa5"


def tensorrt_header(major: int, minor: int, patch: int) -> bytes:
    names = zip(("MAJOR", "MINOR", "PATCH"), (major, minor, patch), strict=True)
    return "".join(f"#define NV_TENSORRT_{name} {number} //!< a comment\n" for name, number in names).encode()


def but(**changes: object) -> Evidence:
    return dataclasses.replace(ORIN_NANO, **changes)  # type: ignore[arg-type]


def test_a_developer_kit_is_recognised_without_contradiction() -> None:
    identity = decide_identity(ORIN_NANO)
    assert identity.kind == "jetson"
    assert (identity.module, identity.module_id) == ("Jetson Orin Nano 8GB", "p3767-0005")
    assert identity.carrier == "p3768-0000 (jetson-orin-nano-devkit-super)"
    assert (identity.soc, identity.compute_capability) == ("t234", "8.7")
    assert identity.dla == DlaAnswer("no", 0, "Jetson Orin Nano 8GB has no DLA", declared=0)
    assert (identity.cpus, identity.memory_mb, identity.serial) == (6, 7607, "1420000000001")
    assert (identity.l4t, identity.jetpack) == ("36.4.7", "6.2.1")
    assert (identity.tensorrt, identity.cuda, identity.onnxruntime) == ("10.3.0", "12.6.68", "1.23.0")
    assert identity.contradictions == ()


def test_every_fact_has_its_source() -> None:
    found = {(finding.fact, finding.source) for finding in decide_identity(ORIN_NANO).evidence}
    assert ("compatible", "device tree") in found
    assert ("TNSPEC", "/etc/nv_boot_control.conf") in found
    assert ("libnvinfer10", "/var/lib/dpkg/status") in found
    assert ("tensorrt", "Python package") in found
    assert all(finding.value for finding in decide_identity(ORIN_NANO).evidence)


@pytest.mark.parametrize(
    ("compatible", "module", "cores"),
    [
        (b"nvidia,p3768-0000+p3767-0000-super\0nvidia,p3767-0000\0nvidia,tegra234\0", "Jetson Orin NX 16GB", 2),
        (b"nvidia,p3737-0000+p3701-0005\0nvidia,p3701-0005\0nvidia,tegra234\0", "Jetson AGX Orin 64GB", 2),
        (b"nvidia,p4071-0000+p3834-0008\0nvidia,p3834-0008\0nvidia,tegra264\0", "Jetson AGX Thor T5000", 0),
        (b"nvidia,p2972-0000\0nvidia,tegra194\0", "Jetson AGX Xavier", 2),
        (b"nvidia,p3509-0000+p3668-0001\0nvidia,tegra194\0", "Jetson Xavier NX", 2),
        (b"nvidia,jetson-nano\0nvidia,p3450-0000\0nvidia,tegra210\0", "Jetson Nano", 0),
        (b"nvidia,p2771-0000\0nvidia,tegra186\0", "Jetson TX2", 0),
    ],
)
def test_modules_are_recognised_by_the_device_tree(compatible: bytes, module: str, cores: int) -> None:
    identity = decide_identity(Evidence(compatible=compatible))
    assert (identity.kind, identity.module, identity.dla_cores) == ("jetson", module, cores)


def test_a_third_party_carrier_is_told_by_its_tnspec_not_by_the_model_text() -> None:
    identity = decide_identity(but(boot_control=b"TNSPEC 3767-300-0005-H.2-1-0-recomputer-orin-j401-\n"))
    assert identity.carrier == "p3768-0000 (recomputer-orin-j401)"
    assert identity.contradictions == ()


def test_without_a_device_tree_the_boot_control_file_decides() -> None:
    identity = decide_identity(but(compatible=b"", model=b"", serial=b"", container="docker"))
    assert (identity.kind, identity.module_id, identity.soc) == ("jetson", "p3767-0005", "t234")
    assert identity.container == "docker"


def test_an_unknown_module_keeps_its_soc_and_has_unknown_dla() -> None:
    identity = decide_identity(Evidence(compatible=b"acme,p9999-0000\0nvidia,p9999-0042\0nvidia,tegra234\0"))
    assert (identity.kind, identity.module, identity.module_id) == ("unknown-jetson", "", "p9999-0042")
    assert (identity.soc, identity.compute_capability, identity.dla_cores) == ("t234", "8.7", None)
    assert (identity.dla.answer, "num_DLA_cores tells" in identity.dla.reason) == ("unknown", True)


def test_a_new_soc_has_no_compute_capability() -> None:
    identity = decide_identity(Evidence(compatible=b"nvidia,tegra999\0"))
    assert (identity.kind, identity.soc, identity.compute_capability) == ("unknown-jetson", "t999", "")


def test_a_release_file_alone_is_an_unknown_jetson() -> None:
    assert decide_identity(Evidence(tegra_release=ORIN_NANO.tegra_release)).kind == "unknown-jetson"


def test_a_pc_is_no_jetson() -> None:
    identity = decide_identity(Evidence(meminfo=b"MemTotal: 24684084 kB\n", machine="x86_64"))
    assert (identity.kind, identity.module, identity.dla_cores) == ("not-a-jetson", "", 0)
    assert identity.memory_mb == 24105
    assert identity.contradictions == ()


def test_a_pc_with_a_gpu_names_it() -> None:
    identity = decide_identity(Evidence(gpu_information=b"Model: \t NVIDIA RTX A2000\n", machine="x86_64"))
    assert (identity.gpu, identity.dla.answer) == ("NVIDIA RTX A2000", "no")


def test_the_l4t_package_stands_in_for_a_missing_release_file() -> None:
    assert decide_identity(but(tegra_release=b"")).l4t == "36.4.7"


def test_the_library_stands_in_for_a_missing_python_binding() -> None:
    assert decide_identity(but(libraries={})).tensorrt == "10.3.0.30"


def test_the_newest_of_several_cuda_runtimes_counts() -> None:
    packages = {"cuda-cudart-12-9": "12.9.1-1", "cuda-cudart-12-10": "12.10.2-1", "cuda-cudart-12-6": "12.6.68-1"}
    assert decide_identity(Evidence(packages=packages)).cuda == "12.10.2"


@pytest.mark.parametrize(
    ("changes", "contradiction"),
    [
        (
            {"boot_control": b"TNSPEC 3767-300-0000-S.1-1-1-jetson-orin-nano-devkit-\n"},
            "module: p3767-0005 by device tree (compatible), p3767-0000 by /etc/nv_boot_control.conf (TNSPEC)",
        ),
        (
            {"packages": {"nvidia-l4t-core": "36.4.3-20250107174145"}},
            "L4T: 36.4.7 by /etc/nv_tegra_release, 36.4.3 by package nvidia-l4t-core",
        ),
        (
            {"packages": {"nvidia-l4t-core": "36.4.7-20250918154033", "nvidia-jetpack": "6.2+b77"}},
            "JetPack: 6.2.1 by L4T 36.4.7, 6.2 by package nvidia-jetpack",
        ),
        (
            {"board_ids": b"3448-0000-400\0"},
            "module: p3767-0005 by device tree (compatible), p3448-0000 by device tree (nvidia,boardids)",
        ),
        (
            {"plugin_ids": ("3768-0000-300", "3767-0003-300")},
            "module: p3767-0005 by device tree (compatible), p3767-0003 by device tree (plugin-manager/ids)",
        ),
        (
            {"eeproms": (("/eeprom", eeprom("699-13767-0000-300 H.2")),)},
            "module: p3767-0005 by device tree (compatible), p3767-0000 by EEPROM (/eeprom)",
        ),
        (
            {"boot_control": b"COMPATIBLE_SPEC 3701--0000--1--jetson-agx-orin-devkit-\n"},
            "module: p3767-0005 by device tree (compatible), p3701-0000 by /etc/nv_boot_control.conf (COMPATIBLE_SPEC)",
        ),
        (
            {"soc_family": b"Tegra\n", "soc_id": b"25\n"},
            "SoC: t234 by device tree (compatible), t194 by /sys/devices/soc0/soc_id",
        ),
        (
            {"dts_filename": b"/dvs/git/t186/tegra186-p3636-0001-p3509-0000-a01.dts\0"},
            "SoC: t234 by device tree (compatible), t186 by device tree (nvidia,dtsfilename)",
        ),
        (
            {"library_files": ("/usr/lib/libnvinfer.so.10.7.0",)},
            "TensorRT: 10.3.0.30 by package libnvinfer, 10.7.0 by /usr/lib/libnvinfer.so.10.7.0",
        ),
        (
            {"tensorrt_header": tensorrt_header(8, 6, 2)},
            "TensorRT: 10.3.0.30 by package libnvinfer, 8.6.2 by NvInferVersion.h",
        ),
        (
            {"libraries": {"tensorrt": "10.13.0"}},
            "the system has TensorRT 10.3.0.30, this Python would import 10.13.0",
        ),
        (
            {"model": b"NVIDIA Jetson Orin NX Engineering Reference Developer Kit\0"},
            "the model text says Orin NX, the ids say Jetson Orin Nano 8GB",
        ),
        (
            {"tegra_release": b"# R32 (release), REVISION: 7.1, GCID: 1\n", "packages": {}},
            "L4T 32.7.1 was never released for Jetson Orin Nano 8GB",
        ),
        (
            {"meminfo": b"MemTotal: 15655436 kB\n"},
            "the kernel has 14.9 GiB, Jetson Orin Nano 8GB comes with 8 GB",
        ),
        ({"cpus_present": b"0-7\n"}, "the kernel has 8 CPU cores, Jetson Orin Nano 8GB has 6"),
        ({"cpus_present": b"0-3\n"}, "the kernel has 4 CPU cores, Jetson Orin Nano 8GB has 6"),
    ],
)
def test_contradictions_are_named_and_stop_nothing(changes: dict[str, object], contradiction: str) -> None:
    identity = decide_identity(but(**changes))
    assert identity.contradictions == (contradiction,)
    assert identity.module_id == "p3767-0005"


def test_the_fingerprint_has_every_key_and_nothing_volatile() -> None:
    fingerprint = board_fingerprint(decide_identity(ORIN_NANO))
    assert fingerprint == {
        "module": "p3767-0005",
        "soc": "t234",
        "compute_capability": "8.7",
        "l4t": "36.4.7",
        "tensorrt": "10.3.0",
        "cuda": "12.6.68",
        "gpu": "none",
        "machine": "aarch64",
    }
    later = but(serial=b"another\0", meminfo=b"MemTotal: 7000000 kB\n", cpus_present=b"0-3\n", container="podman")
    assert board_fingerprint(decide_identity(later)) == fingerprint


def test_the_fingerprint_of_nothing_is_none_throughout() -> None:
    assert set(board_fingerprint(decide_identity(Evidence())).values()) == {"none"}
