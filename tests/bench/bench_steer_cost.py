"""What steering a build costs the agent: milliseconds of CPU a second.

    .venv/bin/python tests/bench/bench_steer_cost.py [--seconds 30]

A real process group at half pace, real signals, a virtual Orin Nano whose files are read. Counted is everything that
the process does in that time beside an idle event loop: looks, the governor, slices, words to the build and to MQTT's
doorstep. The whole samples that an agent takes anyway are not counted, the look at each of them is.
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


async def samples(site: Costly, spent_s: list[float]) -> None:
    """Whole samples now and then; `spent_s` is what reading them took."""
    while True:
        began_s = time.process_time()
        reading = site.reader.read()
        spent_s[0] += time.process_time() - began_s
        site.desk.take(reading)
        await anyio.sleep(SAMPLE_S)


async def measure(folder: Path, duty: float, seconds: float) -> float:
    """Milliseconds of CPU a second."""
    site, spent_s = Costly(folder, duty), [0.0]
    async with site.open():
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(samples, site, spent_s)
            await anyio.sleep(3.0)
            began_s, cpu_s, spent_s[0] = time.monotonic(), time.process_time(), 0.0
            await anyio.sleep(seconds)
            cpu_s, took_s = time.process_time() - cpu_s - spent_s[0], time.monotonic() - began_s
            tasks.cancel_scope.cancel()
        site.reader.close()
    return 1000 * cpu_s / took_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0)
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    for duty in (0.3, 0.6, 0.9, 1.0):
        with tempfile.TemporaryDirectory() as folder:
            cost = anyio.run(measure, Path(folder), duty, options.seconds)
        print(f"duty {duty:.1f}: {cost:.2f} ms of CPU a second", flush=True)


if __name__ == "__main__":
    main()
