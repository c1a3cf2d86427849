"""Power profiles: what a family of modules does for an intent, and which of a board's modes that comes to. Pure.

A profile names modes by NAME, in order of preference, because tables differ between releases, Super and not. Entries
that begin with @ select instead of name. Nothing is ever put in the place of a mode that no entry finds: that is an
IntentError, which lists the modes there are. The form of the files is told in docs/power.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal, cast

from edgeagent.errors import OperatorError
from edgeagent.power.mistake import Mistake, MistakesError
from edgeagent.power.modes import PowerConf, PowerMode, watts_of
from edgeagent.power.table import Table

Clocks = Literal["lock", "release", "keep"]

SCHEMA = "edgeagent/profile/1"
GENERIC = "generic"
CLOCKS: tuple[Clocks, ...] = ("lock", "release", "keep")
MAX_MHZ = 10_000
_DOCUMENT_KEYS = ("schema", "family", "modules", "intent")
_INTENT_KEYS = ("description", "modes", "clocks", "fan", "reboot", "gpu_mhz", "cpu_mhz")
_INTENT_NAME = r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?"
_MODULE_ID = r"[a-z0-9][a-z0-9.+-]{0,39}"
_WORD = r"[^\s@<>=#][^\s<>=#]{0,63}"


@dataclass(frozen=True)
class Intent:
    """What the board shall be set to.

    `modes` are tried in order; without `reboot` only modes that need no reboot count. `clocks`: `lock` them at their
    highest, `release` them to follow the load, or `keep` them as they are. `fan` names nvfancontrol profiles in order
    of preference; () leaves the fan alone. Caps are in MHz and hold down what the mode would allow; a cap above the
    mode's own limit changes nothing.
    """

    name: str
    modes: tuple[str, ...]
    clocks: Clocks = "keep"
    fan: tuple[str, ...] = ()
    gpu_mhz: int | None = None
    cpu_mhz: int | None = None
    reboot: bool = False
    description: str = ""


@dataclass(frozen=True)
class Profile:
    """The intents of one family, for the modules with these part numbers. `source` names the files it comes from.

    `generic` names no modules: it is for those that no other profile names.
    """

    family: str
    modules: tuple[str, ...]
    intents: Mapping[str, Intent] = field(hash=False)
    source: str = ""


class ProfileError(OperatorError):
    """Profiles that cannot be found, read or put together."""

    code: ClassVar[str] = "power-profile"


class ProfileMistakesError(ProfileError, MistakesError):
    """A profile file with mistakes: each with its key."""

    code: ClassVar[str] = "power-profile"


class IntentError(OperatorError):
    """No power mode of this board satisfies the intent."""

    code: ClassVar[str] = "power-no-mode"


def parse_profile(data: Mapping[str, object], source: str) -> Profile:
    """A profile from the tables of its file. Raises ProfileMistakesError with all mistakes; `source` names the file.

    `modules` may be missing here: an operator's file for a known family needs none.
    """
    document = Table(data)
    document.only(_DOCUMENT_KEYS)
    document.require("schema", f'"{SCHEMA}"')
    document.require("family", '"Orin Nano"')
    document.choice("schema", (SCHEMA,), SCHEMA)
    family = document.text("family", "Orin Nano", r"\S(.{0,38}\S)?")
    modules = document.texts("modules", "p3767-0005", _MODULE_ID)
    intents = {name: _intent(name, table) for name, table in document.tables("intent", _INTENT_NAME).items()}
    if not intents and "intent" not in {mistake.place.partition(".")[0] for mistake in document.mistakes}:
        document.wrong("intent", "is missing", "add a table such as [intent.balanced]")
    _raise(source, document.mistakes)
    return Profile(family, modules, intents, source)


def _intent(name: str, table: Table) -> Intent:
    table.only(_INTENT_KEYS)
    modes = table.texts("modes", "25W", rf"{_WORD}|@.*")
    if table.data.get("modes", []) == []:
        table.wrong("modes", "names no mode", 'for example modes = ["25W", "@default"]')
    for entry in modes:
        if entry.startswith("@") and entry not in SELECTORS:
            table.wrong("modes", f"no selector is called {entry}", f"known: {', '.join(SELECTORS)}")
    return Intent(
        name=name,
        modes=modes,
        clocks=cast("Clocks", table.choice("clocks", CLOCKS, "keep")),
        fan=table.texts("fan", "quiet", _WORD),
        gpu_mhz=table.number("gpu_mhz", 1, MAX_MHZ),
        cpu_mhz=table.number("cpu_mhz", 1, MAX_MHZ),
        reboot=table.flag("reboot", default=False),
        description=table.text("description", "Quiet and cool enough for a closed case."),
    )


def _raise(source: str, mistakes: Sequence[Mistake]) -> None:
    if mistakes:
        raise ProfileMistakesError(source, mistakes)


def overlay_profiles(shipped: Sequence[Profile], own: Iterable[Profile]) -> tuple[Profile, ...]:
    """Shipped profiles with the operator's `own` laid over them, one after another.

    An intent replaces the one of the same name as a whole. Without `modules` it does so for the whole family; with
    `modules` for these alone, which then stand in a profile of their own. A family that is new starts from generic.
    No two profiles of the result name the same module. Raises ProfileMistakesError.
    """
    profiles = tuple(shipped)
    owners: dict[str, Profile] = {}
    for profile in own:
        for module in profile.modules:
            owner = owners.setdefault(module, profile)
            if owner.family != profile.family:
                what = f"{module} is of the family {owner.family} in {owner.source}"
                raise ProfileMistakesError(profile.source, [Mistake("modules", what, "name it in one family")])
        profiles = _overlaid(profiles, profile)
    return profiles


def _overlaid(profiles: tuple[Profile, ...], own: Profile) -> tuple[Profile, ...]:
    if own.modules:
        ours = tuple(_merged(replace(_base(profiles, own.family, one), modules=(one,)), own) for one in own.modules)
        return (*ours, *(_without(profile, own.modules) for profile in profiles))
    known = list(dict.fromkeys(profile.family for profile in profiles))
    if own.family not in known:
        mend = f'add modules = ["p3767-0005"], or use a known family: {", ".join(known)}'
        raise ProfileMistakesError(
            own.source, [Mistake("modules", f"is missing for the new family {own.family}", mend)]
        )
    return tuple(_merged(profile, own) if profile.family == own.family else profile for profile in profiles)


def _base(profiles: Sequence[Profile], family: str, module_id: str) -> Profile:
    """What a module's intents are laid over: its own profile in this family, else the family's, else generic."""
    same = [profile for profile in profiles if profile.family == family]
    naming = [profile for profile in same if module_id in profile.modules]
    return next(iter([*naming, *reversed(same)]), None) or profile_for(profiles, "")


def _merged(below: Profile, own: Profile) -> Profile:
    source = f"{below.source}, {own.source}"
    return Profile(own.family, below.modules, {**below.intents, **own.intents}, source)


def _without(profile: Profile, modules: Sequence[str]) -> Profile:
    return replace(profile, modules=tuple(one for one in profile.modules if one not in modules))


def profile_for(profiles: Sequence[Profile], module_id: str) -> Profile:
    """The profile that names the module, else generic. Raises ProfileError where there is no generic."""
    named = [profile for profile in profiles if module_id in profile.modules]
    generic = [profile for profile in profiles if profile.family == GENERIC and not profile.modules]
    if not named and not generic:
        raise ProfileError(f"no power profile is for the module {module_id or '(unknown)'}, and none is {GENERIC}")
    return (named or generic)[0]


@dataclass(frozen=True)
class _Choice:
    """What a selector chooses from."""

    allowed: Sequence[PowerMode]
    default: PowerMode | None
    current: PowerMode | None

    def find(self, entry: str) -> PowerMode | None:
        if entry in SELECTORS:
            return SELECTORS[entry](self)
        return next((mode for mode in self.allowed if mode.name == entry), None)


def _default(choice: _Choice) -> PowerMode | None:
    return choice.default if choice.default in choice.allowed else None


def _current(choice: _Choice) -> PowerMode | None:
    return choice.current if choice.current in choice.allowed else None


def _highest(choice: _Choice) -> PowerMode | None:
    """Most watts, then most cores, then the lowest ID. None where a name without watts might stand for more."""
    ranked = [(mode, watts) for mode in choice.allowed if (watts := watts_of(mode.name)) is not None]
    if len(ranked) < len(choice.allowed) and not any(math.isinf(watts) for _, watts in ranked):
        return None
    return min(ranked, key=lambda one: (-one[1], -one[0].cores_on, one[0].id), default=(None,))[0]


def _lowest(choice: _Choice) -> PowerMode | None:
    """Fewest watts, then fewest cores, then the lowest ID. None where a name without watts might stand for less."""
    ranked = [(mode, watts) for mode in choice.allowed if (watts := watts_of(mode.name)) is not None]
    if len(ranked) < len(choice.allowed):
        return None
    return min(ranked, key=lambda one: (one[1], one[0].cores_on, one[0].id), default=(None,))[0]


_BY_WATTS: Mapping[str, Callable[[_Choice], PowerMode | None]] = {
    "@lowest-power": _lowest,
    "@highest-power": _highest,
}
SELECTORS: Mapping[str, Callable[[_Choice], PowerMode | None]] = {
    "@default": _default,
    "@current": _current,
    **_BY_WATTS,
}


def choose_mode(
    intent: Intent, conf: PowerConf, live: Callable[[PowerMode], bool], current: PowerMode | None = None
) -> PowerMode:
    """The mode of `conf` that the intent's first matching entry finds.

    `live(mode)` says that the mode needs no reboot; `current` is the mode in force, for @current, None if unknown.
    Raises IntentError, which lists the modes there are.
    """
    allowed = [mode for mode in conf.modes if intent.reboot or live(mode)]
    choice = _Choice(allowed, conf.default, current)
    found = next((mode for entry in intent.modes if (mode := choice.find(entry))), None)
    if found is None:
        raise _no_mode(intent, conf, [mode for mode in conf.modes if mode not in allowed])
    return found


def _no_mode(intent: Intent, conf: PowerConf, left_out: Sequence[PowerMode]) -> IntentError:
    known, barred = _names(conf.modes), _names(left_out)
    message = f"no power mode of this board satisfies {intent.name}, which asks for {', '.join(intent.modes)}"
    message += f"; its modes are {known}"
    mend = f"name one of them in [intent.{intent.name}] of a file in /etc/edgeagent/profiles"
    unranked = _names(mode for mode in conf.modes if watts_of(mode.name) is None)
    if unranked and _BY_WATTS.keys() & set(intent.modes):
        message += f"; no watts are told by the names {unranked}"
    if barred:
        message += f"; left out, because they need a reboot: {barred}"
        mend += ", or write reboot = true there"
    return IntentError(message, mend=mend, facts={"modes": known, "need_reboot": barred})


def _names(modes: Iterable[PowerMode]) -> str:
    return ", ".join(mode.name for mode in modes)
