"""Profiles: what is wrong is told by key, an intent finds its mode by name or is refused, operators override."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from edgeagent.power.modes import PowerConf, PowerMode, Setting
from edgeagent.power.profile import (
    SCHEMA,
    Intent,
    IntentError,
    Profile,
    ProfileError,
    ProfileMistakesError,
    choose_mode,
    overlay_profiles,
    parse_profile,
    profile_for,
)


def mode(number: int, name: str, cores: int = 0) -> PowerMode:
    return PowerMode(number, name, tuple(Setting("CPU_ONLINE", f"CORE_{core}", 1) for core in range(cores)))


SUPER = PowerConf((), (mode(0, "15W", 6), mode(1, "25W", 6), mode(2, "MAXN_SUPER", 6), mode(3, "7W", 4)), default_id=1)
XAVIER = PowerConf((), (mode(0, "MODE_15W_2CORE", 2), mode(1, "MODE_15W_6CORE", 6), mode(2, "MODE_15W_4CORE", 4)), 0)
TX2 = PowerConf((), (mode(0, "MAXN"), mode(1, "MAXQ"), mode(2, "MAXP_CORE_ALL")), 2)
UNNAMED = PowerConf((), (mode(0, "EFFICIENT"), mode(4, "TURBO")), 4)


def always(_: PowerMode) -> bool:
    return True


def only(*names: str) -> Callable[[PowerMode], bool]:
    return lambda found: found.name in names


def intent(*modes: str, reboot: bool = True) -> Intent:
    return Intent("balanced", modes, reboot=reboot)


@pytest.mark.parametrize(
    ("modes", "conf", "name"),
    [
        (("25W", "15W"), SUPER, "25W"),
        (("40W", "15W", "25W"), SUPER, "15W"),
        (("@default", "15W"), SUPER, "25W"),
        (("@highest-power",), SUPER, "MAXN_SUPER"),
        (("@lowest-power",), SUPER, "7W"),
        (("@highest-power",), XAVIER, "MODE_15W_6CORE"),
        (("@lowest-power",), XAVIER, "MODE_15W_2CORE"),
        (("@highest-power",), TX2, "MAXN"),
        (("@lowest-power", "MAXQ"), TX2, "MAXQ"),
        (("@highest-power", "@default"), UNNAMED, "TURBO"),
        (("@current", "25W"), SUPER, "25W"),
    ],
)
def test_the_first_entry_that_finds_a_mode_decides(modes: tuple[str, ...], conf: PowerConf, name: str) -> None:
    assert choose_mode(intent(*modes), conf, always).name == name


def test_the_mode_in_force_can_be_kept() -> None:
    current = SUPER.mode_by_name("15W")
    assert choose_mode(intent("@current", "25W"), SUPER, always, current) is current
    assert choose_mode(intent("25W", "@current"), SUPER, always, current).name == "25W"


def test_modes_that_need_a_reboot_count_only_where_the_intent_says_so() -> None:
    live = only("15W", "25W")
    assert choose_mode(intent("7W", "15W", reboot=True), SUPER, live).name == "7W"
    assert choose_mode(intent("7W", "15W", reboot=False), SUPER, live).name == "15W"
    assert choose_mode(intent("@lowest-power", reboot=False), SUPER, live).name == "15W"
    assert choose_mode(intent("@highest-power", reboot=False), SUPER, live).name == "25W"
    assert choose_mode(intent("@default", "15W", reboot=False), SUPER, only("15W")).name == "15W"


def test_an_intent_that_no_mode_satisfies_lists_the_modes_there_are() -> None:
    with pytest.raises(IntentError) as caught:
        choose_mode(intent("40W", "MAXN"), SUPER, always)
    assert caught.value.line() == (
        "no power mode of this board satisfies balanced, which asks for 40W, MAXN; its modes are 15W, 25W, MAXN_SUPER, "
        "7W (name one of them in [intent.balanced] of a file in /etc/edgeagent/profiles)"
    )
    assert caught.value.facts == {"modes": "15W, 25W, MAXN_SUPER, 7W", "need_reboot": ""}
    assert caught.value.error_code == "power-no-mode"


def test_the_refusal_names_the_modes_that_a_reboot_would_open() -> None:
    with pytest.raises(IntentError, match=r"left out, because they need a reboot: MAXN_SUPER, 7W$") as caught:
        choose_mode(intent("7W", reboot=False), SUPER, only("15W", "25W"))
    assert caught.value.mend.endswith("or write reboot = true there")


def test_selectors_do_not_guess_at_names_without_watts() -> None:
    for selector in ("@lowest-power", "@highest-power"):
        with pytest.raises(IntentError, match=r"EFFICIENT, TURBO; no watts are told by the names EFFICIENT, TURBO$"):
            choose_mode(intent(selector), UNNAMED, always)


def test_one_name_without_watts_leaves_the_rank_of_all_open() -> None:
    conf = PowerConf((), (mode(0, "PEAK"), mode(2, "ECO_60W"), mode(7, "NIGHT_25W")), 2)
    for selector in ("@lowest-power", "@highest-power"):
        with pytest.raises(IntentError, match=r"no watts are told by the names PEAK$"):
            choose_mode(intent(selector), conf, always)
    live = only("ECO_60W", "NIGHT_25W")
    assert choose_mode(intent("@highest-power", reboot=False), conf, live).name == "ECO_60W"
    assert choose_mode(intent("@lowest-power", reboot=False), conf, live).name == "NIGHT_25W"


def test_no_mode_left_is_a_refusal_too() -> None:
    for entry in ("@default", "@current", "@lowest-power", "@highest-power", "25W"):
        with pytest.raises(IntentError):
            choose_mode(intent(entry, reboot=False), SUPER, only(), SUPER.default)


def document(**changes: object) -> dict[str, object]:
    whole: dict[str, object] = {
        "schema": SCHEMA,
        "family": "Orin Nano",
        "modules": ["p3767-0005"],
        "intent": {
            "balanced": {
                "description": "words",
                "modes": ["25W", "@default"],
                "clocks": "release",
                "fan": ["quiet"],
                "reboot": True,
                "gpu_mhz": 918,
                "cpu_mhz": 1344,
            }
        },
    }
    return {key: value for key, value in (whole | changes).items() if value is not None}


def balanced(**changes: object) -> dict[str, object]:
    return document(intent={"balanced": {"modes": ["25W"]} | changes})


def test_a_profile_is_read() -> None:
    profile = parse_profile(document(), "a.toml")
    assert profile == Profile(
        family="Orin Nano",
        modules=("p3767-0005",),
        intents={
            "balanced": Intent(
                name="balanced",
                modes=("25W", "@default"),
                clocks="release",
                fan=("quiet",),
                gpu_mhz=918,
                cpu_mhz=1344,
                reboot=True,
                description="words",
            )
        },
        source="a.toml",
    )


def test_what_an_intent_does_not_say_is_left_alone() -> None:
    found = parse_profile(balanced(), "a.toml").intents["balanced"]
    assert found == Intent("balanced", ("25W",), clocks="keep", fan=(), gpu_mhz=None, cpu_mhz=None, reboot=False)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (document(schema=None), f'schema: is missing (add schema = "{SCHEMA}")'),
        (document(schema="edgeagent/profile/2"), f"schema: wants one of {SCHEMA}, got 'edgeagent/profile/2'"),
        (document(family=None), 'family: is missing (add family = "Orin Nano")'),
        (document(family=3), "family: wants text such as \"Orin Nano\", got '3'"),
        (document(family="a\nb"), r"family: wants text such as "),
        (document(family=" "), "family: wants text such as "),
        (document(modules="p3767-0005"), "modules: wants a list of texts, got 'p3767-0005'"),
        (document(modules=["p3767-0005", 5]), "modules: entry 2 wants text such as \"p3767-0005\", got '5'"),
        (document(modules=["a", "a"]), "modules: 'a' stands there twice (name it once)"),
        (document(modules=["a b"]), "modules: entry 1 wants text such as"),
        (document(modules=[str(n) for n in range(65)]), "modules: has more than 64 entries"),
        (document(famly="x"), "famly: unknown key (did you mean family?)"),
        (document(**{"a b\n": 1}), r"'a b\n': unknown key (known here: schema, family, modules, intent)"),
        (document(intent=None), "intent: is missing (add a table such as [intent.balanced])"),
        (document(intent={}), "intent: is missing"),
        (document(intent=[]), "intent: wants tables, got a list (write [intent.NAME])"),
        (document(intent={"balanced": "25W"}), "intent.balanced: wants a table, got '25W' (write [intent.balanced])"),
        (document(intent={"Max Power": {"modes": ["25W"]}}), "intent.'Max Power': is no name (use small letters, "),
        (document(intent={"balanced": {}}), "intent.balanced.modes: names no mode (for example modes = "),
        (balanced(modes=[]), "intent.balanced.modes: names no mode"),
        (balanced(modes="25W"), "intent.balanced.modes: wants a list of texts, got '25W'"),
        (balanced(modes=["25W", "25W"]), "intent.balanced.modes: '25W' stands there twice"),
        (balanced(modes=["25 W"]), "intent.balanced.modes: entry 1 wants text such as \"25W\", got '25 W'"),
        (balanced(modes=["@fastest"]), "intent.balanced.modes: no selector is called @fastest (known: @default, @curr"),
        (balanced(clocks="max"), "intent.balanced.clocks: wants one of lock, release, keep, got 'max'"),
        (balanced(clocks=["lock"]), "intent.balanced.clocks: wants one of lock, release, keep, got a list"),
        (balanced(fan="quiet"), "intent.balanced.fan: wants a list of texts, got 'quiet' (for example fan = "),
        (balanced(reboot="yes"), "intent.balanced.reboot: wants true or false, got 'yes' (for example reboot = false)"),
        (balanced(gpu_mhz=0), "intent.balanced.gpu_mhz: wants a whole number, 1 to 10000, got '0'"),
        (balanced(gpu_mhz=918000000), "intent.balanced.gpu_mhz: wants a whole number, 1 to 10000, got '918000000'"),
        (balanced(cpu_mhz=1344.5), "intent.balanced.cpu_mhz: wants a whole number, 1 to 10000, got '1344.5'"),
        (balanced(cpu_mhz=True), "intent.balanced.cpu_mhz: wants a whole number, 1 to 10000, got true"),
        (balanced(description={}), "intent.balanced.description: wants text such as"),
        (balanced(mode=["25W"]), "intent.balanced.mode: unknown key (did you mean modes?)"),
    ],
)
def test_what_is_wrong_is_told_by_key(data: Mapping[str, object], told: str) -> None:
    with pytest.raises(ProfileMistakesError) as caught:
        parse_profile(data, "/etc/edgeagent/profiles/a.toml")
    lines = [one.line() for one in caught.value.mistakes]
    assert [line for line in lines if line.startswith(told)], lines
    assert caught.value.line().startswith("/etc/edgeagent/profiles/a.toml has ")
    assert caught.value.line().isprintable()
    assert caught.value.error_code == "power-profile"


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(ProfileMistakesError) as caught:
        parse_profile(document(schema="x", family="", intent={"a": {"modes": [1]}, "b": {"fan": 1}}), "a.toml")
    assert [one.place for one in caught.value.mistakes] == [
        "schema",
        "family",
        "intent.a.modes",
        "intent.b.modes",
        "intent.b.fan",
    ]


def profile(family: str, modules: tuple[str, ...], source: str, **intents: str) -> Profile:
    return Profile(family, modules, {name: Intent(name, (wanted,)) for name, wanted in intents.items()}, source)


GENERIC = profile("generic", (), "generic.toml", balanced="@default", build="@current")
NANO = profile("Orin Nano", ("n3", "n5"), "nano.toml", balanced="25W", low="7W")
SHIPPED = (NANO, GENERIC)


def wanted(profiles: tuple[Profile, ...], module: str) -> dict[str, str]:
    return {name: one.modes[0] for name, one in profile_for(profiles, module).intents.items()}


def test_a_module_gets_the_profile_that_names_it_and_any_other_generic() -> None:
    assert profile_for(SHIPPED, "n5") is NANO
    assert profile_for(SHIPPED, "x9") is profile_for(SHIPPED, "") is GENERIC
    with pytest.raises(ProfileError, match="no power profile is for the module x9"):
        profile_for((NANO,), "x9")


def test_nothing_of_the_operators_changes_nothing() -> None:
    assert overlay_profiles(SHIPPED, []) == SHIPPED


def test_a_family_without_modules_is_overridden_for_all_of_them() -> None:
    found = overlay_profiles(SHIPPED, [profile("Orin Nano", (), "own.toml", balanced="15W", night="7W")])
    assert wanted(found, "n3") == wanted(found, "n5") == {"balanced": "15W", "low": "7W", "night": "7W"}
    assert profile_for(found, "n3").source == "nano.toml, own.toml"
    assert wanted(found, "x9") == wanted(SHIPPED, "x9")


def test_single_modules_can_be_overridden() -> None:
    found = overlay_profiles(SHIPPED, [profile("Orin Nano", ("n5",), "own.toml", balanced="15W")])
    assert wanted(found, "n5") == {"balanced": "15W", "low": "7W"}
    assert wanted(found, "n3") == wanted(SHIPPED, "n3")


def test_a_module_can_join_a_family() -> None:
    found = overlay_profiles(SHIPPED, [profile("Orin Nano", ("x9",), "own.toml", balanced="15W")])
    assert wanted(found, "x9") == {"balanced": "15W", "low": "7W"}


def test_a_new_family_starts_from_generic() -> None:
    found = overlay_profiles(SHIPPED, [profile("My box", ("n5", "x9"), "own.toml", balanced="15W")])
    assert wanted(found, "n5") == wanted(found, "x9") == {"balanced": "15W", "build": "@current"}
    assert profile_for(found, "n5").family == "My box"
    assert profile_for(found, "n3").family == "Orin Nano"


def test_generic_itself_can_be_overridden() -> None:
    found = overlay_profiles(SHIPPED, [profile("generic", (), "own.toml", balanced="ECO")])
    assert wanted(found, "x9") == {"balanced": "ECO", "build": "@current"}
    found = overlay_profiles(SHIPPED, [profile("generic", ("n5",), "own.toml", balanced="ECO")])
    assert wanted(found, "n5") == {"balanced": "ECO", "build": "@current"}
    assert wanted(found, "x9") == wanted(SHIPPED, "x9")


def test_later_files_win_and_keep_what_earlier_ones_said() -> None:
    own = [
        profile("Orin Nano", ("n5",), "1.toml", balanced="15W", night="7W"),
        profile("Orin Nano", (), "2.toml", low="10W"),
        profile("Orin Nano", ("n5",), "3.toml", balanced="MAXN"),
    ]
    found = overlay_profiles(SHIPPED, own)
    assert wanted(found, "n5") == {"balanced": "MAXN", "low": "10W", "night": "7W"}
    assert wanted(found, "n3") == {"balanced": "25W", "low": "10W"}
    assert profile_for(found, "n5").source == "nano.toml, 1.toml, 2.toml, 3.toml"
    named = [module for one in found for module in one.modules]
    assert sorted(named) == ["n3", "n5"]


def test_a_module_in_two_of_the_operators_families_is_a_mistake() -> None:
    own = [profile("A", ("n5",), "a.toml", x="1W"), profile("B", ("n5",), "b.toml", x="1W")]
    with pytest.raises(ProfileMistakesError, match=r"b.toml has 1 mistake: modules: n5 is of the family A in a.toml"):
        overlay_profiles(SHIPPED, own)


def test_a_new_family_without_modules_is_a_mistake() -> None:
    with pytest.raises(ProfileMistakesError, match=r"own.toml .* modules: is missing for the new family Orin Nanno"):
        overlay_profiles(SHIPPED, [profile("Orin Nanno", (), "own.toml", x="1W")])
