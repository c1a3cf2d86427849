"""Every shipped profile against every known table of power modes: each intent finds a mode, and a sensible one.

The tables are what is known of NVIDIA's files, per module and kind of install: names in the order of their IDs. IDs
that are not known are made up here; no profile looks at them. A table that is known in part holds the part.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

import edgeagent.simulate
from edgeagent.board.catalogue import MODULES
from edgeagent.power.modes import PowerConf, PowerMode, watts_of
from edgeagent.power.nvpmodel_conf import parse_nvpmodel_conf
from edgeagent.power.profile import SELECTORS, IntentError, Profile, choose_mode, parse_profile, profile_for
from edgeagent.power.profile_files import load_profiles, shipped_profiles_dir

INTENTS = ("max-performance", "balanced", "low-power", "build")
# Watts that TX2's names do not tell; the MAXP modes share one budget.
TX2_WATTS = {"MAXQ": 7.5, "MAXP_CORE_ALL": 15.0, "MAXP_CORE_ARM": 15.0, "MAXP_CORE_DENVER": 15.0}


class Known(NamedTuple):
    """A table: the modules it is for, which one, its modes by name in the order of the IDs, the default's name."""

    modules: tuple[str, ...]
    table: str
    modes: tuple[str, ...]
    default: str

    @property
    def conf(self) -> PowerConf:
        modes = tuple(PowerMode(number, name) for number, name in enumerate(self.modes))
        return PowerConf((), modes, self.modes.index(self.default))


XAVIER_NX = ("p3668-0000", "p3668-0001", "p3668-0003")
XAVIER_NX_EARLY = ("MODE_15W_2CORE", "MODE_15W_4CORE", "MODE_15W_6CORE", "MODE_10W_2CORE", "MODE_10W_4CORE")
XAVIER_NX_20W = ("MODE_20W_2CORE", "MODE_20W_4CORE", "MODE_20W_6CORE")
AGX_XAVIER = ("p2888-0001", "p2888-0004", "p2888-0005")
AGX_XAVIER_MODES = (
    "MAXN",
    "MODE_10W",
    "MODE_15W",
    "MODE_30W_ALL",
    "MODE_30W_6CORE",
    "MODE_30W_4CORE",
    "MODE_30W_2CORE",
)
ORIN_NANO_8 = ("p3767-0003", "p3767-0005")
AGX_ORIN_64 = ("p3701-0000", "p3701-0005")
TX2 = ("p3310-1000", "p3489-0000", "p3636-0001")
TX2_MODES = ("MAXN", "MAXQ", "MAXP_CORE_ALL", "MAXP_CORE_ARM")
UNNAMED = ("p3701-0008", "p3834-0000", "p2888-0008")

TABLES = (
    Known(("p3448-0000", "p3448-0002", "p3448-0003"), "R32", ("MAXN", "5W"), "MAXN"),
    Known(TX2, "R32", TX2_MODES, "MAXP_CORE_ALL"),
    Known(
        TX2, "R32 with Denver", ("MAXN", "MAXQ", "MAXP_CORE_ALL", "MAXP_CORE_ARM", "MAXP_CORE_DENVER"), "MAXP_CORE_ALL"
    ),
    Known(XAVIER_NX, "early R32", XAVIER_NX_EARLY, "MODE_15W_2CORE"),
    Known(XAVIER_NX, "R35", (*XAVIER_NX_EARLY, "MODE_10W_DESKTOP", *XAVIER_NX_20W), "MODE_10W_DESKTOP"),
    Known(AGX_XAVIER, "R32", AGX_XAVIER_MODES, "MODE_15W"),
    Known(AGX_XAVIER, "R35", (*AGX_XAVIER_MODES, "MODE_15W_DESKTOP"), "MODE_15W_DESKTOP"),
    Known(("p3767-0004",), "plain", ("10W", "7W_AI", "7W_CPU"), "10W"),
    Known(("p3767-0004",), "Super, known in part", ("10W", "25W", "MAXN_SUPER"), "25W"),
    Known(ORIN_NANO_8, "plain", ("15W", "7W"), "15W"),
    Known(ORIN_NANO_8, "Super", ("15W", "25W", "MAXN_SUPER"), "25W"),
    Known(ORIN_NANO_8, "Super with 7W", ("15W", "25W", "MAXN_SUPER", "7W"), "25W"),
    Known(("p3767-0001",), "plain", ("MAXN", "10W", "15W", "20W"), "15W"),
    Known(("p3767-0001",), "Super, known in part", ("MAXN_SUPER", "10W", "15W", "20W", "40W"), "15W"),
    Known(("p3767-0001",), "Super, what is sure of it", ("MAXN_SUPER", "40W"), "40W"),
    Known(("p3767-0000",), "plain", ("MAXN", "10W", "15W", "25W"), "15W"),
    Known(("p3767-0000",), "Super", ("MAXN_SUPER", "10W", "15W", "25W", "40W"), "15W"),
    Known(("p3701-0004",), "R35 to R39", ("MAXN", "MODE_15W", "MODE_30W", "MODE_40W"), "MODE_30W"),
    Known(AGX_ORIN_64, "R35 to R39", ("MAXN", "MODE_15W", "MODE_30W", "MODE_50W"), "MODE_30W"),
    Known(("p3834-0008",), "R38 and R39", ("MAXN", "120W", "90W", "70W"), "120W"),
)
# Modules whose names are not known: any names with watts must do.
UNKNOWN_NAMES = (
    Known(
        ("p3701-0008", "p3834-0000", "p2888-0008"),
        "names with watts",
        ("MODE_A_60W", "MODE_B_40W", "C_20W"),
        "MODE_B_40W",
    ),
    Known(
        ("p3701-0008", "p3834-0000", "p2888-0008"), "names with MAXN", ("MAXN_X", "MODE_B_40W", "C_20W"), "MODE_B_40W"
    ),
    Known(("p9999-0000", ""), "a future module", ("ULTRA_200W", "100W", "50W"), "100W"),
)
CASES = [(known, module) for known in (*TABLES, *UNKNOWN_NAMES) for module in known.modules]
CONFS = sorted((Path(edgeagent.simulate.__file__).parent / "confs").glob("*.conf"))
PROFILES = load_profiles(shipped_profiles_dir(), Path("/nonexistent/profiles"))


def watts(mode: PowerMode) -> float:
    found = watts_of(mode.name)
    return TX2_WATTS[mode.name] if found is None else found


def choose(profile: Profile, name: str, conf: PowerConf) -> PowerMode:
    return choose_mode(profile.intents[name], conf, lambda mode: True, conf.default)


def assert_sensible(profile: Profile, conf: PowerConf) -> None:
    """Each intent finds a mode; the four stand in the order that their names promise."""
    chosen = {name: choose(profile, name, conf) for name in profile.intents}
    most = max(watts(mode) for mode in conf.modes)
    assert watts(chosen["max-performance"]) == most
    assert watts(chosen["low-power"]) <= watts(chosen["balanced"]) <= most
    if len({watts(mode) for mode in conf.modes}) > 1:
        assert watts(chosen["low-power"]) < most
    assert chosen["build"] == conf.default


@pytest.mark.parametrize(("known", "module"), CASES, ids=lambda one: one.table if isinstance(one, Known) else one)
def test_every_intent_finds_a_sensible_mode_in_every_table(known: Known, module: str) -> None:
    assert_sensible(profile_for(PROFILES, module), known.conf)


@pytest.mark.parametrize(("known", "module"), CASES, ids=lambda one: one.table if isinstance(one, Known) else one)
def test_a_build_never_leaves_the_mode_in_force_and_needs_no_reboot(known: Known, module: str) -> None:
    build = profile_for(PROFILES, module).intents["build"]
    conf = known.conf
    for current in conf.modes:
        assert choose_mode(build, conf, lambda mode, here=current: mode == here, current) == current
    assert choose_mode(build, conf, lambda mode: mode == conf.default) == conf.default


@pytest.mark.parametrize(
    ("module", "table", "names"),
    [
        ("p3448-0000", "R32", ("MAXN", "MAXN", "5W")),
        ("p3310-1000", "R32", ("MAXN", "MAXP_CORE_ALL", "MAXQ")),
        ("p3668-0001", "R35", ("MODE_20W_6CORE", "MODE_15W_6CORE", "MODE_10W_4CORE")),
        ("p3668-0001", "early R32", ("MODE_15W_6CORE", "MODE_15W_6CORE", "MODE_10W_4CORE")),
        ("p2888-0004", "R35", ("MAXN", "MODE_30W_ALL", "MODE_15W")),
        ("p3767-0004", "plain", ("10W", "10W", "7W_AI")),
        ("p3767-0005", "plain", ("15W", "15W", "7W")),
        ("p3767-0005", "Super", ("MAXN_SUPER", "25W", "15W")),
        ("p3767-0005", "Super with 7W", ("MAXN_SUPER", "25W", "7W")),
        ("p3767-0001", "plain", ("MAXN", "20W", "10W")),
        ("p3767-0000", "Super", ("MAXN_SUPER", "25W", "10W")),
        ("p3701-0004", "R35 to R39", ("MAXN", "MODE_30W", "MODE_15W")),
        ("p3701-0005", "R35 to R39", ("MAXN", "MODE_30W", "MODE_15W")),
        ("p3834-0008", "R38 and R39", ("MAXN", "120W", "70W")),
        ("p3701-0008", "names with watts", ("MODE_A_60W", "MODE_B_40W", "C_20W")),
        ("p9999-0000", "a future module", ("ULTRA_200W", "100W", "50W")),
    ],
)
def test_the_choice_is_the_one_that_was_meant(module: str, table: str, names: tuple[str, str, str]) -> None:
    conf = next(known.conf for known, one in CASES if one == module and known.table == table)
    profile = profile_for(PROFILES, module)
    assert tuple(choose(profile, name, conf).name for name in INTENTS[:3]) == names


def modules_of(conf_path: Path) -> Iterator[str]:
    """Modules one of whose tables has the modes of this file; "" where none has."""
    names = {mode.name for mode in parse_nvpmodel_conf(conf_path.read_text()).modes}
    found = [module for known in TABLES for module in known.modules if set(known.modes) == names]
    yield from dict.fromkeys(found or [""])


@pytest.mark.parametrize("path", CONFS, ids=lambda path: path.stem)
def test_every_intent_finds_a_sensible_mode_in_the_virtual_boards_tables(path: Path) -> None:
    conf = parse_nvpmodel_conf(path.read_text())
    for module in modules_of(path):
        if all(watts_of(mode.name) is not None or mode.name in TX2_WATTS for mode in conf.modes):
            assert_sensible(profile_for(PROFILES, module), conf)
        else:
            assert_refused_or_sensible(profile_for(PROFILES, ""), conf)


def assert_refused_or_sensible(generic: Profile, conf: PowerConf) -> None:
    """Names that tell no watts: the default is found, and no mode is guessed to be the highest or the lowest."""
    assert choose(generic, "balanced", conf) == choose(generic, "build", conf) == conf.default
    for name in ("max-performance", "low-power"):
        with pytest.raises(IntentError, match=", ".join(mode.name for mode in conf.modes)):
            choose(generic, name, conf)


def test_every_profile_has_the_four_intents_each_with_a_description() -> None:
    for profile in PROFILES:
        assert tuple(profile.intents) == INTENTS
        assert all(intent.description for intent in profile.intents.values())


def test_every_known_module_has_a_profile_of_its_own() -> None:
    known = [module_id for module in MODULES for module_id in module.ids]
    assert [module_id for module_id in known if not profile_for(PROFILES, module_id).modules] == []
    assert {module_id for profile in PROFILES for module_id in profile.modules} == set(known)
    assert {module_id for table in (*TABLES, *UNKNOWN_NAMES) for module_id in table.modules} - {
        "",
        "p9999-0000",
    } == set(known)


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.family)
def test_a_profile_names_no_mode_that_no_table_of_its_family_has(profile: Profile) -> None:
    known = {name for table in TABLES if set(table.modules) & set(profile.modules) for name in table.modes}
    named = {entry for intent in profile.intents.values() for entry in intent.modes} - SELECTORS.keys()
    assert named <= known


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.family)
def test_builds_run_with_free_clocks_a_cool_fan_and_no_reboot(profile: Profile) -> None:
    build = profile.intents["build"]
    assert (build.clocks, build.reboot, build.modes[0]) == ("release", False, "@current")
    assert build.fan[:1] in (("cool",), ())
    assert all(intent.gpu_mhz is None and intent.cpu_mhz is None for intent in profile.intents.values())


def test_the_profile_of_each_module_bears_the_name_of_its_file() -> None:
    for profile in PROFILES:
        assert Path(profile.source).stem == profile.family.lower().replace(" ", "-")


def test_the_examples_in_the_documentation_are_read() -> None:
    text = (shipped_profiles_dir().parent / "docs/power.md").read_text()
    blocks = {block.partition("\n")[0]: block.partition("\n")[2] for block in text.split("```")[1::2]}
    example = parse_profile(tomllib.loads(blocks["toml"]), "docs/power.md")
    assert example.intents["balanced"].gpu_mhz == 918
    conf = parse_nvpmodel_conf(next(block for block in text.split("```")[1::2] if "PM_CONFIG" in block))
    assert [mode.name for mode in conf.modes] == ["15W"]
    assert conf.warnings == ()
