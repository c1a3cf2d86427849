"""What the board draws meanwhile, where it has rails to tell it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from edgeagent.board.telemetry import BoardReader

EVERY_S = 0.5


@dataclass
class Power:
    """Watts seen, one an interval; none where the board has no rails. `source`: the rails that they are the sum of."""

    watts: list[float] = field(default_factory=list)
    source: str = ""

    @property
    def mean_w(self) -> float | None:
        return sum(self.watts) / len(self.watts) if self.watts else None


class Meter:
    """Looks at the board under `root` while a measurement runs."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @contextmanager
    def over(self) -> Iterator[Power]:
        """For the length of the block; what is yielded fills, and is whole at its end."""
        power, stop = Power(), threading.Event()
        thread = threading.Thread(target=self._watch, args=(power, stop), name="bench-power")
        thread.start()
        try:
            yield power
        finally:
            stop.set()
            thread.join()

    def _watch(self, power: Power, stop: threading.Event) -> None:
        with BoardReader(self._root) as reader:
            while True:
                reading = reader.read()
                if reading.power_total_mw is None:
                    return  # no rails now are no rails later
                power.watts.append(reading.power_total_mw / 1000)
                power.source = reading.power_total_source
                if stop.wait(EVERY_S):
                    return
