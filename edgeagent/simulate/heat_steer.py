"""Who steers a real scenario: the agent's way of doing it as a protocol, and a plain controller in its place."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Protocol

from edgeagent.board.reading import Reading
from edgeagent.board.telemetry import BoardReader
from edgeagent.clock import Clock
from edgeagent.simulate.heat_control import Controller
from edgeagent.thermal.sense import Sense, ZoneSense

Apply = Callable[[float, str, str], None]


class Steer(Protocol):
    """Who steers a build on a board, as the agent does it."""

    def steering(self, reader: BoardReader, apply: Apply) -> contextlib.AbstractContextManager[None]:
        """A build works within the block; duties go to `apply`, each with its reason and, if any, why it must end."""
        ...

    def learn(self, kept: float) -> None:
        """The share of their frames that the pipelines keep without a build."""
        ...

    def frames(self, kept: float) -> None:
        """The share of their frames that they kept in the last second."""
        ...

    def whole(self, reading: Reading) -> None:
        """A whole sample of the board."""
        ...

    def look(self) -> None:
        """A quick look at the board, now."""
        ...


SteerMaker = Callable[[Clock], Steer]


class _SenseSteer:
    """A controller that looks at a `Sense`, on the board's files."""

    def __init__(self, controller: Controller, clock: Clock) -> None:
        self._controller, self._clock = controller, clock
        self._alerts: tuple[str, ...] | None = None
        self._kept: list[float] = []
        self._read: Callable[[], Reading] | None = None
        self._apply: Apply = lambda duty, reason, cancel: None

    @contextlib.contextmanager
    def steering(self, reader: BoardReader, apply: Apply) -> Iterator[None]:
        self._read, self._apply = reader.read_quick, apply
        yield
        self._read = None

    def learn(self, kept: float) -> None:
        self._kept = [kept]

    def frames(self, kept: float) -> None:
        self._kept = [*self._kept, kept][-3:]

    def whole(self, reading: Reading) -> None:
        self._alerts = reading.throttle_alerts

    def look(self) -> None:
        if self._read is None:
            return
        kept = sum(self._kept) / len(self._kept) if self._kept else None
        sense = sense_of_reading(self._read(), self._clock.monotonic_ns() / 1e9, self._alerts, kept)
        duty = self._controller.look(sense)
        self._apply(duty, getattr(self._controller, "reason", ""), "")


def sense_steer(controller: Controller) -> SteerMaker:
    return lambda clock: _SenseSteer(controller, clock)


def sense_of_reading(reading: Reading, at_s: float, alerts: tuple[str, ...] | None, frames_kept: float | None) -> Sense:
    """What the governor looks at, from what the board's files say."""
    zones = tuple(ZoneSense(zone.name, zone.temperature_c, zone.throttle_c) for zone in reading.zones)
    return replace(Sense(at_s, zones, alerts), frames_kept=frames_kept)
