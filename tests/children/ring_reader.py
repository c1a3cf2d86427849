"""Reads frames and checks every byte. `python -m children.ring_reader FD KIND COUNT`.

KIND: careful and careless read the newest frame until COUNT frames were checked (careless: or one was torn), and
print what they saw as JSON; lossless reads a pass frame by frame up to number COUNT and prints each number as soon as
it is checked, before it tells the writer.
"""

from __future__ import annotations

import json
import os
import sys

import numpy as np
from children.ring_pattern import CarelessReader, Pattern

from edgeagent.camera.ring import RingReader
from edgeagent.supervise.lifeline import tie_to_parent


def read_newest(ring: RingReader, count: int) -> None:
    pattern, layout = Pattern(ring.layout), ring.layout
    out = np.empty((layout.height, layout.width, 3), np.uint8)
    careless = isinstance(ring, CarelessReader)
    last = checked = bad = backwards = 0
    while checked < count and not (careless and bad):
        meta = ring.read_newest(out, after=last)
        if meta is None:
            os.sched_yield()
            continue
        whole = pattern.fits(out, meta.sequence) and meta == pattern.meta(meta.sequence)
        bad += not whole
        backwards += meta.sequence <= last
        last, checked = meta.sequence, checked + 1
        if checked == 1:
            os.write(1, b"reading\n")
    print(json.dumps({"checked": checked, "bad": bad, "backwards": backwards, "torn": ring.torn, "last": last}))


def read_lossless(ring: RingReader, count: int) -> None:
    pattern, layout = Pattern(ring.layout), ring.layout
    out = np.empty((layout.height, layout.width, 3), np.uint8)
    while not ring.lossless:
        os.sched_yield()
    while ring.consumed < count:
        meta = ring.read_exactly(ring.consumed + 1, out)
        if meta is None:
            os.sched_yield()
            continue
        whole = all(pattern.fits(out, meta.sequence) for _ in range(10))  # ten looks make it slower than the writer
        if not whole or meta != pattern.meta(meta.sequence):
            sys.exit(f"frame {meta.sequence} is torn")
        os.write(1, b"%d\n" % meta.sequence)
        ring.set_consumed(meta.sequence)


if __name__ == "__main__":
    tie_to_parent()
    fd, kind, wanted = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    with (CarelessReader if kind == "careless" else RingReader)(fd) as reader:
        (read_lossless if kind == "lossless" else read_newest)(reader, wanted)
