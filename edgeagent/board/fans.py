"""Fans: what is asked of them and how fast they turn.

R32 has one, /sys/devices/pwm-fan: `target_pwm`, `cur_pwm`, `rpm_measured`. Later releases have hwmon `pwmfan` (`pwm1`,
0 to 255) and, as a device of its own, a tachometer whose file is called `rpm`, which hwmon does not know. Fans and
tachometers are paired in the order of their devices, for their hwmon numbers change from boot to boot.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest

from edgeagent.board.files import OpenFiles, Probe, Range, list_names, numbered, read_text
from edgeagent.board.parts import Absent, Fan
from edgeagent.board.rails import HWMON

_R32_FAN = "sys/devices/pwm-fan"
_POSSIBLE_PWM = (0, 255)
_POSSIBLE_RPM = (0, 100_000)
_TACHOMETERS = ("pwm_tach", "generic_pwm_tachometer")


@dataclass(frozen=True)
class FanProbe:
    """Any of the three may be missing: some carriers have no tachometer, some tachometers no fan beside them."""

    pwm: Probe | None
    rpm: Probe | None
    enable: Probe | None = None


def find_fans(root: str, files: OpenFiles) -> Iterator[FanProbe]:
    if pwm := files.open_first(f"{root}/{_R32_FAN}/target_pwm", f"{root}/{_R32_FAN}/cur_pwm"):
        yield FanProbe(pwm, files.open_first(f"{root}/{_R32_FAN}/rpm_measured"))
    fans, tachometers = list(_by_name(root, ("pwmfan",))), list(_by_name(root, _TACHOMETERS))
    for fan, tachometer in zip_longest(fans, tachometers):
        yield _hwmon_fan(fan, tachometer, files)


def _by_name(root: str, names: tuple[str, ...]) -> list[str]:
    """The hwmon directories with one of these names, in the order of the devices behind them."""
    found = (d for d in numbered(f"{root}/{HWMON}", "hwmon") if read_text(f"{d}/name") in names)
    return sorted(found, key=_device)


def _device(directory: str) -> tuple[str, str]:
    return os.path.realpath(directory).partition("/hwmon/")[0], directory


def _hwmon_fan(fan: str | None, tachometer: str | None, files: OpenFiles) -> FanProbe:
    rpm = tachometer and files.open(f"{tachometer}/{_rpm_file(tachometer)}")
    if fan is None:
        return FanProbe(None, rpm or None)
    if not rpm and "fan1_input" in list_names(fan):
        rpm = files.open(f"{fan}/fan1_input")
    return FanProbe(files.open(f"{fan}/pwm1"), rpm or None, files.open_first(f"{fan}/pwm1_enable"))


def _rpm_file(directory: str) -> str:
    return "rpm" if "rpm" in list_names(directory) else "fan1_input"


def read_fan(probe: FanProbe) -> Fan:
    """pwm runs from 0 to 255; 0 in pwm1_enable switches the fan off, whatever pwm1 holds."""
    pwm, absent = _read(probe.pwm, _POSSIBLE_PWM)
    rpm, rpm_absent = _read(probe.rpm, _POSSIBLE_RPM)
    enable, _ = _read(probe.enable, _POSSIBLE_PWM)
    percent = None if pwm is None else pwm * 100 / 255
    return Fan(percent, rpm, None if enable is None else enable != 0, absent, rpm_absent)


def _read(probe: Probe | None, possible: Range) -> tuple[int | None, Absent]:
    return probe.read_int(possible) if probe else (None, "not-given")
