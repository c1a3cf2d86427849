"""What is told of one camera's health: what its capture says is judged, and each change of the verdict told once."""

from __future__ import annotations

from edgeagent.app.teller import Teller
from edgeagent.camera.health import HealthState, Look, Promise, Verdict, fail, judge, promise_anew, reopen
from edgeagent.camera.messages import CaptureStats, Opened
from edgeagent.camera.rules import CameraRules
from edgeagent.camera.spec import LIVE_KINDS, CsiSpec, FileSpec, SourceSpec, V4l2Spec
from edgeagent.clock import Clock
from edgeagent.supervise.supervisor import ChildState


class CameraWatch:
    """One camera, over all its captures. `noisy`: its pictures have shown a sensor's noise (camera/stillness.py)."""

    def __init__(self, camera: str, source: SourceSpec, rules: CameraRules, tell: Teller, clock: Clock) -> None:
        self._camera = camera
        self._source = source
        self._rules = rules
        self._tell = tell
        self._clock = clock
        self._state = HealthState()
        self._promise = Promise()
        self._told: Verdict | None = None
        self._opened: Opened | None = None
        self.noisy = False

    @property
    def verdict(self) -> Verdict:
        return self._state.verdict

    @property
    def failures(self) -> int:
        """Since it last gave good pictures for a while."""
        return self._state.failures

    @property
    def known_fps(self) -> float | None:
        """The rate that the source had before it failed; a capture that is started for another reason measures anew. So
        does one after a capture that hung: a stream that says another rate than the known one is opened twice, for
        which the time may have been too short."""
        opened, failed = self._opened, self._state.failed
        if opened is None or not opened.fps_known or (failed is not None and failed.code == "hung"):
            return None
        return opened.fps if self.failures else None

    def facts(self) -> dict[str, object]:
        verdict = self.verdict
        return {"health": verdict.health, "code": verdict.code, "reason": verdict.reason}

    def change(self, rules: CameraRules) -> None:
        """Judge by these rules from now on."""
        self._rules = rules
        if self._opened is None:
            return
        promise = promise_of(self._source, rules, self._opened)
        if promise != self._promise:
            self._promise, self._state = promise, promise_anew(self._state)

    def opened(self, word: Opened) -> None:
        self._opened = word
        self._promise = promise_of(self._source, self._rules, word)
        if not isinstance(self._source, FileSpec):  # one is opened anew at each of its ends, and the capture counts on
            self._state = reopen(self._state)
        self._tell_change()

    def take(self, word: CaptureStats) -> bool:
        """What the capture says of the last second. True when it has given good pictures for long enough, just now."""
        self.noisy = self.noisy or word.noisy
        was = self._state
        self._state = judge(was, self._look(word), self._promise)
        self._tell_change()
        if was.failed is not None and self._state.failed is None:
            self._tell.event("camera-recovered", "info", f"camera {self._camera} works again", camera=self._camera)
        return self._state.proven and not was.proven

    def _look(self, word: CaptureStats) -> Look:
        return Look(
            at_s=self._clock.monotonic_ns() / 1e9,
            frames=word.frames + word.shed,
            unusable=word.unusable,
            size=(word.width, word.height) if word.width else None,
            unchanged_s=word.unchanged_s,
            moved=word.moved,
        )

    def failed(self, child: ChildState, slow_s: float) -> None:
        """The capture has ended, and not because it was asked to."""
        reason = f"{child.reason} ({child.mend})" if child.mend else child.reason
        if child.state == "failing":
            reason += (
                f"; failed too often: tried every {slow_s / 60:g} minutes now, or as soon as it is seen to be back"
            )
        self._state = fail(self._state, child.code or "capture_ended", reason)
        self._tell_change()
        self._tell.event(
            "camera-failed", "warning", reason, camera=self._camera, code=child.code or None, restarts=child.restarts
        )

    def _tell_change(self) -> None:
        """An event for a camera that runs and is not well; one that has failed has its own."""
        verdict, before = self.verdict, self._told
        if verdict == before:
            return
        self._told = verdict
        self._tell.note(f"camera/{self._camera}", verdict.health, verdict.reason)
        if verdict.health == "degraded" and self._state.failed is None:
            text = f"camera {self._camera}: {verdict.reason}"
            self._tell.event("camera-degraded", "warning", text, camera=self._camera, code=verdict.code)


def promise_of(source: SourceSpec, rules: CameraRules, opened: Opened) -> Promise:
    """What is held against the camera: what was asked for, else what it said. A source that we play ourselves is late
    because of this machine, and not judged by its rate."""
    gap_s = 2 / opened.fps if opened.fps_known else source.stall_timeout_s
    if not isinstance(source, LIVE_KINDS):
        return Promise(size=(opened.width, opened.height) if opened.width else None, gap_s=gap_s)
    asked = source if isinstance(source, V4l2Spec | CsiSpec) else None
    fps = (asked.fps if asked else None) or (opened.fps if opened.fps_known else None)
    size = (opened.width, opened.height) if opened.width else None
    if asked is not None and asked.width and asked.height:
        size = asked.width, asked.height
    return Promise(fps=fps, min_fps=rules.min_fps, size=size, gap_s=gap_s)
