"""From a wish that came over MQTT to a config to be tried, or to the answer why not. Pure.

The desired layer lies over everything that the device itself says. It is given whole, or as a JSON merge patch
(RFC 7396) onto the layer of the version that is committed. Versions rise: a wish that is not newer than the newest one
that was answered is not carried out, nor is one that skips more than half of the versions that are left; the very same
one, which a broker hands out again after every reconnect, gets its answer again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from edgeagent.config.effective import Loaded, compose
from edgeagent.config.layers import Layer, merge_layers, too_deep
from edgeagent.config.local_keys import local_mistakes
from edgeagent.config.mistake import ConfigMistakesError, Mistake
from edgeagent.config.schema import Config
from edgeagent.desired_layer import highest_after, merge_patch
from edgeagent.errors import ConfigError

MAX_BYTES = 128 * 1024
MAX_MISTAKES = 50
AnswerWord = Literal["none", "committed", "rolled_back", "rejected"]


@dataclass(frozen=True)
class Wish:
    """What was asked for. `digest` is of the message's bytes: the same wish again has the same one."""

    version: int
    digest: str
    config: dict[str, Any] | None = None
    base: int | None = None
    patch: dict[str, Any] | None = None
    trial_s: float | None = None
    by: str = ""


@dataclass(frozen=True)
class Kept:
    """A desired layer, and whose it is. Version 0: none, the device's file alone."""

    version: int = 0
    layer: dict[str, Any] = field(default_factory=dict, repr=False)
    digest: str = ""
    by: str = ""
    ts: int = 0


@dataclass(frozen=True)
class Answer:
    """What became of the newest wish. `errors`: (path, message, mend)."""

    version: int = 0
    state: AnswerWord = "none"
    digest: str = ""
    reason: str = ""
    errors: tuple[tuple[str, str, str], ...] = ()
    by: str = ""
    since_ts: int = 0
    restarted: tuple[str, ...] = ()


@dataclass(frozen=True)
class Candidate:
    """A layer that has passed every check that needs no trying, and the config that it makes."""

    kept: Kept
    loaded: Loaded
    trial_s: float | None = None


@dataclass(frozen=True)
class Again:
    """It has been answered: say the answer once more."""


@dataclass(frozen=True)
class Refused:
    """It is not tried. `word`: ignored for one whose version does not count."""

    word: Literal["rejected", "ignored"]
    reason: str
    errors: tuple[Mistake, ...] = ()


def consider(
    wish: Wish, committed: Kept, answered: Answer, local: Sequence[Layer], allow: Sequence[str]
) -> Candidate | Again | Refused:
    """What to do with a wish. `local`: the device's own layers; `allow`: remote.allow of its file."""
    if wish.version == answered.version and wish.digest == answered.digest:
        return Again()
    if wish.version <= answered.version:
        return Refused("ignored", f"version {answered.version} was answered before: a wish needs a higher one")
    if refused := skips_too_many(wish, answered.version):
        return refused
    if wish.patch is not None and wish.base != committed.version:
        reason = f"it changes version {wish.base}, and {committed.version} is in force"
        return Refused("rejected", reason, (Mistake("base", reason, "fetch what is in force, and change that"),))
    layer = wish.config if wish.config is not None else merge_patch(committed.layer, wish.patch or {})
    return _tried_out(wish, Kept(wish.version, layer, wish.digest, wish.by), local, allow)


def skips_too_many(wish: Wish, newest: int) -> Refused | None:
    """Why a wish with so high a version is not heard, after the newest that was; it would leave too few to others."""
    highest = highest_after(newest)
    if wish.version <= highest:
        return None
    return Refused("ignored", f"version {newest} was the newest so far: after it a wish may have {highest} at most")


def _tried_out(wish: Wish, kept: Kept, local: Sequence[Layer], allow: Sequence[str]) -> Candidate | Refused:
    """Whether the layer makes a config together with what the device has."""
    mistakes = [] if too_deep(kept.layer) else local_mistakes(kept.layer, merge_layers(local).data, allow)
    if mistakes:
        return Refused("rejected", _count(mistakes), tuple(mistakes))
    try:
        loaded = compose([*local, Layer("desired", kept.layer)], where=f"version {wish.version}")
    except ConfigMistakesError as error:
        return Refused("rejected", _count(error.mistakes), error.mistakes)
    except ConfigError as error:  # a layer that nests too deep
        return Refused("rejected", error.message)
    return Candidate(kept, loaded, wish.trial_s)


def _count(mistakes: Sequence[Mistake]) -> str:
    return "it has one mistake" if len(mistakes) == 1 else f"it has {len(mistakes)} mistakes"


def hash_of(config: Config) -> str:
    """SHA-256 of the effective config as canonical JSON, 64 hex digits."""
    return hashlib.sha256(canonical(config.model_dump(mode="json"))).hexdigest()


def canonical(data: object) -> bytes:
    """JSON with sorted keys, no blanks, UTF-8."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
