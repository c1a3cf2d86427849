"""Four cameras, random faults: how soon each is noticed, and how soon its frames come again.

    python3 tests/bench/bench_camera_faults.py [--sequences 100 | --each 3] [--seed 1] [--json FILE]

The agent's side of four cameras over their real captures: a network camera through FFmpeg and one through GStreamer,
each from a real RTSP server of its own, a video that loops, and a synthetic one. In each sequence one to three of them
meet a fault, all at once or a little apart, which is mended after a random while. A camera is noticed when its health
says failed; it is back with the first frame in its ring after the mend, and late after WANTED_BACK_S. A sequence ends
when all four give frames; one that does not for STUCK_S is the end of the run, and exit code 1. With `--each N` every
fault of every camera is met N times, one at a time, for longer than it takes to be noticed. For an interpreter whose
OpenCV has GStreamer and that finds this package (`PYTHONPATH`); tests/integration/test_camera_sequences.py starts it
so.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).parent.parent / "integration"))

import anyio
import structlog
from camera_kit import RtspServer, Told, Watched, free_port, garbage, rtsp_server, running
from test_capture_kit import write_video

from edgeagent.camera.rules import CameraRules
from edgeagent.camera.spec import FileSpec, GStreamerSpec, RtspSpec, SyntheticSpec

STUCK_S = 60.0
WANTED_BACK_S = 2.0
STALL_S, FROZEN_S = 1.5, 2.0
PIPELINE = (
    "rtspsrc location={url} protocols=tcp latency=0 ! rtpjpegdepay ! jpegdec ! videoconvert ! "
    "video/x-raw,format=BGR ! appsink drop=true max-buffers=1"
)


@dataclass
class Figures:
    """Seconds by fault. What was mended before it was noticed is counted there only."""

    noticed: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    back: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    unnoticed: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    disturbed: int = 0
    stuck: list[str] = field(default_factory=list)

    def line(self, fault: str) -> dict[str, float | int]:
        noticed, back = sorted(self.noticed[fault]), sorted(self.back[fault])
        return {
            "times": len(back),
            "noticed": len(noticed),
            "noticed_p50_s": middle(noticed),
            "noticed_max_s": max(noticed, default=0.0),
            "back_p50_s": middle(back),
            "back_max_s": max(back, default=0.0),
            "back_late": sum(back_s > WANTED_BACK_S for back_s in back),
        }


def middle(sorted_s: list[float]) -> float:
    return sorted_s[len(sorted_s) // 2] if sorted_s else 0.0


@dataclass
class Site:
    """One camera, and its server where it has one."""

    watched: Watched
    server: RtspServer | None = None
    faults: tuple[str, ...] = ("killed", "stopped")

    @property
    def name(self) -> str:
        return self.watched.camera.name


class Fault:
    """One fault of one camera: `breaks` and `mends` do it. A process that was killed or stopped needs no mending."""

    def __init__(self, kind: str, site: Site) -> None:
        self.kind = kind
        self.site = site
        self._stack = ExitStack()

    def breaks(self) -> None:
        server = self.site.server
        pid = self.site.watched.camera.supervisor.pid
        if self.kind in ("killed", "stopped"):
            if pid is not None:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL if self.kind == "killed" else signal.SIGSTOP)
            return
        assert server is not None
        if self.kind in ("dies", "raves"):
            server.kill()
        if self.kind == "raves":
            self._stack.enter_context(garbage(bytes(range(256)) * 64, server.port))
        if self.kind == "hangs":
            server.hang()
        if self.kind in ("mute", "frozen"):
            server.tell({"mute": "mute", "frozen": "freeze"}[self.kind])

    def mends(self) -> None:
        server = self.site.server
        self._stack.close()
        if server is None or self.kind in ("killed", "stopped"):
            return
        if self.kind in ("dies", "raves"):
            server.start()
        if self.kind == "hangs":
            server.wake()
        if self.kind in ("mute", "frozen"):
            server.tell({"mute": "speak", "frozen": "thaw"}[self.kind])


class Bench:
    def __init__(self, sites: list[Site], rng: Random) -> None:
        self._sites = sites
        self._rng = rng
        self.figures = Figures()

    async def run(self, sequences: int) -> None:
        for number in range(1, sequences + 1):
            await self._sequence()
            print(f"sequence {number} of {sequences}: {self._last}", flush=True)

    async def run_each(self, times: int) -> None:
        """Camera by camera in turn: one that failed has time to give good pictures before it fails again."""
        most = max(len(site.faults) for site in self._sites)
        turns = [(site, site.faults[turn]) for turn in range(most) for site in self._sites if turn < len(site.faults)]
        for number, (site, kind) in enumerate(turns * times, 1):
            await self._suffer_all([Fault(kind, site)], at_least_s=4.0)
            print(f"fault {number} of {len(turns) * times}: {self._last}", flush=True)

    async def _sequence(self) -> None:
        chosen = self._rng.sample(self._sites, self._rng.randint(1, 3))
        await self._suffer_all([Fault(self._rng.choice(site.faults), site) for site in chosen], at_least_s=0.2)

    async def _suffer_all(self, faults: list[Fault], at_least_s: float) -> None:
        self._last = ", ".join(f"{fault.site.name} {fault.kind}" for fault in faults)
        spared = [site for site in self._sites if site not in [fault.site for fault in faults]]
        restarts = [site.watched.camera.supervisor.restarts for site in spared]
        async with anyio.create_task_group() as tasks:
            for fault in faults:
                tasks.start_soon(self._suffer, fault, self._rng.uniform(0.0, 2.0), self._rng.uniform(at_least_s, 6.0))
        for site in self._sites:
            await self._within(site, partial(site.watched.frames, 10))
        now = [site.watched.camera.supervisor.restarts for site in spared]
        self.figures.disturbed += sum(after != before for before, after in zip(restarts, now, strict=True))
        await anyio.sleep(self._rng.uniform(0.0, 2.0))

    async def _suffer(self, fault: Fault, after_s: float, lasts_s: float) -> None:
        watched, figures = fault.site.watched, self.figures
        await anyio.sleep(after_s)
        failures = len(watched.told.codes(watched.camera.name))
        await anyio.to_thread.run_sync(fault.breaks)
        began_s = time.monotonic()

        def noticed() -> bool:
            return len(watched.told.codes(watched.camera.name)) > failures

        needs_mending = fault.kind not in ("killed", "stopped")
        with anyio.move_on_after(lasts_s if needs_mending else STUCK_S):
            await watched.until(noticed, STUCK_S)
            figures.noticed[fault.kind].append(time.monotonic() - began_s)
        if needs_mending:
            await anyio.sleep(max(0.0, began_s + lasts_s - time.monotonic()))
        if not noticed():
            figures.unnoticed[fault.kind] += 1
        await anyio.to_thread.run_sync(fault.mends)
        mended_s = time.monotonic()
        back = partial(self._moves, watched) if fault.kind == "frozen" else partial(watched.frames, 1)
        await self._within(fault.site, back)
        figures.back[fault.kind].append(time.monotonic() - mended_s)

    @staticmethod
    async def _moves(watched: Watched) -> None:
        """A picture that had frozen is back when a capture has seen it change; frames come all the time."""
        await watched.until(lambda: watched.health[0] != "failed", STUCK_S)

    async def _within(self, site: Site, wait: Callable[[], Awaitable[None]]) -> None:
        try:
            with anyio.fail_after(STUCK_S):
                await wait()
        except TimeoutError:
            verdict = site.watched.camera.watch.verdict
            self.figures.stuck.append(f"{site.name} after {self._last}: {verdict.health} {verdict.reason}")
            raise


async def measure(folder: Path, sequences: int, each: int, seed: int) -> Figures:
    told, rng = Told(), Random(seed)
    rules = CameraRules(frozen_after_s=FROZEN_S)
    limits = {"open_timeout_s": 3.0, "stall_timeout_s": STALL_S}
    with ExitStack() as stack:
        first, second = (stack.enter_context(rtsp_server(free_port())) for _ in range(2))
        video = write_video(folder / "belt.avi", 60)
        sources = {
            "net": RtspSpec(url=first.url("noise"), **limits),
            "pipe": GStreamerSpec(pipeline=PIPELINE.format(url=second.url("noise")), **limits),
            "film": FileSpec(path=str(video), **limits),
            "drawn": SyntheticSpec(width=160, height=120, fps=15.0, **limits),
        }
        remote = ("killed", "stopped", "dies", "hangs", "mute", "frozen", "raves")
        sites = [
            Site(Watched(name, source, rules, told, seed), server, remote if server else ("killed", "stopped"))
            for (name, source), server in zip(sources.items(), (first, second, None, None), strict=True)
        ]
        bench = Bench(sites, rng)
        async with running(*(site.watched for site in sites)):
            for site in sites:
                await site.watched.frames(90)
            with suppress(TimeoutError):
                await (bench.run_each(each) if each else bench.run(sequences))
    return bench.figures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sequences", type=int, default=100)
    parser.add_argument("--each", type=int, default=0, metavar="TIMES")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(file=sys.stderr))
    with tempfile.TemporaryDirectory() as folder:
        figures = anyio.run(measure, Path(folder), args.sequences, args.each, args.seed)
    faults = {fault: figures.line(fault) for fault in sorted(figures.back)}
    report = {"faults": faults, "disturbed": figures.disturbed, "stuck": figures.stuck}
    if args.json:
        args.json.write_text(json.dumps(report, indent=2))
    print(f"{'fault':<10}{'times':>7}{'noticed':>9}{'p50 s':>8}{'max s':>8}{'back p50 s':>12}{'max s':>8}{'late':>6}")
    for fault, line in faults.items():
        print(
            f"{fault:<10}{line['times']:>7}{line['noticed']:>9}{line['noticed_p50_s']:>8.2f}{line['noticed_max_s']:>8.2f}"
            f"{line['back_p50_s']:>12.2f}{line['back_max_s']:>8.2f}{line['back_late']:>6}"
        )
    print(f"cameras disturbed by another's fault: {figures.disturbed}; stuck: {figures.stuck or 'none'}")
    return 1 if figures.stuck else 0


if __name__ == "__main__":
    sys.exit(main())
