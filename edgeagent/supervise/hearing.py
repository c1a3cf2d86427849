"""Listening to one child: its lines, how long it may stay silent, and how the listening ended.

Lines are taken in the event loop's own read callback. No task is woken for a line, which matters in an agent that
hears thirty results a second and may cost three percent of a core.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Literal

import anyio
from pydantic import ValidationError

from edgeagent.clock import Clock
from edgeagent.errors import ChildError
from edgeagent.supervise.child import Child
from edgeagent.supervise.messages import Fault, Heartbeat

Ending = Literal["over", "rests", "silent", "broken"]
BREACHES = (ValidationError, ChildError, LookupError)
LEAST_WAIT_S = 0.1  # a clock that stands still is not looked at more often


class Hearing:
    """One child's words, from its start to its last.

    Heartbeats and faults are understood here; every other line goes to `on_line`. When that raises ValidationError,
    ChildError or LookupError (the child names what its owner does not know), or a line has no end, the child has
    broken its protocol. Any other error of `on_line` comes out of `listen`. `allow_s` is how long the child may stay
    silent until it says otherwise, by `clock`: for a child that is stopped now and then, one that stands still
    meanwhile (pace.py).
    """

    def __init__(self, child: Child, on_line: Callable[[bytes], None], clock: Clock, allow_s: float) -> None:
        self._child = child
        self._on_line = on_line
        self._clock = clock
        self._allow_s = allow_s
        self._deadline_s = 0.0
        self._armed_s = 0.0
        self._over = False
        self._changed = anyio.Event()
        self.fault: Fault | None = None
        self.broken: Exception | None = None
        self._stumbled: Exception | None = None

    async def listen(self) -> Ending:
        """Until the child closes its end (over), waits for new work after a fault (rests), says nothing in its time
        (silent), or breaks its protocol (broken)."""
        loop = asyncio.get_running_loop()
        self._heard()
        loop.add_reader(self._child.fileno(), self._readable)
        try:
            while not self._over:
                self._changed, self._armed_s = anyio.Event(), self._deadline_s
                left_s = self._deadline_s - self._now_s()
                if left_s <= 0:
                    return "silent"
                with anyio.move_on_after(max(left_s, LEAST_WAIT_S)):
                    await self._changed.wait()
        finally:
            loop.remove_reader(self._child.fileno())
        if self._stumbled is not None:
            raise self._stumbled
        if self.broken is not None:
            return "broken"
        return "rests" if self.fault is not None and self.fault.stays else "over"

    def _readable(self) -> None:
        """One read for each turn of the loop: a child that never pauses takes no other task's turn."""
        if self._over:
            return
        try:
            lines = self._child.read_lines()
            for line in lines or ():
                self._take(line)
        except BREACHES as error:
            self.broken = error
            self._finish()
        except Exception as error:  # noqa: BLE001  a callback of the loop: raised in `listen`, else it would be lost
            self._stumbled = error
            self._finish()
        else:
            if lines is None:
                self._finish()
            elif lines:
                self._heard()

    def _take(self, line: bytes) -> None:
        if line.startswith(b'{"kind":"heartbeat"'):
            self._allow_s = Heartbeat.model_validate_json(line).allow_s
        elif line.startswith(b'{"kind":"fault"'):
            self.fault = Fault.model_validate_json(line)
            if self.fault.stays:
                self._finish()
        else:
            self._on_line(line)

    def _finish(self) -> None:
        self._over = True
        self._changed.set()

    def _heard(self) -> None:
        """A word came: the time runs anew. The listener is woken only if it would look too late."""
        self._deadline_s = self._now_s() + self._allow_s
        if self._deadline_s < self._armed_s:
            self._changed.set()

    def _now_s(self) -> float:
        return self._clock.monotonic_ns() / 1e9
