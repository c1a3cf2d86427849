"""A stand-in for the build child, with its words and without TensorRT: works, hears, and ends as its part says.

The part is the `model` of its first message, or what BUILDER_PART says. Its grandchild is tied to nobody, as any
process is that was started a moment ago. No tests in here.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from edgeagent.engine.build.messages import DESK_WORDS, BuildStart, Built, Pace, Progress, Resting
from edgeagent.engine.store import EngineStore
from edgeagent.supervise.messages import Stop
from edgeagent.supervise.program import ControlChannel, run_child

sys.path.append(str(Path(__file__).parents[1] / "unit" / "engine"))
from engine_kit import put_entry

ALLOW_S = 20.0
CHUNK_MB = 8


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


def hungry(channel: ControlChannel, start: BuildStart) -> int:
    """Takes real memory, page by page: what `APPETITE` says (base MB, MB a MB of workspace, MB a second)."""
    base_mb, factor, rate_mb_s = map(float, os.environ["APPETITE"].split())
    if group := os.environ.get("MEMORY_GROUP"):
        Path(group, "cgroup.procs").write_text(f"{os.getpid()}\n")
    say(channel, 1.0, "takes memory")
    wanted_mb = base_mb + factor * (start.builder.workspace_mb or 0)
    held: list[bytearray] = []
    while len(held) * CHUNK_MB < wanted_mb:
        held.append(bytearray(b"\1" * (CHUNK_MB << 20)))
        line = channel.receive(CHUNK_MB / rate_mb_s)
        if line is not None and isinstance(DESK_WORDS.validate_json(line), Stop):
            return 0
        say(channel, min(99.0, 100 * len(held) * CHUNK_MB / wanted_mb), "takes memory")
    key = f"{start.attempt:032x}"
    put_entry(EngineStore(Path(start.store)), key)
    channel.send(Built(key=key, origin="build", build_s=1.0, agreement=None))
    return 0


PARTS = {part.__name__: part for part in (works, rests, hungry)}


def main(channel: ControlChannel) -> int:
    line = channel.receive(None)
    if line is None:
        return 0
    start = BuildStart.model_validate_json(line)
    return PARTS[os.environ.get("BUILDER_PART", start.model)](channel, start)


if __name__ == "__main__":
    run_child(main)
