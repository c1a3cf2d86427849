"""Draws pictures on a thread beside the loop: a JPEG takes milliseconds, in which frames would wait.

`wake_fd` becomes readable when one is done. Pictures come out in the order in which they were asked for. When many
wait, one of an event is left out; one that somebody has asked for is not.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from edgeagent.inference.messages import ResultRow, Snapshot
from edgeagent.inference.snapshots import Image, draw_snapshot
from edgeagent.vision.letterbox import Letterbox

MOST_WAITING = 4
PATIENCE_S = 1.0


@dataclass(frozen=True)
class Sketch:
    """What a picture is made of. `picture`, that of frame `frame`, is nobody else's memory; `asked` as in Snapshot."""

    pipeline: str
    picture: Image
    frame: int
    capture_ms: int
    box: Letterbox
    rows: Sequence[ResultRow]
    classes: Sequence[str]
    drawn: bool
    asked: int = 0

    def painted(self) -> Snapshot:
        return Snapshot(
            pipeline=self.pipeline,
            frame=self.frame,
            capture_ms=self.capture_ms,
            drawn=self.drawn,
            found=len(self.rows),
            jpeg=draw_snapshot(self.picture, self.box, self.rows, self.classes, drawn=self.drawn),
            asked=self.asked,
        )


class Painter:
    """`left_out` counts the pictures that were never drawn. For one thread beside its own."""

    def __init__(self) -> None:
        self._wanted: queue.SimpleQueue[Sketch | None] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[Snapshot | Exception] = queue.SimpleQueue()
        self._waiting = 0
        self.left_out = 0
        self.wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._thread: threading.Thread | None = None

    def paint(self, sketch: Sketch) -> None:
        if self._waiting >= MOST_WAITING and not sketch.asked:
            self.left_out += 1
            return
        if self._thread is None:  # most children never draw one
            self._thread = threading.Thread(target=self._run, name="painter", daemon=True)
            self._thread.start()
        self._waiting += 1
        self._wanted.put(sketch)

    def take(self) -> list[Snapshot]:
        """What is done. Raises what a picture failed with."""
        with suppress(BlockingIOError):
            os.eventfd_read(self.wake_fd)
        found: list[Snapshot] = []
        with suppress(queue.Empty):
            while True:
                found.append(self._taken(self._done.get_nowait()))
        return found

    def rest(self, patience_s: float = PATIENCE_S) -> list[Snapshot]:
        """All that are still wanted, as far as they are done in that time each."""
        found: list[Snapshot] = []
        with suppress(queue.Empty):
            while self._waiting:
                found.append(self._taken(self._done.get(timeout=patience_s)))
        return found

    def close(self) -> None:
        """What is not drawn yet never is."""
        self._wanted.put(None)
        if self._thread is not None:
            self._thread.join(PATIENCE_S)
        if self._thread is None or not self._thread.is_alive():
            os.close(self.wake_fd)

    def _taken(self, done: Snapshot | Exception) -> Snapshot:
        self._waiting -= 1
        if isinstance(done, Exception):
            raise done
        return done

    def _run(self) -> None:
        while (sketch := self._wanted.get()) is not None:
            self._done.put(self._painted(sketch))
            os.eventfd_write(self.wake_fd, 1)

    def _painted(self, sketch: Sketch) -> Snapshot | Exception:
        try:
            return sketch.painted()
        except Exception as error:  # noqa: BLE001  the outermost function of a thread: the loop raises it
            return error
