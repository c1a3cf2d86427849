"""How the files of a virtual board are made: plain ones, links, FIFOs, hwmon directories with random numbers.

`Tree` also notes where the plant finds what it keeps changing. What is written through it is in `board_tree_sensors`,
`board_tree_clocks` and `board_tree_disk`.
"""

from __future__ import annotations

import os
import random
from pathlib import Path


class Tree:
    """Writes files under a root and notes where each role went.

    `files` are the regular ones that the plant keeps changing; `sleepers` those that it makes answer only while their
    part of the chip has power, as FIFOs; `fifos` all FIFOs, which give EAGAIN while somebody holds them open.
    """

    def __init__(self, root: Path, rng: random.Random) -> None:
        self.root = root
        self.rng = rng
        self.files: dict[str, str] = {}
        self.sleepers: dict[str, str] = {}
        self.fifos: list[str] = []
        self._hwmon_numbers = iter(rng.sample(range(12), 12))

    def data(self, path: str, content: bytes) -> None:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)

    def text(self, path: str, content: str) -> None:
        self.data(path, content.encode())

    def lines(self, directory: str, **values: str | int) -> None:
        """Attributes of one directory, each ending in a newline as sysfs writes them."""
        for name, value in values.items():
            self.text(f"{directory}/{name}", f"{value}\n")

    def role(self, role: str, path: str) -> None:
        """A file that the plant keeps changing."""
        self.files[role] = path
        self.text(path, "0\n")

    def link(self, path: str, target: str) -> None:
        """A relative link at `path` to `target`, both relative to the root."""
        link = self.root / path
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(os.path.relpath(self.root / target, link.parent))

    def fifo(self, path: str, role: str = "") -> None:
        """A file that never answers, or only while the plant gives it content for `role`."""
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        os.mkfifo(target)
        self.fifos.append(path)
        if role:
            self.sleepers[role] = path

    def hwmon(self, device: str, name: str) -> str:
        """A hwmon directory with a random number under `device`; returns its path."""
        number = next(self._hwmon_numbers)
        directory = f"{device}/hwmon/hwmon{number}"
        self.lines(directory, name=name)
        self.link(f"{directory}/device", device)
        self.link(f"sys/class/hwmon/hwmon{number}", directory)
        return directory

    def shuffled(self, count: int) -> list[int]:
        return self.rng.sample(range(count), count)
