"""A stand-in for the agent: supervises a few children, says their pids on stdout, and waits to be killed."""

from __future__ import annotations

import os
from random import Random

import anyio
import structlog
from children.actor import Hello, Play

from edgeagent.clock import SystemClock
from edgeagent.supervise.child import ChildSpec
from edgeagent.supervise.supervisor import Supervisor


def hear(line: bytes) -> None:
    hello = Hello.model_validate_json(line)
    os.write(1, f"{hello.pid} {hello.other}\n".encode())


def spec(part: str, *, own_group: bool) -> ChildSpec:
    return ChildSpec(name=part, module="children.actor", first=Play(part=part), own_group=own_group)


async def main() -> None:
    async with anyio.create_task_group() as tasks:
        for part, own_group in (("good", False), ("deaf", False), ("good", True), ("tied_parent", True)):
            supervisor = Supervisor(
                part,
                lambda part=part, own_group=own_group: spec(part, own_group=own_group),
                hear,
                lambda state: None,
                SystemClock(),
                Random(1),
            )
            tasks.start_soon(supervisor.run)


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    anyio.run(main)
