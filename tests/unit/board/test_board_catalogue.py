"""The tables agree with themselves and with the ids that device trees use."""

from __future__ import annotations

import re
from itertools import product

import pytest

from edgeagent.board.catalogue import COMPUTE_CAPABILITY, MODULES, L4t, exact_jetpack_of, find_module, jetpack_of


def test_every_id_belongs_to_one_module() -> None:
    ids = [known for module in MODULES for known in (*module.ids, *module.kits)]
    assert len(ids) == len(set(ids))
    assert all(re.fullmatch(r"p\d{4}-\d{4}", known) for module in MODULES for known in module.ids)


def test_names_are_unique_and_socs_known() -> None:
    assert len({module.name for module in MODULES}) == len(MODULES)
    assert {module.soc for module in MODULES} == set(COMPUTE_CAPABILITY)


@pytest.mark.parametrize(
    ("module_id", "name", "capability", "dla_cores", "cpus"),
    [
        ("p3448-0000", "Jetson Nano", "5.3", 0, 4),
        ("p3310-1000", "Jetson TX2", "6.2", 0, 6),
        ("p3668-0001", "Jetson Xavier NX", "7.2", 2, 6),
        ("p2888-0004", "Jetson AGX Xavier", "7.2", 2, 8),
        ("p3767-0004", "Jetson Orin Nano 4GB", "8.7", 0, 6),
        ("p3767-0003", "Jetson Orin Nano 8GB", "8.7", 0, 6),
        ("p3767-0005", "Jetson Orin Nano 8GB", "8.7", 0, 6),
        ("p3767-0001", "Jetson Orin NX 8GB", "8.7", 1, 6),
        ("p3767-0000", "Jetson Orin NX 16GB", "8.7", 2, 8),
        ("p3701-0004", "Jetson AGX Orin 32GB", "8.7", 2, 8),
        ("p3701-0005", "Jetson AGX Orin 64GB", "8.7", 2, 12),
        ("p3701-0008", "Jetson AGX Orin Industrial", "8.7", 2, 12),
        ("p3834-0008", "Jetson AGX Thor T5000", "11.0", 0, 14),
        ("p3834-0000", "Jetson AGX Thor T4000", "11.0", 0, 12),
    ],
)
def test_modules(module_id: str, name: str, capability: str, dla_cores: int, cpus: int) -> None:
    module = find_module(module_id)
    assert module is not None
    assert (module.name, module.compute_capability) == (name, capability)
    assert (module.dla_cores, module.cpus) == (dla_cores, cpus)


def test_an_unknown_id_is_no_module() -> None:
    assert find_module("p9999-0000") is None
    assert find_module("") is None


CAPTURED = {
    "4.5.1": ("32.5.1",),
    "4.6.6": ("32.7.6",),
    "5.1": ("35.2.1",),
    "5.1.1": ("35.3.1",),
    "5.1.2": ("35.4.1",),
    "5.1.3": ("35.5.0",),
    "5.1.6": ("35.6.4",),
    "6.0": ("36.3.0",),
    "6.1": ("36.4.0",),
    "6.2": ("36.4.3",),
    "6.2.1": ("36.4.4", "36.4.7"),
    "6.2.2": ("36.5.0",),
    "6.2.3": ("36.5.2",),
    "7.0": tuple(f"38.2.{patch}" for patch in range(12)),
    "7.1": ("38.4.0",),
    "7.2": ("39.2.0",),
    "7.2.1": ("39.2.1",),
    "7.2.2": ("39.2.2",),
}
"""JetPack: its releases of Jetson Linux, from devices' own files and the table of jetson-stats 7.2.2."""

PUBLISHED = {
    "4.4": ("32.4.3",),
    "4.4.1": ("32.4.4",),
    "4.5": ("32.5.0",),
    "4.6": ("32.6.1",),
    "4.6.1": ("32.7.1",),
    "4.6.2": ("32.7.2",),
    "4.6.3": ("32.7.3",),
    "4.6.4": ("32.7.4",),
    "4.6.5": ("32.7.5",),
    "5.0.2": ("35.1.0",),
    "5.1.4": ("35.6.0",),
    "5.1.5": ("35.6.1",),
}
"""The same of old releases, with no capture behind it: where the tables of two public projects agree."""

RELEASES = {l4t: jetpack for table in (CAPTURED, PUBLISHED) for jetpack, l4ts in table.items() for l4t in l4ts}


def test_every_release_has_the_jetpack_that_ships_it_and_no_other_release_has_any() -> None:
    every = (L4t(*numbers) for numbers in product(range(28, 42), range(12), range(12)))
    assert {str(l4t): jetpack for l4t in every if (jetpack := exact_jetpack_of(l4t))} == RELEASES


@pytest.mark.parametrize(
    ("l4t", "jetpack"),
    [
        (L4t(36, 4, 7), "6.2.1"),
        (L4t(32, 1, 0), "4.x"),
        (L4t(34, 1, 1), "5.x"),
        (L4t(35, 6, 5), "5.x"),
        (L4t(36, 9, 9), "6.x"),
        (L4t(38, 2, 2), "7.0"),
        (L4t(38, 9, 0), "7.x"),
        (L4t(39, 3, 0), "7.x"),
        (L4t(99, 0, 0), ""),
    ],
)
def test_a_release_that_the_table_lacks_has_the_jetpack_of_its_line(l4t: L4t, jetpack: str) -> None:
    assert jetpack_of(l4t) == jetpack


def test_a_release_prints_as_nvidia_writes_it() -> None:
    assert str(L4t(36, 4, 7)) == "36.4.7"
