"""The files of each virtual board that say what it is, byte for byte where a public capture shows the bytes."""

from __future__ import annotations

import re
import stat

import pytest
from board_kit import ALL, DEVICE_TREE, HOSTS, by_type, every_board, raw, zone_names

from edgeagent.simulate.board import VirtualBoard
from edgeagent.simulate.board_list import SPECS


@pytest.fixture(scope="module")
def boards(tmp_path_factory: pytest.TempPathFactory) -> dict[str, VirtualBoard]:
    return every_board(tmp_path_factory.mktemp("boards"))


@pytest.mark.parametrize(
    ("name", "model", "compatible"),
    [
        ("nano-r32", b"NVIDIA Jetson Nano Developer Kit", b"nvidia,jetson-nano\0nvidia,p3450-0000\0nvidia,tegra210\0"),
        (
            "xavier-nx-r35",
            b"NVIDIA Jetson Xavier NX Developer Kit",
            b"nvidia,p3509-0000+p3668-0000\0nvidia,tegra194\0",
        ),
        (
            "orin-nano-r39",
            b"NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super",
            b"nvidia,p3768-0000+p3767-0005-super\0nvidia,p3767-0005\0nvidia,tegra234\0",
        ),
        (
            "agx-orin-r36",
            b"NVIDIA Jetson AGX Orin Developer Kit",
            b"nvidia,p3737-0000+p3701-0005\0nvidia,p3701-0005\0nvidia,tegra234\0",
        ),
        (
            "thor-r38",
            b"NVIDIA Jetson AGX Thor Developer Kit",
            b"nvidia,p4071-0000+p3834-0008\0nvidia,p3834-0008\0nvidia,tegra264\0",
        ),
        (
            "unknown-carrier",
            b"NVIDIA Jetson Orin NX Engineering Reference Developer Kit",
            b"nvidia,p3768-0000+p3767-0000\0nvidia,p3767-0000\0nvidia,tegra234\0",
        ),
    ],
)
def test_device_tree_strings_end_in_nul_and_have_no_newline(
    boards: dict[str, VirtualBoard], name: str, model: bytes, compatible: bytes
) -> None:
    assert raw(boards, name, f"{DEVICE_TREE}/model") == model + b"\0"
    assert raw(boards, name, f"{DEVICE_TREE}/compatible") == compatible
    assert raw(boards, name, "proc/device-tree/model") == model + b"\0"


def test_serial_numbers_are_thirteen_digits_and_all_different(boards: dict[str, VirtualBoard]) -> None:
    serials = [raw(boards, name, f"{DEVICE_TREE}/serial-number") for name in HOSTS]
    assert all(re.fullmatch(rb"[0-9]{13}\0", serial) for serial in serials)
    assert len(set(serials)) == len(HOSTS)
    assert len({raw(boards, name, "etc/hostname") for name in ALL}) == len(ALL)


@pytest.mark.parametrize("name", ALL)
def test_only_r32_and_r35_name_their_device_tree_source(boards: dict[str, VirtualBoard], name: str) -> None:
    path = boards[name].root / DEVICE_TREE / "nvidia,dtsfilename"
    assert path.exists() == (name in ("nano-r32", "xavier-nx-r35"))
    if path.exists():
        assert path.read_bytes().endswith(b".dts\0")
        assert raw(boards, name, f"{DEVICE_TREE}/nvidia,boardids") in (b"3448\0", b"3668\0")


@pytest.mark.parametrize(
    ("name", "first_line"),
    [
        (
            "nano-r32",
            "# R32 (release), REVISION: 5.1, GCID: 26202423, BOARD: t210ref, EABI: aarch64, "
            "DATE: Fri Feb 19 16:45:52 UTC 2021",
        ),
        (
            "xavier-nx-r35",
            "# R35 (release), REVISION: 4.1, GCID: 33958178, BOARD: t186ref, EABI: aarch64, "
            "DATE: Tue Aug  1 19:57:35 UTC 2023",
        ),
        (
            "agx-orin-r36",
            "# R36 (release), REVISION: 4.7, GCID: 42132812, BOARD: generic, EABI: aarch64, "
            "DATE: Thu Sep 18 22:54:44 UTC 2025",
        ),
        (
            "orin-nx16-r36",
            "# R36 (release), REVISION: 5.0, GCID: 43688277, BOARD: generic, EABI: aarch64, "
            "DATE: Fri Jan 16 03:50:45 UTC 2026",
        ),
        (
            "thor-r38",
            "# R38 (release), REVISION: 4.0, GCID: 43443517, BOARD: generic, EABI: aarch64, "
            "DATE: Wed Dec 31 00:15:19 UTC 2025",
        ),
        (
            "orin-nano-r39",
            "# R39 (release), REVISION: 2.1, GCID: 46758480, BOARD: generic, EABI: aarch64, "
            "DATE: Fri Aug  7 05:54:22 AM UTC 2026",
        ),
    ],
)
def test_the_release_files_say_what_captures_say(boards: dict[str, VirtualBoard], name: str, first_line: str) -> None:
    lines = raw(boards, name, "etc/nv_tegra_release").decode().splitlines()
    assert lines[0] == first_line
    assert lines[1:2] == ([] if name in ("nano-r32", "xavier-nx-r35") else ["# KERNEL_VARIANT: oot"])
    assert len(lines) == {"R32": 1, "R35": 1, "R38": 2}.get(boards[name].spec.release, 4)


@pytest.mark.parametrize("name", HOSTS)
def test_the_boot_control_file_names_the_module(boards: dict[str, VirtualBoard], name: str) -> None:
    lines = raw(boards, name, "etc/nv_boot_control.conf").decode().splitlines()
    found = re.fullmatch(r"TNSPEC (\d{4})-(\w+)-(\d{4})-([A-Z]\.\d)-\d-\d-([a-z0-9-]+)-(\w*)", lines[0])
    assert found
    board_id, _, sku = found.group(1, 2, 3)
    part = raw(boards, name, f"{SPECS[name].eeprom[0]}/eeprom")[20:].rstrip(b"\0").decode()
    assert (part[5:9], part[10:14]) == (board_id, sku)
    assert lines[1].startswith(f"COMPATIBLE_SPEC {board_id}-")
    assert lines[5].startswith("TEGRA_CHIPID 0x")


def test_the_foreign_carrier_shows_only_in_tnspec(boards: dict[str, VirtualBoard]) -> None:
    assert b"-recomputer-orin-j401-" in raw(boards, "unknown-carrier", "etc/nv_boot_control.conf")
    assert b"recomputer" not in raw(boards, "unknown-carrier", f"{DEVICE_TREE}/model")


def test_the_eeprom_holds_the_part_number_at_twenty(boards: dict[str, VirtualBoard]) -> None:
    path = boards["orin-nano-r36"].root / "sys/bus/i2c/devices/0-0050/eeprom"
    content = path.read_bytes()
    assert len(content) == 256
    assert content[:20] == bytes(20)
    assert content[20:49] == b"699-13767-0005-300 S.1".ljust(29, b"\0")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("name", "versions"),
    [
        ("nano-r32", ("32.5.1-20210219084526", "7.1.3-1+cuda10.2")),
        ("xavier-nx-r35", ("35.4.1-20230801124926", "8.5.2-1+cuda11.4")),
        ("orin-nx16-r36", ("36.5.0-20260115194252", "10.3.0.30-1+cuda12.5")),
        ("thor-r38", ("38.4.0-", "10.13.3.9-1+cuda13.0")),
        ("agx-orin-r39", ("39.2.1-20260806224157", "10.16.2.10-1+cuda13.2")),
    ],
)
def test_packages_are_those_of_the_release(
    boards: dict[str, VirtualBoard], name: str, versions: tuple[str, ...]
) -> None:
    status = raw(boards, name, "var/lib/dpkg/status").decode()
    assert all(f"Version: {version}" in status for version in versions)
    assert status.count("Status: install ok installed\n") == status.count("Package: ")


def test_cuda_tells_its_version_in_json_since_eleven(boards: dict[str, VirtualBoard]) -> None:
    assert raw(boards, "nano-r32", "usr/local/cuda/version.txt") == b"CUDA Version 10.2.89\n"
    assert not (boards["nano-r32"].root / "usr/local/cuda/version.json").exists()
    assert b'"version": "13.2.1"' in raw(boards, "orin-nano-r39", "usr/local/cuda/version.json")


def test_a_container_hides_the_release_but_not_the_sensors(boards: dict[str, VirtualBoard]) -> None:
    board = boards["container"]
    assert (board.root / ".dockerenv").read_bytes() == b""
    for path in ("etc/nv_tegra_release", "etc/nv_boot_control.conf", f"{DEVICE_TREE}/model"):
        assert not (board.root / path).exists()
    assert list((board.root / "sys/firmware").iterdir()) == []
    assert not (board.root / "proc/device-tree").is_symlink()
    assert raw(boards, "container", "proc/device-tree/compatible").endswith(b"nvidia,tegra234\0")
    assert b"nvidia-l4t" not in raw(boards, "container", "var/lib/dpkg/status")
    assert len(by_type(board, "thermal_zone", "type")) == 9


def test_a_pc_has_dmi_and_nothing_of_a_jetson(boards: dict[str, VirtualBoard]) -> None:
    board = boards["pc"]
    assert raw(boards, "pc", "sys/class/dmi/id/product_name") == b"Desk 5000\n"
    for path in ("proc/device-tree", "sys/firmware/devicetree", "etc/nvpmodel.conf", "var/lib/nvpmodel"):
        assert not (board.root / path).exists()
    assert list(board.bin_dir.iterdir()) == []
    assert zone_names(board) == {"acpitz", "x86_pkg_temp"}
    assert len(list((board.root / "sys/class/thermal").glob("thermal_zone*"))) == 3
    chip = by_type(board, "hwmon", "name")["coretemp"]
    assert (chip / "temp1_label").read_bytes() == b"Package id 0\n"
    policy = board.root / "sys/devices/system/cpu/cpufreq/policy0"
    assert (policy / "scaling_driver").read_bytes() == b"intel_pstate\n"
    assert not (policy / "scaling_available_frequencies").exists()
    assert not (board.root / "sys/devices/system/cpu/cpu0/online").exists()
    assert (board.root / "sys/devices/system/cpu/cpu1/online").read_bytes() == b"1\n"


@pytest.mark.parametrize("name", ALL)
def test_links_are_relative_whole_and_stay_inside(boards: dict[str, VirtualBoard], name: str) -> None:
    root = boards[name].root
    links = [path for path in root.rglob("*") if path.is_symlink()]
    assert len(links) > 15
    assert not [path for path in links if path.readlink().is_absolute()]
    assert all(path.resolve(strict=True).is_relative_to(root.resolve()) for path in links)
    for directory in ("hwmon", "thermal", "devfreq"):
        assert all(path.is_symlink() for path in (root / "sys/class" / directory).glob("*"))


@pytest.mark.parametrize("name", ALL)
def test_sysfs_and_proc_files_end_in_one_newline(boards: dict[str, VirtualBoard], name: str) -> None:
    root = boards[name].root
    paths = [path for part in ("sys/devices", "sys/kernel", "proc/sys") for path in (root / part).rglob("*")]
    texts = {path: path.read_bytes() for path in paths if path.is_file() and not path.is_symlink()}
    wrong = {
        str(path)
        for path, text in texts.items()
        if path.name != "eeprom" and (not text.endswith(b"\n") or text.endswith(b"\n\n"))
    }
    assert len(texts) > 100
    assert wrong == set()


@pytest.mark.parametrize("name", ALL)
def test_the_marker_tells_the_tools_what_they_need(boards: dict[str, VirtualBoard], name: str) -> None:
    text = raw(boards, name, ".virtual-board.json").decode()
    assert f'"release": "{SPECS[name].release}"' in text
    assert f'"kind": "{"container" if name == "container" else "pc" if name == "pc" else "jetson"}"' in text


@pytest.mark.parametrize("name", ALL)
def test_the_kernel_has_a_boot_id_and_a_release(boards: dict[str, VirtualBoard], name: str) -> None:
    assert re.fullmatch(
        rb"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\n", raw(boards, name, "proc/sys/kernel/random/boot_id")
    )
    assert raw(boards, name, "proc/sys/kernel/osrelease").startswith((b"4.9", b"5.10", b"5.15", b"6."))
