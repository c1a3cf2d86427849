"""What a command is to the desk: name, arguments, how it is scheduled, what it does, what a restart means to it.

A command's `run` gives the result, raises CommandError (or any EdgeAgentError) when it comes to nothing, and leaves
nothing behind when it is cancelled: that is how a deadline and `cancel` end it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from edgeagent.errors import EdgeAgentError

if TYPE_CHECKING:
    from edgeagent.app.command_context import CommandContext

Turn = Literal["at_once", "beside", "alone"]
Result = dict[str, JsonValue]


class CommandError(EdgeAgentError):
    """A command came to nothing; `code` says why in a stable word."""

    code = "command_failed"
    who = "operator"


class Args(BaseModel):
    """Base of all arguments: what is not known is a mistake."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Progress(Protocol):
    """Tells how far a command is; may be called as often as one likes."""

    def __call__(self, phase: str, percent: float | None = None) -> None: ...


@dataclass(frozen=True)
class Again:
    """After a restart: do it once more, it has not had its effect."""


@dataclass(frozen=True)
class Done:
    """After a restart: that is what it was for."""

    result: Result


@dataclass(frozen=True)
class Broken:
    """After a restart: it was not finished, and is not taken up again."""

    code: str = "interrupted"
    reason: str = "the agent was started anew while it ran"


AfterRestart = Again | Done | Broken


@dataclass(frozen=True)
class Life:
    """One run of the agent: which session of which boot."""

    session: str
    boot: str


def is_broken(args: Any, before: Life, now: Life) -> AfterRestart:  # noqa: ANN401
    return Broken()


@dataclass(frozen=True)
class CommandKind:
    """`turn`: at once, beside others, or alone among those that are alone. `why_not`: why this device does not obey it
    now, empty where it does. `only_looks`: it changes nothing, so a second time does no harm."""

    name: str
    args: type[Args]
    run: Callable[[CommandContext, Any, Progress], Awaitable[Result]]
    timeout_s: float
    turn: Turn = "beside"
    only_looks: bool = False
    why_not: Callable[[CommandContext], str] = lambda context: ""
    after_restart: Callable[[Any, Life, Life], AfterRestart] = is_broken


def parse_args(kind: CommandKind, given: dict[str, JsonValue]) -> Args:
    """Raises CommandError `bad_args`, with every mistake in one line."""
    try:
        return kind.args.model_validate(given)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        lines = [f"{'.'.join(map(str, one['loc'])) or 'args'}: {one['msg']}" for one in found[:5]]
        more = f"; and {len(found) - 5} more" if len(found) > 5 else ""
        raise CommandError("; ".join(lines)[:500] + more, code="bad_args") from error
