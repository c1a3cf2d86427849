"""`edgeagent simulate heat` steers with what the agent steers with: two sides meet that must not know each other."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from edgeagent.app.governor import GovernorDesk
from edgeagent.app.logs import configure_logs
from edgeagent.board.reading import Reading
from edgeagent.board.telemetry import BoardReader
from edgeagent.clock import Clock
from edgeagent.config.schema import ThermalSettings
from edgeagent.simulate.heat import HeatOptions, run_heat

PIPELINE, USUAL_FPS = "cameras", 60.0
LEARN = 4
"""Seconds without a build in which the desk learns what is usual."""


class DeskSteer:
    """The agent's governor desk as the driver of a scenario: the same looks, the same sense, the same verdicts."""

    def __init__(self, clock: Clock) -> None:
        self._desk = GovernorDesk(ThermalSettings(), clock)

    @contextmanager
    def steering(self, reader: BoardReader, apply: Callable[[float, str], None]) -> Iterator[None]:
        """A build works within the block; each verdict goes to `apply` as its duty and the code of its reason."""
        desk = self._desk
        desk.read = reader.read_quick
        desk.subscribe(lambda verdict: apply(0.0 if verdict.cancel else verdict.build_duty, verdict.reason.code))
        with desk.building():
            yield

    def learn(self, kept: float) -> None:
        """What the pipelines do before the build."""
        for _ in range(LEARN):
            self.frames(kept)

    def frames(self, kept: float) -> None:
        """The share of its frames that a pipeline kept in the last second."""
        self._desk.streams_taken(PIPELINE, {"fps": kept * USUAL_FPS})

    def whole(self, reading: Reading) -> None:
        self._desk.take(reading)

    def look(self) -> None:
        self._desk.look_now()


def run_command(options: argparse.Namespace) -> tuple[int, str]:
    """Exit code and text."""
    configure_logs("error")  # the desk logs for a device, not for a table
    return run_heat(
        HeatOptions(
            scenarios=options.scenario,
            controllers=options.controller,
            virtual=options.virtual,
            accelerate=options.accelerate,
            png=options.png,
            as_json=options.json,
            governor=DeskSteer,
        )
    )
