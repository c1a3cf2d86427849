"""Fans of every release: what they are asked for, how fast they turn, and whether they are switched off."""

from __future__ import annotations

from pathlib import Path

import pytest
from sysfs_kit import HWMON, Tree

from edgeagent.board.parts import Fan


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def test_fan_and_tachometer_are_two_devices(tree: Tree) -> None:
    tree.hwmon(1, "pwmfan", pwm1=51, pwm1_enable=1)
    tree.hwmon(0, "pwm_tach", rpm=1800)
    assert tree.read().fans == (Fan(20.0, 1800, enabled=True),)


def test_the_fan_of_r32(tree: Tree) -> None:
    tree.lines("sys/devices/pwm-fan", target_pwm=255, cur_pwm=120, rpm_measured=0, temp_control=1)
    assert tree.read().fans == (Fan(100.0, 0),)


def test_a_fan_without_a_tachometer(tree: Tree) -> None:
    tree.hwmon(3, "pwmfan", pwm1=0)
    assert tree.read().fans == (Fan(0.0, None, rpm_absent="not-given"),)


def test_a_fan_that_counts_its_own_turns(tree: Tree) -> None:
    tree.hwmon(3, "pwmfan", pwm1=255, fan1_input=4200)
    assert tree.read().fans == (Fan(100.0, 4200),)


def test_a_tachometer_alone(tree: Tree) -> None:
    tree.hwmon(3, "generic_pwm_tachometer", fan1_input=900)
    assert tree.read().fans == (Fan(None, 900, absent="not-given"),)


def test_a_fan_that_is_switched_off(tree: Tree) -> None:
    tree.hwmon(3, "pwmfan", pwm1=120, pwm1_enable=0)
    assert tree.read().fan.enabled is False


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (2, 0, 3, 1)])
def test_several_fans_are_paired_by_their_devices(tree: Tree, order: tuple[int, ...]) -> None:
    devices = [("a-fan", "pwmfan", "pwm1", 51), ("b-fan", "pwmfan", "pwm1", 102)]
    devices += [("c-tach", "pwm_tach", "rpm", 1000), ("d-tach", "pwm_tach", "rpm", 2000)]
    for number, (device, name, file, value) in zip(order, devices, strict=True):
        directory = f"sys/devices/platform/{device}/hwmon/hwmon{number}"
        tree.lines(directory, name=name, **{file: value})
        link = tree.root / HWMON / f"hwmon{number}"
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(tree.root / directory)
    assert tree.read().fans == (Fan(20.0, 1000), Fan(40.0, 2000))


def test_no_fan(tree: Tree) -> None:
    reading = tree.read()
    assert (reading.fans, reading.fan.rpm, reading.fan.absent) == ((), None, "not-given")


@pytest.mark.parametrize(("pwm", "rpm"), [("256", "100001"), ("99999999999", "9" * 20), ("-1", "-1"), ("?", "?")])
def test_what_no_fan_can_do_is_unreadable(tree: Tree, pwm: str, rpm: str) -> None:
    tree.hwmon(1, "pwmfan", pwm1=pwm, pwm1_enable=1)
    tree.hwmon(0, "pwm_tach", rpm=rpm)
    assert tree.read().fans == (Fan(None, None, True, "unreadable", "unreadable"),)
