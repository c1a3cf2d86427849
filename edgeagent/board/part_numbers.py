"""Part numbers (`p3767-0005`) in the places where they stand, beside `compatible`. Pure, never raises.

* EEPROM of the module: at offset 20 the 699-level number `699-13767-0005-300 S.1`, as text, padded with zeros
  (NVIDIA's board id EEPROM layout). A text that only quotes the number is read as well.
* `nvidia,dtsfilename` of R32 and R35: `.../tegra210-p3448-0000-p3449-0000-b00.dts`, module and carrier.
* `nvidia,boardids` of R32: `3448`, or `3448-0000-400`, several of them separated by blanks or colons.
* names of properties in /chosen/plugin-manager/ids of R32 and R35: `3448-0000-400`, module and carrier.
* COMPATIBLE_SPEC of /etc/nv_boot_control.conf: `3767--0005--1--jetson-orin-nano-devkit-`, in the form of the TNSPEC.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from edgeagent.board.catalogue import CHIP_IDS

EEPROM_BYTES = 256
_OFFSET = 20
_699 = re.compile(rb"699-[0-9]([0-9]{4})-([0-9]{4})-[0-9A-Z]{3}")
_IN_NAME = re.compile(r"(?<![0-9a-z])p([0-9]{4})-([0-9]{4})(?![0-9])")
_BOARD = re.compile(r"(?<![0-9-])([0-9]{4})[-:]([0-9]{4})(?![0-9])")
_SOC = re.compile(r"(?<![a-z])tegra([0-9]{3})(?![0-9])")
_CHIP = re.compile(rb"^TEGRA_CHIPID\s+0x([0-9a-fA-F]{1,4})\s*$", re.MULTILINE)


def parse_eeprom(raw: bytes) -> str:
    """The module id in an EEPROM's bytes, or in a text that quotes the 699-level number; "" when there is none."""
    found = _699.match(raw, _OFFSET) or _699.search(raw)
    return _id(found.group(1).decode(), found.group(2).decode()) if found else ""


def parse_dts_filename(text: str) -> tuple[str, ...]:
    """Every part number in the name of the device tree's source file, the module's before the carrier's."""
    return tuple(_id(*found) for found in _IN_NAME.findall(text.rpartition("/")[2]))


def parse_dts_soc(text: str) -> str:
    """`t210` for `.../tegra210-p3448-0000.dts`; "" when the name has none."""
    found = _SOC.match(text.rpartition("/")[2])
    return f"t{found.group(1)}" if found else ""


def parse_board_ids(texts: Iterable[str]) -> tuple[str, ...]:
    """Every part number in the texts; a board number without SKU, `3448`, is none."""
    return tuple(_id(*found) for text in texts for found in _BOARD.findall(text))


def parse_chip_id(boot_control: bytes, soc_family: str, soc_id: str) -> str:
    """The SoC by its chip id: TEGRA_CHIPID of the boot control file (hexadecimal), else the kernel's (decimal).

    The kernel's number counts only where it calls the family Tegra: other makers number their chips as they like.
    """
    if found := _CHIP.search(boot_control):
        return CHIP_IDS.get(int(found.group(1), 16), "")
    known = soc_family == "Tegra" and re.fullmatch(r"[0-9]{1,4}", soc_id)
    return CHIP_IDS.get(int(soc_id), "") if known else ""


def _id(board: str, sku: str) -> str:
    return f"p{board}-{sku}"
