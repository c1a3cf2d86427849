"""A pipeline as the agent knows it while it runs: its settings, its engines, where it is, and what was counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from edgeagent.app.after_engine import after_engine
from edgeagent.app.cameras import Camera
from edgeagent.app.looks import Looks
from edgeagent.app.losses import Losses
from edgeagent.app.rings import Ring
from edgeagent.config.pipeline_table import PipelineSettings
from edgeagent.engine.manifest import Manifest
from edgeagent.health.latency import Gauge
from edgeagent.inference.accelerators import Accelerator
from edgeagent.inference.messages import Pace, PipelineStart


@dataclass
class Served:
    """`start` is what it shall run, `running` what its results come from, `before` what it ran before that in the same
    child; `pace` is what it may do.

    `at` is the accelerator whose child has it, or is to have it. While it moves, the child at `leaves` serves it until
    the one at `at` is `warm`; `came_to` is then the last frame that was looked at there, until it is loaded here.
    """

    name: str
    settings: PipelineSettings
    camera: Camera
    ring: Ring
    classes: list[str]
    model: str
    start: PipelineStart | None = None
    running: PipelineStart | None = None
    before: PipelineStart | None = None
    pace: Pace | None = None
    shed_since_ns: int | None = None
    loaded: bool = False
    given_up: bool = False
    at: Accelerator | None = None
    leaves: Accelerator | None = None
    warm: bool = False
    came_to: int = 0
    gauge: Gauge = field(default_factory=Gauge)
    dropped_told: int = 0
    shed: int = 0
    shed_before: int = 0
    shed_told: int = 0
    last_frame: int = 0
    last_track: int = 0
    looks: Looks = field(default_factory=Looks)
    losses: Losses = field(default_factory=Losses)

    @property
    def serves_at(self) -> Accelerator | None:
        """Whose child its results come from."""
        return self.leaves or self.at

    @property
    def waits(self) -> bool:
        """Whether the child at `at` may not begin with it yet: another one serves it, or the ring of a file played once
        does not wait for that child so far."""
        return self.leaves is not None or (
            self.at is not None and self.ring.lossless_only and not self.ring.is_read_by(self.at)
        )

    def start_now(self) -> PipelineStart | None:
        """`start`, for a child that must not give numbers to things that were given before."""
        if self.start is None:
            return None
        start = self.start.behind(self.came_to, self.last_track + 1)
        return start.model_copy(update={"waits": self.waits})

    def count_anew(self, dropped: int, torn: int) -> None:
        """Another child counts for it from now on, from 0; `dropped` and `torn` so far in the ring where it reads."""
        self.shed_before = self.shed
        self.looks.child_started()
        self.losses.child_started(torn)
        self.dropped_told = dropped


def start_of(
    served: Served,
    manifest: Manifest,
    plan: str,
    *,
    dla_core: int | None = None,
    plugins: Sequence[str] = (),
    model: str = "",
    classes: Sequence[str] = (),
) -> PipelineStart:
    """The pipeline on this engine. `dla_core`: where one made for a DLA runs; `model` and its `classes`: where it is
    another one than the pipeline's own."""
    settings, names = served.settings, list(classes or served.classes)
    return PipelineStart(
        pipeline=served.name,
        ring=served.ring.id,
        backend=manifest.backend,
        plan=plan,
        engine=manifest.key,
        classes=names,
        keep=[names.index(c) for c in settings.classes] if settings.classes else None,
        min_score=settings.min_score,
        iou=settings.iou if manifest.network is None or manifest.network.nms else None,
        max_detections=settings.max_detections,
        min_interval_s=_interval_s(settings),
        model=model or served.model,
        dla_core=dla_core if manifest.placement == "dla" else None,
        plugins=tuple(plugins),
        priority=settings.priority,
        after=after_engine(settings),
    )


def restarted(start: PipelineStart, settings: PipelineSettings) -> PipelineStart:
    """The same engine on the same ring, with other settings."""
    return start.model_copy(
        update={
            "keep": [start.classes.index(c) for c in settings.classes if c in start.classes]
            if settings.classes
            else None,
            "min_score": settings.min_score,
            "iou": settings.iou if start.iou is not None else None,
            "max_detections": settings.max_detections,
            "min_interval_s": _interval_s(settings),
            "priority": settings.priority,
            "after": after_engine(settings),
        }
    )


def _interval_s(settings: PipelineSettings) -> float:
    return 1.0 / settings.max_results_per_s if settings.max_results_per_s else 0.0


def summary_of(served: Served, interval_s: float, dropped: int, now_ns: int) -> dict[str, object]:
    """What a pipeline did since this was last asked. `dropped`: frames that its child has not looked at so far."""
    window = served.gauge.take()
    values: dict[str, object] = {
        "interval_s": round(interval_s, 3),
        "fps": round(window.results / interval_s, 2),
        "results": window.results,
        "detections": window.detections,
        "dropped": max(0, dropped - served.dropped_told),
        **served.losses.tell(),
        **_shed(served, now_ns),
        **(served.looks.tell() if served.settings.results == "change" else {}),
    }
    served.dropped_told = dropped
    if window.results:
        values |= {
            "lat_p50_ms": window.p50_ms,
            "lat_p95_ms": window.p95_ms,
            "lat_p99_ms": window.p99_ms,
            "engine_ms": window.engine_ms,
        }
    return values


def _shed(served: Served, now_ns: int) -> dict[str, object]:
    """What a pipeline has given up since this was last asked. What its camera left out counts, too: a camera does that
    only while each of its pipelines is paused."""
    share = served.pace.share if served.pace is not None else 1.0
    whole = served.shed + served.camera.state.shed
    new, served.shed_told = max(0, whole - served.shed_told), whole
    since_ns = served.shed_since_ns
    return {
        "shed": new,
        "share_percent": round(share * 100, 1),
        "shed_s": round((now_ns - since_ns) / 1e9, 1) if since_ns is not None else 0.0,
    }
