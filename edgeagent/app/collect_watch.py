"""The child that collects a calibration set, from start to end."""

from __future__ import annotations

import anyio

from edgeagent.app.build_start import BUILD_NICE, BUILD_OOM_SCORE
from edgeagent.app.command_kind import CommandError, Progress
from edgeagent.clock import Clock
from edgeagent.engine.build.collect_messages import COLLECT_WORDS, Collected, CollectStart
from edgeagent.engine.build.messages import CalibrationWish
from edgeagent.engine.build.messages import Progress as BuildProgress
from edgeagent.engine.build.report import SHARES
from edgeagent.supervise.child import Child, ChildSpec
from edgeagent.supervise.hearing import Hearing
from edgeagent.supervise.messages import Stop
from edgeagent.supervise.supervisor import START_ALLOWANCE_S

WHOLE = SHARES["onnxruntime"]["collecting"][1]  # the percentage of a build at which all frames are there


async def collect(
    wish: CalibrationWish, ring_fd: int, width: int, height: int, clock: Clock, progress: Progress
) -> Collected:
    """A new set. Raises CommandError; leaves no process behind, and the set that was there where none comes."""
    spec = ChildSpec(
        name="collect",
        module="edgeagent.engine.build.collect_child",
        first=CollectStart(wish=wish, ring_fd=ring_fd, width=width, height=height),
        pass_fds=[ring_fd],
        nice=BUILD_NICE,
        oom_score_adj=BUILD_OOM_SCORE,
    )
    try:
        child = Child(spec)
    except OSError as error:
        raise CommandError(f"it could not be started: {error.strerror or error}", code="not_started") from error
    found: list[Collected] = []

    def take(line: bytes) -> None:
        word = COLLECT_WORDS.validate_json(line)
        if isinstance(word, Collected):
            found.append(word)
        elif isinstance(word, BuildProgress):
            progress(word.text, min(100.0, word.percent * 100 / WHOLE))

    try:
        hearing = Hearing(child, take, clock, START_ALLOWANCE_S)
        await child.send(spec.first)
        ending = await hearing.listen()
        await (child.wait() if ending == "over" else child.kill())
    except anyio.get_cancelled_exc_class():
        await child.end(Stop(), grace_s=0.3)
        raise
    finally:
        child.close()
    if found:
        return found[-1]
    fault = hearing.fault
    if fault is not None:
        raise CommandError(fault.text, mend=fault.mend, code=fault.code)
    raise CommandError("the collecting process ended without a set", code="child")
