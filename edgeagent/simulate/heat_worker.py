"""Real work for the scenarios of heat and memory: `python -m edgeagent.simulate.heat_worker build|infer [...]`.

`build` keeps one core busy; `infer SHARE` keeps one busy for that share of the time, frame by frame. Both until they
are ended, at the latest with what started them. `build MB MB_PER_S` takes memory at that rate, works a second once it
has all of it, and ends with status 0.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from pathlib import Path

from edgeagent.supervise.lifeline import tie_to_parent

FRAME_S = 0.01
LATE_S = 0.1
"""What is later is dropped."""
NICE = {"build": -10, "infer": -15}
"""Other work on this machine is no part of the board: frames cannot wait for it, nor can a build that is to stop,
which it only does when it gets a processor."""


def stand_in_line(nice: int) -> None:
    """Ask for less or more of the processors than others have; only root gets more. Where sessions are scheduled as
    groups (sched(7), autogroup), the group asks."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, nice)
    with contextlib.suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(nice))


def work(share: float) -> None:
    """For ever. What a frame takes is processor time, so that waiting for a processor makes it late and not short."""
    due_s = time.monotonic()
    while True:
        spent_s = time.thread_time()
        while time.thread_time() - spent_s < share * FRAME_S:
            sum(range(500))
        due_s = max(due_s + FRAME_S, time.monotonic() - LATE_S)
        if share < 1 and (left_s := due_s - time.monotonic()) > 0:
            time.sleep(left_s)


def build_with_memory(wanted_mb: float, mb_per_s: float) -> None:
    """Takes memory page by page, as a builder's workspace fills, and then works for a second of processor time."""
    held: list[bytearray] = []
    began_s = time.monotonic()
    while len(held) < wanted_mb:
        while len(held) < min(wanted_mb, (time.monotonic() - began_s) * mb_per_s):
            held.append(bytearray(b"\1") * 2**20)
        time.sleep(0.005)
    spent_s = time.thread_time()
    while time.thread_time() - spent_s < 1.0:
        sum(range(500))


def main(arguments: list[str]) -> int:
    tie_to_parent()
    stand_in_line(NICE[arguments[0]])
    kind, *numbers = arguments[0], *map(float, arguments[1:])
    if kind == "build" and numbers:
        build_with_memory(*numbers)
    else:
        work(numbers[0] if kind == "infer" else 1.0)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
