"""The build's side of the proof run: a process of its own, so that a bad plan takes nothing else along.

It is started while the calibration still runs, so that its imports cost no time of their own, and is told what to
prove when the plan is there.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import IO, cast

from pydantic import ValidationError

from edgeagent.engine.build.verify import VerifyRequest
from edgeagent.engine.manifest import Agreement
from edgeagent.errors import EngineError
from edgeagent.supervise.lifeline import environment_for_child
from edgeagent.supervise.messages import Fault

VERIFY_S = 600.0
LOOK_EVERY_S = 0.02


class ProofRun:
    """A process that waits for its request; ended with the block, whatever happens in it."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "edgeagent.engine.build.verify"],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment_for_child(),
        )
        self._stdin = cast("IO[bytes]", self._process.stdin)
        self._stdout = cast("IO[bytes]", self._process.stdout)

    @property
    def pid(self) -> int:
        return self._process.pid

    def judge(self, request: VerifyRequest, pause: Callable[[float], None], within_s: float = VERIFY_S) -> Agreement:
        """What the proof run found. `pause` waits and may raise. Raises EngineError when the plan does not pass."""
        until_s = time.monotonic() + within_s
        with contextlib.suppress(BrokenPipeError):  # it has died already: its exit code tells
            self._stdin.write(request.model_dump_json().encode() + b"\n")
        while (code := self._process.poll()) is None:
            if time.monotonic() > until_s:
                raise EngineError("the engine did not end its proof run in time", code="engine_hung", retry=True)
            pause(LOOK_EVERY_S)
        said = self._stdout.read()
        if code == 0:
            return Agreement.model_validate_json(said)
        raise _failure(code, said)

    def __enter__(self) -> ProofRun:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        self._stdin.close()
        self._stdout.close()


def _failure(code: int, said: bytes) -> EngineError:
    try:
        fault = Fault.model_validate_json(said)
    except ValidationError:
        how = f"ended by signal {-code}" if code < 0 else f"exit {code}"
        return EngineError(f"the engine failed in its proof run ({how})", code="engine_crashed")
    return EngineError(fault.text, mend=fault.mend, code=fault.code, retry=fault.retry)
