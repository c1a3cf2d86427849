"""Whose frames an engine is calibrated with: those of its camera, or of all cameras that are to share it.

INT8 scales follow from frames, so an engine that was calibrated on one camera's frames is another engine than that of
the next camera, and two engines never share a batch. Where a model's engine may take several frames at once, the
pipelines of that model take the frames of all their cameras in turn, and get one engine. Another camera among them
means another set, and another engine.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from edgeagent.app.engine_forms import calibration_name
from edgeagent.app.served import Served
from edgeagent.camera.spec import SourceSpec
from edgeagent.config.schema import Config


@dataclass(frozen=True)
class FramesFrom:
    """The name of the calibration set, and the rings that its frames come from: the pipeline's own, and `others`."""

    name: str
    ring_fd: int
    others: tuple[int, ...] = ()


def frames_from(served: Served, everyone: Iterable[Served], config: Config, model: str) -> FramesFrom:
    """For an engine of `model`, the pipeline's own or another one for it; `everyone` are the pipelines there are."""
    images, layout = config.engines.calibration_images, served.ring.layout
    sharing = _sharing(served, everyone) if images is None and _max_batch(config, model) > 1 else [served]
    cameras = [(one.camera.name, one.camera.source) for one in sharing]
    name = calibration_name(images, cameras, layout.width, layout.height)
    return FramesFrom(name, served.ring.fd, tuple(one.ring.fd for one in sharing if one.ring is not served.ring))


def other_frames(before: Config, now: Config) -> frozenset[str]:
    """The pipelines whose engine is calibrated with frames of other cameras or sources than before, by their own
    change or by that of another one that shares the engine."""
    return frozenset(
        name
        for name in now.pipelines
        if name in before.pipelines and _shown_with(before, name) != _shown_with(now, name)
    )


def _shown_with(config: Config, pipeline: str) -> dict[str, SourceSpec]:
    """The cameras, each with its source, whose frames the pipeline's engine is calibrated with."""
    own = config.pipelines[pipeline]
    shares = config.engines.calibration_images is None and _max_batch(config, own.model) > 1
    others = [one.camera for one in config.pipelines.values() if shares and one.enabled and one.model == own.model]
    return {name: config.cameras[name].source for name in (own.camera, *others) if config.cameras[name].enabled}


def _max_batch(config: Config, model: str) -> int:
    return config.models[model].max_batch or config.engines.max_batch


def _sharing(served: Served, everyone: Iterable[Served]) -> list[Served]:
    """One pipeline of each camera that shows this model frames of this size."""
    size = (served.ring.layout.width, served.ring.layout.height)
    found: dict[str, Served] = {}
    for one in everyone:
        layout = one.ring.layout
        if one.model == served.model and (layout.width, layout.height) == size:
            found.setdefault(one.camera.name, one)
    return list(found.values())
