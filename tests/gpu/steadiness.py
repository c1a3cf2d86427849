"""Is the machine itself steady? A process that does the same small piece of work over and over, and when it was slow.

A borrowed machine may run everything several times slower for some tens of milliseconds, with nothing else on it. What
was measured in such a stretch is no figure of the loop's; so each measurement tells both, all of it and what lies
outside, and how much that left out. `python tests/gpu/steadiness.py [SECONDS]` looks at a machine alone.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

STEPS, REST_S = 8000, 0.002
SLOW, AROUND_S = 2.0, 0.03  # more than so many medians is slow; what is near to it has waited behind it


@dataclass
class Steadiness:
    """`pieces` are (when it began, how long it took), in seconds of the wall clock."""

    pieces: list[tuple[float, float]] = field(default_factory=list)

    @property
    def median_s(self) -> float:
        return sorted(taken for _, taken in self.pieces)[len(self.pieces) // 2]

    def slow_stretches(self) -> list[tuple[float, float]]:
        """Merged, each with what lies around it."""
        limit_s, found = SLOW * self.median_s, list[tuple[float, float]]()
        for began, taken in self.pieces:
            if taken > limit_s:
                start, end = began - AROUND_S, began + taken + AROUND_S
                if found and start <= found[-1][1]:
                    found[-1] = (found[-1][0], end)
                else:
                    found.append((start, end))
        return found

    def facts(self) -> dict[str, float]:
        """Milliseconds of a piece, and the share of the time that was slow with what lies around it."""
        ordered = sorted(taken * 1e3 for _, taken in self.pieces)
        whole_s = self.pieces[-1][0] - self.pieces[0][0]
        slow_s = sum(end - start for start, end in self.slow_stretches())
        return {
            "p50": round(ordered[len(ordered) // 2], 2),
            "p99": round(ordered[int(len(ordered) * 0.99)], 2),
            "max": round(ordered[-1], 2),
            "slow_share": round(slow_s / whole_s, 3),
        }


def outside(stretches: Sequence[tuple[float, float]], began: float, ended: float) -> bool:
    """Whether what lasted from `began` to `ended` touches none of them."""
    return all(ended < start or began > end for start, end in stretches)


@contextmanager
def watched() -> Iterator[Steadiness]:
    """Filled in when the block ends."""
    process = subprocess.Popen([sys.executable, __file__, "0"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    found = Steadiness()
    try:
        yield found
    finally:
        told, _ = process.communicate(b"")
        found.pieces.extend((began, taken) for began, taken in json.loads(told))


def _piece() -> None:
    total = 0
    for number in range(STEPS):
        total += number


def _pieces(until_s: float) -> list[tuple[float, float]]:
    """Until then, or until the standard input ends where that is 0."""
    import select

    done = []
    while time.time() < until_s if until_s else not select.select([sys.stdin], [], [], 0)[0]:
        began, counter = time.time(), time.perf_counter()
        _piece()
        done.append((began, time.perf_counter() - counter))
        time.sleep(REST_S)
    return done


if __name__ == "__main__":
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 5.0
    if seconds:
        print(json.dumps(Steadiness(_pieces(time.time() + seconds)).facts()))
    else:
        print(json.dumps(_pieces(0.0)))
