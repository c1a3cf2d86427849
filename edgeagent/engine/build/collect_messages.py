"""What the agent and the child that only collects calibration frames say to each other."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from edgeagent.engine.build.messages import CalibrationWish, Progress, Resting
from edgeagent.supervise.messages import Message


class CollectStart(Message):
    """First message: a new set from that ring, in the place of the one that may be there."""

    kind: Literal["collect_start"] = "collect_start"
    wish: CalibrationWish
    ring_fd: int
    width: int
    height: int


class Collected(Message):
    """The set is there. `frames` counts those held out, too."""

    kind: Literal["collected"] = "collected"
    frames: int
    digest: str


CollectWord = Annotated[Progress | Collected | Resting, Field(discriminator="kind")]
COLLECT_WORDS: TypeAdapter[Progress | Collected | Resting] = TypeAdapter(CollectWord)
