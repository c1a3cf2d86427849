"""What is true of an engine on this device only: where it came from, how often it failed here, whether it may go. Pure.

Kept beside the entry and not in its manifest, which may be signed and is the same on every device. Two numbers tell
when it was stored and when it was last used: they come from a counter that only ever rises and not from a clock,
because devices boot in 1970.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from edgeagent.engine.manifest import Agreement

FailureKind = Literal["load", "crash", "run"]
FAILURES_TO_QUARANTINE = 2
LONGEST_REASON = 500
CODES: dict[FailureKind, str] = {"load": "engine_load", "crash": "engine_crashed", "run": "engine_run"}
FIELDS: dict[FailureKind, str] = {"load": "load_failures", "crash": "crashes", "run": "run_failures"}
ONCE: dict[FailureKind, str] = {"crash": "crashed its process", "load": "did not load", "run": "failed at its work"}

Count = Annotated[int, Field(ge=0)]


class _Part(BaseModel):
    # Fields that a later release has added are passed over: a record must be readable after a downgrade.
    model_config = ConfigDict(frozen=True, extra="ignore")


class Provenance(_Part):
    """Where this device got the engine. `url` and `signer` (a key id) are empty where it was built here."""

    origin: Literal["built", "fetched"] = "built"
    url: str = ""
    signer: str = ""


class Quarantine(_Part):
    """Why an engine is kept and not used. `code` is stable, `reason` is one line."""

    code: str
    reason: str


class Record(_Part):
    """One engine's record. `first_stored` and `last_used` are readings of the store's use counter, 0 for never.

    `proven`: it has agreed with the FP32 network on this device's own frames. One that was built here has, to get here.
    `proof`: what the proof of one from elsewhere has found here.
    """

    provenance: Provenance = Provenance()
    first_stored: Count = 0
    last_used: Count = 0
    pinned: bool = False
    load_failures: Count = 0
    crashes: Count = 0
    run_failures: Count = 0
    last_failure: str = ""
    quarantine: Quarantine | None = None
    proven: bool = True
    proof: Agreement | None = None

    @property
    def failures(self) -> int:
        return self.load_failures + self.crashes + self.run_failures


class Roles(_Part):
    """The engines of one pipeline, by key: the one that serves and the one before it, "" for none."""

    active: str = ""
    previous: str = ""

    def with_active(self, key: str) -> Roles:
        """After `key` has become the active one; the one before stays known when it was active already."""
        return self if key == self.active else Roles(active=key, previous=self.active)


def fresh(before: Record, provenance: Provenance, counter: int) -> Record:
    """The record of an entry that is put into the store now. Of an earlier entry of the same key only the pin stays."""
    proven = provenance.origin == "built"
    return Record(provenance=provenance, first_stored=counter, last_used=counter, pinned=before.pinned, proven=proven)


def after_use(record: Record, counter: int) -> Record:
    return record.model_copy(update={"last_used": max(record.last_used, counter)})


def after_failure(record: Record, kind: FailureKind, reason: str) -> Record:
    """One more failure; with the second one, of whichever kind, the engine is in quarantine."""
    line = one_line(reason)
    field = FIELDS[kind]
    counted = record.model_copy(update={field: getattr(record, field) + 1, "last_failure": line})
    if counted.failures < FAILURES_TO_QUARANTINE or counted.quarantine is not None:
        return counted
    ways = [words for other, words in ONCE.items() if getattr(counted, FIELDS[other])]
    what = " and ".join(ways) if len(ways) > 1 else f"{ways[0]} twice"
    return after_quarantine(counted, CODES[kind], f"it {what}: {line}")


def after_quarantine(record: Record, code: str, reason: str) -> Record:
    """In quarantine; the first reason stays."""
    if record.quarantine is not None:
        return record
    return record.model_copy(update={"quarantine": Quarantine(code=code, reason=one_line(reason))})


def forgiven(record: Record) -> Record:
    """Out of quarantine, nothing held against it."""
    clean = {"quarantine": None, "load_failures": 0, "crashes": 0, "run_failures": 0, "last_failure": ""}
    return record.model_copy(update=clean)


def one_line(text: str) -> str:
    """A reason as one line of bounded length."""
    line = " ".join(text.split())
    return line if len(line) <= LONGEST_REASON else line[: LONGEST_REASON - 1] + "…"
