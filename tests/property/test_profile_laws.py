"""Laws of profiles: any tables are read or refused in one way; a chosen mode is one that was allowed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edgeagent.power.modes import PowerConf, PowerMode
from edgeagent.power.profile import (
    GENERIC,
    SELECTORS,
    Intent,
    IntentError,
    Profile,
    ProfileMistakesError,
    choose_mode,
    overlay_profiles,
    parse_profile,
    profile_for,
)

KEYS = ["schema", "family", "modules", "intent", "balanced", "modes", "clocks", "fan", "reboot", "gpu_mhz", "x\ny"]
TEXTS = ["edgeagent/profile/1", "Orin Nano", "25W", "@default", "@fastest", "lock", "", "a b", "\x00", "p3767-0005"]
keys = st.one_of(st.sampled_from(KEYS), st.text(max_size=5))
leaves = st.one_of(
    st.sampled_from(TEXTS), st.text(max_size=9), st.integers(), st.booleans(), st.floats(), st.dates(), st.none()
)
values = st.recursive(
    leaves,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(keys, inner, max_size=4)),
    max_leaves=15,
)
intents = st.dictionaries(st.sampled_from(["balanced", "Bad Name"]), st.dictionaries(keys, values, max_size=5))
documents = st.one_of(
    st.dictionaries(keys, values, max_size=6),
    st.builds(
        lambda intent, rest: {"schema": "edgeagent/profile/1", "family": "A", "intent": intent} | rest,
        intents,
        st.dictionaries(st.sampled_from(["modules", "extra"]), values, max_size=1),
    ),
)


@given(documents)
def test_any_tables_are_read_or_refused(data: dict[str, object]) -> None:
    try:
        profile = parse_profile(data, "a.toml")
    except ProfileMistakesError as error:
        assert error.mistakes
        assert all(one.message and one.mend for one in error.mistakes)
        assert error.line().isprintable()
    else:
        assert profile.family
        assert profile.intents
        assert all(intent.modes for intent in profile.intents.values())


names = st.sampled_from(["5W", "10W", "MODE_15W_ALL", "MAXN", "MAXN_SUPER", "MAXQ", "TURBO"])


@st.composite
def tables(draw: st.DrawFn) -> PowerConf:
    called = draw(st.lists(names, min_size=1, unique=True))
    modes = tuple(PowerMode(number * 3, name) for number, name in enumerate(called))
    return PowerConf((), modes, draw(st.sampled_from(modes)).id)


@given(st.data(), tables(), st.lists(st.one_of(names, st.sampled_from(sorted(SELECTORS))), min_size=1), st.booleans())
def test_a_chosen_mode_is_allowed_and_a_refusal_lists_them_all(
    data: st.DataObject, conf: PowerConf, wanted: list[str], reboot: bool
) -> None:
    live = data.draw(st.sets(st.sampled_from(conf.modes)))
    current = data.draw(st.one_of(st.none(), st.sampled_from(conf.modes)))
    intent = Intent("balanced", tuple(wanted), reboot=reboot)
    allowed = conf.modes if reboot else live
    try:
        mode = choose_mode(intent, conf, lambda one: one in live, current)
    except IntentError as error:
        assert not {one.name for one in allowed} & set(wanted)
        assert all(one.name in error.message for one in conf.modes)
    else:
        assert mode in allowed
        known = {one.name for one in allowed}
        first = next(entry for entry in wanted if entry in known or entry in SELECTORS)
        assert first in SELECTORS or mode.name == first


families = st.sampled_from(["A", "B", GENERIC])
module_ids = st.sampled_from(["m1", "m2", "m3", "m4"])


def profile(family: str, modules: list[str], source: str) -> Profile:
    return Profile(family, tuple(modules), {"x": Intent("x", (source,))}, source)


@given(st.lists(st.tuples(families, st.lists(module_ids, unique=True)), max_size=4))
def test_a_module_is_in_one_profile_whatever_is_laid_over(own: list[tuple[str, list[str]]]) -> None:
    shipped = [profile("A", ["m1", "m2"], "a"), profile("B", ["m3"], "b"), profile(GENERIC, [], "g")]
    files = [profile(family, modules, f"own{number}") for number, (family, modules) in enumerate(own)]
    try:
        found = overlay_profiles(shipped, files)
    except ProfileMistakesError:
        claims = {(module, family) for family, modules in own for module in modules}
        assert len({module for module, _ in claims}) < len(claims)
        return
    named = [module for one in found for module in one.modules]
    assert len(named) == len(set(named))
    assert not profile_for(found, "other").modules
    for file in files:
        assert all(profile_for(found, module).family == file.family for module in file.modules)
