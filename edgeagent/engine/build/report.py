"""How a build tells the agent how far it is, and hears whether it is still wanted and how the board is."""

from __future__ import annotations

import time
from typing import Final, Literal

from pydantic import ValidationError

from edgeagent.engine.build.messages import DESK_WORDS, Conditions, Pace, Phase, Progress, Resting
from edgeagent.engine.build.rest import StepRest
from edgeagent.supervise.messages import Message
from edgeagent.supervise.program import ControlChannel

SILENCE_S: Final = 120.0  # a step between two words may take this long on a slow device
TELL_EVERY_S: Final = 0.1
BEAT_EVERY_S: Final = 10.0
REST_TOLD_EVERY_S: Final = 1.0
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

    `throttled`, `memory_least_mb` and `headroom_least_c` are what the agent has told of the board since the build
    began; None: nothing. `rest` keeps the pace that it asks for, where the builder has steps to rest between.
    """

    def __init__(self, channel: ControlChannel, backend: str) -> None:
        self._channel = channel
        self._shares = SHARES.get(backend, SHARES["tensorrt"])
        self._percent = 0.0
        self._told_s = float("-inf")
        self._beaten_s = time.monotonic()
        self.key: str | None = None
        self.disturbed = False  # it was stopped while it timed kernels, so what it timed is not to be trusted
        self.rest = StepRest()
        self.stopped_s = 0.0
        self.headroom_least_c: float | None = None
        self.paced_by: set[Literal["signals", "steps"]] = set()
        self._phase: Phase = "waiting"
        self._signals = False
        self._rest_told = (float("-inf"), Resting(active=False))
        self.throttled: bool | None = None
        self.memory_start_mb: int | None = None
        self.memory_least_mb: int | None = None

    @property
    def paused_s(self) -> float:
        """For how long the build was stopped from outside or has rested."""
        return self.stopped_s + self.rest.rested_s

    def tell(self, phase: Phase, percent: float, text: str) -> None:
        """Tell how much of a phase is done: its beginning and end at once, the rest at most ten times a second."""
        now = time.monotonic()
        self._phase = phase
        self._note_disturbance()
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
            self._tell_rest()
            self._hear(self._channel.receive(max(0.0, min(left, BEAT_EVERY_S))))
            now = time.monotonic()
            if now - self._beaten_s >= BEAT_EVERY_S:
                self._beat(now)
            if now >= until:
                self._hear_others()
                return

    def _hear_others(self) -> None:
        """Whatever else the agent has said already."""
        while (line := self._channel.receive(0.0)) is not None:
            self._hear(line)

    def _hear(self, line: bytes | None) -> None:
        if self._channel.stopping:
            raise Cancelled
        if line is None:
            return
        try:
            word = DESK_WORDS.validate_json(line)
        except ValidationError as error:
            raise Cancelled from error  # whoever speaks there is not the agent that started us
        if isinstance(word, Pace):
            self._keep_pace(word)
        elif isinstance(word, Conditions):
            self._note(word)
        else:
            raise Cancelled

    def _keep_pace(self, word: Pace) -> None:
        self._signals = word.signals
        if word.signals:
            self.paced_by.add("signals")
        if word.duty < 1 and self.rest.active:
            self.paced_by.add("steps")
        self.rest.set_duty(word.duty)
        self._note_disturbance()

    def _note_disturbance(self) -> None:
        if self._signals and self._phase == "building":
            self.disturbed = True

    def _tell_rest(self) -> None:
        """How the build keeps its pace by itself: at each change, else once a second while it rests now and then."""
        rest, (told_s, told) = self.rest, self._rest_told
        changed = (rest.active, rest.resting) != (told.active, told.resting)
        now = time.monotonic()
        if changed or (rest.active and now - told_s >= REST_TOLD_EVERY_S and rest.rested_s != told.rested_s):
            word = Resting(active=rest.active, resting=rest.resting, rested_s=round(rest.rested_s, 3))
            self._rest_told = (now, word)
            self._channel.send(word)

    def _note(self, word: Conditions) -> None:
        if word.stopped_s is not None:
            self.stopped_s = word.stopped_s
        if word.headroom_c is not None:
            least_c = self.headroom_least_c
            self.headroom_least_c = word.headroom_c if least_c is None else min(least_c, word.headroom_c)
        if word.throttled is not None:
            self.throttled = bool(self.throttled) or word.throttled
        if word.memory_available_mb is not None:
            if self.memory_start_mb is None:
                self.memory_start_mb = word.memory_available_mb
            self.memory_least_mb = min(self.memory_least_mb or word.memory_available_mb, word.memory_available_mb)

    def _beat(self, now: float) -> None:
        self._beaten_s = now
        self._channel.beat(SILENCE_S)
