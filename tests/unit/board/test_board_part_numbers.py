"""Part numbers in EEPROMs, file names and boot loader ids, and what only looks like one."""

from __future__ import annotations

import pytest

from edgeagent.board import part_numbers


@pytest.mark.parametrize(
    ("raw", "module_id"),
    [
        (bytes(20) + b"699-13767-0005-300 S.1\0\0\0" + bytes(180), "p3767-0005"),
        (b"\x01\x00\xfe" + bytes(17) + b"699-82888-0001-400 M.0", "p2888-0001"),
        (bytes(20) + b"699-13767-0000-ES1 A.3", "p3767-0000"),
        (b"699-level Part Number: 699-13701-0005-500 M.0\n", "p3701-0005"),
        (bytes(20) + b"699-1376", ""),
        (bytes(20) + b"698-13767-0005-300", ""),
        (b"\xff" * 256, ""),
        (bytes(range(256)), ""),
        (b"", ""),
    ],
)
def test_eeprom(raw: bytes, module_id: str) -> None:
    assert part_numbers.parse_eeprom(raw) == module_id


def test_the_memory_module_of_a_pc_at_the_same_address_is_no_part_number() -> None:
    spd = bytes((0x23, 0x11, 0x0C, 0x03, 0x45, 0x21, 0x00, 0x08)) + bytes(120) + b"M471A1K43DB1-CWE   " + bytes(100)
    assert part_numbers.parse_eeprom(spd) == ""


@pytest.mark.parametrize(
    ("text", "ids", "soc"),
    [
        ("a/tegra210-p3448-0000-p3449-0000-b00.dts", ("p3448-0000", "p3449-0000"), "t210"),
        ("tegra194-p3668-all-p3509-0000.dts", ("p3509-0000",), "t194"),
        ("p3448-0000/other.dts", (), ""),
        ("", (), ""),
    ],
)
def test_dts_filename(text: str, ids: tuple[str, ...], soc: str) -> None:
    assert part_numbers.parse_dts_filename(text) == ids
    assert part_numbers.parse_dts_soc(text) == soc


@pytest.mark.parametrize(
    ("texts", "ids"),
    [
        (["3448"], ()),
        (["3448-0000-400"], ("p3448-0000",)),
        (["3310-1000 2597-0000"], ("p3310-1000", "p2597-0000")),
        (["2888:0001"], ("p2888-0001",)),
        (["13448-0000", "3448-00001", "x"], ()),
    ],
)
def test_board_ids(texts: list[str], ids: tuple[str, ...]) -> None:
    assert part_numbers.parse_board_ids(texts) == ids


@pytest.mark.parametrize(
    ("boot_control", "family", "soc_id", "soc"),
    [
        (b"TEGRA_CHIPID 0x23\n", "", "", "t234"),
        (b"TEGRA_CHIPID 0x19\n", "Tegra", "35", "t194"),
        (b"", "Tegra", "35", "t234"),
        (b"", "Tegra", "38", "t264"),
        (b"", "Tegra", "", ""),
        (b"", "Tegra", "0x23", ""),
        (b"", "Snapdragon", "35", ""),
        (b"TEGRA_CHIPID 0xffff\n", "", "", ""),
    ],
)
def test_chip_id(boot_control: bytes, family: str, soc_id: str, soc: str) -> None:
    assert part_numbers.parse_chip_id(boot_control, family, soc_id) == soc
