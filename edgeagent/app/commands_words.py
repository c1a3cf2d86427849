"""Commands that only look or say: the last log lines, how much is logged, the settings in force; and `cancel`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from edgeagent.app.command_context import CommandContext
from edgeagent.app.command_kind import Args, CommandKind, Progress, Result
from edgeagent.app.redact import redact
from edgeagent.config.effective import Loaded
from edgeagent.config.schema import Config
from edgeagent.config.show import effective_settings
from edgeagent.fleet.envelope import Id

MOST_CHARS = 60_000
Level = Literal["debug", "info", "warning", "error"]


class LogsArgs(Args):
    lines: int = Field(default=100, ge=1, le=500)
    level: Level = "debug"


async def run_logs(context: CommandContext, args: LogsArgs, progress: Progress) -> Result:
    """The newest lines that the agent itself has logged since it started; the oldest go first where it is too much."""
    every = context.logs.last(args.lines, args.level)
    kept: list[Any] = []
    room = MOST_CHARS
    for line in reversed(every):
        room -= len(line.text.encode()) + 60
        if room < 0:
            break
        kept.append({"ts": line.ts, "level": line.level, "text": line.text})
    return {"lines": kept[::-1], "left_out": len(every) - len(kept)}


class LogLevelArgs(Args):
    """`for_s`: afterwards it is again what the agent was started with."""

    level: Level
    for_s: int = Field(default=3600, ge=1, le=86_400)


async def run_log_level(context: CommandContext, args: LogLevelArgs, progress: Progress) -> Result:
    before = context.level.now
    context.level.set_for(args.level, args.for_s, context.clock.monotonic_ns)
    return {"level": args.level, "before": before, "for_s": args.for_s}


class ConfigArgs(Args):
    """`only`: keys that begin so."""

    only: str = Field(default="", max_length=256)


async def run_config(context: CommandContext, args: ConfigArgs, progress: Progress) -> Result:
    """Every setting in force and the layer that it came from, without secrets."""
    loaded = context.loaded() or _by_difference(context.config())
    found = [one for one in effective_settings(loaded) if one.key.startswith(args.only)]
    settings: dict[str, Any] = {one.key: {"value": _plain(one.value), "layer": one.layer} for one in found}
    return {"settings": settings}


def _by_difference(config: Config) -> Loaded:
    """Where nobody knows the layers: what differs from the default was set by somebody."""
    from edgeagent.config.layers import leaves
    from edgeagent.config.toml_text import dotted

    standard = {dotted(path): value for path, value in leaves(Config().model_dump(mode="json"))}
    every = {dotted(path): value for path, value in leaves(config.model_dump(mode="json"))}
    layers = {key: "default" if standard.get(key, ...) == value else "set" for key, value in every.items()}
    return Loaded(config, layers)


def _plain(value: object) -> object:
    return redact(value) if isinstance(value, str) else value


class CancelArgs(Args):
    job: Id


async def run_cancel(context: CommandContext, args: CancelArgs, progress: Progress) -> Result:
    """Ends another command, waiting or running. The result says what it came to."""
    return {"job": args.job, "state": await context.cancel_job(args.job)}


LOGS = CommandKind("logs", LogsArgs, run_logs, 30.0, "at_once", only_looks=True)
LOG_LEVEL = CommandKind("log-level", LogLevelArgs, run_log_level, 30.0, "at_once")
CONFIG = CommandKind("config", ConfigArgs, run_config, 30.0, "at_once", only_looks=True)
CANCEL = CommandKind("cancel", CancelArgs, run_cancel, 60.0, "at_once")
