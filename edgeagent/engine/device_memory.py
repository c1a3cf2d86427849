"""What a store knows beside its entries, true on this device only: records, pipelines, caches, and the locks.

EngineStore builds on it; nothing in here opens a plan. Every method may be called from any thread of any process.
Locks are taken in this order: store, build, record or pipeline.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

from edgeagent.engine.caches import CacheShelf
from edgeagent.engine.entry import SIGNATURE
from edgeagent.engine.locks import try_lock
from edgeagent.engine.manifest import Agreement
from edgeagent.engine.pipelines import PipelineBook
from edgeagent.engine.record import (
    FailureKind,
    Provenance,
    Record,
    after_failure,
    after_quarantine,
    after_use,
    forgiven,
)
from edgeagent.engine.store_files import KEY_PATTERN, Pages, held, make_folder, translated
from edgeagent.engine.wish import GRAFT_VERSION
from edgeagent.errors import StoreError

Status = Literal["absent", "ready", "quarantined"]
SCALES_KEPT = 32


class DeviceMemory:
    """The memory of the store under `root`. Raises StoreError with the reason and the mend."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._locks = root / ".locks"
        with translated("make", root):
            make_folder(self._locks)
        self._records: Pages[Record] = Pages(root / ".local", self._locks, "local", Record())
        self._pipelines = PipelineBook(root / ".pipelines", self._locks)
        self._timings = CacheShelf(root / ".timing", self._locks / "timing")
        self._scales = CacheShelf(root / ".calibration", self._locks / "calibration", SCALES_KEPT)

    @contextlib.contextmanager
    def build_lock(self, key: str) -> Iterator[bool]:
        """Hold the right to build `key`; yields False when another process holds it. The file is never deleted."""
        self._folder(key)
        with ExitStack() as stack:
            with translated("lock", self._locks):
                free = stack.enter_context(try_lock(self._locks / key))
            yield free

    # what happened to an entry here

    def status(self, key: str) -> Status:
        """Whether there is an entry, and whether it may be used. Not verified; why not is `quarantine_reason`."""
        folder = self._folder(key)
        with translated("read", folder):
            there = os.path.lexists(folder)
        if not there:
            return "absent"
        return "quarantined" if self.record(key).quarantine is not None else "ready"

    def record(self, key: str) -> Record:
        """What is known of an entry here. One that lost its record was built here, or fetched if it is signed."""
        folder = self._folder(key)
        record = self._records.read(key)
        if record.first_stored == 0 and os.path.lexists(folder / SIGNATURE):
            return record.model_copy(update={"provenance": Provenance(origin="fetched"), "proven": False})
        return record

    def origin(self, key: str) -> Literal["built", "fetched"]:
        return self.record(key).provenance.origin

    def quarantine_reason(self, key: str) -> str:
        """Why the entry may not be used, "" where it may."""
        quarantine = self.record(key).quarantine
        return quarantine.reason if quarantine is not None else ""

    def note_use(self, key: str) -> None:
        """The engine is being used: of those that may go it goes last from now on."""
        self._change(key, lambda record: after_use(record, self._next_count()))

    def is_proven(self, key: str) -> bool:
        """Whether the engine has agreed with the FP32 network here; one from elsewhere has not, until it did."""
        return self.record(key).proven

    def proof_here(self, key: str) -> Agreement | None:
        """What the proof of an engine from elsewhere has found on this device, None where there was none."""
        return self.record(key).proof

    def note_proven(self, key: str, proof: Agreement) -> None:
        """The engine has agreed with the FP32 network on this device's own frames."""
        self._change(key, lambda record: record.model_copy(update={"proven": True, "proof": proof}))

    def note_failure(self, key: str, kind: FailureKind, reason: str) -> bool:
        """The engine did not load, took its process along, or failed at its work. True when it is in quarantine now.

        The second failure puts it there, of whichever kind; it is kept, listed and not used. An entry that is no
        longer there is not blamed.
        """
        record = self._change(key, lambda before: after_failure(before, kind, reason))
        return record is not None and record.quarantine is not None

    def forget_failures(self, key: str) -> None:
        """The engine has served well for long: what happened before does not count any more. Not for quarantine."""
        self._change(key, lambda record: record if record.quarantine is not None else forgiven(record))

    def quarantine(self, key: str, code: str, reason: str) -> None:
        """Keep the entry and use it no more. `code` is stable, `reason` one line."""
        self._change(key, lambda record: after_quarantine(record, code, reason))

    def release(self, key: str) -> bool:
        """Give an engine another chance, with nothing held against it. False where it was not in quarantine."""
        was = self.status(key) == "quarantined"
        self._change(key, forgiven)
        return was

    def pin(self, key: str) -> None:
        """Never prune this engine. Raises StoreError `no_engine` where it is not there."""
        with self._choosing(shared=True):
            self._there(key)
            self._change(key, lambda record: record.model_copy(update={"pinned": True}))

    def unpin(self, key: str) -> None:
        """Let the engine be pruned again."""
        self._change(key, lambda record: record.model_copy(update={"pinned": False}))

    def _change(self, key: str, change: Callable[[Record], Record]) -> Record | None:
        """Change the record of an entry that is there; the new record, None where there is no entry."""
        folder = self._folder(key)
        with self._records.alone(key):
            if not os.path.lexists(folder):
                return None
            before = self.record(key)
            after = change(before)
            if after != before:
                self._records.write(key, after)
            return after

    def _next_count(self) -> int:
        """A reading of the use counter that is later than all others. Two at the same moment may be equal."""
        records = [self._records.read(name) for name in self._records.names()]
        return 1 + max((max(one.first_stored, one.last_used) for one in records), default=0)

    # pipelines

    def set_active(self, pipeline: str, key: str) -> None:
        """The engine serves this pipeline from now on; the one that did before is the previous one.

        Raises StoreError `no_engine` where it is not there (any more).
        """
        with self._choosing(shared=True):
            self._there(key)
            self._pipelines.set_active(pipeline, key)
            self.note_use(key)

    def active(self, pipeline: str) -> str | None:
        """The key of the engine that serves the pipeline, or did when the device went down. It may be gone."""
        return self._pipelines.roles(pipeline).active or None

    def previous(self, pipeline: str) -> str | None:
        """The key of the engine that served the pipeline before the active one."""
        return self._pipelines.roles(pipeline).previous or None

    def forget_pipelines(self, but: set[str]) -> list[str]:
        """Forget which engines served pipelines other than these, so that those may be pruned; the ones forgotten."""
        return self._pipelines.forget(but)

    def roles(self) -> dict[str, list[str]]:
        """What each engine is to pipelines, by key: `active on line-1`, `previous on line-2`."""
        return self._pipelines.by_key()

    # caches

    def load_timing_cache(self, fingerprint: Mapping[str, str]) -> bytes | None:
        """The builder's kernel timings of this very device and software, or None."""
        return self._timings.load(dict(fingerprint))

    def save_timing_cache(self, fingerprint: Mapping[str, str], data: bytes) -> bool:
        """Keep timings for the next build, at most 64 MB. False where that was not possible; nothing is raised."""
        return self._timings.save(dict(fingerprint), data)

    def load_calibration_cache(
        self, model_digest: str, calibration_digest: str, tensorrt: str, options: Mapping[str, object]
    ) -> bytes | None:
        """Scales that were measured before, or None.

        They follow from the frames and from the network with its grafts, so from `options` (EngineWish.options) too.
        """
        return self._scales.load(_scale_facts(model_digest, calibration_digest, tensorrt, options))

    def save_calibration_cache(
        self, model_digest: str, calibration_digest: str, tensorrt: str, options: Mapping[str, object], data: bytes
    ) -> bool:
        """Keep scales for another placement. False where that was not possible; nothing is raised."""
        return self._scales.save(_scale_facts(model_digest, calibration_digest, tensorrt, options), data)

    # ground

    @contextlib.contextmanager
    def _choosing(self, *, shared: bool = False) -> Iterator[None]:
        """Held alone while entries are chosen to go, shared while one is being made to stay."""
        with held(self._locks / "store", shared=shared):
            yield

    def _sweep_memory(self) -> None:
        """Remove half-written files, and the records of engines that are gone.

        A pin stays, for the day when its engine is built again.
        """
        for shelf in (self._records, self._pipelines, self._timings, self._scales):
            shelf.sweep()
        for key in self._records.names():
            if not os.path.lexists(self._root / key) and not self._records.read(key).pinned:
                with contextlib.suppress(StoreError), self._records.alone(key):
                    if not os.path.lexists(self._root / key):
                        self._records.remove(key)

    def _folder(self, key: str) -> Path:
        if KEY_PATTERN.fullmatch(key) is None:
            raise StoreError(f"{key!r} is no engine key", mend="an engine key has 32 hex digits")
        return self._root / key

    def _there(self, key: str) -> Path:
        if self.status(key) == "absent":
            raise StoreError(
                f"there is no engine {key} in the store", mend="see `edgeagent engine list`", code="no_engine"
            )
        return self._folder(key)


def _scale_facts(model: str, calibration: str, tensorrt: str, options: Mapping[str, object]) -> dict[str, object]:
    facts = {"model": model, "calibration": calibration, "tensorrt": tensorrt, "options": dict(options)}
    return {**facts, "graft_version": GRAFT_VERSION}
