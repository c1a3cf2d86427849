"""A stand-in for the agent with a build on a board that is too hot: says the build's pids once it is stopped."""

from __future__ import annotations

import sys
from pathlib import Path

import anyio
import structlog
from test_build_steer_kit import HOT_C, Site, board


async def main(folder: Path) -> None:
    site = Site(folder)
    async with site.open():
        site.reading = board(HOT_C)
        await site.stopped()
        print(*site.pids, flush=True)
        await anyio.sleep_forever()


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    anyio.run(main, Path(sys.argv[1]))
