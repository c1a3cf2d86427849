"""One infer child and what it reports: an accelerator's engines go in, results come out and onto MQTT.

Which pipelines it has, and how they come and go, is infer_row.py's. It publishes, counts and blames only its own.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from random import Random

import anyio
import structlog

from edgeagent.app.infer_news import InferNews, InferSettings, Moves
from edgeagent.app.publisher import Publisher
from edgeagent.app.rings import Ring
from edgeagent.app.served import Served, restarted
from edgeagent.clock import Clock
from edgeagent.inference.accelerators import Accelerator
from edgeagent.inference.messages import (
    INFER_WORDS,
    FrameResult,
    InferStart,
    InferStats,
    Loaded,
    LoadFailed,
    LoadPipeline,
    NoNumbers,
    PipelineStart,
    Release,
    Released,
    RingInput,
    RunFailed,
    SetPace,
    Snapshot,
    TakeSnapshot,
    Warm,
)
from edgeagent.inference.result_line import cut_result, is_result
from edgeagent.supervise.child import ChildSpec
from edgeagent.supervise.supervisor import ChildState, Supervisor

log = structlog.get_logger("infer")

CRASH_SIGNALS = {signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL}
CRASH_CODES = {"gpu_lost", "engine_stuck"}  # a child that has ended itself because of an engine, or of the GPU


class InferDesk:
    """The child of one accelerator. It runs while it has pipelines, or is kept: where engines can run nowhere else.

    `canaries`: what engines first said of theirs, whichever child they were in.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        settings: InferSettings,
        moves: Moves,
        news: InferNews,
        canaries: dict[str, tuple[float, ...]],
        publisher: Publisher,
        clock: Clock,
        rng: Random,
    ) -> None:
        self.accelerator: Accelerator = accelerator
        self.name = f"infer/{accelerator}"
        self.pipelines: dict[str, Served] = {}
        self._settings = settings
        self._moves = moves
        self._news = news
        self._canaries = canaries
        self._publisher = publisher
        self._clock = clock
        self._asked: dict[int, Callable[[Snapshot], None]] = {}
        self._asked_last = 0
        self._rings: dict[str, Ring] = {}
        self._dropped: dict[str, int] = {}
        self._torn: dict[str, int] = {}
        self._dropped_before: dict[str, int] = {}
        self._kept = False
        self._wanted = anyio.Event()
        self._life: anyio.CancelScope | None = None
        self.supervisor = Supervisor(f"infer-{accelerator}", self._spec, self._take, self._child_changed, clock, rng)

    # life

    def change(self, pipelines: Sequence[Served], rings: Sequence[Ring], settings: InferSettings) -> None:
        """Begin with these pipelines, and be able to read these rings; between two runs only."""
        self._settings = settings
        self._rings = {ring.id: ring for ring in rings}
        self.pipelines = {served.name: served for served in pipelines}
        self._look_after()

    def keep(self, kept: bool) -> None:
        """Whether a child is there before any pipeline has an engine for it."""
        self._kept = kept
        self._look_after()

    @property
    def needed(self) -> bool:
        return self._kept or bool(self.pipelines)

    def _look_after(self) -> None:
        """Have a child where one is needed, and else none."""
        if self.needed:
            self._wanted.set()
            return
        if self._wanted.is_set():
            self._wanted = anyio.Event()
        if self._life is not None:
            self._life.cancel()
        self._publisher.forget(self.name)

    async def run(self) -> None:
        """Until cancelled: a child while one is needed."""
        while True:
            await self._wanted.wait()
            if not self.needed:
                continue  # the one that came has gone before anything was begun
            with anyio.CancelScope() as self._life:
                await self.supervisor.run()
                await anyio.sleep_forever()  # what cannot run is not tried again
            self._look_after()

    def drop(self, served: Served) -> None:
        """The child has nothing of this pipeline any more. Without another one it ends."""
        self.pipelines.pop(served.name, None)
        self._look_after()

    def _spec(self) -> ChildSpec:
        self._dropped_before = {ring: self.dropped(ring) for ring in self._rings}
        self._dropped, self._torn = {}, {}
        for served in self._serving():
            served.shed_before = served.shed
            served.looks.child_started()
            served.losses.child_started()
        own = [served for served in self.pipelines.values() if served.at == self.accelerator]
        rings = [
            RingInput(
                id=ring.id,
                fd=ring.fd,
                wake_fd=ring.wake_fd(self.accelerator),
                reader=ring.reader(self.accelerator),
                lossless_only=ring.lossless_only,
            )
            for ring in self._rings.values()
        ]
        return ChildSpec(
            name=self.supervisor.name,
            module="edgeagent.inference.infer_child",
            first=InferStart(
                rings=rings,
                pipelines=[self._with_canary(start) for served in own if (start := served.start_now()) is not None],
                threads=self._settings.threads,
                paces=tuple(served.pace for served in own if served.pace is not None),
                max_delay_ms=self._settings.max_delay_ms,
                canary_s=self._settings.canary_s,
            ),
            pass_fds=[fd for ring in rings for fd in (ring.fd, ring.wake_fd)],
            environment={"OMP_NUM_THREADS": str(self._settings.threads)},
        )

    def _serving(self) -> list[Served]:
        """The pipelines whose results come from here."""
        return [served for served in self.pipelines.values() if served.serves_at == self.accelerator]

    # what the child is told

    async def give(self, served: Served) -> None:
        """Let the child load what the pipeline shall run."""
        new = served.name not in self.pipelines
        self.pipelines[served.name] = served
        self._look_after()
        if new and served.pace is not None:
            await self.supervisor.send(SetPace(pace=served.pace))
        if (start := served.start_now()) is not None:
            await self.supervisor.send(LoadPipeline(pipeline=self._with_canary(start)))

    async def release(self, served: Served) -> None:
        """Let the child do without the pipeline; `Moves.released` follows."""
        await self.supervisor.send(Release(pipeline=served.name))

    def _with_canary(self, start: PipelineStart) -> PipelineStart:
        """With what the engine said of its canary when it was first loaded, by whichever child."""
        return start.model_copy(update={"canary": self._canaries.get(start.engine, ())})

    async def renew(self) -> list[Served]:
        """End the child between two pieces of its work and start it again; the pipelines that it loads anew."""
        again = [s for s in self.pipelines.values() if s.start is not None and s.at == self.accelerator]
        for served in again:
            served.loaded = False
        await self.supervisor.renew()
        return again

    async def ask_snapshot(self, pipeline: str, *, drawn: bool, on_taken: Callable[[Snapshot], None]) -> None:
        """A picture of the next frame that the pipeline looks at; it is published, and told to who asked."""
        self._asked_last += 1
        self._asked = {**dict(list(self._asked.items())[-15:]), self._asked_last: on_taken}
        await self.supervisor.send(TakeSnapshot(pipeline=pipeline, drawn=drawn, asked=self._asked_last))

    # what the child says

    def dropped(self, ring: str) -> int:
        """Frames of that ring the child did not look at, over all its lives."""
        return self._dropped_before.get(ring, 0) + self._dropped.get(ring, 0)

    def counted(self, ring: str) -> tuple[int, int]:
        """Frames of that ring the child did not look at, over all its lives, and torn ones, in this one."""
        return self.dropped(ring), self._torn.get(ring, 0)

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
        elif isinstance(word, Warm):
            self._warm(word)
        elif isinstance(word, Released):
            if (served := self.pipelines.get(word.pipeline)) is not None:
                self._moves.released(self.accelerator, served, word.came_to)
        elif isinstance(word, LoadFailed):
            self._load_failed(word)
        elif isinstance(word, RunFailed):
            self._run_failed(word)
        elif isinstance(word, NoNumbers):
            text = f"the engine {word.engine[:12]} gives values that are no numbers; what it gives beside them is kept"
            self._publisher.event("engine-no-numbers", "warning", text, pipeline=word.pipeline, engine=word.engine)

    def _result(self, word: FrameResult, detections: bytes) -> None:
        served = self.pipelines[word.pipeline]
        running = served.running or served.start
        if running is None:
            return  # the last words of an engine that was taken away
        served.last_frame, served.last_track = word.frame, max(served.last_track, word.last_track)
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
        served = self.pipelines.get(word.pipeline)
        if served is None:
            return  # it has moved while the picture was drawn
        values = {"frame": word.frame, "capture_ts": word.capture_ms, "drawn": word.drawn, "found": word.found}
        self._publisher.snapshot(served.camera.name, word.pipeline, {**values, "jpeg": word.jpeg})
        if (on_taken := self._asked.pop(word.asked, None)) is not None:
            on_taken(word)

    def _stats(self, word: InferStats) -> None:
        self._dropped, self._torn = dict(word.dropped), dict(word.torn)
        serving = self._serving()
        for served in serving:
            served.shed = served.shed_before + word.shed.get(served.name, 0)
            served.looks.heard(word, served.name, self._clock.monotonic_ns())
            served.losses.heard(word, served.name, served.ring.id)
        if all(served.loaded or served.start is None or served.leaves is not None for served in serving):
            self._publisher.note(self.name, "ok")

    def _warm(self, word: Warm) -> None:
        served = self.pipelines[word.pipeline]
        if served.at == self.accelerator and served.start is not None and served.start.engine == word.engine:
            self._moves.warm(served)

    def _loaded(self, word: Loaded) -> None:
        served = self.pipelines[word.pipeline]
        self._canaries.setdefault(word.engine, word.canary)
        log.info(
            "engine_loaded", pipeline=word.pipeline, key=word.engine, batch=word.batch, how=word.how, s=word.load_s
        )
        self._publisher.note(self.name, "ok")
        if served.at != self.accelerator:
            return
        served.loaded = True
        if served.start is not None and served.start.engine == word.engine:
            if served.running is not None and served.running.engine != word.engine:
                served.before = served.running
            served.running = served.start
        self._moves.loaded(served)
        self._news.loaded(served)

    def _load_failed(self, word: LoadFailed) -> None:
        self._publisher.note(f"engine/{word.pipeline}", "failed", word.text)
        self._publisher.event("engine-load-failed", "error", word.text, pipeline=word.pipeline, engine=word.engine)
        served = self.pipelines[word.pipeline]
        if self._is_to_run(served, word.engine):
            served.start = None
            self._moves.idle(served)
        self._news.load_failed(served, word.engine, word.text)

    def _run_failed(self, word: RunFailed) -> None:
        """The child has taken an engine out. Where it has gone back to the one before, that one serves on."""
        served, before = self.pipelines[word.pipeline], None
        if served.before is not None and served.before.engine == word.back_to:
            before = restarted(served.before, served.settings)  # which may have been changed since
        then = f"the engine before, {word.back_to[:12]}, serves again" if before else "the pipeline has no engine now"
        text = f"the engine {word.engine[:12]} was taken out: {word.text}; {then}"
        self._publisher.note(f"engine/{word.pipeline}", "degraded" if before else "failed", text)
        self._publisher.event(
            "engine-taken-out", "error", text, pipeline=word.pipeline, engine=word.engine, code=word.code
        )
        served.running = before
        if self._is_to_run(served, word.engine):
            served.start, served.loaded = before, before is not None
            if before is None:
                self._moves.idle(served)
        self._news.run_failed(served, word.engine, word.text)

    def _is_to_run(self, served: Served, engine: str) -> bool:
        return served.at == self.accelerator and served.start is not None and served.start.engine == engine

    def _child_changed(self, child: ChildState) -> None:
        failed = child.state in ("waiting", "failing", "refused")
        if failed:
            self._suspect(child)
            if child.code == "gpu_lost":
                self._news.gpu_lost(child.reason, self.accelerator)
            self._publisher.note(self.name, "failed", child.reason)
            facts = {"restarts": child.restarts, "accelerator": self.accelerator}
            self._publisher.event("infer-failed", "warning", child.reason, **facts)
        for served in tuple(self.pipelines.values()):
            if served.at != self.accelerator:
                self._moves.released(self.accelerator, served, None)  # the child that had it is no more
            elif failed:
                self._lost(served)

    @staticmethod
    def _lost(served: Served) -> None:
        """The child that had it, or was to have it, has died."""
        served.loaded = served.warm = False
        if served.leaves is None:
            served.running = served.before = None

    def _suspect(self, child: ChildState) -> None:
        """Who took the child along: an engine that was being loaded, else the only one that ran."""
        if child.signal not in CRASH_SIGNALS and child.code not in CRASH_CODES:
            return
        own = [served for served in self.pipelines.values() if served.at == self.accelerator]
        loading = {served.start.engine for served in own if served.start is not None and not served.loaded}
        ran = {served.start.engine for served in own if served.start is not None}
        ran |= {s.running.engine for s in self.pipelines.values() if s.leaves == self.accelerator and s.running}
        suspects = loading or ran
        if len(suspects) == 1:
            self._news.crash(suspects.pop(), child.reason)
