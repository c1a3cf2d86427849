"""May a build start now, and how much memory may it take: decided before it does. Pure. Sizes in MB.

What a build needs is estimated from below: the libraries and the CUDA context, several copies of the weights while
tactics are tried, what the network holds of the frames that go through at once, and the smallest useful workspace. A
build that starts all the same with less ends in the kernel's out-of-memory killer, and on a Jetson the GPU's memory is
the system's and cannot be swapped.

    TensorRT      700 + 4 x weights + 4 x frames + 64 workspace     (libraries and a CUDA context alone: 500 to 700)
    ONNX Runtime  200 + 6 x weights + 4 x frames

*frames* are those of a batch at the network's size, three FP32 numbers a pixel. That four times as much is alive in the
network at once was measured on ONNX Runtime (docs/engines.md).

The workspace is what others found to work on boards of 8 GB: two fifths of what is available, at most 4 GB.
"""

from __future__ import annotations

from dataclasses import dataclass

LEAST_WORKSPACE_MB = 64
MOST_WORKSPACE_MB = 4096
UNKNOWN_WORKSPACE_MB = 256
RESERVE_SHARE = 0.05  # of all memory, kept for the system and the cameras
LOW_SHARE = 0.04
ALIVE_FRAMES = 4


@dataclass(frozen=True)
class Need:
    """What one build takes. `frame_mb`: one frame as the network is fed it, `batch`: how many go through at once."""

    backend: str
    model_mb: float
    min_disk_free_mb: int
    frame_mb: float = 0.0
    batch: int = 1


@dataclass(frozen=True)
class Have:
    """What the device has; None: it cannot be read."""

    memory_available_mb: int | None = None
    memory_total_mb: int | None = None
    disk_free_mb: int | None = None


@dataclass(frozen=True)
class Go:
    """Start, with this workspace; None where the backend has none."""

    workspace_mb: int | None


@dataclass(frozen=True)
class Hold:
    """Do not start yet; `reason` is for a person, `code` for dashboards."""

    code: str
    reason: str
    mend: str


def decide_start(need: Need, have: Have, *, workspace_mb: int | None = None, divisor: int = 1) -> Go | Hold:
    """Start or hold. `workspace_mb` is the operator's own figure; `divisor` what earlier endings cut it by."""
    return _disk(need, have) or _memory(need, have) or Go(_workspace(need, have, workspace_mb, divisor))


def memory_need_mb(need: Need) -> int:
    """The least memory that a build of this model takes."""
    alive_mb = ALIVE_FRAMES * need.frame_mb * need.batch
    if need.backend == "tensorrt":
        return round(700 + 4 * need.model_mb + alive_mb + LEAST_WORKSPACE_MB)
    return round(200 + 6 * need.model_mb + alive_mb)


def is_low(have: Have) -> bool:
    """Whether so little memory is left that a death may well be the kernel's doing."""
    if have.memory_available_mb is None or not have.memory_total_mb:
        return False
    return have.memory_available_mb < max(128, LOW_SHARE * have.memory_total_mb)


def _disk(need: Need, have: Have) -> Hold | None:
    wanted = round(need.min_disk_free_mb + 4 * need.model_mb)
    if have.disk_free_mb is None or have.disk_free_mb >= wanted:
        return None
    return Hold(
        "disk_full",
        f"the disk has {have.disk_free_mb} MB free, and a build wants {wanted} MB",
        "free some space" + (", or lower engines.min_disk_free_mb" if have.disk_free_mb >= 4 * need.model_mb else ""),
    )


def _memory(need: Need, have: Have) -> Hold | None:
    if have.memory_available_mb is None:
        return None
    reserve = round(RESERVE_SHARE * (have.memory_total_mb or 0))
    wanted = memory_need_mb(need) + reserve
    if have.memory_available_mb >= wanted:
        return None
    return Hold(
        "memory_low",
        f"{have.memory_available_mb} MB of memory are available, and a build wants {wanted} MB",
        "end what else uses memory"
        + (", or lower max_batch" if need.batch > 1 else "")
        + "; the build starts by itself when there is enough",
    )


def _workspace(need: Need, have: Have, wished_mb: int | None, divisor: int) -> int | None:
    if need.backend != "tensorrt":
        return None
    if wished_mb is None:
        free = have.memory_available_mb
        wished_mb = UNKNOWN_WORKSPACE_MB if free is None else min(MOST_WORKSPACE_MB, int(0.4 * free))
    return max(LEAST_WORKSPACE_MB, wished_mb // divisor)
