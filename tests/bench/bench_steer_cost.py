"""What steering a build costs the agent: milliseconds of CPU a second.

    .venv/bin/python tests/bench/bench_steer_cost.py [--seconds 30]

A real process group, real signals, a virtual Orin Nano whose files are read. First the board is sampled as an agent
does it anyway, then the same with a build that is steered: the difference is what steering costs. It holds looks, the
governor, slices with their wake-ups, words to the build and to MQTT's doorstep, and the look at every whole sample.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "integration"))

import anyio
import structlog
from test_build_steer_kit import Site

from edgeagent.board.telemetry import BoardReader
from edgeagent.simulate.board import make_board

SAMPLE_S = 2.0


class Costly(Site):
    """The same build, on a board whose files are read."""

    def __init__(self, folder: Path, duty: float) -> None:
        super().__init__(folder, ceiling=duty)
        self.reader = BoardReader(make_board("orin-nano", folder / "board", seed=1).root)
        self.desk.read = self.reader.read_quick


async def samples(site: Costly, *, looked_at: bool) -> None:
    """Whole samples now and then."""
    while True:
        reading = site.reader.read()
        if looked_at:
            site.desk.take(reading)
        await anyio.sleep(SAMPLE_S)


async def cpu_of(site: Costly, seconds: float, *, looked_at: bool) -> float:
    """Milliseconds of CPU a second, with what goes on in the process and samples beside it."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: samples(site, looked_at=looked_at))
        await anyio.sleep(3.0)
        began_s, cpu_s = time.monotonic(), time.process_time()
        await anyio.sleep(seconds)
        cpu_s, took_s = time.process_time() - cpu_s, time.monotonic() - began_s
        tasks.cancel_scope.cancel()
    return 1000 * cpu_s / took_s


async def measure(folder: Path, duty: float, seconds: float) -> float:
    """Milliseconds of CPU a second that steering adds."""
    site = Costly(folder, duty)
    idle = await cpu_of(site, seconds, looked_at=False)
    async with site.open():
        steered = await cpu_of(site, seconds, looked_at=True)
    site.reader.close()
    return steered - idle


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0)
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    for duty in (0.3, 0.6, 0.9, 1.0):
        with tempfile.TemporaryDirectory() as folder:
            cost = anyio.run(measure, Path(folder), duty, options.seconds)
        print(f"duty {duty:.1f}: {cost:.2f} ms of CPU a second more", flush=True)


if __name__ == "__main__":
    main()
