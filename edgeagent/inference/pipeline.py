"""A pipeline: which frames of its ring it looks at, and what it makes of the engine's answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from edgeagent.camera.pace import Spacing
from edgeagent.camera.ring import Frame, FrameMeta
from edgeagent.inference.after import After
from edgeagent.inference.messages import PipelineStart, ResultRow, TakeSnapshot
from edgeagent.inference.pacing import Limit
from edgeagent.inference.painter import Sketch
from edgeagent.inference.result_line import Head, detections_json, quoted, result_line
from edgeagent.vision.detections import Candidates

MOST_ASKED = 16  # pictures; more are asked for only of a pipeline that is paused, and the oldest are waited for no more


class Times(NamedTuple):
    """Of one batch, monotonic: when the engine began with it, and when its answer was there."""

    begun_ns: int
    ran_ns: int


@dataclass(eq=False)
class Pipeline:
    """A pipeline as it was started. `limit` outlives it: it belongs to the name. `came_to`: frames up to this one have
    been looked at for it, by another engine or in another process; it sees none twice."""

    start: PipelineStart
    after: After
    limit: Limit
    spacing: Spacing
    came_to: int = 0

    def __post_init__(self) -> None:
        self._names = quoted(self.start.classes)
        (self._name,) = quoted([self.start.pipeline])
        self._to_picture: list[ResultRow] | None = None
        self.asked: list[TakeSnapshot] = []

    def ask(self, *words: TakeSnapshot) -> None:
        """A picture for each of these of the next frame that it looks at."""
        self.asked = [*self.asked, *words][-MOST_ASKED:]

    def take_asked(self) -> list[TakeSnapshot]:
        """What was asked of it, and is not any more."""
        asked, self.asked = self.asked, []
        return asked

    @property
    def due_ns(self) -> float:
        """The capture time from which on it looks at a frame."""
        return max(self.spacing.due_ns, self.limit.due_ns)

    def would_look(self, meta: FrameMeta, *, lossless: bool) -> bool:
        """What `wants` would say of this frame, without counting it."""
        if meta.sequence <= self.came_to:
            return False
        return self.spacing.is_due(meta.capture_ns) and (lossless or self.limit.would(meta.capture_ns))

    def wants(self, meta: FrameMeta, *, lossless: bool) -> bool:
        """Whether it looks at this frame; asked once for each. What is lossless is not shed."""
        if meta.sequence <= self.came_to or not self.spacing.is_due(meta.capture_ns):
            return False
        self.spacing.passed(meta.capture_ns)
        return lossless or self.limit.lets_through(meta.capture_ns)

    def result(self, candidates: Candidates, meta: FrameMeta, times: Times, now_ns: Callable[[], int]) -> bytes | None:
        """The line that tells the agent of a frame; None where it is not to be told."""
        rows = self.after.take(candidates, meta.box, meta.capture_ns)
        if rows is None:
            self._to_picture = self.after.last_rows() if self.asked else None
            return None
        due = self.after.is_snapshot_due(rows, meta.capture_ns)
        self._to_picture = rows if due or self.asked else None
        found = detections_json(rows, self._names)
        head = Head(
            frame=meta.sequence,
            capture_ns=meta.capture_ns,
            capture_ms=meta.capture_ms,
            width=meta.box.source_width,
            height=meta.box.source_height,
            ring_ms=(meta.written_ns - meta.capture_ns) / 1e6,
            wait_ms=(times.begun_ns - meta.written_ns) / 1e6,
            engine_ms=(times.ran_ns - times.begun_ns) / 1e6,
            post_ms=(now_ns() - times.ran_ns) / 1e6,
            found=len(rows),
            last_track=self.after.last_track,
        )
        return result_line(head, self._name, found)

    def pictures(self, frame: Frame, meta: FrameMeta, is_whole: Callable[[], bool]) -> list[Sketch]:
        """What the pictures that the last result asks for are made of; none where it asks for none, or the frame has
        gone meanwhile.

        `is_whole` is asked after the frame was copied: its place in the ring is not ours.
        """
        if (rows := self._to_picture) is None:
            return []
        self._to_picture = None
        own = frame.copy()
        if not is_whole():
            return []  # those that were asked for are taken of the next frame
        wish = self.start.after.snapshot
        wants = [(one.drawn, one.asked) for one in self.take_asked()] or [(wish is not None and wish.drawn, 0)]
        return [
            Sketch(
                pipeline=self.start.pipeline,
                picture=own,
                frame=meta.sequence,
                capture_ms=meta.capture_ms,
                box=meta.box,
                rows=rows,
                classes=self.start.classes,
                drawn=drawn,
                asked=asked,
            )
            for drawn, asked in wants
        ]
