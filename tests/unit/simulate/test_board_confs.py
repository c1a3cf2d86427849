"""The tables of power modes: names, IDs, defaults, cores and masks as the facts tell, and every path there is.

Which change wants a reboot is asked of the stand-in nvpmodel: that it follows from masks and cores is the point.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from board_kit import JETSONS

from edgeagent.power.nvpmodel_conf import UNLIMITED, PowerConf, PowerMode, parse_nvpmodel_conf
from edgeagent.simulate.board import make_board
from edgeagent.simulate.board_list import SPECS
from edgeagent.simulate.board_tree_disk import CONFS
from edgeagent.simulate.tools import power_modes
from edgeagent.simulate.tools.machine import machine_at

FILES = sorted(path.name for path in CONFS.glob("*.conf"))
MODES = {
    "nano.conf": ({0: "MAXN", 1: "5W"}, 0),
    "xavier_nx.conf": (
        {
            0: "MODE_15W_2CORE",
            1: "MODE_15W_4CORE",
            2: "MODE_15W_6CORE",
            3: "MODE_10W_2CORE",
            4: "MODE_10W_4CORE",
            5: "MODE_10W_DESKTOP",
            6: "MODE_20W_2CORE",
            7: "MODE_20W_4CORE",
            8: "MODE_20W_6CORE",
        },
        5,
    ),
    "orin_nano_super.conf": ({0: "15W", 1: "25W", 2: "MAXN_SUPER", 3: "7W"}, 1),
    "orin_nano_super_r39.conf": ({0: "15W", 1: "25W", 2: "MAXN_SUPER"}, 1),
    "orin_nx16.conf": ({0: "MAXN", 1: "10W", 2: "15W", 3: "25W"}, 2),
    "orin_nx16_super.conf": ({0: "MAXN_SUPER", 1: "10W", 2: "15W", 3: "25W", 4: "40W"}, 2),
    "agx_orin.conf": ({0: "MAXN", 1: "MODE_15W", 2: "MODE_30W", 3: "MODE_50W"}, 2),
    "agx_orin_r39.conf": ({0: "MAXN", 1: "MODE_15W", 2: "MODE_30W", 3: "MODE_50W"}, 2),
    "thor_t5000.conf": ({0: "MAXN", 1: "120W", 2: "90W", 3: "70W"}, 1),
    "unknown_module.conf": ({0: "PEAK", 2: "ECO_60W", 7: "NIGHT_25W"}, 2),
}
LIVE = {
    "nano-r32": [{0, 1}],
    "xavier-nx-r35": [set(range(9))],
    "orin-nano-r36": [{0, 1, 2}, {3}],
    "orin-nano-r39": [{0, 1, 2}],
    "orin-nx16-r36": [{0, 3, 4}, {1, 2}],
    "unknown-carrier": [{0, 3}, {1, 2}],
    "agx-orin-r36": [{0, 3}, {1}, {2}],
    "agx-orin-r39": [{0, 3}, {1}, {2}],
    "thor-r38": [{0, 1}, {2, 3}],
}
"""Groups of modes between which a change is live."""


def conf_of(file: str) -> PowerConf:
    return parse_nvpmodel_conf((CONFS / file).read_text())


def clock_limit(mode: PowerMode, argument: str, family: str) -> set[int]:
    """The values that a mode gives to an argument of all parameters whose name begins so."""
    return {one.value for one in mode.settings if one.argument == argument and one.parameter.startswith(family)}


def test_every_table_belongs_to_a_board_and_every_board_has_one() -> None:
    assert set(FILES) == set(MODES) == {spec.power_modes for spec in SPECS.values()} - {""}


@pytest.mark.parametrize("file", FILES)
def test_names_ids_and_defaults(file: str) -> None:
    conf = conf_of(file)
    assert ({mode.id: mode.name for mode in conf.modes}, conf.default_id) == MODES[file]
    assert conf.fan_default == ("cool" if file == "nano.conf" else "")


@pytest.mark.parametrize("file", FILES)
def test_the_text_is_our_own(file: str) -> None:
    text = (CONFS / file).read_text()
    assert "Written for edgeagent in the grammar that nvpmodel reads; not NVIDIA's file." in text
    assert "rights reserved" not in text


def test_the_irregularities_of_real_files_are_there() -> None:
    texts = {file: (CONFS / file).read_text() for file in FILES}
    assert all("<PARAM TYPE=CLOCK NAME=EMC >\n" in text for text in texts.values())
    assert "CPU_A57 MIN_FREQ  0\n" in texts["nano.conf"]
    assert re.search(r"NAME=MODE_30W > +\n", texts["agx_orin.conf"])
    assert "MAX_FREQ_KNEXT /sys/class/devfreq/17000000.gpu/max_freq\n" in texts["orin_nano_super_r39.conf"]
    assert "GPU_POWER_CONTROL_ENABLE GPU_PWR_CNTL_EN on\n" in texts["xavier_nx.conf"]
    assert "MAX_FREQ 9223372036854775807\n" in texts["unknown_module.conf"]


def test_one_parameter_a_core_on_the_super_table_of_r36_5_and_one_a_cluster_elsewhere() -> None:
    counts = {file: sum(one.name.startswith("CPU_A78_") for one in conf_of(file).parameters) for file in FILES}
    assert counts["orin_nx16_super.conf"] == 8
    assert (counts["orin_nx16.conf"], counts["agx_orin.conf"], counts["orin_nano_super.conf"]) == (2, 3, 2)


@pytest.mark.parametrize(
    ("file", "mode_id", "cores", "masks"),
    [
        ("orin_nano_super.conf", 1, 6, {240}),
        ("orin_nano_super.conf", 3, 4, {252}),
        ("orin_nx16_super.conf", 2, 4, {252, 2}),
        ("orin_nx16_super.conf", 4, 8, {240, 2}),
        ("agx_orin.conf", 0, 12, {0}),
        ("agx_orin.conf", 1, 4, {248, 2}),
        ("agx_orin.conf", 2, 8, {240, 2}),
        ("thor_t5000.conf", 1, 14, {512}),
        ("thor_t5000.conf", 3, 12, {17353}),
        ("xavier_nx.conf", 0, 2, {1}),
        ("nano.conf", 1, 2, set()),
    ],
)
def test_cores_and_masks(file: str, mode_id: int, cores: int, masks: set[int]) -> None:
    mode = conf_of(file).mode_by_id(mode_id)
    assert mode
    assert mode.cores_on == cores
    assert {one.value for one in mode.settings if one.argument.endswith("PG_MASK")} == masks


@pytest.mark.parametrize(
    ("file", "mode", "cpu_khz", "gpu_hz", "emc_hz"),
    [
        ("orin_nano_super.conf", "15W", 1_497_600, 612_000_000, 2_133_000_000),
        ("orin_nano_super_r39.conf", "25W", 1_344_000, 918_000_000, 3_199_000_000),
        ("orin_nano_super.conf", "7W", 960_000, 408_000_000, 2_133_000_000),
        ("orin_nx16_super.conf", "40W", 1_497_600, 1_173_000_000, -1),
    ],
)
def test_clocks_of_the_modes_that_captures_show(file: str, mode: str, cpu_khz: int, gpu_hz: int, emc_hz: int) -> None:
    found = conf_of(file).mode_by_name(mode)
    assert found
    assert clock_limit(found, "MAX_FREQ", "CPU_") == {cpu_khz}
    assert clock_limit(found, "MAX_FREQ", "GPU") == {gpu_hz}
    assert clock_limit(found, "MAX_FREQ", "EMC") == {emc_hz}


@pytest.mark.parametrize(
    ("file", "mode", "dla0_hz", "dla1_hz"),
    [
        ("orin_nx16.conf", "10W", 153_600_000, 115_200_000),
        ("orin_nx16.conf", "15W", 614_400_000, 614_400_000),
        ("orin_nx16.conf", "25W", 614_400_000, 614_400_000),
        ("orin_nx16_super.conf", "10W", 153_600_000, 115_200_000),
        ("orin_nx16_super.conf", "15W", 614_400_000, 614_400_000),
        ("orin_nx16_super.conf", "25W", 614_400_000, 614_400_000),
        ("orin_nx16_super.conf", "40W", 908_800_000, 908_800_000),
        ("agx_orin.conf", "MODE_15W", 614_400_000, 614_400_000),
        ("agx_orin.conf", "MODE_50W", 1_369_600_000, 1_369_600_000),
    ],
)
def test_clocks_of_the_dlas(file: str, mode: str, dla0_hz: int, dla1_hz: int) -> None:
    found = conf_of(file).mode_by_name(mode)
    assert found
    assert clock_limit(found, "MAX_FREQ", "DLA0_CORE") == {dla0_hz}
    assert clock_limit(found, "MAX_FREQ", "DLA1_CORE") == {dla1_hz}


@pytest.mark.parametrize("name", sorted({name for name in JETSONS if SPECS[name].cpu.listed} - {"nano-r32"}))
def test_every_processor_clock_of_the_table_is_a_step(name: str) -> None:
    """But on R32, whose real table names a clock between two steps."""
    spec = SPECS[name]
    wanted = {
        one.value
        for mode in conf_of(spec.power_modes).modes
        for one in mode.settings
        if one.parameter.startswith("CPU_") and one.argument in ("MIN_FREQ", "MAX_FREQ")
    }
    assert {value for value in wanted if value > 0} - UNLIMITED <= set(spec.cpu.table_khz)


@pytest.mark.parametrize("name", JETSONS)
def test_every_path_of_the_table_is_on_the_board(tmp_path: Path, name: str) -> None:
    root = make_board(name, tmp_path, seed=5).root
    conf = conf_of(SPECS[name].power_modes)
    paths = [path for parameter in conf.parameters for path in parameter.paths.values()]
    assert [path for path in paths if not (root / path.lstrip("/")).exists()] == []
    assert len(paths) > 5


@pytest.mark.parametrize("name", JETSONS)
def test_every_mode_can_be_booted_into(tmp_path: Path, name: str) -> None:
    root = make_board(name, tmp_path, seed=5).root
    table = power_modes.load_conf(root)
    failures = {mode: power_modes.apply_mode(root, table, mode) for mode in table.models}
    assert not any(failures.values()), failures


@pytest.mark.parametrize("name", LIVE)
def test_which_change_wants_a_reboot(tmp_path: Path, name: str) -> None:
    root = make_board(name, tmp_path, seed=5).root
    table = power_modes.load_conf(root)
    live: dict[int, set[int]] = {}
    for mode in table.models:
        power_modes.apply_mode(root, table, mode)
        machine = machine_at(root)
        live[mode] = {
            other for other, model in table.models.items() if not power_modes.needs_reboot(machine, table, model)
        }
    assert live == {mode: group for group in LIVE[name] for mode in group}
