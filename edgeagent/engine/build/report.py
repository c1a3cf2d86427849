"""How a build tells the agent how far it is, and hears whether it is still wanted."""

from __future__ import annotations

import time
from typing import Final

from edgeagent.engine.build.messages import Phase, Progress
from edgeagent.supervise.messages import Message
from edgeagent.supervise.program import ControlChannel

SILENCE_S: Final = 120.0  # a step between two words may take this long on a slow device
TELL_EVERY_S: Final = 0.1
BEAT_EVERY_S: Final = 10.0
SHARES: Final[dict[Phase, tuple[float, float]]] = {
    "waiting": (0, 0),
    "collecting": (0, 70),
    "preparing": (70, 72),
    "calibrating": (72, 85),
    "verifying": (85, 98),
    "storing": (98, 100),
}


class Cancelled(Exception):
    """The agent wants this build no longer."""


class BuildReport:
    """The channel of one build. The percentage never falls; every method may raise `Cancelled`."""

    def __init__(self, channel: ControlChannel) -> None:
        self._channel = channel
        self._percent = 0.0
        self._told_s = float("-inf")
        self._beaten_s = time.monotonic()
        self.key: str | None = None

    def tell(self, phase: Phase, percent: float, text: str) -> None:
        """Tell how much of a phase is done: its beginning and end at once, the rest at most ten times a second."""
        now = time.monotonic()
        if now - self._told_s < TELL_EVERY_S and 0 < percent < 100:
            return
        self._told_s = now
        low, high = SHARES[phase]
        self._percent = max(self._percent, low + (high - low) * percent / 100)
        self._channel.send(Progress(phase=phase, percent=round(self._percent, 1), text=text, key=self.key))
        self._beat(now)
        self.pause(0.0)

    def send(self, message: Message) -> None:
        self._channel.send(message)

    def pause(self, seconds: float) -> None:
        """Wait, with an ear for the agent and a heartbeat now and then."""
        until = time.monotonic() + seconds
        while True:
            left = until - time.monotonic()
            if self._channel.receive(max(0.0, min(left, BEAT_EVERY_S))) is not None or self._channel.stopping:
                raise Cancelled
            now = time.monotonic()
            if now - self._beaten_s >= BEAT_EVERY_S:
                self._beat(now)
            if now >= until:
                return

    def _beat(self, now: float) -> None:
        self._beaten_s = now
        self._channel.beat(SILENCE_S)
