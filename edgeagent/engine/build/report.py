"""How a build tells the agent how far it is, and hears whether it is still wanted and how the board is."""

from __future__ import annotations

import time
from typing import Final

from pydantic import ValidationError

from edgeagent.engine.build.messages import DESK_WORDS, Conditions, Phase, Progress
from edgeagent.supervise.messages import Message
from edgeagent.supervise.program import ControlChannel

SILENCE_S: Final = 120.0  # a step between two words may take this long on a slow device
TELL_EVERY_S: Final = 0.1
BEAT_EVERY_S: Final = 10.0
SHARES: Final[dict[str, dict[Phase, tuple[float, float]]]] = {
    "onnxruntime": {
        "waiting": (0, 0),
        "collecting": (0, 65),
        "fetching": (65, 69),
        "preparing": (69, 72),
        "calibrating": (72, 85),
        "building": (85, 87),
        "verifying": (87, 98),
        "storing": (98, 100),
    },
    "tensorrt": {
        "waiting": (0, 0),
        "collecting": (0, 8),
        "fetching": (8, 10),
        "preparing": (10, 12),
        "calibrating": (12, 25),
        "building": (25, 92),
        "verifying": (92, 99),
        "storing": (99, 100),
    },
}


class Cancelled(Exception):
    """The agent wants this build no longer."""


class BuildReport:
    """The channel of one build. The percentage never falls; `tell` and `pause` may raise `Cancelled`.

    `throttled` and `memory_least_mb` are what the agent has told of the board since the build began; None: nothing.
    """

    def __init__(self, channel: ControlChannel, backend: str) -> None:
        self._channel = channel
        self._shares = SHARES.get(backend, SHARES["tensorrt"])
        self._percent = 0.0
        self._told_s = float("-inf")
        self._beaten_s = time.monotonic()
        self.key: str | None = None
        self.disturbed = False  # it was stopped in between, so what it timed is not to be trusted
        self.throttled: bool | None = None
        self.memory_start_mb: int | None = None
        self.memory_least_mb: int | None = None

    def tell(self, phase: Phase, percent: float, text: str) -> None:
        """Tell how much of a phase is done: its beginning and end at once, the rest at most ten times a second."""
        now = time.monotonic()
        if now - self._told_s < TELL_EVERY_S and 0 < percent < 100:
            return
        self._told_s = now
        low, high = self._shares[phase]
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
            self._hear(self._channel.receive(max(0.0, min(left, BEAT_EVERY_S))))
            now = time.monotonic()
            if now - self._beaten_s >= BEAT_EVERY_S:
                self._beat(now)
            if now >= until:
                return

    def _hear(self, line: bytes | None) -> None:
        if self._channel.stopping:
            raise Cancelled
        if line is None:
            return
        try:
            word = DESK_WORDS.validate_json(line)
        except ValidationError as error:
            raise Cancelled from error  # whoever speaks there is not the agent that started us
        if not isinstance(word, Conditions):
            raise Cancelled
        self._note(word)

    def _note(self, word: Conditions) -> None:
        if word.throttled is not None:
            self.throttled = bool(self.throttled) or word.throttled
        if word.memory_available_mb is not None:
            if self.memory_start_mb is None:
                self.memory_start_mb = word.memory_available_mb
            self.memory_least_mb = min(self.memory_least_mb or word.memory_available_mb, word.memory_available_mb)

    def _beat(self, now: float) -> None:
        self._beaten_s = now
        self._channel.beat(SILENCE_S)
