"""An engine that costs the board less than the one a pipeline has: of a smaller model, or for a DLA, out of the store.

Only engines that are there already: nothing is built or fetched to shed load. One whose INT8 scales come from other
frames than this camera's is good enough here, where it agrees with its reference: it was built by a person beforehand,
and serves for a while. May take a while on a slow disk; never on the event loop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from edgeagent.app.engine_forms import Site, builder_for, candidates_for, engine_wish, plugin_digests
from edgeagent.app.engine_job import Wanted
from edgeagent.app.engine_look import EngineLook, Ready
from edgeagent.app.served import Served
from edgeagent.config.engine_tables import EngineSettings
from edgeagent.engine.choice import Candidate
from edgeagent.engine.store import EngineStore
from edgeagent.engine.subject import subject_of, subject_of_facts
from edgeagent.errors import EngineError

NO_LESSER_ENGINE = "no_lesser_engine"
NAMES = {"dla": "a DLA"}


@dataclass(frozen=True)
class Lesser:
    """The engine, and the model that it is of: its id and its classes."""

    ready: Ready
    model: str
    classes: tuple[str, ...]


class LesserEngines:
    """`wanted` makes a pipeline's wish for an engine of the model with that id."""

    def __init__(
        self,
        store: Callable[[], EngineStore],
        settings: EngineSettings,
        site: Site,
        wanted: Callable[[Served, str], Wanted],
    ) -> None:
        self._store = store
        self._settings = settings
        self._site = site
        self._wanted = wanted

    def find(self, served: Served, model: str, placement: str) -> Lesser:
        """Of that model (empty: the pipeline's own) for that placement (empty: the pipeline's).

        Raises EdgeAgentError, which says why there is none.
        """
        wanted = self._wanted(served, model or served.model)
        self._check_fit(served, wanted)
        own = settings = self._settings.placed(wanted.placement)
        if placement:
            settings = settings.model_copy(update={"placement": placement, "dla_fallback": "refuse"})
        plugins = plugin_digests(settings) if self._site.backend == "tensorrt" else {}
        look = EngineLook(self._store(), settings, self._site, wanted.bundle, wanted.calibration, plugins)
        for candidate in self._forms(settings, own, wanted):
            with suppress(EngineError):
                ready = look.find([candidate]) or self._alike(settings, wanted, candidate, plugins)
                if ready is not None:
                    return Lesser(ready, model or served.model, tuple(wanted.bundle.spec.classes))
        place = f" for {NAMES.get(placement, placement)}" if placement else ""
        raise EngineError(
            f"no engine of {wanted.bundle.spec.name}{place} is ready in the store",
            mend=f"build it while the board is cool: `edgeagent engine build {wanted.model}"
            + (f" --placement {placement}`" if placement else "`"),
            code=NO_LESSER_ENGINE,
        )

    def _forms(self, settings: EngineSettings, own: EngineSettings, wanted: Wanted) -> Sequence[Candidate]:
        try:
            return candidates_for(settings, self._site, wanted.bundle, wanted.max_batch)
        except EngineError as error:
            if settings.placement == own.placement:
                raise
            why = error.message.partition(": ")[2] or "ONNX Runtime computes on the CPU"
            raise EngineError(f"its engine cannot move: {why}", code=NO_LESSER_ENGINE) from error

    def _alike(
        self, settings: EngineSettings, wanted: Wanted, candidate: Candidate, plugins: dict[str, str]
    ) -> Ready | None:
        """An engine that differs only in the frames that it was calibrated on."""
        store = self._store()
        builder = builder_for(settings, self._site, candidate, plugins)
        subject = subject_of(engine_wish(self._site, wanted.bundle, candidate, builder, ""))
        for manifest in store.entries():
            key, proven = manifest.key, store.proof_here(manifest.key) or manifest.agreement
            usable = store.status(key) == "ready" and store.is_proven(key)
            agrees = proven is None or proven.value >= settings.min_agreement
            if usable and agrees and subject_of_facts(manifest.facts) == subject:
                entry = store.find(key)
                return Ready(entry, "store", candidate, store.proof_here(key)) if entry is not None else None
        return None

    @staticmethod
    def _check_fit(served: Served, wanted: Wanted) -> None:
        """Raises EngineError for a model that takes other pictures, or does not know the classes to keep."""
        spec, layout = wanted.bundle.spec, served.ring.layout
        if (spec.input.width, spec.input.height) != (layout.width, layout.height):
            raise EngineError(
                f"the model {spec.name} takes pictures of {spec.input.width}x{spec.input.height}, the pipeline's are "
                f"{layout.width}x{layout.height}",
                mend="name one of the same size",
                code=NO_LESSER_ENGINE,
            )
        unknown = [name for name in served.settings.classes or () if name not in spec.classes]
        if unknown:
            raise EngineError(
                f"the model {spec.name} knows no {', '.join(unknown)}",
                mend=f"its classes are: {', '.join(spec.classes)}",
                code=NO_LESSER_ENGINE,
            )
