"""A small sysfs made by hand: only what a test needs, in the formats of the kernel."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgeagent.board.telemetry import BoardReader, Reading

THERMAL = "sys/class/thermal"
HWMON = "sys/class/hwmon"
CPUFREQ = "sys/devices/system/cpu/cpufreq"
DEVFREQ = "sys/class/devfreq"


NOBODY = 65534


@contextmanager
def as_nobody() -> Iterator[None]:
    """What follows is done as an ordinary user, whoever runs the tests."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@contextmanager
def open_directory() -> Iterator[Path]:
    """A new directory that everybody may enter; pytest's own are closed to others."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


class StepClock:
    """A clock that moves by the next of `steps_s` at each look, and stands still when they are used up."""

    def __init__(self, *steps_s: float) -> None:
        self._steps_s = list(steps_s)
        self._now_s = 1000.0

    def monotonic_ns(self) -> int:
        self._now_s += self._steps_s.pop(0) if self._steps_s else 0.0
        return round(self._now_s * 1e9)

    def wall_ms(self) -> int:
        return 0


class Tree:
    """A directory that looks like the parts of a board that a test needs."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, path: str, content: str | bytes | int) -> Path:
        """Text and numbers as they are given; numbers get the newline that sysfs ends them with."""
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        text = f"{content}\n" if isinstance(content, int) else content
        target.write_bytes(text if isinstance(text, bytes) else text.encode())
        return target

    def lines(self, directory: str, **values: str | int) -> None:
        for name, value in values.items():
            self.write(f"{directory}/{name}", f"{value}\n")

    def zone(self, number: int, kind: str, temperature: str = "40000\n") -> Path:
        self.write(f"{THERMAL}/thermal_zone{number}/type", f"{kind}\n")
        return self.write(f"{THERMAL}/thermal_zone{number}/temp", temperature)

    def trip(self, zone: int, index: int, kind: str, temperature: int, *bound: int) -> None:
        directory = f"{THERMAL}/thermal_zone{zone}"
        self.lines(directory, **{f"trip_point_{index}_type": kind, f"trip_point_{index}_temp": temperature})
        for cooling in bound:
            number = len(list((self.root / directory).glob("cdev*_trip_point")))
            (self.root / directory / f"cdev{number}").symlink_to(f"../cooling_device{cooling}")
            self.write(f"{directory}/cdev{number}_trip_point", index)

    def cooling(self, number: int, kind: str, state: str = "0\n") -> Path:
        self.lines(f"{THERMAL}/cooling_device{number}", type=kind, max_state=3)
        return self.write(f"{THERMAL}/cooling_device{number}/cur_state", state)

    def hwmon(self, number: int, name: str, **values: str | int) -> str:
        directory = f"{HWMON}/hwmon{number}"
        self.lines(directory, name=name, **values)
        return directory

    def policy(self, first: int, cores: str, current: int, low: int, high: int, *, lowest: int = 115_200) -> str:
        """A clock domain of the CPU in kHz; `lowest` and 2 201 600 are what the chip offers."""
        directory = f"{CPUFREQ}/policy{first}"
        self.lines(directory, related_cpus=cores, scaling_cur_freq=current)
        self.lines(directory, scaling_min_freq=low, scaling_max_freq=high)
        self.lines(directory, cpuinfo_min_freq=lowest, cpuinfo_max_freq=2_201_600)
        return directory

    def devfreq(self, directory: str, current: int, low: int, high: int) -> None:
        """A clock of the GPU in Hz, with the steps 306, 612 and 918 MHz."""
        self.lines(directory, cur_freq=current, min_freq=low, max_freq=high)
        self.lines(directory, available_frequencies="306000000 612000000 918000000")

    def read(self, soc: str = "") -> Reading:
        with BoardReader(self.root, soc=soc) as reader:
            return reader.read()
