"""The build's second look: is there an engine in a registry that fits, and does it hold here?

First the very engine that is wanted, by its key; then one that differs only in the frames it was calibrated on, by its
subject. Either was signed by a key that is trusted here. It is proven on this device's own frames all the same before
it is used: what holds for a hall of daylight need not hold for a cellar.
"""

from __future__ import annotations

from concurrent.futures import Future

from edgeagent.engine.build.maker import REFERENCE, Maker
from edgeagent.engine.build.messages import BuildStart
from edgeagent.engine.build.prepared import Prepared
from edgeagent.engine.build.proof import ProofRun
from edgeagent.engine.build.report import BuildReport
from edgeagent.engine.calibration import CalibrationSet
from edgeagent.engine.key import EngineWish, engine_key
from edgeagent.engine.store import EngineStore, Entry
from edgeagent.engine.subject import subject_of
from edgeagent.errors import EdgeAgentError


class Fetching:
    """Looks into the registries for one build. What goes wrong there is noted and costs nothing but the look."""

    def __init__(self, start: BuildStart, store: EngineStore, report: BuildReport, maker: Maker) -> None:
        self._start = start
        self._store = store
        self._report = report
        self._maker = maker
        self.notes: list[str] = []

    def fetch(self, wish: EngineWish, network: Future[Prepared], found: CalibrationSet) -> Entry | None:
        """The engine, in the store and proven here; None when there is none or none that holds."""
        if not self._start.registry.urls:
            return None
        self._report.tell("fetching", 0, "looking into the registry")
        entry = self._fetched(wish)
        if entry is None or not self._holds(entry, network, found):
            return None
        return entry

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
            self._note(f"registry: {error.line()}")
            return None
        return self._store.find(fetched.key) if fetched is not None else None

    def _holds(self, entry: Entry, network: Future[Prepared], found: CalibrationSet) -> bool:
        key = entry.manifest.key
        with self._store.staging(key) as staging, ProofRun() as proof:
            prepared = self._maker.awaited(network)
            self._store.write(staging, REFERENCE, prepared.grafted.SerializeToString(deterministic=True))
            try:
                self._maker.prove(proof, prepared.facts, found, entry.plan_path, staging / REFERENCE)
            except EdgeAgentError as error:
                self._note(f"the registry's engine {key[:12]} does not hold here: {error.line()}")
                self._store.quarantine(key, error.error_code, error.line())
                return False
        return True

    def _note(self, text: str) -> None:
        self.notes.append(text)
        self._report.tell("fetching", 100, text)
