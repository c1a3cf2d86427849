"""What an nvpmodel.conf says, as values: parameters, power modes, the default one. Pure.

A mode's NAME is what profiles and people use. Its ID is not stable: MAXN_SUPER is 2 on Orin Nano and 0 on Orin NX.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

UNLIMITED = frozenset({-1, 2147483647, 9223372036854775807})
"""Values of MAX_FREQ that mean "no limit". For EMC, 0 means the same."""

NEXT_KERNEL = "_KNEXT"
"""Ending of an argument that gives the same knob's path on a newer kernel (Jetson Linux says "kernel next").

Modes set the plain argument (MAX_FREQ). Which of the two paths nvpmodel writes is not documented: the one that exists
on the board is the one to look at.
"""

_WATTS = re.compile(r"(?:^|_)(\d{1,4}(?:\.\d{1,3})?)W(?:_|$)", re.ASCII)
_CORE = re.compile(r"CORE_\d+", re.ASCII)
_CLOCK_LIMITS = ("MAX_FREQ", "MIN_FREQ")


@dataclass(frozen=True)
class Parameter:
    """A named knob. `kind` is FILE or CLOCK; `paths` gives each argument's absolute path on the board."""

    kind: str
    name: str
    paths: Mapping[str, str] = field(hash=False)


@dataclass(frozen=True)
class Setting:
    """A mode's number for one argument. Clocks: Hz, except a processor's, which are kHz, as their files count."""

    parameter: str
    argument: str
    value: int


@dataclass(frozen=True)
class TextSetting:
    """A mode's word for one argument of a FILE parameter, such as `on` and `auto` for the GPU's power control."""

    parameter: str
    argument: str
    text: str


@dataclass(frozen=True)
class PowerMode:
    """`settings` and `texts` are in the file's order, one entry an argument: the last line of a repeated one counts."""

    id: int
    name: str
    settings: tuple[Setting, ...] = ()
    texts: tuple[TextSetting, ...] = ()

    def value(self, parameter: str, argument: str) -> int | None:
        """The number that this mode gives to an argument; None where it gives none."""
        found = (one.value for one in self.settings if (one.parameter, one.argument) == (parameter, argument))
        return next(found, None)

    @property
    def cores_on(self) -> int:
        """How many cores the mode switches on by name; 0 where it leaves the cores alone."""
        return sum(is_core_switch(one) and one.value == 1 for one in self.settings)


@dataclass(frozen=True)
class PowerConf:
    """A board's table of power modes. `fan_default` is "" where the file has no FAN_CONFIG (all but R32).

    `warnings` are lines that were left out, each with its line number; they are no part of equality.
    """

    parameters: tuple[Parameter, ...]
    modes: tuple[PowerMode, ...]
    default_id: int
    fan_default: str = ""
    warnings: tuple[str, ...] = field(default=(), compare=False)

    def mode_by_id(self, mode_id: int) -> PowerMode | None:
        return next((mode for mode in self.modes if mode.id == mode_id), None)

    def mode_by_name(self, name: str) -> PowerMode | None:
        return next((mode for mode in self.modes if mode.name == name), None)

    @property
    def default(self) -> PowerMode | None:
        """The mode of the first boot. Never None for a conf that was parsed."""
        return self.mode_by_id(self.default_id)

    def parameter(self, name: str) -> Parameter | None:
        return next((parameter for parameter in self.parameters if parameter.name == name), None)

    def paths_of(self, parameter: str, argument: str) -> tuple[str, ...]:
        """Where an argument may be read: its own path, then the one for newer kernels; () for an unknown one."""
        known = self.parameter(parameter)
        found = [known.paths.get(name) for name in (argument, argument + NEXT_KERNEL)] if known else []
        return tuple(dict.fromkeys(path for path in found if path))


def is_power_gating(setting: Setting) -> bool:
    """Whether the number is a mask of GPU parts to switch off: TPC_PG_MASK, FBP_PG_MASK, GPU_PG_MASK.

    A mode whose masks differ from those in force wants a reboot once the GPU is in use.
    """
    return setting.parameter.endswith("_POWER_GATING") or "PG_MASK" in setting.argument.upper()


def is_core_switch(setting: Setting) -> bool:
    """Whether the number puts a processor core online (1) or offline (0): CPU_ONLINE CORE_n."""
    return setting.parameter == "CPU_ONLINE" and _CORE.fullmatch(setting.argument) is not None


def is_clock_limit(setting: Setting) -> bool:
    """Whether the number bounds a clock: MAX_FREQ or MIN_FREQ, and their form for newer kernels (NEXT_KERNEL)."""
    return setting.argument.removesuffix(NEXT_KERNEL) in _CLOCK_LIMITS


def watts_of(name: str) -> float | None:
    """The budget in a mode's name, W: 15W, MODE_30W_ALL and 7W_AI tell one; MAXN and its like are infinite.

    None for a name without one, such as TX2's MAXQ.
    """
    if name.upper().startswith("MAXN"):
        return math.inf
    found = _WATTS.search(name.upper())
    return float(found.group(1)) if found else None
