"""Sensors of a virtual board: thermal zones and cooling devices, power rails, over-current counters, fan.

Formats: the kernel's thermal and hwmon interfaces; the iio form of the INA3221 and /sys/devices/pwm-fan are those of
R32, `rpm` and `ocN_event_cnt` NVIDIA's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from edgeagent.simulate.board_spec import Fan, PowerSensor, Trip, VirtualSpec, Zone, distinct
from edgeagent.simulate.board_tree import Tree

_THERMAL = "sys/devices/virtual/thermal"


def write_sensors(tree: Tree, spec: VirtualSpec) -> None:
    numbers = _write_cooling(tree, spec)
    _write_zones(tree, spec, numbers)
    for sensor in spec.sensors:
        _SENSOR_FORMS[sensor.chip](tree, sensor)
    if spec.over_current:
        _write_over_current(tree)
    if spec.fan:
        _write_fan(tree, spec.fan)
    if spec.kind == "pc":
        _write_coretemp(tree)


def _write_cooling(tree: Tree, spec: VirtualSpec) -> dict[str, int]:
    """The number that each cooling device got, by its distinct name."""
    names = distinct(name for name, _ in spec.cooling)
    numbers = dict(zip(names, tree.shuffled(len(names)), strict=True))
    for name, (kind, max_state) in zip(names, spec.cooling, strict=True):
        directory = f"{_THERMAL}/cooling_device{numbers[name]}"
        tree.lines(directory, type=kind, max_state=max_state)
        tree.role(f"cooling:{name}", f"{directory}/cur_state")
        tree.link(f"sys/class/thermal/cooling_device{numbers[name]}", directory)
    return numbers


def _write_zones(tree: Tree, spec: VirtualSpec, cooling_numbers: Mapping[str, int]) -> None:
    names = distinct(zone.name for zone in spec.zones)
    for name, zone, number in zip(names, spec.zones, tree.shuffled(len(names)), strict=True):
        directory = f"{_THERMAL}/thermal_zone{number}"
        tree.lines(directory, type=zone.name, mode="enabled", policy="step_wise")
        _write_temperature(tree, f"{directory}/temp", name, zone)
        _write_trips(tree, directory, zone.trips)
        _write_bindings(tree, directory, zone.trips, cooling_numbers)
        tree.link(f"sys/class/thermal/thermal_zone{number}", directory)


def _write_temperature(tree: Tree, path: str, name: str, zone: Zone) -> None:
    if zone.dark == "always":
        tree.fifo(path)
    elif zone.dark == "idle":
        tree.fifo(path, f"zone:{name}")
    else:
        tree.role(f"zone:{name}", path)


def _write_trips(tree: Tree, directory: str, trips: tuple[Trip, ...]) -> None:
    for index, trip in enumerate(trips):
        prefix = f"trip_point_{index}"
        tree.lines(directory, **{f"{prefix}_type": trip.kind})
        tree.lines(directory, **{f"{prefix}_temp": trip.temperature, f"{prefix}_hyst": trip.hysteresis})


def _write_bindings(tree: Tree, directory: str, trips: tuple[Trip, ...], numbers: Mapping[str, int]) -> None:
    for index, (trip, name) in enumerate(_bindings(trips)):
        tree.link(f"{directory}/cdev{index}", f"{_THERMAL}/cooling_device{numbers[name]}")
        tree.lines(directory, **{f"cdev{index}_trip_point": trip, f"cdev{index}_weight": 0})


def _bindings(trips: tuple[Trip, ...]) -> Iterator[tuple[int, str]]:
    for index, trip in enumerate(trips):
        for name in trip.bound:
            yield index, name


def _write_ina3221(tree: Tree, sensor: PowerSensor) -> None:
    """Three channels, three shunt voltages without a label, and their sum. Only connected channels have currents."""
    directory = tree.hwmon(sensor.device, "ina3221")
    for number, channel in enumerate(sensor.channels, start=1):
        if channel.label:
            tree.lines(directory, **{f"in{number}_label": channel.label})
            tree.lines(directory, **{f"in{number + 3}_input": 4 * number})
        if channel.watts:
            tree.role(f"rail:{channel.label}:mv", f"{directory}/in{number}_input")
            tree.role(f"rail:{channel.label}:ma", f"{directory}/curr{number}_input")
            limits = {"max": sensor.limit_ma, "crit": sensor.limit_ma, "max_alarm": 0, "crit_alarm": 0}
            tree.lines(directory, **{f"curr{number}_{key}": value for key, value in limits.items()})
    tree.lines(directory, in7_label="sum of shunt voltages", in7_input=24, curr4_crit_alarm=0)
    _link_i2c(tree, sensor.device)


def _write_ina3221x(tree: Tree, sensor: PowerSensor) -> None:
    """The driver of R32 is an iio device, counts channels from 0 and puts units behind some numbers."""
    directory = f"{sensor.device}/iio:device0"
    tree.lines(directory, name="ina3221x")
    for number, channel in enumerate(sensor.channels):
        tree.lines(directory, **{f"rail_name_{number}": channel.label})
        tree.role(f"rail:{channel.label}:mv", f"{directory}/in_voltage{number}_input")
        tree.role(f"rail:{channel.label}:ma", f"{directory}/in_current{number}_input")
        tree.role(f"rail:{channel.label}:mw", f"{directory}/in_power{number}_input")
        for limit in ("warn", "crit"):
            tree.lines(directory, **{f"{limit}_current_limit_{number}": f"{sensor.limit_ma} ma"})
    tree.link("sys/bus/iio/devices/iio:device0", directory)
    tree.link(f"sys/bus/i2c/drivers/ina3221x/{sensor.device.rpartition('/')[2]}", sensor.device)
    _link_i2c(tree, sensor.device)


def _write_ina238(tree: Tree, sensor: PowerSensor) -> None:
    """One channel: in0 is the shunt's voltage, in1 the bus's, power is in microwatt. The label is the whole chip's."""
    directory = tree.hwmon(sensor.device, "ina238")
    label = sensor.channels[0].label
    tree.lines(directory, label=label, in0_input=1, curr1_max=sensor.limit_ma)
    tree.role(f"rail:{label}:mv", f"{directory}/in1_input")
    tree.role(f"rail:{label}:ma", f"{directory}/curr1_input")
    tree.role(f"rail:{label}:uw", f"{directory}/power1_input")
    _link_i2c(tree, sensor.device)


_SENSOR_FORMS = {"ina3221": _write_ina3221, "ina3221x": _write_ina3221x, "ina238": _write_ina238}


def _link_i2c(tree: Tree, device: str) -> None:
    tree.link(f"sys/bus/i2c/devices/{device.rpartition('/')[2]}", device)


def _write_over_current(tree: Tree) -> None:
    directory = tree.hwmon("sys/devices/platform/soctherm-oc-event", "soctherm_oc")
    for name in ("oc1", "oc2", "oc3"):
        tree.lines(directory, **{f"{name}_throt_en": 1})
        tree.role(name, f"{directory}/{name}_event_cnt")


def _write_fan(tree: Tree, fan: Fan) -> None:
    if fan.form == "pwm-fan":
        directory = "sys/devices/pwm-fan"
        tree.lines(directory, temp_control=1, tach_enable=1, pwm_cap=255)
        tree.role("pwm", f"{directory}/target_pwm")
        tree.role("cur_pwm", f"{directory}/cur_pwm")
        tree.role("rpm", f"{directory}/rpm_measured")
        return
    directory = tree.hwmon("sys/devices/platform/pwm-fan", "pwmfan")
    tree.lines(directory, pwm1_enable=1)
    tree.role("pwm", f"{directory}/pwm1")
    if fan.tachometer:
        tree.role("rpm", f"{tree.hwmon(fan.tachometer, 'pwm_tach')}/rpm")


def _write_coretemp(tree: Tree) -> None:
    directory = tree.hwmon("sys/devices/platform/coretemp.0", "coretemp")
    tree.lines(directory, temp1_label="Package id 0", temp1_max=100_000, temp1_crit=100_000, temp1_crit_alarm=0)
    tree.role("coretemp", f"{directory}/temp1_input")
