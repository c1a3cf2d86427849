"""The infer child and what it reports: engines go in, results come out and onto MQTT."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random

import structlog

from edgeagent.app.after_engine import after_engine, with_first_track
from edgeagent.app.cameras import Camera, Ring
from edgeagent.app.looks import Looks
from edgeagent.app.losses import Losses
from edgeagent.app.publisher import Publisher
from edgeagent.clock import Clock
from edgeagent.config.pipeline_table import PipelineSettings
from edgeagent.engine.manifest import Manifest
from edgeagent.health.latency import Gauge
from edgeagent.inference.messages import (
    INFER_WORDS,
    FrameResult,
    InferStart,
    InferStats,
    Loaded,
    LoadFailed,
    LoadPipeline,
    NoNumbers,
    Pace,
    PipelineStart,
    RingInput,
    RunFailed,
    SetPace,
    Snapshot,
    TakeSnapshot,
)
from edgeagent.inference.result_line import cut_result, is_result
from edgeagent.supervise.child import ChildSpec
from edgeagent.supervise.supervisor import ChildState, Supervisor

log = structlog.get_logger("infer")

CRASH_SIGNALS = {signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL}
CRASH_CODES = {"gpu_lost", "engine_stuck"}  # a child that has ended itself because of an engine, or of the GPU


@dataclass
class Served:
    """A pipeline as the infer child runs it. `start` is what it shall run, `running` what its results come from,
    `before` what it ran before that; `pace` is what it may do."""

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
    gauge: Gauge = field(default_factory=Gauge)
    dropped_told: int = 0
    shed: int = 0
    shed_before: int = 0
    shed_told: int = 0
    last_track: int = 0
    looks: Looks = field(default_factory=Looks)
    losses: Losses = field(default_factory=Losses)

    def start_now(self) -> PipelineStart | None:
        """`start`, for a child that must not give numbers to things that were given before."""
        if self.start is None:
            return None
        return self.start.model_copy(update={"after": with_first_track(self.start.after, self.last_track + 1)})


class InferDesk:
    """One infer child (accelerator `cpu`) for all pipelines."""

    def __init__(
        self,
        pipelines: list[Served],
        threads: int,
        publisher: Publisher,
        clock: Clock,
        rng: Random,
        *,
        max_delay_ms: float = 0.0,
        canary_s: float = 0.0,
    ) -> None:
        self._pipelines = {served.name: served for served in pipelines}
        self._threads = threads
        self._max_delay_ms = max_delay_ms
        self._canary_s = canary_s
        self._canaries: dict[str, tuple[float, ...]] = {}
        self._publisher = publisher
        self._clock = clock
        self._asked: dict[int, Callable[[Snapshot], None]] = {}
        self._asked_last = 0
        self.on_loaded: Callable[[Served], None] = lambda served: None
        self.on_idle: Callable[[str], None] = lambda pipeline: None  # it has no engine any more
        self.on_load_failed: Callable[[Served, str, str], None] = lambda served, engine, text: None
        self.on_crash: Callable[[str, str], None] = lambda engine, text: None
        self.on_gpu_lost: Callable[[str], None] = lambda text: None
        self.on_run_failed: Callable[[Served, str, str], None] = lambda served, engine, text: None
        self._measured_ns = clock.monotonic_ns()
        self.name = "infer/cpu"
        self.supervisor = Supervisor("infer-cpu", self._spec, self._take, self._child_changed, clock, rng)
        self._rings = {served.ring.id: served.ring for served in pipelines}
        self._dropped: dict[str, int] = {}
        self._dropped_before: dict[str, int] = {}

    def _spec(self) -> ChildSpec:
        self._dropped_before = {ring: self.dropped(ring) for ring in self._rings}
        self._dropped = {}
        for served in self._pipelines.values():
            served.shed_before = served.shed
            served.looks.child_started()
            served.losses.child_started()
        rings = [
            RingInput(id=ring.id, fd=ring.fd, wake_fd=ring.wake_fd, lossless_only=ring.lossless_only)
            for ring in self._rings.values()
        ]
        starts = [
            self._with_canary(start) for served in self._pipelines.values() if (start := served.start_now()) is not None
        ]
        paces = tuple(served.pace for served in self._pipelines.values() if served.pace is not None)
        return ChildSpec(
            name="infer-cpu",
            module="edgeagent.inference.infer_child",
            first=InferStart(
                rings=rings,
                pipelines=starts,
                threads=self._threads,
                paces=paces,
                max_delay_ms=self._max_delay_ms,
                canary_s=self._canary_s,
            ),
            pass_fds=[fd for ring in self._rings.values() for fd in (ring.fd, ring.wake_fd)],
            environment={"OMP_NUM_THREADS": str(self._threads)},
        )

    def change(
        self, pipelines: list[Served], threads: int, *, max_delay_ms: float = 0.0, canary_s: float = 0.0
    ) -> None:
        """Run these from the next start of the child on; between two runs of the supervisor only."""
        self._pipelines = {served.name: served for served in pipelines}
        self._rings = {served.ring.id: served.ring for served in pipelines}
        self._threads, self._max_delay_ms, self._canary_s = threads, max_delay_ms, canary_s

    async def resettle(self, name: str) -> None:
        """The pipeline's settings have changed: its engine is loaded anew with them, beside the one that runs."""
        served = self._pipelines[name]
        if served.start is not None:
            served.start, served.loaded = restarted(served.start, served.settings), False
            await self.supervisor.send(LoadPipeline(pipeline=self._with_canary(served.start_now() or served.start)))

    async def serve(
        self,
        name: str,
        manifest: Manifest,
        plan: str,
        *,
        dla_core: int = 0,
        plugins: Sequence[str] = (),
        model: str = "",
        classes: Sequence[str] = (),
    ) -> None:
        """Let the pipeline run on this engine from now on. `dla_core`: where one made for a DLA runs; `model` and its
        `classes`: where it is another one than the pipeline's own."""
        served = self._pipelines[name]
        settings, names = served.settings, list(classes or served.classes)
        keep = [names.index(c) for c in settings.classes] if settings.classes else None
        served.start = PipelineStart(
            pipeline=name,
            ring=served.ring.id,
            backend=manifest.backend,
            plan=plan,
            engine=manifest.key,
            classes=names,
            keep=keep,
            min_score=settings.min_score,
            iou=settings.iou if manifest.network is None or manifest.network.nms else None,
            max_detections=settings.max_detections,
            min_interval_s=1.0 / settings.max_results_per_s if settings.max_results_per_s else 0.0,
            model=model or served.model,
            dla_core=dla_core if manifest.placement == "dla" else None,
            plugins=tuple(plugins),
            priority=settings.priority,
            after=after_engine(settings),
        )
        await self.supervisor.send(LoadPipeline(pipeline=self._with_canary(served.start_now() or served.start)))

    def _with_canary(self, start: PipelineStart) -> PipelineStart:
        """With what the engine said of its canary when it was first loaded, by whichever child."""
        return start.model_copy(update={"canary": self._canaries.get(start.engine, ())})

    async def renew(self) -> list[Served]:
        """End the child between two pieces of its work and start it again; the pipelines that it loads anew."""
        again = [served for served in self._pipelines.values() if served.start is not None]
        for served in again:
            served.loaded = False
        await self.supervisor.renew()
        return again

    async def ask_snapshot(self, pipeline: str, *, drawn: bool, on_taken: Callable[[Snapshot], None]) -> None:
        """A picture of the next frame that the pipeline looks at; it is published, and told to who asked."""
        self._asked_last += 1
        self._asked = {**dict(list(self._asked.items())[-15:]), self._asked_last: on_taken}
        await self.supervisor.send(TakeSnapshot(pipeline=pipeline, drawn=drawn, asked=self._asked_last))

    async def pace(self, pace: Pace) -> None:
        """Let a pipeline do so much from now on, whatever engine it has. Holds for a restarted child, too."""
        self._pipelines[pace.pipeline].pace = pace
        await self.supervisor.send(SetPace(pace=pace))

    def dropped(self, ring: str) -> int:
        """Frames of that ring nobody looked at, over all lives of the child."""
        return self._dropped_before.get(ring, 0) + self._dropped.get(ring, 0)

    def _take(self, line: bytes) -> None:
        if is_result(line):
            self._result(*cut_result(line))
            return
        word = INFER_WORDS.validate_json(line)
        if isinstance(word, InferStats):
            self._stats(word)
        elif isinstance(word, Snapshot):
            self._snapshot(word)
        elif isinstance(word, Loaded):
            self._loaded(word)
        elif isinstance(word, LoadFailed):
            self._load_failed(word)
        elif isinstance(word, RunFailed):
            self._run_failed(word)
        elif isinstance(word, NoNumbers):
            text = f"the engine {word.engine[:12]} gives values that are no numbers; what it gives beside them is kept"
            self._publisher.event("engine-no-numbers", "warning", text, pipeline=word.pipeline, engine=word.engine)

    def _result(self, word: FrameResult, detections: bytes) -> None:
        served = self._pipelines[word.pipeline]
        running = served.running or served.start
        if running is None:
            return  # the last words of an engine that was taken away
        served.last_track = max(served.last_track, word.last_track)
        latency_ms = (self._clock.monotonic_ns() - word.capture_ns) / 1e6
        values = {
            "frame": word.frame,
            "capture_ts": word.capture_ms,
            "lat_ms": round(latency_ms, 2),
            "ring_ms": round(word.ring_ms, 2),
            "wait_ms": round(word.wait_ms, 2),
            "engine_ms": round(word.engine_ms, 2),
            "post_ms": round(word.post_ms, 2),
            "publish_ms": round(max(0.0, latency_ms - word.ring_ms - word.wait_ms - word.engine_ms - word.post_ms), 2),
            "width": word.width,
            "height": word.height,
            "model": running.model or served.model,
            "engine": running.engine,
        }
        self._publisher.result(values, detections, served.camera.name, served.name)
        served.gauge.add(latency_ms, word.engine_ms, word.found)

    def _snapshot(self, word: Snapshot) -> None:
        values = {"frame": word.frame, "capture_ts": word.capture_ms, "drawn": word.drawn, "found": word.found}
        camera = self._pipelines[word.pipeline].camera.name
        self._publisher.snapshot(camera, word.pipeline, {**values, "jpeg": word.jpeg})
        if (on_taken := self._asked.pop(word.asked, None)) is not None:
            on_taken(word)

    def _stats(self, word: InferStats) -> None:
        self._dropped = dict(word.dropped)
        for served in self._pipelines.values():
            served.shed = served.shed_before + word.shed.get(served.name, 0)
            served.looks.heard(word, served.name, self._clock.monotonic_ns())
            served.losses.heard(word, served.name, served.ring.id)
            served.camera.state.dropped = self.dropped(served.ring.id)
        if all(served.loaded or served.start is None for served in self._pipelines.values()):
            self._publisher.note(self.name, "ok")

    def _loaded(self, word: Loaded) -> None:
        served = self._pipelines[word.pipeline]
        served.loaded = True
        self._canaries.setdefault(word.engine, word.canary)
        if served.start is not None and served.start.engine == word.engine:
            if served.running is not None and served.running.engine != word.engine:
                served.before = served.running
            served.running = served.start
        self._publisher.note(self.name, "ok")
        log.info(
            "engine_loaded", pipeline=word.pipeline, key=word.engine, batch=word.batch, how=word.how, s=word.load_s
        )
        self.on_loaded(served)

    def _load_failed(self, word: LoadFailed) -> None:
        self._publisher.note(f"engine/{word.pipeline}", "failed", word.text)
        self._publisher.event("engine-load-failed", "error", word.text, pipeline=word.pipeline, engine=word.engine)
        served = self._pipelines[word.pipeline]
        if served.start is not None and served.start.engine == word.engine:
            served.start = None
            self.on_idle(served.name)
        self.on_load_failed(served, word.engine, word.text)

    def _run_failed(self, word: RunFailed) -> None:
        """The child has taken an engine out. Where it has gone back to the one before, that one serves on."""
        served, before = self._pipelines[word.pipeline], None
        if served.before is not None and served.before.engine == word.back_to:
            before = served.before
        then = f"the engine before, {word.back_to[:12]}, serves again" if before else "the pipeline has no engine now"
        text = f"the engine {word.engine[:12]} was taken out: {word.text}; {then}"
        self._publisher.note(f"engine/{word.pipeline}", "degraded" if before else "failed", text)
        self._publisher.event(
            "engine-taken-out", "error", text, pipeline=word.pipeline, engine=word.engine, code=word.code
        )
        served.running = before
        if served.start is not None and served.start.engine == word.engine:
            served.start, served.loaded = before, before is not None
            if before is None:
                self.on_idle(served.name)
        self.on_run_failed(served, word.engine, word.text)

    def _child_changed(self, child: ChildState) -> None:
        if child.state in ("waiting", "failing", "refused"):
            self._suspect(child)
            if child.code == "gpu_lost":
                self.on_gpu_lost(child.reason)
            for served in self._pipelines.values():
                served.loaded, served.running, served.before = False, None, None
            self._publisher.note(self.name, "failed", child.reason)
            self._publisher.event("infer-failed", "warning", child.reason, restarts=child.restarts)

    def _suspect(self, child: ChildState) -> None:
        """Who took the child along: an engine that was being loaded, else the only one that ran."""
        if child.signal not in CRASH_SIGNALS and child.code not in CRASH_CODES:
            return
        started = [served for served in self._pipelines.values() if served.start is not None]
        loading = {served.start.engine for served in started if served.start and not served.loaded}
        suspects = loading or {served.start.engine for served in started if served.start}
        if len(suspects) == 1:
            self.on_crash(suspects.pop(), child.reason)

    def stop_serving(self, engine: str) -> list[Served]:
        """Give this engine to no new child; the pipelines that had it."""
        had = [served for served in self._pipelines.values() if served.start and served.start.engine == engine]
        for served in had:
            served.start, served.loaded = None, False
            self.on_idle(served.name)
        return had

    def measure(self) -> None:
        """Publish every serving pipeline's summary since this was last asked."""
        now_ns = self._clock.monotonic_ns()
        interval_s = max(1e-3, (now_ns - self._measured_ns) / 1e9)
        self._measured_ns = now_ns
        for served in self._pipelines.values():
            if served.start is None:
                continue
            window = served.gauge.take()
            dropped = self.dropped(served.ring.id)
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
            self._publisher.summary(served.camera.name, served.name, values)


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
            "min_interval_s": 1.0 / settings.max_results_per_s if settings.max_results_per_s else 0.0,
            "priority": settings.priority,
            "after": after_engine(settings),
        }
    )


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
