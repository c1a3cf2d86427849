"""Writes frames as fast as it can. `python -m children.ring_writer FD MODE [COUNT]`; ends when stdin ends.

MODE: newest; lossless (COUNT frames of a pass, waiting for the reader, going on with the pass of a predecessor);
half (writes half of the next frame, says so on stdout and waits to be killed).
"""

from __future__ import annotations

import os
import select
import signal
import sys

from children.ring_pattern import Pattern

from edgeagent.camera.ring import RingWriter
from edgeagent.supervise.lifeline import tie_to_parent


def stdin_ended() -> bool:
    return bool(select.select([0], [], [], 0)[0])


def write_newest(writer: RingWriter, pattern: Pattern) -> None:
    while not stdin_ended():
        for _ in range(20):
            pattern.write(writer)


def write_lossless(writer: RingWriter, pattern: Pattern, count: int) -> None:
    if writer.passed is None:
        writer.begin_pass()
    while (writer.passed or 0) < count:
        if writer.backlog() < writer.layout.slots:
            pattern.write(writer)
        else:
            os.sched_yield()


def write_half(writer: RingWriter, pattern: Pattern) -> None:
    pattern.fill(writer.start(), writer.newest + 1, share=0.5)
    os.write(1, b"half\n")
    signal.pause()


if __name__ == "__main__":
    tie_to_parent()
    with RingWriter(int(sys.argv[1]), []) as ring:
        look = Pattern(ring.layout)
        if sys.argv[2] == "newest":
            write_newest(ring, look)
        elif sys.argv[2] == "lossless":
            write_lossless(ring, look, int(sys.argv[3]))
        else:
            write_half(ring, look)
