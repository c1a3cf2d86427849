"""Real work for the scenarios of heat: `python -m edgeagent.simulate.heat_worker build|infer [SHARE]`.

`build` keeps one core busy; `infer` keeps one busy for SHARE of the time, frame by frame. Both until they are ended, at
the latest with what started them.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time

from edgeagent.supervise.lifeline import tie_to_parent

FRAME_S = 0.01
NICE = {"build": 10, "infer": -5}
"""As in the agent, a build stands back; frames cannot wait on a machine that has other work, too."""


def work(share: float) -> None:
    """For ever. What a frame takes is processor time, so that waiting for a processor makes it late and not short."""
    while True:
        began_s, spent_s = time.monotonic(), time.thread_time()
        while time.thread_time() - spent_s < share * FRAME_S:
            sum(range(500))
        left_s = FRAME_S - (time.monotonic() - began_s)
        if share < 1 and left_s > 0:
            time.sleep(left_s)


def main(arguments: list[str]) -> int:
    tie_to_parent()
    with contextlib.suppress(PermissionError):  # only root may ask for more than others have
        os.setpriority(os.PRIO_PROCESS, 0, NICE[arguments[0]])
    kind, share = arguments[0], float(arguments[1]) if len(arguments) > 1 else 1.0
    work(share if kind == "infer" else 1.0)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
