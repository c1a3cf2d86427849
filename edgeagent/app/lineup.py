"""Which cameras and pipelines run, with which models: the config against what is on the disk.

A model that is wrong costs its own pipelines, not the others. Where only its network cannot be read, the pipelines run
all the same: an engine that served before may serve on.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from edgeagent.app.after_engine import check_tracking
from edgeagent.app.cameras import Camera
from edgeagent.app.models import local_path
from edgeagent.app.publisher import Publisher
from edgeagent.app.served import Served
from edgeagent.app.wiring import check_classes
from edgeagent.config.pipeline_table import PipelineSettings
from edgeagent.config.schema import CameraSettings, Config
from edgeagent.engine.bundle import ModelBundle, ModelSpec, load_bundle, load_spec_alone
from edgeagent.errors import EdgeAgentError, ModelError

Size = tuple[int, int]


class Lineup:
    """`bundles` by model id; `refused` by pipeline: why it cannot run. `no_backend` refuses all of them.

    `broken` by model id: why its network cannot be read, and what is known of it without.
    """

    def __init__(self, config: Config, no_backend: EdgeAgentError | None) -> None:
        self._config = config
        self._no_backend = no_backend
        self.bundles: dict[str, ModelBundle] = {}
        self.broken: dict[str, tuple[ModelError, ModelBundle]] = {}
        self.refused: dict[str, EdgeAgentError] = {}
        for name, settings in config.pipelines.items():
            if settings.enabled:
                self._load(name, settings)

    def _load(self, name: str, settings: PipelineSettings) -> None:
        try:
            if self._no_backend is not None:
                raise self._no_backend
            check_tracking(name, settings)
            check_classes(name, settings, self._whole_or_broken(settings.model))
        except EdgeAgentError as error:
            self.refused[name] = error

    def _whole_or_broken(self, model: str) -> ModelBundle:
        if model in self.broken:
            return self.broken[model][1]
        try:
            return self.bundle(model)
        except ModelError as error:
            try:
                known = load_spec_alone(self.model_path(model))
            except ModelError:
                raise error from None
            self.broken[model] = error, known
            return known

    def _spec(self, model: str) -> ModelSpec:
        return self.broken[model][1].spec if model in self.broken else self.bundles[model].spec

    def bundle(self, model: str) -> ModelBundle:
        """The bundle of any model of the config, one that a pipeline may fall back on among them. Raises ModelError."""
        if model not in self.bundles:
            self.bundles[model] = load_bundle(self.model_path(model))
        return self.bundles[model]

    def model_path(self, model: str) -> str:
        """Where the model's bundle lies. Raises ModelError for one that has not come from its registry yet."""
        return local_path(self._config.models[model].path, Path(self._config.device.state_dir))

    def cameras(self) -> dict[str, tuple[CameraSettings, list[Size]]]:
        """The enabled cameras, each with the sizes of the rings that its pipelines want."""
        wanted = [p for name, p in self._config.pipelines.items() if p.enabled and name not in self.refused]
        found = {}
        for name, settings in self._config.cameras.items():
            if settings.enabled:
                inputs = [self._spec(p.model).input for p in wanted if p.camera == name]
                found[name] = settings, sorted({(i.width, i.height) for i in inputs})
        return found

    def pipelines(self, cameras: Mapping[str, Camera], publisher: Publisher) -> list[Served]:
        """The pipelines that can run; one whose camera is disabled is told."""
        served = []
        for name, settings in self._config.pipelines.items():
            if settings.enabled and settings.camera not in cameras:
                publisher.note(f"pipeline/{name}", "degraded", f"its camera {settings.camera} is disabled")
            if not settings.enabled or settings.camera not in cameras or name in self.refused:
                continue
            spec, camera = self._spec(settings.model), cameras[settings.camera]
            ring = camera.rings[spec.input.width, spec.input.height]
            served.append(Served(name, settings, camera, ring, spec.classes, settings.model))
        return served
