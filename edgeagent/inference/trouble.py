"""Which of an engine's errors end its process. Pure.

A CUDA error that sticks makes every later call of the process fail, whichever engine it belongs to: nothing but a new
process helps, and to stay would be to be alive and useless. Everything else is one engine's own affair.
"""

from __future__ import annotations

from edgeagent.errors import EngineError

FATAL_CODES = frozenset({"gpu_lost"})


def end_if_fatal(error: EngineError) -> None:
    """Raises the error anew where the process is to end by it, as one after which a new process may be tried."""
    if error.error_code in FATAL_CODES:
        raise EngineError(error.message, mend=error.mend, code=error.error_code, retry=True) from error
