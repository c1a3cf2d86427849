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
    Again,
    Args,
    CommandError,
    CommandKind,
    Done,
    Life,
    Result,
    parse_args,
)
from edgeagent.app.job_intake import Arrived, Known, Refusal, Taken, judge_arrived
from edgeagent.app.job_store import JobStore
from edgeagent.app.job_words import JobWords, Telling
from edgeagent.clock import Clock
from edgeagent.config.remote_table import RemoteSettings
from edgeagent.errors import EdgeAgentError, StoreError
from edgeagent.fleet.job_machine import Event
from edgeagent.fleet.job_record import JobRecord
from edgeagent.fleet.job_verdict import SANE_MS

log = structlog.get_logger("command")

WAITING = 16  # commands that may wait for their turn
BESIDE = 4  # commands that may run beside each other
QUEUE = 64  # messages that may wait to be looked at; more are not acknowledged, so they come again
TOPICS = 50  # jobs whose topics stay on the broker
TOPICS_MS = 7 * 86_400_000
TIDY_S = 3600.0
CANCELLED = "a command ended it"


@dataclass(eq=False)
class Live:
    """A command that has not ended. `why`: who wanted its end."""

    record: JobRecord
    kind: CommandKind
    args: Args
    scope: anyio.CancelScope
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
        self._tasks: anyio.abc.TaskGroup | None = None
        context.cancel_job = self.cancel

    def obeyed(self) -> list[str]:
        """The commands that this device obeys now."""
        if not self._remote().commands:
            return []
        return sorted(name for name, kind in self._kinds.items() if not kind.why_not(self._context))

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
                await self._settle()
                tasks.start_soon(self._tidy)
                while True:
                    await self._came.wait()
                    self._came = anyio.Event()
                    while self._waiting:
                        await self._look(self._waiting.popleft())
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
            self._refuse_unstored(arrived, error)
            return
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
        if why := kind.why_not(self._context):
            return taken.refusal("not_allowed", why)
        try:
            parse_args(kind, taken.args)
        except CommandError as error:
            return taken.refusal(error.error_code, error.line())
        if kind.turn != "at_once" and sum(live.record.state == "accepted" for live in self._lives.values()) >= WAITING:
            return taken.refusal("busy", f"{WAITING} commands wait already; send it later, with a new id")
        return taken

    async def _accept(self, arrived: Arrived, taken: Taken) -> None:
        kind = self._kinds[taken.name]
        left_s = min(taken.left_s, kind.timeout_s)
        record = taken.record(self._life, self._clock, left_s)
        try:
            await self._store.write(record)
        except StoreError as error:
            self._refuse_unstored(arrived, error)
            return
        arrived.acknowledge()
        self._words.say(record)
        self._start(record, kind, parse_args(kind, taken.args), left_s)

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

    def _refuse_unstored(self, arrived: Arrived, error: StoreError) -> None:
        """No effect without a memory of it."""
        refusal = Refusal(arrived, arrived.id, error.error_code, error.line())
        if arrived.id:
            self._words.say_beside(refusal.record(self._life, self._clock))
        else:
            self._words.unanswerable(arrived.name, refusal.code, refusal.reason)
        arrived.acknowledge()

    # doing

    def _start(self, record: JobRecord, kind: CommandKind, args: Args, left_s: float) -> None:
        scope = anyio.CancelScope(deadline=anyio.current_time() + left_s)
        live = Live(record, kind, args, scope)
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
        """One step on: stored, then said."""
        live.record = live.record.after(
            ending.event, self._clock.wall_ms(), code=ending.code, reason=ending.reason, result=ending.result
        )
        with anyio.CancelScope(shield=True):
            await self._write(live.record)
            self._words.say(live.record)

    async def _write(self, record: JobRecord) -> None:
        """What has been done is said also where the disk does not take it."""
        try:
            await self._store.write(record)
        except StoreError as error:
            log.error("command", id=record.id, state=record.state, reason=error.line())

    # what was before, and what is too old

    async def _settle(self) -> None:
        """What an earlier run has left unfinished."""
        try:
            for record in await self._store.unfinished():
                await self._settle_one(record)
        except StoreError as error:
            log.error("command", reason=error.line())

    async def _settle_one(self, record: JobRecord) -> None:
        kind = self._kinds.get(record.name)
        before = Life(record.session, record.boot)
        try:
            if kind is None:
                raise CommandError("this release does not know it any more", code="interrupted")
            args = parse_args(kind, dict(record.args))
        except CommandError as error:
            await self._end_settled(record, Ending("fail", "interrupted", error.line()))
            return
        after = kind.after_restart(args, before, self._life)
        left_s = self._left_s(record)
        if isinstance(after, Done):
            await self._end_settled(record, Ending("succeed", result=after.result))
        elif not isinstance(after, Again):
            await self._end_settled(record, Ending("fail", after.code, after.reason))
        elif left_s is None:
            reason = "the device was started anew, and its clock does not tell how much time was left"
            await self._end_settled(record, Ending("fail", "interrupted", reason))
        elif left_s <= 0:
            await self._end_settled(record, Ending("expire", "", "its time was up when the agent started again"))
        else:
            await self._take_up(record, kind, args, left_s)

    async def _take_up(self, record: JobRecord, kind: CommandKind, args: Args, left_s: float) -> None:
        until_ns = self._clock.monotonic_ns() + round(left_s * 1e9)
        record = record.again(self._life.boot, self._life.session, until_ns)
        await self._store.write(record)
        self._start(record, kind, args, left_s)

    def _left_s(self, record: JobRecord) -> float | None:
        """What is left of a job's time; None where nobody knows."""
        if record.boot == self._life.boot:
            return (record.until_ns - self._clock.monotonic_ns()) / 1e9
        now_ms = self._clock.wall_ms()
        if now_ms < SANE_MS or record.deadline_ms is None or now_ms < record.accepted_ms:
            return None
        return (record.deadline_ms - now_ms) / 1000

    async def _end_settled(self, record: JobRecord, ending: Ending) -> None:
        if record.state == "accepted" and ending.event == "succeed":
            record = record.after("begin", self._clock.wall_ms())
        live = Live(record, self._kinds.get(record.name) or _NO_KIND, Args(), anyio.CancelScope())
        await self._move(live, ending)

    async def _tidy(self) -> None:
        """Old answers are taken off the broker."""
        while True:
            now_ms = self._clock.wall_ms()
            try:
                old = await self._store.to_forget(TOPICS, now_ms - TOPICS_MS if now_ms >= SANE_MS else 0)
                for job in old:
                    self._words.forget(job)
                if old:
                    await self._store.forgotten(old)
            except StoreError as error:
                log.warning("command", reason=error.line())
            await self._store.wait_for_ends(TIDY_S)


def _cut_off(live: Live) -> Ending:
    if live.why:
        return Ending("cancel", "cancelled", live.why)
    return Ending("expire", "timed_out", "its time was up before it was done, and it was ended")


async def _nothing(context: CommandContext, args: Args, progress: object) -> Result:
    return {}


_NO_KIND = CommandKind("", Args, _nothing, 0.0)
