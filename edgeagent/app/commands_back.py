"""Commands that go back: `rollback` to the engine or the config before, `reboot` to a fresh start."""

from __future__ import annotations

from functools import partial
from typing import Literal

import anyio
import anyio.to_thread
from pydantic import model_validator
from pydantic_core import PydanticCustomError

from edgeagent.app.command_context import CommandContext
from edgeagent.app.command_kind import (
    AfterRestart,
    Args,
    Broken,
    CommandError,
    CommandKind,
    Done,
    Life,
    Progress,
    Result,
)
from edgeagent.app.commands_engine import engine_back
from edgeagent.fleet.envelope import Id

LEAVING_S = 1.0  # for the answer to leave before the board goes down
REBOOT_S = 180.0


class RollbackArgs(Args):
    """`engine`: the pipeline whose engine goes back; `config`: true, the desired config goes back."""

    engine: Id | None = None
    config: Literal[True] | None = None

    @model_validator(mode="after")
    def _one(self) -> RollbackArgs:
        if (self.engine is None) == (self.config is None):
            raise PydanticCustomError("one", "wants either engine (a pipeline) or config (true)")
        return self


async def run_rollback(context: CommandContext, args: RollbackArgs, progress: Progress) -> Result:
    if args.engine is not None:
        return await engine_back(context, args.engine)
    return {"config": await context.config_back()}


class RebootArgs(Args):
    pass


async def run_reboot(context: CommandContext, args: RebootArgs, progress: Progress) -> Result:
    """Asks the power helper; what is left of the command is settled by the boot that follows."""
    progress("the board reboots")
    await anyio.sleep(LEAVING_S)
    outcome = await anyio.to_thread.run_sync(partial(context.helper.call, "reboot"), abandon_on_cancel=True)
    if outcome.result != "rebooting":
        raise CommandError(
            f"the power helper does not reboot the board: {outcome.detail}", code=f"reboot_{outcome.result}"
        )
    await anyio.sleep(REBOOT_S)
    raise CommandError("the board was told to reboot, and did not", code="not_rebooted")


def reboot_after(args: RebootArgs, before: Life, now: Life) -> AfterRestart:
    if now.boot != before.boot:
        return Done({"boot": now.boot, "boot_before": before.boot})
    return Broken("not_rebooted", "the agent was started anew, and the board was not")


def why_no_reboot(context: CommandContext) -> str:
    return "" if context.config().remote.allow_reboot else "reboots are not allowed here (remote.allow_reboot)"


def rollback_after(args: RollbackArgs, before: Life, now: Life) -> AfterRestart:
    """Going back may itself set the agent up anew."""
    where = "config/reported" if args.config else f"engine/{args.engine}"
    return Broken("interrupted", f"the agent was started anew while it went back; {where} says what is in force")


ROLLBACK = CommandKind("rollback", RollbackArgs, run_rollback, 600.0, "alone", after_restart=rollback_after)
REBOOT = CommandKind(
    "reboot", RebootArgs, run_reboot, REBOOT_S + 60.0, "alone", why_not=why_no_reboot, after_restart=reboot_after
)
