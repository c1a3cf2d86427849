"""The cameras: a ring and a supervised capture child each.

The agent makes the rings and keeps them: a restarted child goes on in the same memory, and readers notice nothing
but a gap.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from random import Random

import anyio

from edgeagent.app.camera_upkeep import Upkeep
from edgeagent.app.camera_watch import CameraWatch
from edgeagent.app.rings import Ring
from edgeagent.app.teller import Teller
from edgeagent.camera.messages import (
    CAPTURE_WORDS,
    Begin,
    CaptureStart,
    CaptureStats,
    Ended,
    Opened,
    RingOutput,
    SetShare,
)
from edgeagent.camera.presence import probe_of, wait_for_source
from edgeagent.camera.ring_layout import RingLayout
from edgeagent.camera.rules import CameraRules
from edgeagent.camera.spec import FileSpec, SourceSpec, describe_source, uses_argus
from edgeagent.clock import Clock
from edgeagent.supervise.child import ChildSpec
from edgeagent.supervise.policy import RestartRules
from edgeagent.supervise.supervisor import ChildState, Supervisor

RESTARTS = RestartRules(base_s=0.25, cap_s=1.0, window_s=300.0, max_deaths=12, slow_s=120.0)
GONE_S = 15.0  # a source that is seen to be gone is tried no oftener
ARGUS_FAILURES = 3  # from which on it is not the camera alone
ARGUS_STOP_S = 2.0  # a client that is killed leaves its session behind in nvargus-daemon, and the sensor busy
LAST_RESULTS_NS = 250_000_000  # readers that are done have sent them, and we hear of them at the next look


@dataclass
class Tick:
    """What the last measurement saw, to tell rates from totals."""

    frames: int = 0
    at_ns: int = 0


@dataclass
class Count:
    """Something that a capture counts from 0, over all captures of the session."""

    total: int = 0
    _heard: int = 0

    def capture_started(self) -> None:
        self._heard = 0

    def heard(self, so_far: int) -> int:
        """The total. A capture that plays a file once counts its pass from 0 again."""
        self.total += so_far - (self._heard if so_far >= self._heard else 0)
        self._heard = so_far
        return self.total


@dataclass
class CameraState:
    """`word` is what dashboards show: starting, running, waiting, failing, refused, ended, stopped."""

    word: str = "starting"
    opened: Opened | None = None
    frames: int = 0
    unusable: int = 0
    dropped: int = 0
    shed: int = 0
    begun: bool = False
    ended: bool = False
    end_told: bool = False
    drained_ns: int | None = None
    tick: Tick = field(default_factory=Tick)


class Camera:
    """One configured camera."""

    def __init__(
        self,
        name: str,
        source: SourceSpec,
        sizes: list[tuple[int, int]],
        publisher: Teller,
        clock: Clock,
        rng: Random,
        rules: CameraRules | None = None,
        rings: Mapping[tuple[int, int], Ring] | None = None,
    ) -> None:
        """`rings`: of the camera whose place this one takes; those of the right size are gone on with."""
        self.name = name
        self.source = source
        self.rules = rules or CameraRules()
        self.watch = CameraWatch(name, source, self.rules, publisher, clock)
        self.state = CameraState()
        self.on_change: Callable[[], None] = lambda: None
        self.on_argus_trouble: Callable[[str], None] = lambda camera: None
        self._publisher = publisher
        self._clock = clock
        self._share = 1.0
        self._unusable, self._shed = Count(), Count()
        self._restarts_before = 0
        kept = rings or {}
        self.rings = {size: kept.get(size) or Ring(name, RingLayout(*size), lossless_only=self.once) for size in sizes}
        self.supervisor = Supervisor(
            f"capture-{name}",
            self._spec,
            self._take,
            self._child_changed,
            clock,
            rng,
            RESTARTS,
            grace_s=ARGUS_STOP_S if self._argus else 1.0,
            wait=self._wait,
            starts_ahead=True,
        )
        self.upkeep = Upkeep(name, self.rules, self.supervisor, publisher, clock, rng)
        self._probe = probe_of(source)

    @property
    def once(self) -> bool:
        return isinstance(self.source, FileSpec) and self.source.mode == "once"

    @property
    def _argus(self) -> bool:
        return uses_argus(self.source)

    @property
    def restarts(self) -> int:
        """Of its capture, in this session."""
        return self._restarts_before + self.supervisor.restarts

    def follow(self, old: Camera) -> None:
        """Take that one's place: what is counted in a session goes on, what is known of the same source holds, and so
        does the share that is read."""
        self._unusable, self._shed = old._unusable, old._shed
        self.state.unusable, self.state.shed = old.state.unusable, old.state.shed
        self._restarts_before = old.restarts
        self._share = 1.0 if self.once else old._share
        self.watch.noisy = old.watch.noisy and old.source == self.source

    def change(self, rules: CameraRules) -> None:
        """Watch the capture that runs by these rules from now on."""
        self.rules = rules
        self.watch.change(rules)
        self.upkeep.change(rules)

    async def run(self) -> None:
        """Until cancelled, or until the source is refused or has ended."""
        async with anyio.create_task_group() as tasks:
            if not self.once:
                tasks.start_soon(self.upkeep.run)
            await self.supervisor.run()
            tasks.cancel_scope.cancel()

    async def _wait(self, delay_s: float) -> None:
        await wait_for_source(self._probe, delay_s, max(delay_s, GONE_S))

    def _spec(self) -> ChildSpec:
        rings = [RingOutput(fd=ring.fd, wake_fds=ring.wake_fds) for ring in self.rings.values()]
        for count in (self._unusable, self._shed):
            count.capture_started()
        return ChildSpec(
            name=f"capture-{self.name}",
            module="edgeagent.camera.capture_child",
            first=CaptureStart(
                camera=self.name,
                source=self.source,
                rings=rings,
                resume_after=self._resume_after(),
                share=self._share,
                frozen_after_s=self.rules.frozen_after_s,
                noisy=self.watch.noisy,
                fps=self.watch.known_fps,
            ),
            pass_fds=[fd for ring in self.rings.values() for fd in (ring.fd, *ring.wake_fds)],
            term_s=ARGUS_STOP_S if self._argus else 0.0,
        )

    def _take(self, line: bytes) -> None:
        word = CAPTURE_WORDS.validate_json(line)
        if isinstance(word, Opened):
            self._opened(word)
        elif isinstance(word, CaptureStats):
            self.state.frames, self.state.unusable = word.frames, self._unusable.heard(word.unusable)
            self.state.shed = self._shed.heard(word.shed)
            if self.watch.take(word):
                self.supervisor.proven()
        elif isinstance(word, Ended):
            self._ended(word)

    def _opened(self, word: Opened) -> None:
        first = self.state.opened != word
        self.state.opened = word
        self._set("running")
        self.watch.opened(word)
        if first:
            self.on_change()

    def _ended(self, word: Ended) -> None:
        self.state.ended, self.state.frames = True, word.frames
        self._set("ended")
        if word.expected and word.frames < word.expected:
            text = f"the file of camera {self.name} ended after {word.frames} of {word.expected} frames"
            self._publisher.event("source-truncated", "warning", text, camera=self.name, frames=word.frames)

    def _child_changed(self, child: ChildState) -> None:
        if child.state == "stopped" and self.state.ended:
            return
        self._set(child.state)
        if child.pid is not None:
            self.upkeep.started(child.pid)
        if child.state in ("waiting", "failing", "refused"):
            self.watch.failed(child, slow_s=RESTARTS.slow_s)
            if self._argus and child.state != "refused" and self.watch.failures >= ARGUS_FAILURES:
                self.on_argus_trouble(self.name)

    def _set(self, word: str) -> None:
        self.state.word = word

    def _resume_after(self) -> int | None:
        """Frames already written of a file played once; None before its pass has begun."""
        if not (self.once and self.state.begun):
            return None
        return min((ring.passed for ring in self.rings.values()), default=0)

    async def begin(self) -> None:
        """The reader is ready: a file played once starts over, and from then on every frame counts."""
        if not self.state.begun:
            self.state.begun = True
            await self.supervisor.send(Begin())

    async def read_share(self, share: float) -> None:
        """Read only this share of the frames from now on: nobody looks at more. Holds for a restarted child, too."""
        if share != self._share and not self.once:
            self._share = share
            await self.supervisor.send(SetShare(share=share))

    def measure(self) -> dict[str, object]:
        """The values of this interval's camera measurement."""
        now_ns = self._clock.monotonic_ns()
        rings = list(self.rings.values())
        frames = self._captured(rings)
        tick = self.state.tick
        seconds = (now_ns - tick.at_ns) / 1e9
        fps = (frames - tick.frames) / seconds if tick.at_ns and seconds > 0 else 0.0
        self.state.tick = Tick(frames, now_ns)
        values: dict[str, object] = {
            "state": self.state.word,
            "fps": round(max(0.0, fps), 2),
            "frames": frames,
            "dropped": self.state.dropped,
            "shed": self.state.shed,
            "unusable": self.state.unusable,
            "restarts": self.restarts,
            **self.watch.facts(),
        }
        if rings and rings[0].newest_ns:
            values["frame_age_ms"] = round(max(0, now_ns - rings[0].newest_ns) / 1e6, 1)
        return values

    def _captured(self, rings: list[Ring]) -> int:
        """Frames since the session began; of a file played once those of its pass, without the rehearsal."""
        if not rings:
            return self.state.frames
        return rings[0].passed if self.once and self.state.begun else rings[0].newest

    def told_end(self) -> bool:
        """True once: when a file played once has ended and every result of it is out. To be asked now and then: its
        readers are done when they have sent their last results, which we may hear a moment later."""
        state, now_ns = self.state, self._clock.monotonic_ns()
        if state.end_told or not state.ended:
            return False
        if not all(ring.drained for ring in self.rings.values()):
            state.drained_ns = None
            return False
        if state.drained_ns is None:
            state.drained_ns = now_ns
        state.end_told = now_ns - state.drained_ns >= LAST_RESULTS_NS
        return state.end_told

    def info(self) -> dict[str, object]:
        opened = self.state.opened
        known = {"width": opened.width, "height": opened.height, "fps": opened.fps} if opened else {}
        return {"id": self.name, "source": self.source.type, **known}

    def describe(self) -> str:
        return describe_source(self.source)

    def close(self, *, but: Collection[Ring] = ()) -> None:
        """Let go of the rings, but for those that another camera goes on with."""
        for ring in self.rings.values():
            if ring not in but:
                ring.close()
