"""The desk of commands, joined to the agent: where its messages come from, and where its answers go."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from edgeagent.app.command_context import CommandContext
from edgeagent.app.command_kind import Life
from edgeagent.app.commands_all import KINDS
from edgeagent.app.job_intake import Arrived
from edgeagent.app.job_store import JobStore
from edgeagent.app.job_words import JobWords, Reply
from edgeagent.app.jobs import JobDesk
from edgeagent.app.publisher import Publisher
from edgeagent.fleet.inbound import parse_inbound
from edgeagent.fleet.job_verdict import Arrival
from edgeagent.fleet.link_types import Connected, Message
from edgeagent.fleet.topics import TopicError, Topics

SETTLED_S = 30.0  # what a broker has kept for us has come by then


def read_life(session: str, board_root: Path) -> Life:
    """This run of the agent. The boot is the board's: a virtual one reboots by itself."""
    for root in (board_root, Path("/")):
        try:
            text = (root / "proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            continue
        if text:
            return Life(session, text)
    return Life(session, "unknown")


def make_job_desk(context: CommandContext, state_dir: Path, reply: Reply) -> JobDesk:
    publisher, clock = context.publisher, context.clock
    store = JobStore(state_dir / "jobs.db", clock.wall_ms, lambda problem: _tell_problem(publisher, problem))
    words = JobWords(publisher, reply, clock)
    return JobDesk(KINDS, context, store, words, context.life, clock, lambda: context.config().remote)


def _tell_problem(publisher: Publisher, problem: str) -> None:
    publisher.event("jobs-lost", "error", f"{problem}: commands from before now are refused")


class Liveness:
    """Whether a command that comes now was kept for us by the broker. `connected` is told of every connection."""

    def __init__(self, now_ns: Callable[[], int]) -> None:
        self._now_ns = now_ns
        self._kept_until_ns = 0

    def connected(self, event: Connected) -> None:
        self._kept_until_ns = self._now_ns() + round(SETTLED_S * 1e9) if event.session_present else 0

    @property
    def live(self) -> bool:
        return self._now_ns() >= self._kept_until_ns


def arrived_from(
    message: Message, topics: Topics, groups: Iterable[str], *, live: bool, acknowledge: Callable[[], None]
) -> Arrived | None:
    """The command that a message is; None for one that is none."""
    try:
        inbound = parse_inbound(message.topic, topics, groups)
    except TopicError:
        return None
    if inbound.kind != "command":
        return None
    arrival = Arrival(message.retain, None if message.expiry_s is None else float(message.expiry_s), live)
    return Arrived(
        inbound.name, inbound.scope, message.payload, arrival, message.response_topic, message.correlation, acknowledge
    )
