"""The past of commands: what an earlier run of the agent has left unfinished, and answers that are too old to keep."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import structlog

from edgeagent.app.command_kind import AfterRestart, Again, Args, CommandError, CommandKind, Done, Life, parse_args
from edgeagent.app.job_store import JobStore
from edgeagent.app.job_words import JobWords
from edgeagent.clock import Clock
from edgeagent.errors import StoreError
from edgeagent.fleet.job_record import JobRecord
from edgeagent.fleet.job_verdict import SANE_MS

log = structlog.get_logger("command")

TOPICS = 50  # jobs whose topics stay on the broker
TOPICS_MS = 7 * 86_400_000
TIDY_S = 3600.0

Start = Callable[[JobRecord, CommandKind, Args, float], None]


class JobsPast:
    """`start` begins a command that is taken up again, with the seconds that it has left."""

    def __init__(
        self,
        kinds: Mapping[str, CommandKind],
        store: JobStore,
        words: JobWords,
        life: Life,
        clock: Clock,
        start: Start,
    ) -> None:
        self._kinds = kinds
        self._store = store
        self._words = words
        self._life = life
        self._clock = clock
        self._start = start

    async def settle(self) -> None:
        """Every command that an earlier run has left unfinished."""
        try:
            for record in await self._store.unfinished():
                await self._settle_one(record)
        except StoreError as error:
            log.error("command", reason=error.line())

    async def _settle_one(self, record: JobRecord) -> None:
        kind = self._kinds.get(record.name)
        try:
            if kind is None:
                raise CommandError("this release does not know it any more")
            args = parse_args(kind, dict(record.args))
        except CommandError as error:
            await self._failed(record, "interrupted", error.line())
            return
        after = kind.after_restart(args, Life(record.session, record.boot), self._life)
        if isinstance(after, Again):
            await self._again(record, kind, args)
        else:
            await self._end(record, after)

    async def _end(self, record: JobRecord, after: AfterRestart) -> None:
        if isinstance(after, Done):
            running = record.after("begin", self._clock.wall_ms()) if record.state == "accepted" else record
            await self._say(running.after("succeed", self._clock.wall_ms(), result=after.result))
        elif not isinstance(after, Again):
            await self._failed(record, after.code, after.reason)

    async def _failed(self, record: JobRecord, code: str, reason: str) -> None:
        await self._say(record.after("fail", self._clock.wall_ms(), code=code, reason=reason))

    async def _again(self, record: JobRecord, kind: CommandKind, args: Args) -> None:
        """Taken up with what is left of its time."""
        left_s = self._left_s(record)
        if left_s is None:
            reason = "the device was started anew, and its clock does not tell how much time was left"
            await self._failed(record, "interrupted", reason)
        elif left_s <= 0:
            reason = "its time was up when the agent started again"
            await self._say(record.after("expire", self._clock.wall_ms(), code="timed_out", reason=reason))
        else:
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

    async def _say(self, record: JobRecord) -> None:
        await self._store.write(record)
        self._words.say(record)

    async def tidy(self) -> None:
        """Until cancelled: old answers are taken off the broker."""
        while True:
            seen, now_ms = self._store.ends, self._clock.wall_ms()
            try:
                old = await self._store.to_forget(TOPICS, now_ms - TOPICS_MS if now_ms >= SANE_MS else 0)
                for job in old:
                    self._words.forget(job)
                if old:
                    await self._store.forgotten(old)
            except StoreError as error:
                log.warning("command", reason=error.line())
            await self._store.wait_for_ends(seen, TIDY_S)
