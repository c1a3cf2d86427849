"""What the agent and a capture child say to each other."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from edgeagent.camera.spec import SourceSpec
from edgeagent.supervise.messages import Message, Stop


class RingOutput(BaseModel):
    """A ring to fill: its descriptor in the child, and the eventfds of those who wait for its frames."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    fd: int
    wake_fds: list[int]


class CaptureStart(Message):
    """First message: the source to open and the rings to fill.

    `share` of the frames is read (see SetShare). `resume_after` is for a child that takes over in the middle of a file
    played once: the frames already written as the agent knows it, None before `begin`. The rings know it exactly, and
    the child believes them.

    A live source whose picture stays the same for `frozen_after_s` is given up (0: never); `noisy` tells that a capture
    before has seen noise in its pictures, without which nothing is called frozen (stillness.py). `fps` is the rate that
    a capture before has found: with it a stream is open sooner.
    """

    kind: Literal["start"] = "start"
    camera: str
    source: SourceSpec
    rings: list[RingOutput]
    resume_after: int | None = None
    share: float = Field(default=1.0, gt=0, le=1)
    frozen_after_s: float = 0.0
    noisy: bool = False
    fps: float | None = None


class SetShare(Message):
    """From now on only this share of the frames is read: nobody looks at more. A file played once does not heed it."""

    kind: Literal["share"] = "share"
    share: float = Field(gt=0, le=1)


class Begin(Message):
    """From now on every frame counts: a file played once starts over."""

    kind: Literal["begin"] = "begin"


class Opened(Message):
    """The source is open; the size and rate are what it says of itself. A rate that it does not know is a guess."""

    kind: Literal["opened"] = "opened"
    width: int
    height: int
    fps: float
    fps_known: bool = True


class CaptureStats(Message):
    """Once a second. `frames` counts since the source was opened; `unusable` are frames that could not be read, `shed`
    those that were left out because of the share. `width` and `height` are of the newest frame, 0 before the first;
    `unchanged_s` tells for how long the picture has been the same although this camera's pictures are `noisy`; `moved`,
    that one has been another than the one before, or that nobody has to look for that."""

    kind: Literal["stats"] = "stats"
    frames: int
    unusable: int
    read_ms: float
    shed: int = 0
    width: int = 0
    height: int = 0
    unchanged_s: float = 0.0
    noisy: bool = False
    moved: bool = True


class Ended(Message):
    """A file played once has come to its end. `expected` is what its header promised, 0 if it said nothing."""

    kind: Literal["ended"] = "ended"
    frames: int
    expected: int


CaptureWord = Annotated[Opened | CaptureStats | Ended, Field(discriminator="kind")]
CAPTURE_WORDS: TypeAdapter[Opened | CaptureStats | Ended] = TypeAdapter(CaptureWord)
AgentWord = Annotated[Begin | SetShare | Stop, Field(discriminator="kind")]
AGENT_WORDS: TypeAdapter[Begin | SetShare | Stop] = TypeAdapter(AgentWord)
FirstWord = Annotated[CaptureStart | Begin | SetShare | Stop, Field(discriminator="kind")]
FIRST_WORDS: TypeAdapter[CaptureStart | Begin | SetShare | Stop] = TypeAdapter(FirstWord)
