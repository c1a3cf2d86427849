"""The desk of commands on a real book, with commands that only count. No tests in here."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio

from edgeagent.app.command_context import CommandContext
from edgeagent.app.command_kind import (
    AfterRestart,
    Again,
    Args,
    Broken,
    CommandError,
    CommandKind,
    Done,
    Life,
    Progress,
    Result,
)
from edgeagent.app.commands_words import CANCEL
from edgeagent.app.job_intake import Arrived
from edgeagent.app.job_store import JobStore
from edgeagent.app.job_words import JobWords
from edgeagent.app.jobs import JobDesk
from edgeagent.app.log_memory import LogLevel, LogMemory
from edgeagent.app.publisher import Publisher
from edgeagent.clock import ManualClock
from edgeagent.config.remote_table import RemoteSettings
from edgeagent.fleet.envelope import Stamp
from edgeagent.fleet.job_verdict import Arrival
from edgeagent.fleet.link_types import LinkStats, Outcome
from edgeagent.fleet.topics import Topics
from edgeagent.power.client import Outcome as HelperOutcome

NOW = 1_790_000_000_000


class Wire:
    """Keeps what is published."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes, bool]] = []
        self.replies: list[tuple[str, dict[str, Any], bytes | None]] = []

    def publish(self, topic: str, payload: bytes, *, qos: int, retain: bool, expiry_s: float | None = None) -> Outcome:
        assert qos == 1
        self.sent.append((topic.removeprefix("edgeagent/v1/lab/one/"), payload, retain))
        return Outcome.ACCEPTED

    def reply(self, topic: str, payload: bytes, correlation: bytes | None, retain: bool) -> None:
        assert not retain
        self.replies.append((topic, json.loads(payload), correlation))

    def stats(self) -> LinkStats:
        raise AssertionError

    def jobs(self, job: str) -> list[dict[str, Any]]:
        return [json.loads(payload) for topic, payload, _ in self.sent if topic == f"job/{job}" and payload]

    def states(self, job: str) -> list[str]:
        return [one["state"] for one in self.jobs(job)]

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(payload) for topic, payload, _ in self.sent if topic.startswith("e/")]


class CountArgs(Args):
    what: str = "x"
    fail: bool = False
    crash: bool = False


class WaitArgs(Args):
    what: str = "x"


class NoHelper:
    def call(self, verb: str, **arguments: str | int | bool) -> HelperOutcome:
        raise AssertionError(verb)


class Bench:
    """Commands `count` and `look` (done at once), `wait`, `wait-look`, `wait-alone` (until `release` is set), `again`,
    `reborn` (like wait; a restart takes them up, or is what they were for); `look` and `wait-look` change nothing.
    `effects` counts what was done, `begun` what was begun."""

    def __init__(self, folder: Path, clock: ManualClock | None = None) -> None:
        self.folder = folder
        self.clock = clock or ManualClock(wall_ms=NOW)
        self.wire = Wire()
        self.effects: Counter[str] = Counter()
        self.begun: Counter[str] = Counter()
        self.release = anyio.Event()
        self.remote = RemoteSettings()
        self.life = Life("b-1", "boot-1")
        self.acknowledged: list[str] = []
        self.progress: Progress | None = None
        self.forbidden = ""
        self.kinds = self._kinds()
        self.make()

    def _kinds(self) -> dict[str, CommandKind]:
        def kind(name: str, run: Callable[..., Awaitable[Result]], args: type[Args], **more: Any) -> CommandKind:
            return CommandKind(name, args, run, 1000.0, **more)

        def again(args: Any, before: Life, now: Life) -> AfterRestart:
            return Again()

        def reborn(args: Any, before: Life, now: Life) -> AfterRestart:
            return Done({"boot": now.boot}) if now.boot != before.boot else Broken("not_rebooted", "no")

        every = (
            kind("count", self._count, CountArgs, why_not=lambda context: self.forbidden),
            kind("look", self._count, CountArgs, only_looks=True),
            kind("wait-look", self._wait, WaitArgs, only_looks=True),
            kind("wait", self._wait, WaitArgs),
            kind("wait-alone", self._wait, WaitArgs, turn="alone"),
            kind("again", self._wait, WaitArgs, turn="alone", after_restart=again),
            kind("reborn", self._wait, WaitArgs, turn="alone", after_restart=reborn),
            CANCEL,
        )
        return {one.name: one for one in every}

    async def _count(self, context: CommandContext, args: CountArgs, progress: Progress) -> Result:
        if args.fail:
            raise CommandError("it cannot be", mend="nothing helps", code="never")
        if args.crash:
            raise RuntimeError("a fault of ours")
        self.effects[args.what] += 1
        return {"what": args.what}

    async def _wait(self, context: CommandContext, args: WaitArgs, progress: Progress) -> Result:
        self.begun[args.what] += 1
        self.progress = progress
        await self.release.wait()
        self.effects[args.what] += 1
        return {}

    def make(self) -> None:
        """A desk, as a start of the agent makes it."""
        topics, stamp = Topics("lab", "one"), Stamp(self.life.session, self.clock.wall_ms)
        self.publisher = Publisher(self.wire, topics, stamp, self.clock, 0)
        store = JobStore(
            self.folder / "jobs.db", self.clock.wall_ms, lambda text: self.publisher.event("l", "info", text)
        )
        words = JobWords(self.publisher, self.wire.reply, self.clock)
        self.context = self._context()
        self.desk = JobDesk(self.kinds, self.context, store, words, self.life, self.clock, lambda: self.remote)

    def _context(self) -> CommandContext:
        def no(*_: object) -> Any:
            raise AssertionError("these commands reach for nothing")

        return CommandContext(
            publisher=self.publisher, clock=self.clock, life=self.life, helper=NoHelper(), config=no, loaded=no,
            config_file=no, cameras=no, served=no, infer=no, engines=no, make_engines=no, wanted=no, serve=no,
            provide=no, power=no, restart=no, logs=LogMemory(self.clock.wall_ms), level=LogLevel(),
        )  # fmt: skip

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """The desk at work; at the end it is cut off, as when the agent stops."""
        self.make()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.desk.run)
            yield
            tasks.cancel_scope.cancel()

    def send(
        self, name: str, job: str = "one", args: dict[str, Any] | None = None, *, raw: bytes | None = None, **more: Any
    ) -> None:
        arrival = more.pop("arrival", Arrival(live=True))
        answer = {key: more.pop(key) for key in ("response_topic", "correlation") if key in more}
        fields = {"id": job, "args": args or {}, "ts": self.clock.wall_ms(), **more}
        payload = raw if raw is not None else json.dumps(fields).encode()
        acknowledge = lambda: self.acknowledged.append(job)  # noqa: E731
        self.desk.take(Arrived(name, "device", payload, arrival, acknowledge=acknowledge, **answer))

    async def until(self, is_so: Callable[[], Any]) -> None:
        with anyio.fail_after(10):
            while not is_so():
                await anyio.sleep(0.001)

    async def said(self, job: str, *states: str) -> dict[str, Any]:
        """Wait until these were said of the job, in this order; the last."""
        await self.until(lambda: tuple(self.wire.states(job)[-len(states) :]) == states)
        return self.wire.jobs(job)[-1]

    def restarted(self, *, boot: bool = False) -> None:
        self.life = Life(f"b-{int(self.life.session[2:]) + 1}", "boot-2" if boot else self.life.boot)
