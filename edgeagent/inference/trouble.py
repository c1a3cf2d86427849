"""Which of an engine's errors end its process. Pure.

A CUDA error that sticks makes every later call of the process fail, whichever engine it belongs to: nothing but a new
process helps, and to stay would be to be alive and useless. Everything else is one engine's own affair.
"""

from __future__ import annotations

from edgeagent.errors import EngineError

FATAL_CODES = frozenset({"gpu_lost", "driver_error", "no_gpu"})


def fatal(error: EngineError) -> bool:
    return error.error_code in FATAL_CODES
