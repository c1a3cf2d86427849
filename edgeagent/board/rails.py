"""Power rails: the chips that measure them, and their values now.

* INA3221 since L4T R35: hwmon `ina3221` with `inN_label`, `inN_input` (mV) and `currN_input` (mA), N from 1 to 3. The
  channels 4 to 7 are shunt voltages and sums.
* INA238 of AGX Thor: hwmon `ina238` with `power1_input` in microwatts, `in1_input`, `curr1_input` and a label.
* INA3221 on R32: `ina3221x/*/iio:device*` with `rail_name_N`, `in_voltageN_input` (mV), `in_currentN_input` (mA) and
  `in_powerN_input` (mW), N from 0; a unit may follow the number.

An idle rail may read some milliamps below nothing: the chip's own offset, taken as 0. What is further below, or above
what any carrier can deliver, is no measurement.

These reads go over I2C: `patience` says what happens when one is slow.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from edgeagent.board.files import OpenFiles, Probe, list_names, numbered, read_int, read_text
from edgeagent.board.parts import Absent, Rail
from edgeagent.board.patience import SLOW_S, Patience
from edgeagent.board.zones import unique
from edgeagent.clock import Clock

HWMON = "sys/class/hwmon"
_R32_DRIVER = "sys/bus/i2c/drivers/ina3221x"
_POSSIBLE_MILLIVOLTS = (0, 60_000)
_POSSIBLE_MILLIAMPS = (-100, 200_000)
_POSSIBLE_MILLIWATTS = (-500, 2_000_000)
_DISABLED = ("", "NC")  # a channel that is not connected has no label, or this one


@dataclass(frozen=True)
class RailProbe:
    """`power` holds `power_per_mw` units a milliwatt; without it the power is volts times amps."""

    name: str
    millivolts: Probe
    milliamps: Probe
    power: Probe | None = None
    power_per_mw: int = 1


@dataclass(frozen=True)
class Chip:
    """One measuring chip and its rails. `path` tells chips apart for as long as the layout lives."""

    kind: str
    path: str
    rails: tuple[RailProbe, ...]


def find_chips(root: str, files: OpenFiles) -> Iterator[Chip]:
    """Those with rails, in the order of their numbers."""
    seen: Counter[str] = Counter()
    for chip in (*_hwmon_chips(root, files), *_r32_chips(root, files)):
        rails = tuple(_renamed(rail, unique(rail.name, seen)) for rail in chip.rails)
        if rails:
            yield Chip(chip.kind, chip.path, rails)


def _renamed(rail: RailProbe, name: str) -> RailProbe:
    return RailProbe(name, rail.millivolts, rail.milliamps, rail.power, rail.power_per_mw)


def _hwmon_chips(root: str, files: OpenFiles) -> Iterator[Chip]:
    finders = {"ina3221": _ina3221_rails, "ina238": _ina238_rails}
    for directory in numbered(f"{root}/{HWMON}", "hwmon"):
        kind = read_text(f"{directory}/name")
        if find := finders.get(kind):
            yield Chip(kind, directory, tuple(find(directory, files)))


def _ina3221_rails(directory: str, files: OpenFiles) -> Iterator[RailProbe]:
    for channel in (1, 2, 3):
        label = read_text(f"{directory}/in{channel}_label")
        if label not in _DISABLED and read_int(f"{directory}/in{channel}_enable") != 0:
            millivolts = files.open(f"{directory}/in{channel}_input")
            yield RailProbe(label, millivolts, files.open(f"{directory}/curr{channel}_input"))


def _ina238_rails(directory: str, files: OpenFiles) -> Iterator[RailProbe]:
    """in0 is the shunt, in1 the bus."""
    labels = (read_text(f"{directory}/{name}") for name in ("power1_label", "in1_label", "label"))
    yield RailProbe(
        next(filter(None, labels), "ina238"),
        files.open(f"{directory}/in1_input"),
        files.open(f"{directory}/curr1_input"),
        files.open(f"{directory}/power1_input"),
        power_per_mw=1000,
    )


def _r32_chips(root: str, files: OpenFiles) -> Iterator[Chip]:
    driver = f"{root}/{_R32_DRIVER}"
    for device in list_names(driver):
        for directory in numbered(f"{driver}/{device}", "iio:device"):
            yield Chip("ina3221x", directory, tuple(_r32_rails(directory, files)))


def _r32_rails(directory: str, files: OpenFiles) -> Iterator[RailProbe]:
    for channel in (0, 1, 2):
        label = read_text(f"{directory}/rail_name_{channel}")
        if label not in _DISABLED:
            yield RailProbe(
                label,
                files.open(f"{directory}/in_voltage{channel}_input"),
                files.open(f"{directory}/in_current{channel}_input"),
                files.open(f"{directory}/in_power{channel}_input"),
            )


def read_chip(chip: Chip, patience: Patience, clock: Clock) -> tuple[tuple[Rail, ...], Patience]:
    """All of the chip's rails, and what its answering time means for the next sample.

    After the first rail that is slow the others are left alone: they hang on the same bus.
    """
    if patience.skip > 0:
        return tuple(_left_alone(chip, probe) for probe in chip.rails), patience.after_skip()
    rails: list[Rail] = []
    slow = False
    for probe in chip.rails:
        if slow:
            rails.append(_left_alone(chip, probe))
            continue
        started_ns = clock.monotonic_ns()
        rails.append(_read_rail(chip, probe))
        slow = clock.monotonic_ns() - started_ns > SLOW_S * 1e9
    return tuple(rails), patience.after_read(slow=slow)


def _left_alone(chip: Chip, probe: RailProbe) -> Rail:
    return Rail(probe.name, None, absent="slow", chip=chip.kind)


def _read_rail(chip: Chip, probe: RailProbe) -> Rail:
    """Millivolts times milliamps is microwatts. They stand in where the chip's own power is missing or impossible."""
    millivolts, no_volts = probe.millivolts.read_int(_POSSIBLE_MILLIVOLTS)
    milliamps, no_amps = probe.milliamps.read_int(_POSSIBLE_MILLIAMPS)
    milliamps = None if milliamps is None else max(0, milliamps)
    milliwatts = _measured_power(probe)
    absent: Absent = ""
    if milliwatts is None and millivolts is not None and milliamps is not None:
        milliwatts = millivolts * milliamps / 1000
    if milliwatts is None:
        absent = no_volts or no_amps
    return Rail(probe.name, milliwatts, millivolts, milliamps, absent, chip.kind)


def _measured_power(probe: RailProbe) -> float | None:
    if probe.power is None:
        return None
    lowest, highest = _POSSIBLE_MILLIWATTS
    value = probe.power.read_int((lowest * probe.power_per_mw, highest * probe.power_per_mw))[0]
    return None if value is None else max(0, value) / probe.power_per_mw
