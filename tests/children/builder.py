"""A stand-in for the build child, with its words and without TensorRT: works, hears, and ends as its part says.

The part is the `model` of its first message. Its grandchild is tied to nobody, as any process is that was started a
moment ago. No tests in here.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from edgeagent.engine.build.messages import DESK_WORDS, BuildStart, Built, Pace, Progress, Resting
from edgeagent.supervise.messages import Stop
from edgeagent.supervise.program import ControlChannel, run_child

ALLOW_S = 20.0


def say(channel: ControlChannel, percent: float, text: str) -> None:
    channel.send(Progress(phase="building", percent=percent, text=text))
    channel.beat(ALLOW_S)


def works(channel: ControlChannel, start: BuildStart) -> int:
    """Builds until it is told to stop, and leaves a note that it could hear it. Done when `go` lies in its store."""
    grandchild = subprocess.Popen(
        [sys.executable, "-S", "-c", "import signal; signal.pause()"], stdout=subprocess.DEVNULL
    )
    say(channel, 1.0, f"{os.getpid()} {grandchild.pid}")
    while not (Path(start.store) / "go").exists():
        line = channel.receive(0.02)
        if line is None:
            continue
        word = DESK_WORDS.validate_json(line)
        if isinstance(word, Stop):
            (Path(start.store) / "heard stop").touch()
            return 0
        if isinstance(word, Pace):
            say(channel, 2.0, f"pace {word.duty} {'signals' if word.signals else 'free'}")
    channel.send(Built(key="k" * 32, origin="build", build_s=1.0, agreement=None))
    return 0


def rests(channel: ControlChannel, start: BuildStart) -> int:
    """Keeps its pace itself, as a build by a TensorRT with a progress monitor does."""
    channel.send(Resting(active=True))
    return works(channel, start)


PARTS = {part.__name__: part for part in (works, rests)}


def main(channel: ControlChannel) -> int:
    line = channel.receive(None)
    if line is None:
        return 0
    start = BuildStart.model_validate_json(line)
    return PARTS[start.model](channel, start)


if __name__ == "__main__":
    run_child(main)
