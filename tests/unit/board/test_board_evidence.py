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


@pytest.mark.parametrize("bus", [0, 1, 2, 7])
def test_the_modules_eeprom_is_read_where_the_kernel_offers_it_as_a_file(tmp_path: Path, bus: int) -> None:
    path = f"sys/bus/i2c/devices/{bus}-0050/eeprom"
    write(tmp_path, path, bytes(20) + b"699-13767-0000-300 H.2" + bytes(214) + b"left out")
    identity = read_identity(tmp_path)
    assert (identity.module, identity.rests_on["module"]) == ("Jetson Orin NX 16GB", (f"EEPROM (/{path})",))
    assert len(read_evidence(tmp_path).eeproms[0][1]) == 256


def test_of_several_eeproms_the_one_of_a_known_module_counts(tmp_path: Path) -> None:
    write(tmp_path, "sys/bus/i2c/devices/0-0050/eeprom", bytes(20) + b"699-13768-0000-300")
    write(tmp_path, "sys/bus/i2c/devices/2-0050/eeprom", bytes(20) + b"699-13767-0001-300")
    assert read_identity(tmp_path).module == "Jetson Orin NX 8GB"


def test_what_a_container_still_shows_of_the_chip(tmp_path: Path) -> None:
    write(tmp_path, "sys/devices/soc0/family", b"Tegra\n")
    write(tmp_path, "sys/devices/soc0/soc_id", b"35\n")
    write(tmp_path, "sys/devices/soc0/machine", b"NVIDIA Jetson Orin Nano Developer Kit\n")
    write(tmp_path, "proc/meminfo", b"MemTotal:        7789952 kB\n")
    write(tmp_path, ".dockerenv", b"")
    identity = read_identity(tmp_path)
    assert (identity.module, identity.soc, identity.container) == ("Jetson Orin Nano 8GB", "t234", "docker")


def test_old_device_trees_give_their_file_name_and_the_boot_loaders_ids(tmp_path: Path) -> None:
    base = "sys/firmware/devicetree/base"
    write(tmp_path, f"{base}/nvidia,dtsfilename", b"tegra194-p2888-0001-p2822-0000.dts\0")
    write(tmp_path, f"{base}/nvidia,boardids", b"2888\0")
    write(tmp_path, f"{base}/chosen/plugin-manager/ids/2888-0004-400", b"\0\0\0\1")
    identity = read_identity(tmp_path)
    assert (identity.module_id, identity.soc) == ("p2888-0004", "t194")
    assert identity.rests_on["module"] == ("device tree (plugin-manager/ids)",)


def test_libraries_and_headers_stand_in_for_packages(tmp_path: Path) -> None:
    write(tmp_path, "usr/lib/aarch64-linux-gnu/libnvinfer.so.8.6.2", b"")
    write(tmp_path, "usr/lib/aarch64-linux-gnu/libnvinfer_plugin.so.8.6.3", b"")
    write(tmp_path, "usr/include/aarch64-linux-gnu/NvInferVersion.h", b"#define NV_TENSORRT_MAJOR 8\n")
    write(tmp_path, "usr/local/cuda/version.txt", b"CUDA Version 10.2.300\n")
    evidence = read_evidence(tmp_path)
    assert evidence.library_files == ("/usr/lib/aarch64-linux-gnu/libnvinfer.so.8.6.2",)
    assert evidence.tensorrt_header.startswith(b"#define")
    assert read_identity(tmp_path).cuda == "10.2.300"


def test_kubernetes_is_known_by_what_it_mounts(tmp_path: Path) -> None:
    write(tmp_path, "run/secrets/kubernetes.io/serviceaccount/token", b"")
    write(tmp_path, ".dockerenv", b"")
    assert read_identity(tmp_path).container == "kubernetes"


def test_a_container_marker_that_is_no_word_is_no_container(tmp_path: Path) -> None:
    write(tmp_path, "run/systemd/container", b"\0\x1b[2J\n")
    assert read_identity(tmp_path).container == ""


def test_the_distribution_is_named(tmp_path: Path) -> None:
    write(tmp_path, "usr/lib/os-release", b'NAME=x\nPRETTY_NAME="Yocto Linux 5.0 (scarthgap)"\n')
    assert read_identity(tmp_path).system == "Yocto Linux 5.0 (scarthgap)"


def test_a_board_made_for_tests_is_marked(tmp_path: Path) -> None:
    write(tmp_path, ".virtual-board.json", b"{}")
    assert read_identity(tmp_path).virtual == "virtual-board"


def test_a_directory_of_that_name_makes_no_virtual_board(tmp_path: Path) -> None:
    (tmp_path / ".virtual-board.json").mkdir()
    assert read_identity(tmp_path).virtual == ""


def test_under_another_root_this_machine_is_not_the_board(tmp_path: Path) -> None:
    assert not read_evidence(tmp_path).same_machine
    assert read_evidence(Path("/")).same_machine
    assert read_evidence(Path("/usr/..")).same_machine


def test_a_long_serial_number_is_cut(tmp_path: Path) -> None:
    write(tmp_path, "sys/firmware/devicetree/base/serial-number", b"7" * 50_000)
    assert read_identity(tmp_path).serial == "7" * 64


def test_directories_in_place_of_files_are_no_evidence(tmp_path: Path) -> None:
    for path in ("proc/meminfo", "etc/nv_tegra_release", "sys/bus/i2c/devices/0-0050/eeprom", "var/lib/dpkg/status"):
        (tmp_path / path).mkdir(parents=True)
    assert read_identity(tmp_path).kind == "not-a-jetson"
