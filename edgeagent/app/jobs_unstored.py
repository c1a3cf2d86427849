"""Commands on a disk that takes no record of them. Those that change nothing are done all the same: a person needs them
most then, and a second time does no harm. All others are refused: no effect without a memory of it.

Their answers are not retained, because nobody would take them off the broker later. The newest last words are kept in
memory, so that a command that is delivered twice is answered with the one that it had.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from edgeagent.app.command_kind import CommandKind, Life
from edgeagent.app.job_intake import Arrived, Known, Refusal, Taken, judge_arrived
from edgeagent.app.job_words import JobWords
from edgeagent.clock import Clock
from edgeagent.errors import StoreError
from edgeagent.fleet.job_record import JobRecord

KEPT: Final = 64


class JobsUnstored:
    """`judge_here`: what only the device can tell of a command that is fresh."""

    def __init__(
        self,
        kinds: Mapping[str, CommandKind],
        words: JobWords,
        life: Life,
        clock: Clock,
        judge_here: Callable[[Taken], Taken | Refusal],
    ) -> None:
        self._kinds = kinds
        self._words = words
        self._life = life
        self._clock = clock
        self._judge_here = judge_here
        self._records: dict[str, JobRecord] = {}

    def find(self, job: str) -> JobRecord | None:
        """What became of a command that was done without a record."""
        return self._records.get(job)

    def look(self, arrived: Arrived, error: StoreError) -> Taken | None:
        """The command, if it may be done without a record; else it is answered."""
        kind = self._kinds.get(arrived.name)
        if kind is None or not kind.only_looks:
            self._answer(Refusal(arrived, arrived.id, error.error_code, error.line()))
            return None
        verdict = judge_arrived(arrived, self._records.get(arrived.id), None, self._clock.wall_ms())
        if isinstance(verdict, Taken):
            verdict = self._judge_here(verdict)
        if isinstance(verdict, Taken):
            return verdict
        if isinstance(verdict, Known):
            self._words.say_beside(verdict.asked(verdict.record))
        else:
            self._answer(verdict)
        return None

    def say(self, record: JobRecord) -> None:
        """A step of one that is done without a record."""
        self._records.pop(record.id, None)
        self._records[record.id] = record
        if len(self._records) > KEPT:
            del self._records[next(iter(self._records))]
        self._words.say_beside(record)

    def _answer(self, refusal: Refusal) -> None:
        if refusal.id:
            self._words.say_beside(refusal.record(self._life, self._clock))
        else:
            self._words.unanswerable(refusal.arrived.name, refusal.code, refusal.reason)
