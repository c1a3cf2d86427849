"""Messages that answer what a device was told: the config in force, and how a command goes. Pure; pydantic."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, JsonValue

from edgeagent.fleet.envelope import Count, EpochMs, Id, Message, Part, Share
from edgeagent.fleet.inbound import Scope

ConfigWord = Literal["none", "trial", "committed", "rolled_back", "rejected", "ignored"]
JobWord = Literal["accepted", "running", "succeeded", "failed", "timed_out", "cancelled", "refused"]
LAST_WORDS: tuple[JobWord, ...] = ("succeeded", "failed", "timed_out", "cancelled", "refused")


class ConfigMistake(Part):
    """One mistake in a desired config."""

    path: str = Field(description="The key, dotted; empty for the document as a whole")
    message: str
    mend: str = ""


class ConfigReported(Message):
    """What became of the newest wish, and what is in force."""

    schema_: Literal["edgeagent.config-reported/1"] = "edgeagent.config-reported/1"
    version: Count = Field(description="The wish that this answers; 0: none has come")
    state: ConfigWord = Field(
        description="none: no wish; trial: in force on trial; committed: in force; rolled_back: it was tried and did "
        "not hold; rejected: not tried, see errors; ignored: not newer than what was answered before"
    )
    ack: int = Field(
        description="The same as a number: 200 committed, 202 trial, 400 rejected, 409 ignored, 500 undone"
    )
    reason: str = Field(default="", description="Why, in words")
    errors: tuple[ConfigMistake, ...] = Field(default=(), description="With rejected: every mistake")
    in_force: Count = Field(description="Version of the wish that is committed; 0: the device's file alone")
    hash: str = Field(description="SHA-256 of the effective config as canonical JSON, 64 hex digits")
    trial_left_s: Count | None = Field(default=None, description="With trial: seconds that it has left at most")
    restarted: tuple[str, ...] = Field(default=(), description="What the newest change restarted, such as camera/gate")
    answered: Count | None = Field(
        default=None,
        description="With a wish that is not remembered (ignored, or not to be read): the newest version that is, "
        "which a new wish has to exceed. Otherwise that is version",
    )
    by: str = Field(default="", description="Who wished it, as the wish said")
    since_ts: EpochMs = Field(description="When it came into this state")
    desired: dict[str, JsonValue] = Field(default={}, description="The committed desired layer: what to patch")


class Job(Message):
    """How a command goes: retained until it is forgotten, a week after its end at the latest."""

    schema_: Literal["edgeagent.job/1"] = "edgeagent.job/1"
    id: Id = Field(description="The command's")
    name: str = Field(description="Which command")
    state: JobWord = Field(description="refused: nothing was done; the last five are final")
    percent: Share | None = Field(default=None, description="With running: how far, where that is known")
    phase: str = Field(default="", description="With running: what is going on")
    code: str = Field(default="", description="With refused and failed: a stable word for the reason")
    reason: str = Field(default="", description="Why it ended so, and how to mend it")
    result: dict[str, JsonValue] | None = Field(default=None, description="With succeeded: what the command gives")
    scope: Scope = Field(default="device", description="Whom the command was said to")
    by: str = Field(default="", description="Who commanded it")
    accepted_ts: EpochMs
    deadline_ts: EpochMs | None = None
    ended_ts: EpochMs | None = None
