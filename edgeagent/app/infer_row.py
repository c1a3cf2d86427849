"""The infer children, one an accelerator, and which of them each pipeline is in.

A pipeline goes where its engine was made for. When that is another accelerator than before it moves: the child that is
to have it loads the engine and warms it while the other one serves on; then that one brings home what is under way and
lets the pipeline go, and this one takes it over behind the frame it has come to. So no frame is looked at twice and
results keep their order; frames that come while the two words go to and fro may be passed over, as in any other moment.

Of a file played once nothing may be lost: the ring is held from before the one lets go until the other has it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from random import Random
from typing import Any

import anyio
import anyio.abc

from edgeagent.app.infer_news import InferNews, InferSettings
from edgeagent.app.inference import InferDesk
from edgeagent.app.publisher import Publisher
from edgeagent.app.rings import Ring
from edgeagent.app.served import Served, restarted, start_of, summary_of
from edgeagent.clock import Clock
from edgeagent.engine.manifest import Manifest
from edgeagent.inference.accelerators import ACCELERATORS, DLA, Accelerator, accelerator_of
from edgeagent.inference.messages import Pace, SetPace, Snapshot, TakeOver


class InferRow:
    """For the event loop only."""

    def __init__(
        self, pipelines: Sequence[Served], settings: InferSettings, publisher: Publisher, clock: Clock, rng: Random
    ) -> None:
        self.news = InferNews()
        self._publisher = publisher
        self._clock = clock
        self._measured_ns = clock.monotonic_ns()
        self._tasks: anyio.abc.TaskGroup | None = None
        self._held: dict[str, Ring] = {}
        self.dla_cores = 1
        canaries: dict[str, tuple[float, ...]] = {}
        self.desks: dict[Accelerator, InferDesk] = {
            one: InferDesk(one, settings, self, self.news, canaries, publisher, clock, rng) for one in ACCELERATORS
        }
        self._served: dict[str, Served] = {}
        self.change(pipelines, settings)

    def change(self, pipelines: Sequence[Served], settings: InferSettings) -> None:
        """Run these from the next run on; between two runs only."""
        self._served = {served.name: served for served in pipelines}
        rings = list({served.ring.id: served.ring for served in pipelines}.values())
        for served in pipelines:
            served.at = None if served.start is None else accelerator_of(served.start)
            served.leaves, served.warm, served.came_to = None, False, 0
        for one, desk in self.desks.items():
            own = [served for served in pipelines if served.at == one]
            desk.change(own, rings, settings)
            for served in own:
                served.dropped_told = desk.dropped(served.ring.id)
        for ring in rings:
            self._seat(ring)

    def keep(self, only: Accelerator | None) -> None:
        """Where engines can run only there: have its child from the start."""
        for one, desk in self.desks.items():
            desk.keep(one == only and bool(self._served))

    async def run(self) -> None:
        """Until cancelled."""
        try:
            async with anyio.create_task_group() as self._tasks:
                for desk in self.desks.values():
                    self._tasks.start_soon(desk.run)
        finally:
            self._tasks = None
            for served in self._served.values():
                self._let_go(served)

    # what runs

    def names(self) -> list[str]:
        """The children that are needed, as components: infer/gpu."""
        return [desk.name for desk in self.desks.values() if desk.needed]

    @property
    def restarts(self) -> int:
        return sum(desk.supervisor.restarts for desk in self.desks.values())

    def desk_of(self, pipeline: str) -> InferDesk | None:
        """Whose child the pipeline's results come from."""
        where = self._served[pipeline].serves_at
        return None if where is None else self.desks[where]

    def desk_with(self, engine: str) -> InferDesk | None:
        """Whose child has that engine, or is to have it."""
        for served in self._served.values():
            if served.start is not None and served.start.engine == engine and served.at is not None:
                return self.desks[served.at]
        return None

    # engines come and go

    async def serve(
        self,
        name: str,
        manifest: Manifest,
        plan: str,
        *,
        dla_core: int | None = None,
        plugins: Sequence[str] = (),
        model: str = "",
        classes: Sequence[str] = (),
    ) -> None:
        """Let the pipeline run on this engine from now on. `dla_core`: of one made for a DLA, None for any; `model` and
        its `classes`: where it is another one than the pipeline's own."""
        served = self._served[name]
        reads = _sits(served)
        if manifest.placement == "dla" and dla_core is None:
            dla_core = self._core_for(served, manifest.key)
        served.start = start_of(
            served, manifest, plan, dla_core=dla_core, plugins=plugins, model=model, classes=classes
        )
        where = accelerator_of(served.start)
        if served.at != where:
            self._move(served, where, reads=reads)
        await self.desks[where].give(served)

    def _core_for(self, served: Served, engine: str) -> int:
        """The core where it is, else the one where the engine looks at the same frames, else the emptiest."""
        if served.at in DLA:
            return DLA.index(served.at)
        others = [one for one in self._served.values() if one is not served and one.at in DLA]
        for one in others:
            if one.ring is served.ring and one.start is not None and one.start.engine == engine:
                return DLA.index(one.at)
        return min(range(self.dla_cores), key=lambda core: sum(one.at == DLA[core] for one in others))

    async def resettle(self, name: str) -> None:
        """The pipeline's settings have changed: its engine is loaded anew with them, beside the one that runs."""
        served = self._served[name]
        if served.start is not None and served.at is not None:
            served.start, served.loaded = restarted(served.start, served.settings), False
            await self.desks[served.at].give(served)

    def stop_serving(self, engine: str) -> list[Served]:
        """Give this engine to no new child; the pipelines that had it."""
        had = [served for served in self._served.values() if served.start and served.start.engine == engine]
        for served in had:
            served.start, served.loaded = None, False
            self.idle(served)
        return had

    async def pace(self, pace: Pace) -> None:
        """Let a pipeline do so much from now on, whatever engine it has. Holds for a restarted child, too."""
        served = self._served[pace.pipeline]
        served.pace = pace
        for where in (served.at, served.leaves):
            if where is not None:
                await self.desks[where].supervisor.send(SetPace(pace=pace))

    async def ask_snapshot(self, pipeline: str, *, drawn: bool, on_taken: Callable[[Snapshot], None]) -> None:
        """A picture of the next frame that the pipeline looks at; it is published, and told to who asked."""
        if (desk := self.desk_of(pipeline)) is not None:
            await desk.ask_snapshot(pipeline, drawn=drawn, on_taken=on_taken)

    def measure(self) -> None:
        """Publish every serving pipeline's summary since this was last asked, and count what its camera lost."""
        now_ns = self._clock.monotonic_ns()
        interval_s = max(1e-3, (now_ns - self._measured_ns) / 1e9)
        self._measured_ns = now_ns
        for served in self._served.values():
            served.camera.state.dropped = self._dropped(served.camera.rings.values())
            if served.start is None or (desk := self.desk_of(served.name)) is None:
                continue
            values = summary_of(served, interval_s, desk.dropped(served.ring.id), now_ns)
            self._publisher.summary(served.camera.name, served.name, values)

    def _dropped(self, rings: Collection[Ring]) -> int:
        """Of a camera: what the child that lost most of its frames did not look at."""
        return max((desk.dropped(ring.id) for desk in self.desks.values() for ring in rings), default=0)

    # moves

    def _move(self, served: Served, where: Accelerator, *, reads: bool) -> None:
        """From now on the child there is to have it. What serves it now serves on until then. `reads`: the child that
        has it was to look at the next frame."""
        before = served.at
        if served.leaves == where:  # it comes back before it has gone
            served.leaves = None
            self._let_go(served)
        elif served.leaves is None and served.running is not None:
            served.leaves = before
        elif served.leaves is None and before is not None and reads and not served.came_to:
            self._keep_place(served, before)
        served.at, served.warm, served.loaded = where, False, False
        if served.leaves is None:
            served.count_anew(*self.desks[where].counted(served.ring.id))
        if before is not None and before != served.leaves:
            self._send_away(before, served)
        self._seat(served.ring)

    def _send_away(self, where: Accelerator, served: Served) -> None:
        """The child there is to have nothing of it."""
        desk = self.desks[where]
        if desk.supervisor.pid is None:
            desk.drop(served)
        else:
            self._soon(desk.release, served)

    def warm(self, served: Served) -> None:
        """The engine is ready in the child that is to have the pipeline."""
        served.warm = True
        if served.leaves is None:
            self._seat(served.ring)
            self._take_over(served)
            return
        self._hold(served)
        self._seat(served.ring)
        self._soon(self.desks[served.leaves].release, served)

    def released(self, accelerator: Accelerator, served: Served, came_to: int | None) -> None:
        """The child there has nothing of it any more: it was told so, or it has ended (None)."""
        if served.at == accelerator:
            served.running = served.before = None  # it came back while it was let go, and is loaded anew
            return
        if served.leaves == accelerator:
            self._keep_place(served, accelerator, came_to)
            served.leaves = served.running = served.before = None
            if served.at is not None:
                served.count_anew(*self.desks[served.at].counted(served.ring.id))
            if served.warm:
                self._take_over(served)
        self.desks[accelerator].drop(served)
        self._seat(served.ring)

    def _take_over(self, served: Served) -> None:
        if served.at is not None:
            word = TakeOver(pipeline=served.name, came_to=served.came_to, first_track=served.last_track + 1)
            self._soon(self.desks[served.at].supervisor.send, word)

    def loaded(self, served: Served) -> None:
        """It has arrived."""
        served.warm = False
        self._let_go(served)
        self._seat(served.ring)

    def idle(self, served: Served) -> None:
        """The engine that it was to have came to nothing. Where another child serves it still, that one goes on."""
        self.news.idle(served.name)
        self._let_go(served)
        if served.leaves is not None and served.at is not None:
            gone, served.at, served.leaves, served.warm = served.at, served.leaves, None, False
            self._send_away(gone, served)
        self._seat(served.ring)

    def _keep_place(self, served: Served, accelerator: Accelerator, came_to: int | None = None) -> None:
        """It will go on elsewhere, behind the frame that it has come to there; None: as far as is known."""
        self._hold(served)
        if came_to is None:
            came_to = served.ring.done_by(accelerator) if served.ring.lossless_only else served.ring.newest
        served.came_to = max(came_to, served.last_frame)

    def _hold(self, served: Served) -> None:
        """Of a pass, what comes after the frame it has come to is kept for the child that is to have it."""
        if served.ring.lossless_only and served.name not in self._held:
            self._held[served.name] = served.ring
            served.ring.hold()

    def _let_go(self, served: Served) -> None:
        served.came_to = 0
        if (ring := self._held.pop(served.name, None)) is not None:
            ring.let_go()

    def _seat(self, ring: Ring) -> None:
        """Have the ring wake, and in a pass wait for, the children that read it."""
        reading: set[Accelerator] = set()
        for served in self._served.values():
            if served.ring is ring:
                reading |= {served.leaves} if served.leaves is not None else set()
                reading |= {served.at} if served.at is not None and _sits(served) else set()
        ring.let_read(reading)

    def _soon(self, call: Callable[..., Any], *arguments: object) -> None:
        if self._tasks is not None:
            self._tasks.start_soon(call, *arguments)


def _sits(served: Served) -> bool:
    """Whether the child that has the pipeline reads its ring. A pass does not wait for an engine that is still being
    loaded, but for a child that has read it and was killed."""
    if served.start is None and served.running is None:
        return False
    return not served.waits or served.warm
