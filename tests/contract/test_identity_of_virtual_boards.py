"""Every virtual board is recognised for what it imitates, from all of its witnesses and without contradiction."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeagent.board.evidence import read_identity
from edgeagent.board.fingerprint import board_fingerprint
from edgeagent.simulate.board import SPECS, make_board, reboot_board

EXPECTED = {
    "nano-r32": ("jetson", "Jetson Nano", "32.5.1", "4.5.1", "no"),
    "xavier-nx-r35": ("jetson", "Jetson Xavier NX", "35.4.1", "5.1.2", "yes"),
    "orin-nano-r36": ("jetson", "Jetson Orin Nano 8GB", "36.4.7", "6.2.1", "no"),
    "orin-nx16-r36": ("jetson", "Jetson Orin NX 16GB", "36.5.0", "6.2.2", "yes"),
    "agx-orin-r36": ("jetson", "Jetson AGX Orin 64GB", "36.4.7", "6.2.1", "yes"),
    "orin-nano-r39": ("jetson", "Jetson Orin Nano 8GB", "39.2.1", "7.2.1", "no"),
    "agx-orin-r39": ("jetson", "Jetson AGX Orin 64GB", "39.2.1", "7.2.1", "no"),
    "thor-r38": ("jetson", "Jetson AGX Thor T5000", "38.4.0", "7.1", "no"),
    "unknown-carrier": ("jetson", "Jetson Orin NX 16GB", "36.4.3", "6.2", "yes"),
    "unknown-module": ("unknown-jetson", "", "40.1.0", "8.0", "unknown"),
    "container": ("jetson", "Jetson Orin Nano 8GB", "", "", "no"),
    "pc": ("not-a-jetson", "", "", "", "no"),
}


def test_every_virtual_board_is_expected_here() -> None:
    assert set(EXPECTED) == set(SPECS)


@pytest.mark.parametrize("name", sorted(SPECS))
@pytest.mark.parametrize("seed", [0, 5])
def test_it_is_recognised_without_contradiction(name: str, seed: int, tmp_path: Path) -> None:
    make_board(name, tmp_path, seed=seed)
    found = read_identity(tmp_path)
    assert (found.kind, found.module, found.l4t, found.jetpack, found.dla.answer) == EXPECTED[name]
    assert [text for text in found.contradictions if "this Python would import" not in text] == []
    assert found.virtual == "virtual-board"
    assert (found.container == "docker") == (name == "container")


@pytest.mark.parametrize("name", sorted(set(SPECS) - {"pc"}))
def test_more_than_one_witness_names_the_module(name: str, tmp_path: Path) -> None:
    make_board(name, tmp_path, seed=0)
    assert len(read_identity(tmp_path).rests_on["module"]) >= 2


def test_the_unknown_carrier_is_told_although_its_model_text_is_the_developer_kits(tmp_path: Path) -> None:
    make_board("unknown-carrier", tmp_path, seed=0)
    found = read_identity(tmp_path)
    assert "Developer Kit" in found.model
    assert found.carrier == "p3768-0000 (recomputer-orin-j401)"


@pytest.mark.parametrize("name", sorted(SPECS))
def test_a_reboot_leaves_identity_and_fingerprint_as_they_were(name: str, tmp_path: Path) -> None:
    make_board(name, tmp_path, seed=0)
    before = read_identity(tmp_path)
    reboot_board(tmp_path)
    after = read_identity(tmp_path)
    assert after == before
    assert board_fingerprint(after) == board_fingerprint(before)
