"""Commands: taken, judged, stored, done, answered. One desk for all; each command is a kind of its own.

A command is acknowledged to the broker when its record is on the disk, and begun only then. The same id comes back as
its last word. What a restart has cut off is settled at the next start: taken up again, done by the restart itself, or
ended as failed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import anyio
import anyio.abc
import anyio.to_thread
import structlog

from edgeagent.app.command_context import CommandContext
from edgeagent.app.command_kind import (
    Args,
    CommandError,
    CommandKind,
    Life,
    Result,
    parse_args,
)
from edgeagent.app.job_intake import Arrived, Known, Refusal, Taken, judge_arrived
from edgeagent.app.job_store import JobStore
from edgeagent.app.job_words import JobWords, Telling
from edgeagent.app.jobs_past import JobsPast
from edgeagent.app.jobs_unstored import JobsUnstored
from edgeagent.clock import Clock
from edgeagent.config.remote_table import RemoteSettings
from edgeagent.errors import EdgeAgentError, StoreError
from edgeagent.fleet.job_machine import Event
from edgeagent.fleet.job_record import JobRecord

log = structlog.get_logger("command")

WAITING = 16  # commands that may wait for their turn
BESIDE = 4  # commands that may run beside each other
QUEUE = 64  # messages that may wait to be looked at; more are not acknowledged, so they come again
CANCELLED = "a command ended it"


@dataclass(eq=False)
class Live:
    """A command that has not ended. `stored`: the disk has its record; `why`: who wanted its end."""

    record: JobRecord
    kind: CommandKind
    args: Args
    scope: anyio.CancelScope
    stored: bool = True
    why: str = ""
    over: anyio.Event = field(default_factory=anyio.Event)


@dataclass(frozen=True)
class Ending:
    """How the work went."""

    event: Event
    code: str = ""
    reason: str = ""
    result: Result | None = None


class JobDesk:
    """`remote` gives the settings of now. For the event loop only; `take` may be called before `run`."""

    def __init__(
        self,
        kinds: Mapping[str, CommandKind],
        context: CommandContext,
        store: JobStore,
        words: JobWords,
        life: Life,
        clock: Clock,
        remote: Callable[[], RemoteSettings],
    ) -> None:
        self._kinds = kinds
        self._context = context
        self._store = store
        self._words = words
        self._life = life
        self._clock = clock
        self._remote = remote
        self._lives: dict[str, Live] = {}
        self._alone = anyio.Lock()
        self._beside = anyio.Semaphore(BESIDE)
        self._waiting: deque[Arrived] = deque()
        self._came = anyio.Event()
        self._looking = False
        self._tasks: anyio.abc.TaskGroup | None = None
        self._past = JobsPast(kinds, store, words, life, clock, self._start)
        self._unstored = JobsUnstored(kinds, words, life, clock, self._judge_here)
        context.cancel_job = self.cancel

    def obeyed(self) -> list[str]:
        """The commands that this device obeys now."""
        if not self._remote().commands:
            return []
        return sorted(name for name, kind in self._kinds.items() if not kind.why_not(self._context))

    @property
    def live(self) -> int:
        """Commands that have not ended."""
        return len(self._lives)

    def idle(self) -> bool:
        """Whether every message that has come was looked at."""
        return not self._waiting and not self._looking

    def take(self, arrived: Arrived) -> None:
        """A message on a command's topic. What finds no room is not acknowledged: it comes with the next connection."""
        if len(self._waiting) >= QUEUE:
            log.warning("command", name=arrived.name, state="left", reason=f"{QUEUE} others wait to be looked at")
            return
        self._waiting.append(arrived)
        self._came.set()

    async def run(self) -> None:
        """Until cancelled. What runs then is settled at the next start."""
        try:
            async with anyio.create_task_group() as tasks:
                self._tasks = tasks
                await self._past.settle()
                tasks.start_soon(self._past.tidy)
                while True:
                    await self._came.wait()
                    self._came = anyio.Event()
                    while self._waiting:
                        self._looking = True
                        await self._look(self._waiting.popleft())
                        self._looking = False
        finally:
            self._store.close()

    async def cancel(self, job: str) -> str:
        """End a command; the state that it came to. Raises CommandError where there is none to be ended."""
        live = self._lives.get(job)
        if live is None:
            known = await self._store.find(job)
            if known is None:
                raise CommandError(f"there is no job {job}", code="no_job")
            raise CommandError(f"the job {job} has ended before: {known.state}", code="job_over")
        live.why = CANCELLED
        live.scope.cancel()
        await live.over.wait()
        return live.record.state

    # taking

    async def _look(self, arrived: Arrived) -> None:
        try:
            lost_ms = await self._store.lost_ms(self._clock.wall_ms())
            known = await self._store.find(arrived.id) if arrived.id else None
        except StoreError as error:
            self._without_record(arrived, error)
            return
        known = known or self._unstored.find(arrived.id)
        verdict = judge_arrived(arrived, known, lost_ms, self._clock.wall_ms())
        if isinstance(verdict, Taken):
            verdict = self._judge_here(verdict)
        if isinstance(verdict, Known):
            await self._repeat(verdict)
        elif isinstance(verdict, Refusal):
            await self._refuse(arrived, verdict, known)
        else:
            await self._accept(arrived, verdict)
            return
        arrived.acknowledge()

    async def _repeat(self, known: Known) -> None:
        """The last word once more, to whoever asks now."""
        if self._unstored.find(known.record.id) is not None:
            self._words.say_beside(known.asked(known.record))
            return
        live = self._lives.get(known.record.id)
        record = known.asked(live.record if live is not None else known.record)
        if not record.told:
            await self._write(replace(record, told=True))
        self._words.say(record)

    def _judge_here(self, taken: Taken) -> Taken | Refusal:
        """What only the device can tell: whether it obeys, knows the command, understands it, and has room."""
        if not self._remote().commands:
            return taken.refusal("not_allowed", "this device takes no commands over MQTT (remote.commands)")
        kind = self._kinds.get(taken.name)
        if kind is None:
            return taken.refusal("unknown_command", f"there is no such command; there are: {', '.join(self.obeyed())}")
        try:
            if why := kind.why_not(self._context):
                raise CommandError(why, code="not_allowed")
            parse_args(kind, taken.args)
        except CommandError as error:
            return taken.refusal(error.error_code, error.line())
        if why := self._no_room(kind):
            return taken.refusal("busy", f"{why}; send it later, with a new id")
        return taken

    def _no_room(self, kind: CommandKind) -> str:
        """Why no further command is taken now; empty where one is."""
        if len(self._lives) >= QUEUE:
            return f"{QUEUE} commands have not ended"
        waiting = sum(live.record.state == "accepted" for live in self._lives.values())
        return f"{WAITING} commands wait already" if waiting >= WAITING and kind.turn != "at_once" else ""

    async def _accept(self, arrived: Arrived, taken: Taken) -> None:
        kind = self._kinds[taken.name]
        left_s = min(taken.left_s, kind.timeout_s)
        record = taken.record(self._life, self._clock, left_s)
        try:
            await self._store.write(record)
        except StoreError as error:
            self._without_record(arrived, error)
            return
        arrived.acknowledge()
        self._words.say(record)
        self._start(record, kind, parse_args(kind, taken.args), left_s)

    def _without_record(self, arrived: Arrived, error: StoreError) -> None:
        """The disk does not take it: what only looks is begun all the same."""
        if (taken := self._unstored.look(arrived, error)) is not None:
            kind = self._kinds[taken.name]
            left_s = min(taken.left_s, kind.timeout_s)
            record = taken.record(self._life, self._clock, left_s)
            self._unstored.say(record)
            self._start(record, kind, parse_args(kind, taken.args), left_s, stored=False)
        arrived.acknowledge()

    async def _refuse(self, arrived: Arrived, refusal: Refusal, known: JobRecord | None) -> None:
        if not refusal.id:
            self._words.unanswerable(arrived.name, refusal.code, refusal.reason)
            return
        record = refusal.record(self._life, self._clock)
        if known is not None:
            self._words.say_beside(record)
            return
        await self._write(record)
        self._words.say(record)

    # doing

    def _start(self, record: JobRecord, kind: CommandKind, args: Args, left_s: float, *, stored: bool = True) -> None:
        scope = anyio.CancelScope(deadline=anyio.current_time() + left_s)
        live = Live(record, kind, args, scope, stored)
        self._lives[record.id] = live
        if self._tasks is not None:
            self._tasks.start_soon(self._live, live)

    async def _live(self, live: Live) -> None:
        ending: Ending | None = None
        try:
            with live.scope:
                ending = await self._in_turn(live)
            if ending is None:
                ending = _cut_off(live)
            await self._move(live, ending)
        finally:
            self._lives.pop(live.record.id, None)
            live.over.set()

    async def _in_turn(self, live: Live) -> Ending:
        if live.kind.turn == "at_once":
            return await self._work(live)
        async with self._alone if live.kind.turn == "alone" else self._beside:
            return await self._work(live)

    async def _work(self, live: Live) -> Ending:
        await self._move(live, Ending("begin"))
        telling, found = Telling(self._words, live.record), Ending("fail", "internal")
        async with anyio.create_task_group() as tasks:
            if live.stored:
                tasks.start_soon(telling.run)
            found = await self._outcome(live, telling)
            tasks.cancel_scope.cancel()
        return found

    async def _outcome(self, live: Live, telling: Telling) -> Ending:
        try:
            return Ending("succeed", result=await live.kind.run(self._context, live.args, telling))
        except EdgeAgentError as error:
            return Ending("fail", error.error_code, error.line())
        except Exception as error:
            log.exception("command", name=live.record.name, id=live.record.id)
            return Ending("fail", "internal", f"a fault of ours: {type(error).__name__}: {error}")

    async def _move(self, live: Live, ending: Ending) -> None:
        """One step on: stored, then said, unless it is done without a record."""
        live.record = live.record.after(
            ending.event, self._clock.wall_ms(), code=ending.code, reason=ending.reason, result=ending.result
        )
        if not live.stored:
            self._unstored.say(live.record)
            return
        with anyio.CancelScope(shield=True):
            await self._write(live.record)
            self._words.say(live.record)

    async def _write(self, record: JobRecord) -> None:
        """What has been done is said also where the disk does not take it."""
        try:
            await self._store.write(record)
        except StoreError as error:
            log.error("command", id=record.id, state=record.state, reason=error.line())


def _cut_off(live: Live) -> Ending:
    if live.why:
        return Ending("cancel", "cancelled", live.why)
    return Ending("expire", "timed_out", "its time was up before it was done, and it was ended")
