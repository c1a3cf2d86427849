"""Commands that run one of edgeagent's own programs beside the agent: `bench` and `doctor`.

The program is a process group of its own, at low priority, and is killed with all that it started when its time is up
or the command is cancelled.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import Any, Literal

import anyio
import anyio.abc
from pydantic import Field

from edgeagent.app.command_context import CommandContext
from edgeagent.app.command_kind import Args, CommandError, CommandKind, Progress, Result
from edgeagent.app.redact import redact

LAST_WORDS = 400
MOST_BYTES = 1_000_000
NICE = 5
WAIT_S = 5.0


class BenchArgs(Args):
    """`engine`: the beginning of a key in the store; without one the sample model, or with `null` none."""

    seconds: float = Field(default=5.0, ge=1, le=60)
    cameras: int = Field(default=1, ge=1, le=16)
    fps: float = Field(default=30.0, ge=1, le=240)
    what: Literal["model", "null"] = "model"
    engine: str | None = Field(default=None, pattern="^[0-9a-f]{4,32}$")


async def run_bench(context: CommandContext, args: BenchArgs, progress: Progress) -> Result:
    """`edgeagent bench` beside what runs: its figures are those of a busy device."""
    device = context.config().device
    words = ["bench", "--json", "--state", device.state_dir, "--root", device.board_root]
    words += ["--seconds", f"{args.seconds:g}", "--cameras", str(args.cameras), "--fps", f"{args.fps:g}"]
    if args.engine is not None:
        words += ["--engine", args.engine]
    elif args.what == "null":
        words.append("--null")
    progress("measuring")
    _, found = await run_program(words, (0,))
    return {"figures": found}


class DoctorArgs(Args):
    pass


async def run_doctor(context: CommandContext, args: DoctorArgs, progress: Progress) -> Result:
    """`edgeagent doctor`: what is wrong is a result, not a failure."""
    words = ["doctor", "--json", "--root", context.config().device.board_root]
    if (file := context.config_file()) is not None:
        words += ["--config", str(file)]
    progress("looking")
    code, found = await run_program(words, (0, 1))
    return {"ok": code == 0, "report": found}


async def run_program(words: Sequence[str], good: Sequence[int]) -> tuple[int, Any]:
    """`edgeagent WORDS`: its exit code and the JSON that it printed. Raises CommandError."""
    command = [sys.executable, "-m", "edgeagent", *words]
    try:
        process = await anyio.open_process(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
        )
    except OSError as error:
        raise CommandError(f"it could not be started: {error.strerror or error}", code="not_started") from error
    said: dict[str, bytearray] = {"out": bytearray(), "err": bytearray()}
    try:
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, process.pid, NICE)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_collect, process.stdout, said["out"])
            tasks.start_soon(_collect, process.stderr, said["err"])
            code = await process.wait()
    finally:
        await _end_group(process)
    return code, _judged(code, good, said)


def _judged(code: int, good: Sequence[int], said: dict[str, bytearray]) -> Any:  # noqa: ANN401
    last = redact(" ".join(bytes(said["err"]).decode(errors="replace").split())[-LAST_WORDS:])
    if code not in good:
        raise CommandError(last or f"it ended with code {code}", code="program_failed")
    try:
        return json.loads(bytes(said["out"]))
    except ValueError as error:
        raise CommandError(f"it printed no JSON: {last}", code="program_failed") from error


async def _collect(stream: anyio.abc.ByteReceiveStream | None, into: bytearray) -> None:
    """All of it is read, so that nobody waits at a full pipe; what is too much is dropped."""
    if stream is None:
        return
    async for data in stream:
        into += data[: max(0, MOST_BYTES - len(into))]


async def _end_group(process: anyio.abc.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    with anyio.move_on_after(WAIT_S, shield=True):
        await process.aclose()


BENCH = CommandKind("bench", BenchArgs, run_bench, 300.0, "alone")
DOCTOR = CommandKind("doctor", DoctorArgs, run_doctor, 180.0, only_looks=True)
