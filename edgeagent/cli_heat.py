"""`edgeagent simulate heat | memory` steer with what the agent steers with: here two sides meet that know no other."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from edgeagent.app.governor import GovernorDesk
from edgeagent.app.logs import configure_logs
from edgeagent.board.reading import Reading
from edgeagent.board.telemetry import BoardReader
from edgeagent.clock import Clock
from edgeagent.config.schema import ThermalSettings
from edgeagent.simulate.heat import HeatOptions, run_heat
from edgeagent.simulate.heat_steer import Apply
from edgeagent.simulate.memory_runs import run_memory

PIPELINE, USUAL_FPS = "cameras", 60.0
LEARN = 4
"""Seconds without a build in which the desk learns what is usual."""


class DeskSteer:
    """The agent's governor desk as the driver of a scenario: the same looks, the same sense, the same verdicts."""

    def __init__(self, clock: Clock) -> None:
        self._desk = GovernorDesk(ThermalSettings(), clock)

    @contextmanager
    def steering(self, reader: BoardReader, apply: Apply) -> Iterator[None]:
        """A build works within the block; each verdict goes to `apply`: duty, the reason's code, why it must end."""
        desk = self._desk
        desk.read = reader.read_quick
        leave = desk.subscribe(
            lambda told: apply(0.0 if told.cancel else told.build_duty, told.reason.code, told.cancel)
        )
        try:
            with desk.building():
                yield
        finally:
            leave()

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


def run_memory_command(options: argparse.Namespace) -> tuple[int, str]:
    """Exit code and text; a line a run on stderr while it lasts."""
    configure_logs("critical")
    return run_memory(options.runs, options.json, DeskSteer, lambda line: print(line, file=sys.stderr))  # noqa: T201
