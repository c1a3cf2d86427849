"""How a build ended, as one word of a short list: from error codes, exit signals and what the kernel did. Pure.

The codes that a build ends with, and what each means for the next step (policy.py):

    out_of_memory          the builder, CUDA or the kernel ran out of memory
    memory_falling         the governor ended it before the kernel would have had to end something
    too_hot                the governor ended it: the board came near its throttle temperature all the same
    held_back              the governor ended it: it was held at a standstill for too long
    unsupported_layer      a layer that this TensorRT cannot build; its name is in the text
    dla_refused            no DLA here, or too much of the network would run on the GPU
    no_calibration         nothing usable to calibrate with; scales_missing: some tensors got no scale
    precision_unsupported  this release has no such number format
    disagrees              built, and does not say what the FP32 network says
    batch_unsupported      frames that go through the network together do not come out as they do one by one
    driver_error           CUDA or the driver failed
    refused                the builder gave up without naming a layer
    crash, hung, timeout   died, fell silent, took too long
    disk_full, store       the store could not take it
    model                  the network itself is at fault
    cancelled              somebody wanted it no longer
    lost                   stopped from outside or not started: nothing was learned
"""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import Literal, get_args

Kind = Literal[
    "out_of_memory", "unsupported_layer", "dla_refused", "no_calibration", "scales_missing", "precision_unsupported",
    "disagrees", "driver_error", "refused", "crash", "hung", "timeout", "disk_full", "store", "model", "quarantined",
    "cancelled", "lost", "memory_falling", "too_hot", "held_back", "batch_unsupported",
]  # fmt: skip
KINDS: tuple[Kind, ...] = get_args(Kind)

KIND_OF_CODE: dict[str, Kind] = {
    "out_of_memory": "out_of_memory",
    "unsupported_layer": "unsupported_layer",
    "dla_refused": "dla_refused",
    "no_calibration": "no_calibration",
    "bad_calibration_cache": "no_calibration",
    "scales_missing": "scales_missing",
    "precision_unsupported": "precision_unsupported",
    "quantiser": "precision_unsupported",
    "engine_disagrees": "disagrees",
    "batch_unsupported": "batch_unsupported",
    "reference_not_finite": "model",
    "no_frames": "no_calibration",
    "driver_error": "driver_error",
    "no_gpu": "driver_error",
    "gpu_lost": "driver_error",
    "build_refused": "refused",
    "engine_load": "refused",
    "engine_run": "crash",
    "engine_crashed": "crash",
    "engine_hung": "hung",
    "crash": "crash",
    "protocol": "crash",
    "hung": "hung",
    "build_timeout": "timeout",
    "disk_full": "disk_full",
    "store": "store",
    "engine_quarantined": "quarantined",
    "not_started": "lost",
    "cancelled": "cancelled",
    "memory_falling": "memory_falling",
    "too_hot": "too_hot",
    "held_back": "held_back",
}


@dataclass(frozen=True)
class Ending:
    """What is known of an ended build.

    `code` is the error's, "" where the process said nothing; `exit_code` is negative for a signal, None while it
    is not known. `oom_kills` counts how often the kernel killed for memory meanwhile, None where it cannot be told;
    `memory_low` says that free memory was nearly gone.
    """

    code: str = ""
    exit_code: int | None = None
    oom_kills: int | None = None
    memory_low: bool = False


def classify(ending: Ending) -> Kind:
    """The kind of ending. A death without a word by SIGKILL is the kernel's for want of memory, unless it can be told
    that it is not: its counter stood still and memory was there."""
    if ending.code.startswith("model"):
        return "model"
    if ending.code and ending.code not in ("build_killed", "build_crashed"):
        return KIND_OF_CODE.get(ending.code, "crash")
    if ending.exit_code == -signal.SIGKILL or ending.code == "build_killed":
        blameless = ending.oom_kills == 0 and not ending.memory_low
        return "crash" if blameless else "out_of_memory"
    return "crash"
