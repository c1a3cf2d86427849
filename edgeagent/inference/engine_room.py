"""Which engine each pipeline runs on: engines come, change places between two batches, fail, and go.

An engine is loaded once, however many pipelines it serves, and opened beside the loop, which goes on with the engine
before. That one stays loaded while the new one is on trial; when the new one fails, the pipelines go back to it. An
engine that fails with nothing to go back to leaves its pipelines without one, and the agent is told either way.

A pipeline that still runs in another process waits: its engine is kept in reserve until the agent lets it take over.

Knows nothing of batches: `settle` is called before pipelines change places, and brings home all that is under way.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from edgeagent.camera.pace import Spacing
from edgeagent.errors import EngineError, OperatorError
from edgeagent.inference.after import After, Memory
from edgeagent.inference.engine import Engine, EngineKey
from edgeagent.inference.messages import (
    Loaded,
    LoadFailed,
    PipelineStart,
    Released,
    RunFailed,
    TakeOver,
    TakeSnapshot,
    Warm,
)
from edgeagent.inference.opener import Opened, Opener
from edgeagent.inference.pacing import Limit
from edgeagent.inference.pipeline import Pipeline
from edgeagent.inference.schedule import Room
from edgeagent.inference.stream import Feed, Stream
from edgeagent.inference.trial import Outcome, Trial
from edgeagent.inference.trouble import end_if_fatal
from edgeagent.supervise.messages import Message

STUCK_S = 120.0


@dataclass
class Serving:
    """A pipeline on its engine. `before`: what served it until then, for as long as there is a way back."""

    pipeline: Pipeline
    engine: Engine
    stream: Stream
    before: Serving | None = None


@dataclass(frozen=True)
class Reserve:
    """An engine for a pipeline that waits."""

    start: PipelineStart
    engine: Engine
    took_s: float


class EngineRoom:
    """`canary_s`: seconds between two canaries of an engine, 0 for none. `stuck_s`: how long a driver may take to load
    an engine, or to let go of one."""

    def __init__(
        self,
        feeds: Mapping[str, Feed],
        opener: Opener,
        tell: Callable[[Message], None],
        canary_s: float = 0.0,
        now_ns: Callable[[], int] = time.monotonic_ns,
        stuck_s: float = STUCK_S,
    ) -> None:
        self._stuck_s = stuck_s
        self._feeds = feeds
        self._opener = opener
        self._tell = tell
        self._canary_ns = int(canary_s * 1e9)
        self._now_ns = now_ns
        self._engines: list[Engine] = []
        self._serving: dict[str, Serving] = {}
        self._wanted: dict[str, PipelineStart] = {}
        self._reserve: dict[str, Reserve] = {}
        self._opening: set[EngineKey] = set()
        self._came_to: dict[str, int] = {}  # the last frame of pipelines that have left their stream
        self.limits: dict[str, Limit] = {}
        self.memories: dict[str, Memory] = {}
        self._survey()
        self.settle: Callable[[], None] = lambda: None
        self.on_gone: Callable[[Stream], None] = lambda stream: None

    def _survey(self) -> None:
        """What the loop looks at for every frame, made anew when an engine or a stream comes or goes."""
        self.streams = [stream for feed in self._feeds.values() for stream in feed.streams]
        self.depth = max((engine.session.depth for engine in self._engines), default=0)
        self.by_number = {engine.number: engine for engine in self._engines}
        self.rooms = {
            number: Room(engine.session.batch, sum(stream.engine == number for stream in self.streams))
            for number, engine in self.by_number.items()
        }

    def limit(self, pipeline: str) -> Limit:
        return self.limits.setdefault(pipeline, Limit())

    # engines come

    def load(self, start: PipelineStart) -> None:
        """Let the pipeline run on this engine as soon as it is there; the last wish counts."""
        if start.ring not in self._feeds:
            self._not_loaded(start, f"there is no ring {start.ring!r}")
            return
        self.settle()  # first of all: what comes home may be the last straw for the very engine that is wanted
        key = EngineKey.of(start)
        self._wanted[start.pipeline] = start
        self._reserve.pop(start.pipeline, None)
        if start.pipeline not in self._serving and not start.waits:
            self._feeds[start.ring].awaited.add(start.pipeline)
        loaded = next((engine for engine in self._engines if engine.key == key), None)
        if loaded is not None:
            self._arrived(key, loaded, 0.0)
        elif key not in self._opening:
            self._opening.add(key)
            self._opener.open(key, start.canary)

    def take_opened(self) -> None:
        """Let what has been opened serve. Raises EngineError when the accelerator was lost meanwhile."""
        found = self._opener.take()
        self.settle()
        for opened in found:
            self._opening.discard(opened.key)
            if opened.engine is None:
                self._refused(opened)
                continue
            self._engines.append(opened.engine)
            opened.engine.trial = Trial(self._now_ns())
            opened.engine.canary_ns = self._now_ns() + self._canary_ns
            self._arrived(opened.key, opened.engine, opened.took_s)

    def _who_wants(self, key: EngineKey) -> list[PipelineStart]:
        starts = [start for start in self._wanted.values() if EngineKey.of(start) == key]
        for start in starts:
            del self._wanted[start.pipeline]
        return starts

    def _refused(self, opened: Opened) -> None:
        if opened.error is not None:
            end_if_fatal(opened.error)
        for start in self._who_wants(opened.key):
            self._not_loaded(start, opened.error.line() if opened.error else "")

    def _not_loaded(self, start: PipelineStart, text: str) -> None:
        self._await_no_more(start.pipeline)
        self._tell(LoadFailed(pipeline=start.pipeline, engine=start.engine, text=text))

    def _await_no_more(self, pipeline: str) -> None:
        for feed in self._feeds.values():
            if pipeline in feed.awaited:
                feed.awaited.discard(pipeline)
                feed.consume()

    def _arrived(self, key: EngineKey, engine: Engine, took_s: float) -> None:
        for start in self._who_wants(key):
            if engine.size != self._feeds[start.ring].size:
                height, width = engine.size
                self._not_loaded(start, f"the engine takes {width}x{height}, the ring holds another size")
                continue
            if start.waits:
                self._reserve[start.pipeline] = Reserve(start, engine, took_s)
                self._tell(Warm(pipeline=start.pipeline, engine=start.engine))
            else:
                self._serve(start, engine, took_s)
        self._let_go()

    def _serve(self, start: PipelineStart, engine: Engine, took_s: float) -> None:
        """Where what comes after the engine does not work here, that is this pipeline's trouble and no other's."""
        try:
            after = After(start, self.memories.setdefault(start.pipeline, Memory()))
        except OperatorError as error:
            self._not_loaded(start, error.line())
            return
        self._switch(start, engine, self._pipeline(start, after))
        word = Loaded(
            pipeline=start.pipeline,
            engine=start.engine,
            load_s=round(took_s, 3),
            canary=engine.known_answer,
            batch=engine.session.batch,
            how=engine.session.how,
        )
        self._tell(word)

    # pipelines come from another process, and go to one

    def take_over(self, word: TakeOver) -> None:
        """The pipeline waits no longer: it begins behind that frame, at once or when its engine is there."""
        if (start := self._wanted.get(word.pipeline)) is not None:
            self._wanted[word.pipeline] = start.behind(word.came_to, word.first_track)
        elif (one := self._reserve.pop(word.pipeline, None)) is not None:
            self.settle()
            self._serve(one.start.behind(word.came_to, word.first_track), one.engine, one.took_s)

    def release(self, pipeline: str) -> None:
        """Nothing of it is left here, and nothing more of it is told."""
        self.settle()
        self._wanted.pop(pipeline, None)
        self._reserve.pop(pipeline, None)
        self._await_no_more(pipeline)
        if (serving := self._serving.pop(pipeline, None)) is not None:
            self._leave(serving)
            serving.stream.feed.consume()  # nobody else may be under way, who would do it
            serving.stream.feed.wake()  # it may have been paused, and the whole ring with it
        self.limits.pop(pipeline, None)
        self.memories.pop(pipeline, None)
        self._tell(Released(pipeline=pipeline, came_to=self._came_to.pop(pipeline, 0)))
        self._let_go()

    def _pipeline(self, start: PipelineStart, after: After) -> Pipeline:
        return Pipeline(start, after, self.limit(start.pipeline), Spacing(start.min_interval_s))

    def _switch(self, start: PipelineStart, engine: Engine, pipeline: Pipeline) -> None:
        """Nothing is under way: the pipeline's next frame goes to this engine. Its settings hold for the one before,
        too, should it come back."""
        now = self._serving.pop(start.pipeline, None)
        before = now
        if now is None and start.came_to:
            self._came_to[start.pipeline] = start.came_to
            self._go_back(self._feeds[start.ring], start.came_to)
        if now is not None:
            self._leave(now)
            pipeline.ask(*now.pipeline.take_asked())
            before, now.before = (now.before, None) if now.engine is engine else (now, None)
        if before is not None:
            back = before.pipeline.start.with_settings_of(start)
            before.pipeline = self._pipeline(back, After(back, self.memories[start.pipeline]))
        self._seat(pipeline, engine, before)
        self._await_no_more(start.pipeline)
        self._feeds[start.ring].consume()  # what it has come to elsewhere is done here, too

    @staticmethod
    def _go_back(feed: Feed, came_to: int) -> None:
        """One comes who is behind the others here: its writer, which the agent holds meanwhile, waits for it, too."""
        if feed.ring.lossless and came_to < feed.ring.consumed:
            feed.ring.set_consumed(came_to)

    def _seat(self, pipeline: Pipeline, engine: Engine, before: Serving | None) -> None:
        name, feed = pipeline.start.ring, self._feeds[pipeline.start.ring]
        if name not in engine.lent:
            engine.lent.add(name)
            engine.session.lend(feed.ring.memory)
        last = pipeline.came_to = self._came_to.get(pipeline.start.pipeline, 0)
        stream = next((one for one in feed.streams if one.engine == engine.number and one.may_join(last)), None)
        if stream is None:
            stream = Stream(feed, engine.number, engine.session.depth, last)
            feed.streams.append(stream)
        stream.add(pipeline)
        self._survey()
        feed.wake()  # a writer that waits for its reader wakes nobody again
        self._serving[pipeline.start.pipeline] = Serving(pipeline, engine, stream, before)

    def _leave(self, serving: Serving) -> None:
        stream = serving.stream
        self._came_to[serving.pipeline.start.pipeline] = stream.came_to
        stream.remove(serving.pipeline)
        if not stream.pipelines:
            stream.feed.streams.remove(stream)
            self._survey()
            self.on_gone(stream)

    def ask_picture(self, word: TakeSnapshot) -> None:
        """Of the next frame that the pipeline looks at; none where it has no engine."""
        if (serving := self._serving.get(word.pipeline)) is not None:
            serving.pipeline.ask(word)

    # engines fail and go

    def landed(self, engine: Engine, outcome: Outcome, text: str) -> None:
        """How a batch went. An engine that has failed too often is taken out."""
        if outcome == "good" and engine.trial.spotless:
            return
        engine.trial = engine.trial.after(outcome)
        way_back = any(one.before is not None for one in self._serving.values() if one.engine is engine)
        if engine.trial.failed(way_back=way_back):
            self.take_out(engine, "engine_run", text)

    def take_out(self, engine: Engine, code: str, text: str) -> None:
        """Its pipelines go back to what served them before, or have no engine from now on."""
        self.settle()
        for serving in self._serving.values():
            if serving.before is not None and serving.before.engine is engine:
                serving.before = None
        for name, serving in [item for item in self._serving.items() if item[1].engine is engine]:
            del self._serving[name]
            self._leave(serving)
            back = serving.before
            if back is not None:
                back.pipeline.ask(*serving.pipeline.take_asked())
                self._seat(back.pipeline, back.engine, None)
            serving.stream.feed.consume()
            back_to = back.engine.key.engine if back is not None else ""
            self._tell(RunFailed(pipeline=name, engine=engine.key.engine, back_to=back_to, code=code, text=text))
        for name, one in [item for item in self._reserve.items() if item[1].engine is engine]:
            del self._reserve[name]
            self._not_loaded(one.start, text)
        self._let_go()

    def watch(self) -> None:
        """To be called now and then. Raises EngineError when the driver does not come back from opening an engine or
        closing one: no other can be opened then."""
        if (working_s := self._opener.working_s()) > self._stuck_s:
            raise EngineError(
                f"an engine was not loaded, or let go of, after {working_s:.0f} s", code="engine_stuck", retry=True
            )
        self._end_trials()

    def _end_trials(self) -> None:
        """What has run well for long enough needs no way back."""
        now_ns = self._now_ns()
        ended = [one for one in self._serving.values() if one.before is not None and one.engine.trial.over(now_ns)]
        for serving in ended:
            serving.before = None
        if ended:
            self._let_go()

    def canary_due(self, *, late_ns: int) -> Engine | None:
        """An engine whose canary has been due for so long, and that has room; its next one is set."""
        if not self._canary_ns:
            return None
        now_ns = self._now_ns()
        for engine in self._engines:
            if now_ns >= engine.canary_ns + late_ns and engine.has_room:
                engine.canary_ns = now_ns + self._canary_ns
                return engine
        return None

    def _let_go(self) -> None:
        """Close the engines that nobody runs on or may go back to."""
        used = {id(one.engine) for one in self._serving.values()}
        used |= {id(one.before.engine) for one in self._serving.values() if one.before is not None}
        used |= {id(one.engine) for one in self._reserve.values()}
        for engine in [engine for engine in self._engines if id(engine) not in used]:
            self._engines.remove(engine)
            self._opener.close_engine(engine)
        self._survey()

    def close(self) -> None:
        self._serving.clear()
        self._reserve.clear()
        self._let_go()
        self._opener.close()
