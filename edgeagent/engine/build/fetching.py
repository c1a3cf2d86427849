"""The build's second look: is there an engine in a registry that fits, and does it hold here?

First the very engine that is wanted, by its key; then one that differs only in the frames it was calibrated on, by its
subject. Either was signed by a key that is trusted here. It is proven on this device's own frames all the same before
it is used: what holds for a hall of daylight need not hold for a cellar.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future

from edgeagent.engine.build.maker import REFERENCE, Maker
from edgeagent.engine.build.messages import BuildStart
from edgeagent.engine.build.prepared import Prepared
from edgeagent.engine.build.proof import ProofRun
from edgeagent.engine.build.report import BuildReport
from edgeagent.engine.calibration import CalibrationSet
from edgeagent.engine.key import EngineWish, engine_key
from edgeagent.engine.store import EngineStore, Entry
from edgeagent.engine.subject import subject_of, subject_of_facts
from edgeagent.errors import EdgeAgentError, EngineError


class Fetching:
    """Looks for one build into the registries, and at what came from there before. What goes wrong there is noted and
    costs nothing but the look."""

    def __init__(
        self,
        start: BuildStart,
        store: EngineStore,
        report: BuildReport,
        maker: Maker,
        network: Callable[[], Future[Prepared]],
        found: CalibrationSet,
    ) -> None:
        self._start = start
        self._store = store
        self._report = report
        self._maker = maker
        self._network = network
        self._found = found
        self.notes: list[str] = []

    def stored(self, wish: EngineWish) -> Entry | None:
        """The very engine, where it is in the store already and holds here; None where it is not there.

        Raises StoreError or EngineError `engine_quarantined` for one that is there and may not be used.
        """
        entry = self._store.find(engine_key(wish))
        if entry is None or self._holds(entry):
            return entry
        raise EngineError(self.notes[-1], mend="see `edgeagent engine list`", code="engine_quarantined")

    def fetch(self, wish: EngineWish) -> Entry | None:
        """An engine from a registry, in the store and proven here; None when there is none or none that holds."""
        entry = self._pulled_before(wish)
        if entry is None and self._start.registry.urls:
            self._report.tell("fetching", 0, "looking into the registry")
            entry = self._fetched(wish)
        return entry if entry is not None and self._holds(entry) else None

    def _pulled_before(self, wish: EngineWish) -> Entry | None:
        """One for other frames that a person has pulled, or that a build fetched and was killed before its proof."""
        subject = subject_of(wish)
        for manifest in self._store.entries():
            key = manifest.key
            waits = self._store.status(key) == "ready" and not self._store.is_proven(key)
            if waits and subject_of_facts(manifest.facts) == subject:
                return self._store.find(key)
        return None

    def _fetched(self, wish: EngineWish) -> Entry | None:
        from edgeagent.engine.registry.fetch import fetch_engine, limits_of

        registry = self._start.registry
        limits = limits_of(registry.stall_s, registry.timeout_s, registry.max_download_mb)
        try:
            fetched = fetch_engine(
                engine_key(wish),
                registry.urls,
                registry.trusted_keys,
                self._store,
                limits,
                lambda percent, text: self._report.tell("fetching", percent, text),
                subject=subject_of(wish),
            )
        except EdgeAgentError as error:
            reasons = getattr(error, "reasons", ())
            self.notes.extend(f"registry: {one.line()}" for one in reasons if one.message not in error.message)
            self._note(f"registry: {error.line()}")
            return None
        if fetched is None:
            return None
        self.notes.extend(fetched.notes)
        return self._store.find(fetched.key)

    def _holds(self, entry: Entry) -> bool:
        """Whether it is proven here, now or before; one that fails is in quarantine from now on."""
        key = entry.manifest.key
        if self._store.is_proven(key):
            return True
        with self._store.staging(key) as staging, ProofRun() as proof:
            prepared = self._maker.awaited(self._network())
            self._store.write(staging, REFERENCE, prepared.grafted.SerializeToString(deterministic=True))
            try:
                proof_here = self._maker.prove(proof, prepared.facts, self._found, entry.plan_path, staging / REFERENCE)
            except EngineError as error:
                self._note(f"the registry's engine {key[:12]} does not hold here: {error.line()}")
                self._store.quarantine(key, error.error_code, error.line())
                return False
        self._store.note_proven(key, proof_here)
        return True

    def _note(self, text: str) -> None:
        self.notes.append(text)
        self._report.tell("fetching", 100, text)
