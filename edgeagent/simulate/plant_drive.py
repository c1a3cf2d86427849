"""What drives a virtual board: work, weather, events. From this machine's load or from processes that are followed.

Whatever the load file names goes before either. A trace tells afterwards what the board really did.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol

from edgeagent.simulate.plant import PlantState
from edgeagent.simulate.plant_follow import Follower
from edgeagent.simulate.plant_gpu import GpuPower, open_gpu
from edgeagent.simulate.plant_load import HostLoad, mix_load, overridden
from edgeagent.simulate.plant_spec import Load, Slices
from edgeagent.simulate.plant_work import Work, build_progress, clock_share, frames_kept, load_of


@dataclass(frozen=True)
class Drive:
    """What the board does now. `work` and `held_mb`, the memory that processes hold, where processes are followed."""

    load: Load | Slices
    work: Work | None = None
    held_mb: float | None = None


class Source(Protocol):
    def look(self, values: Mapping[str, float], cores: int) -> Drive:
        """What was done since the last look; `values` are the load file's, `cores` the board's."""
        ...


class HostSource:
    """This machine's load, as /proc/stat tells it: the virtual GPU is as busy as its processors."""

    def __init__(self) -> None:
        self._host = HostLoad()

    def look(self, values: Mapping[str, float], cores: int) -> Drive:
        return Drive(mix_load(self._host.share(), values))


class FollowSource:
    """A process and its descendants; with `gpu`, a real GPU's power in place of what their work says of the GPU."""

    def __init__(self, follower: Follower, gpu: GpuPower | None = None) -> None:
        self._follower = follower
        self._gpu = gpu

    def look(self, values: Mapping[str, float], cores: int) -> Drive:
        work = self._follower.look()
        load = load_of(work, cores, self._gpu.share() if self._gpu else None)
        return Drive(overridden(load, values), work, None if "memory_mb" in values else work.memory_mb)


def open_source(closing: contextlib.ExitStack, follow: int | None, memory_scale: float, *, use_gpu: bool) -> Source:
    """The source that the options ask for; `closing` closes what it opens."""
    if follow is None:
        return HostSource()
    gpu = open_gpu() if use_gpu else None
    return FollowSource(Follower(follow, memory_scale), closing.enter_context(gpu) if gpu else None)


class Trace:
    """A file of one JSON object a tick: the board as it is, which no sensor tells that exactly. Use in a `with`.

    Keys: `at_s` since the trace began; `hottest_c`, `sink_c`, `ambient_c`; `alerts`, how many are raised; `clock`, the
    GPU's share of its clock; `input_w`, `rpm`; `build`, `infer`, in cores; `frames`, the share kept; and `done_s`, how
    many seconds of an undisturbed build are behind it; `available_mb` of memory, below 0 for what it has not.
    """

    def __init__(self, path: Path, memory_mb: float) -> None:
        self._file = path.open("w", encoding="utf-8")
        self._memory_mb = memory_mb
        self._at_s = 0.0
        self._done_s = 0.0

    def __enter__(self) -> Trace:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, dt_s: float, state: PlantState, drive: Drive, ambient_c: float) -> None:
        work, clock = drive.work or Work(), clock_share(state)
        self._at_s += dt_s
        self._done_s += build_progress(work, clock) * dt_s
        point = {
            "at_s": round(self._at_s, 3),
            "hottest_c": round(state.hottest_c, 3),
            "sink_c": round(state.sink_c, 3),
            "ambient_c": ambient_c,
            "alerts": len(state.alerts),
            "clock": round(clock, 4),
            "input_w": round(state.input_w, 2),
            "rpm": round(state.rpm),
            "build": round(work.build, 3),
            "infer": round(work.infer, 3),
            "frames": round(frames_kept(work, clock), 4),
            "done_s": round(self._done_s, 3),
            "available_mb": round(self._memory_mb - state.memory_mb, 1),
        }
        self._file.write(json.dumps(point) + "\n")
        self._file.flush()
