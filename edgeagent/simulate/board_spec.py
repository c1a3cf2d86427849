"""The shape of a virtual board's record: data only. `board_list` names the boards, `board_tree` makes files of them.

A record says what its real counterpart shows in the device tree, under /etc and in sysfs. All records are written
from scratch. Sources: the formats of public captures; the numbers that a capture does not give (resistances,
over-current limits, serial numbers, some clocks) are invented.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from edgeagent.simulate.plant import PlantSpec

Release = Literal["R32", "R35", "R36", "R38", "R39", ""]
Kind = Literal["jetson", "container", "pc"]
Dark = Literal["", "always", "idle", "idle -256"]


@dataclass(frozen=True)
class Trip:
    """One trip point in millidegrees, and the types of the cooling devices bound to it."""

    kind: str
    temperature: int
    hysteresis: int
    bound: tuple[str, ...] = ()


@dataclass(frozen=True)
class Zone:
    """A thermal zone. `part` is the plant's part that it senses, `tj` the hottest of all, or a constant in C.

    `dark`: its answer without power. "always" and "idle" are EAGAIN, "idle -256" the -256000 of R35 and older.
    """

    name: str
    part: str | int
    trips: tuple[Trip, ...] = ()
    dark: Dark = ""


@dataclass(frozen=True)
class Channel:
    """One channel of a power sensor. `watts` names what of the plant flows through it; nothing: no rail at all.

    A label of "" has no file, "NC" is a channel that is not connected.
    """

    label: str
    millivolts: int = 0
    watts: tuple[str, ...] = ()


@dataclass(frozen=True)
class PowerSensor:
    """`ina3221` in hwmon form, `ina3221x` in the iio form of R32, `ina238` with one channel and power in microwatt."""

    chip: Literal["ina3221", "ina3221x", "ina238"]
    device: str
    channels: tuple[Channel, ...]
    limit_ma: int


@dataclass(frozen=True)
class Cpu:
    """Clocks in kHz. `listed`: the driver has scaling_available_frequencies. `fixed_cores` have no `online` file."""

    count: int
    policies: tuple[tuple[int, ...], ...]
    table_khz: tuple[int, ...]
    idle_khz: int
    governor: str = "schedutil"
    driver: str = "tegra194"
    listed: bool = True
    fixed_cores: tuple[int, ...] = ()
    idle_states: tuple[str, ...] = ("WFI", "c7")


@dataclass(frozen=True)
class Gpu:
    """The GPU's device directory, its devfreq name and where links to it lie. Clocks in Hz.

    `node` is the device tree node's name ("" where there is none), `others` more devfreq devices of it with their
    tables, `attributes` plain files of the device.
    """

    device: str
    devfreq: str
    table_hz: tuple[int, ...]
    governor: str
    node: str = ""
    load: bool = True
    aliases: tuple[str, ...] = ()
    others: tuple[tuple[str, tuple[int, ...]], ...] = ()
    attributes: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Emc:
    """The memory's clock: highest rate in Hz, the cap file that anybody may read, and how debugfs shows the rate."""

    top_hz: int
    low_hz: int
    cap_file: str
    debug: Literal["bpmp", "override", ""] = "bpmp"


@dataclass(frozen=True)
class Fan:
    """`hwmon` (R35 and later) or `pwm-fan` (R32). `profile` is nvfancontrol's default one, "" without the daemon."""

    form: Literal["hwmon", "pwm-fan"]
    profile: str = ""
    tachometer: str = "sys/devices/platform/bus@0/39c0000.tachometer"


@dataclass(frozen=True)
class Software:
    """What a release of Jetson Linux installs. `packages` are Debian packages with their versions."""

    release: Release
    tegra_release: str
    kernel: str
    packages: tuple[tuple[str, str], ...]
    cuda: str


@dataclass(frozen=True)
class VirtualSpec:
    """A board to imitate.

    `device_tree` holds further properties by path, `eeprom` the I2C device and the text of its part number, `engines`
    engine clocks in debugfs with their highest rate in Hz, `dla` device directories, `plain` files with their text,
    `links` what they point to. Paths are relative to the board's root.
    """

    name: str
    description: str
    kind: Kind
    software: Software
    hostname: str
    memory_kb: int
    cpu: Cpu
    zones: tuple[Zone, ...]
    cooling: tuple[tuple[str, int], ...]
    plant: PlantSpec
    model: str = ""
    compatible: tuple[str, ...] = ()
    serial: str = ""
    device_tree: tuple[tuple[str, str], ...] = ()
    boot_control: str = ""
    eeprom: tuple[str, str] = ("", "")
    power_modes: str = ""
    gpu: Gpu | None = None
    emc: Emc | None = None
    sensors: tuple[PowerSensor, ...] = ()
    over_current: bool = False
    fan: Fan | None = None
    dla: tuple[str, ...] = ()
    engines: tuple[tuple[str, int], ...] = ()
    plain: tuple[tuple[str, str], ...] = ()
    links: tuple[tuple[str, str], ...] = ()

    @property
    def release(self) -> Release:
        return self.software.release

    @property
    def rails(self) -> tuple[Channel, ...]:
        """The channels that measure something."""
        return tuple(channel for sensor in self.sensors for channel in sensor.channels if channel.watts)


def distinct(names: Iterable[str]) -> list[str]:
    """Names with a number behind all but the first of a kind: PCs have several zones of one type."""
    seen: Counter[str] = Counter()
    found = []
    for name in names:
        seen[name] += 1
        found.append(name if seen[name] == 1 else f"{name}_{seen[name]}")
    return found


def ladder(low: int, high: int, step: int, *above: int) -> tuple[int, ...]:
    """A clock's table: even steps from `low` to `high`, and the odd ones above."""
    return (*range(low, high + 1, step), *above)


def boot_control(tnspec: str, compatible: str, chip: str, storage: str = "nvme0n1") -> str:
    """/etc/nv_boot_control.conf, which tells the module by its flash name."""
    return (
        f"TNSPEC {tnspec}\n"
        f"COMPATIBLE_SPEC {compatible}\n"
        "TEGRA_LEGACY_UPDATE true\n"
        f"TEGRA_BOOT_STORAGE {storage}\n"
        "TEGRA_EMMC_ONLY false\n"
        f"TEGRA_CHIPID {chip}\n"
        "TEGRA_OTA_BOOT_DEVICE /dev/mtdblock0\n"
        "TEGRA_OTA_GPT_DEVICE /dev/mtdblock0\n"
    )
