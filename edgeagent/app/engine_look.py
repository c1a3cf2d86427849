"""Looking for an engine that is there already: in the form asked for, made elsewhere of a like kind, or a stand-in.

May take a while on a slow disk: every plan is read whole and compared with its digest. Never on the event loop.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from edgeagent.app.engine_forms import Site, builder_for, engine_wish
from edgeagent.config.engine_tables import EngineSettings
from edgeagent.engine.build.messages import Origin
from edgeagent.engine.bundle import ModelBundle
from edgeagent.engine.calibration import find_set
from edgeagent.engine.choice import Candidate
from edgeagent.engine.key import EngineWish, engine_facts, engine_key
from edgeagent.engine.manifest import Agreement, Manifest, batch_of
from edgeagent.engine.store import EngineStore, Entry
from edgeagent.engine.subject import subject_of, subject_of_facts
from edgeagent.engine.variant import Variant
from edgeagent.errors import EngineError

MEANWHILE = "serves until another is ready"
SAME_FACTS = ("key_schema", "graft_version", "shapes", "backend", "fingerprint")


@dataclass(frozen=True)
class Ready:
    """A verified engine for a pipeline, where it came from, and the form it has. `proof`: what its proof on this
    device has found, where it came from elsewhere."""

    entry: Entry
    origin: Origin
    candidate: Candidate
    proof: Agreement | None = None

    @property
    def agreement(self) -> Agreement | None:
        return self.proof or self.entry.manifest.agreement

    @property
    def from_store(self) -> bool:
        return self.origin == "store"


class EngineLook:
    """Looks into the store for one pipeline's model."""

    def __init__(
        self,
        store: EngineStore,
        settings: EngineSettings,
        site: Site,
        bundle: ModelBundle,
        calibration: Path,
        plugins: dict[str, str],
    ) -> None:
        self._store = store
        self._settings = settings
        self._site = site
        self._bundle = bundle
        self._calibration = calibration
        self._plugins = plugins

    def find(self, candidates: list[Candidate]) -> Ready | None:
        """The first of these forms that is in the store: with this camera's calibration data, else with others' that
        a registry gave. The last is the one to be made now, those before it have come to nothing already.

        Raises EngineError where that last one is there and may not be used.
        """
        digest = calibration_digest(self._calibration, self._settings)
        for candidate in candidates[:-1]:
            with suppress(EngineError):
                if (ready := self._usable(candidate, digest)) is not None:
                    return ready
        return self._usable(candidates[-1], digest)

    def _usable(self, candidate: Candidate, digest: str) -> Ready | None:
        wish = self._wish(candidate, digest)
        entry = self._exact(wish, digest) or self._alike(wish)
        if entry is None or not self._store.is_proven(entry.manifest.key):
            return None  # one from elsewhere is proven by the build, which finds it in the store
        ready = Ready(entry, "store", candidate, self._store.proof_here(entry.manifest.key))
        self._check_agreement(ready)
        return ready

    def _wish(self, candidate: Candidate, digest: str) -> EngineWish:
        builder = builder_for(self._settings, self._site, candidate, self._plugins)
        return engine_wish(self._site, self._bundle, candidate, builder, digest)

    def _exact(self, wish: EngineWish, digest: str) -> Entry | None:
        if wish.quantisation in ("calibrator", "qdq") and not digest:
            return None
        key = engine_key(wish)
        if self._store.status(key) == "quarantined":
            raise EngineError(
                f"the engine {key[:12]} is in quarantine: {self._store.quarantine_reason(key)}",
                mend=f"`edgeagent engine release {key[:12]}` gives it another chance",
                code="engine_quarantined",
            )
        return self._store.find(key)

    def _alike(self, wish: EngineWish) -> Entry | None:
        """An engine that came from a registry and differs only in the frames it was calibrated on."""
        subject = subject_of(wish)
        for manifest in self._store.entries():
            if subject_of_facts(manifest.facts) == subject and self._store.origin(manifest.key) == "fetched":
                usable = self._store.status(manifest.key) == "ready" and self._store.is_proven(manifest.key)
                entry = self._store.find(manifest.key) if usable else None
                if entry is not None:
                    return entry
        return None

    def _check_agreement(self, ready: Ready) -> None:
        """An engine proven under a lower demand does not meet a higher one by lying in the store."""
        proven, entry = ready.agreement, ready.entry
        if proven is not None and proven.value < self._settings.min_agreement:
            raise EngineError(
                f"the engine {entry.manifest.key[:12]} agrees with the FP32 network to {proven.value:.3f} only, and "
                f"engines.min_agreement is {self._settings.min_agreement}",
                mend="lower it, or allow another precision in engines.precision_fallback",
                code="engine_disagrees",
            )

    def stand_in(self, pipeline: str, forms: Sequence[Candidate] = ()) -> Ready | None:
        """The engine that served this pipeline before, where it is one of this model on this very board; else the first
        of `forms` that is in the store.

        The model may have been another version: what the bundle holds now may never become an engine.
        """
        for key in (self._store.active(pipeline), self._store.previous(pipeline)):
            entry = self._store.find(key) if key and self._store.status(key) == "ready" else None
            if entry is not None and self._same_ground(entry.manifest):
                return Ready(entry, "store", Candidate(_variant(entry.manifest), reason=MEANWHILE))
        digest = calibration_digest(self._calibration, self._settings) if forms else ""
        for form in forms:
            with suppress(EngineError):
                if (ready := self._usable(form, digest)) is not None:
                    return replace(ready, candidate=replace(form, reason=MEANWHILE))
        return None

    def _same_ground(self, manifest: Manifest) -> bool:
        before, model = manifest.model, self._bundle.spec
        if (before.name, before.task, before.classes) != (model.name, model.task, model.classes):
            return False  # it would report something else than what was asked for
        now = engine_facts(self._wish(Candidate(_variant(manifest)), manifest.calibration_digest))
        return all(manifest.facts.get(name) == now[name] for name in SAME_FACTS)


def calibration_digest(calibration: Path, settings: EngineSettings) -> str:
    """The digest of the calibration set that is there, "" where none is or it is too small."""
    found = find_set(calibration)
    enough = settings.calibration_frames + settings.holdout_frames
    return found.record.digest if found is not None and len(found.record.files) >= enough else ""


def _variant(manifest: Manifest) -> Variant:
    return Variant(manifest.precision, manifest.quantisation, manifest.placement, batch_of(manifest))
