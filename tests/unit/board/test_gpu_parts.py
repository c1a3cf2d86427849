"""Which parts of the GPU a power mode leaves on, from files as L4T has them."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeagent.board.gpu_parts import FOLDERS, read_gpu_parts


def write(root: Path, folder: str, **masks: str) -> None:
    (root / folder).mkdir(parents=True, exist_ok=True)
    for name, text in masks.items():
        (root / folder / name).write_text(text)


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_masks_are_told_in_one_order(tmp_path: Path, folder: str) -> None:
    write(tmp_path, folder, fbp_pg_mask="2\n", tpc_pg_mask="240\n")
    assert read_gpu_parts(tmp_path) == "tpc_pg_mask=240 fbp_pg_mask=2"


def test_two_power_modes_differ(tmp_path: Path) -> None:
    write(tmp_path, FOLDERS[0], tpc_pg_mask="240")
    before = read_gpu_parts(tmp_path)
    write(tmp_path, FOLDERS[0], tpc_pg_mask="252")
    assert read_gpu_parts(tmp_path) != before


def test_a_machine_without_masks_has_none(tmp_path: Path) -> None:
    assert read_gpu_parts(tmp_path) == ""
    assert read_gpu_parts(tmp_path / "nowhere") == ""


@pytest.mark.parametrize("text", ["", "\n", "1" * 40, "no number!", "\x00\x01"])
def test_nonsense_counts_as_no_mask(tmp_path: Path, text: str) -> None:
    write(tmp_path, FOLDERS[0], tpc_pg_mask=text, gpc_pg_mask="1")
    assert read_gpu_parts(tmp_path) == "gpc_pg_mask=1"


def test_hexadecimal_is_kept_as_it_is_written(tmp_path: Path) -> None:
    write(tmp_path, FOLDERS[0], tpc_pg_mask="0xfc\n")
    assert read_gpu_parts(tmp_path) == "tpc_pg_mask=0xfc"


def test_a_directory_in_a_masks_place_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / FOLDERS[0] / "tpc_pg_mask").mkdir(parents=True)
    assert read_gpu_parts(tmp_path) == ""
