"""How the work of real processes loads a virtual board. Pure: how busy they were goes in, the board's load comes out.

The mapping, for one of this machine's cores kept busy all the time:

* a build: the whole GPU and half of the CPU, as TensorRT's tactic search does (one thread that launches and waits, a
  few that compile). More than one core is still one build.
* inference: the whole GPU and one core of the board.
* cameras and everything else: one core of the board.

A GPU that two want is shared in turns, as the driver shares it between processes: while a build works it has at least
half of the GPU's time. What the inference then lacks are frames that come late (`frames_kept`), and what the build
lacks is progress (`build_progress`). A GPU whose clock has fallen does less in both.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgeagent.simulate.plant import PlantState
from edgeagent.simulate.plant_spec import Load, Slices

BUILD_CPU = 0.5
IDLE_CPU = 0.03
TURN = 0.5
"""The share of the GPU's time that is a build's while it works."""
BUILD_MB, INFER_MB = 1200.0, 400.0


@dataclass(frozen=True)
class Work:
    """What processes did, in cores of this machine: 1 is one core kept busy. `memory_mb`: what they hold, if known."""

    build: float = 0.0
    infer: float = 0.0
    other: float = 0.0
    memory_mb: float | None = None


def load_of(work: Work, cores: int, gpu_share: float | None = None) -> Slices:
    """The board's load. `cores`: the board's; `gpu_share`: a real GPU's, in place of what follows from the work.

    A build's share is a share of time: while it works the GPU is busy, in between with the inference alone.
    """
    share, infer = min(1.0, work.build), min(1.0, work.infer)
    beside_cpu = min(1.0, IDLE_CPU + (work.infer + work.other) / cores)
    gpus = (1.0, infer) if gpu_share is None else (gpu_share, gpu_share)
    memory_mb = work.memory_mb
    if memory_mb is None:
        memory_mb = BUILD_MB * share + (INFER_MB if work.infer else 0.0)
    return Slices(
        Load(min(1.0, beside_cpu + BUILD_CPU), gpus[0], memory_mb), Load(beside_cpu, gpus[1], memory_mb), share
    )


def clock_share(state: PlantState) -> float:
    """What throttling leaves of the GPU's clock, of the CPU's where there is no GPU; 1 when nothing throttles.

    A clock that has fallen because there is nothing to do is no less of a clock.
    """
    low, top = state.spec.gpu_hz if state.spec.gpu_hz[1] else state.spec.cpu_khz
    cap = min(top, state.caps.gpu_hz if state.spec.gpu_hz[1] else state.caps.cpu_khz)
    return 1.0 - state.throttle_level * max(0.0, 1.0 - low / cap)


def frames_kept(work: Work, clock: float) -> float:
    """The share of their frames that the pipelines keep, 0..1; 1 where none runs.

    `work.build` is the share of the time in which the build works: a frame that comes meanwhile has to do with what the
    build leaves. It cannot be made up for later: the next frame is newer.
    """
    if not work.infer:
        return 1.0
    wanted, build = min(1.0, work.infer), min(1.0, work.build)
    beside, alone = min(1.0, (1.0 - TURN) * clock / wanted), min(1.0, clock / wanted)
    return build * beside + (1.0 - build) * alone


def build_progress(work: Work, clock: float) -> float:
    """Seconds of an undisturbed build that a second brings on, 0..1."""
    build = min(1.0, work.build)
    taken = min(work.infer, 1.0 - TURN) * build
    return (build - taken) * clock
