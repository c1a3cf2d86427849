"""The steps of a pipeline's ladder as an operator writes them: `rate 50%`, `rate 5/s`, `placement dla`, `model tiny`,
`power low-power`, `pause`. Pure.

A ladder is a list of steps in the order in which they are taken. It only ever goes down: each rate is below the one
before it, nothing is named twice, and a pause is the end of it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["rate", "placement", "model", "power", "pause"]

FORMS = '"rate 50%", "rate 5/s", "placement dla", "model ID", "power INTENT" or "pause"'
MIN_SHARE, MAX_PER_S = 0.01, 1000.0

DEFAULT = ("rate 50%", "rate 25%", "placement dla", "pause")
DEFAULT_CRITICAL = ("rate 50%", "placement dla", "power low-power", "rate 25%")
"""A critical pipeline never pauses. What it gives up last is its rate; before that the whole board slows down."""

_PERCENT = re.compile(r"(\d{1,3}(?:\.\d{1,3})?) ?%")
_PER_S = re.compile(r"(\d{1,4}(?:\.\d{1,3})?) ?/ ?s")
_ID = re.compile(r"[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?")


class StepError(ValueError):
    """A step or a ladder that cannot be. `mend`: what to write in its place."""

    def __init__(self, message: str, mend: str) -> None:
        super().__init__(message)
        self.message = message
        self.mend = mend


@dataclass(frozen=True)
class Step:
    """One rung. A rate has either `share` (0..1 of the pipeline's full rate) or `per_s` (results a second, at most);
    `name` is the placement, the model's id or the power intent."""

    kind: Kind
    share: float | None = None
    per_s: float | None = None
    name: str = ""

    def line(self) -> str:
        """The step as it is written in the configuration."""
        if self.share is not None:
            return f"rate {self.share * 100:g}%"
        if self.per_s is not None:
            return f"rate {self.per_s:g}/s"
        return f"{self.kind} {self.name}".rstrip()


def parse_step(text: str) -> Step:
    """Raises StepError for what is no step."""
    kind, _, rest = " ".join(text.split()).partition(" ")
    if kind == "rate":
        return _rate(rest)
    if kind == "pause" and not rest:
        return Step("pause")
    if kind == "placement":
        if rest != "dla":
            raise StepError(f'"{kind} {rest}" is no step: an engine moves to a DLA only', 'write "placement dla"')
        return Step("placement", name=rest)
    if kind in ("model", "power"):
        if _ID.fullmatch(rest) is None:
            wanted = "an id under models" if kind == "model" else "a power intent such as low-power"
            raise StepError(f'"{" ".join(text.split())}" names no {kind}', f'write "{kind} NAME", NAME being {wanted}')
        return Step("model" if kind == "model" else "power", name=rest)
    raise StepError(f'"{" ".join(text.split())}" is no step', f"a step is {FORMS}")


def _rate(text: str) -> Step:
    if (found := _PERCENT.fullmatch(text)) is not None:
        share = float(found[1]) / 100
        if not MIN_SHARE <= share < 1:
            raise StepError(f'"rate {text}" is no lower rate', 'write 1% to 99%, or "pause" for nothing')
        return Step("rate", share=round(share, 5))
    if (found := _PER_S.fullmatch(text)) is not None:
        per_s = float(found[1])
        if not 0 < per_s <= MAX_PER_S:
            raise StepError(f'"rate {text}" is no lower rate', 'write more than 0 a second, or "pause" for nothing')
        return Step("rate", per_s=per_s)
    raise StepError(f'"rate {text}" is no rate', 'write "rate 50%" (of the full rate) or "rate 5/s" (results)')


def parse_ladder(texts: Sequence[str], *, critical: bool) -> tuple[Step, ...]:
    """The steps in order. Raises StepError for the first one that cannot stand where it stands."""
    steps: list[Step] = []
    for text in texts:
        step = parse_step(text)
        _check_place(step, steps, critical=critical)
        steps.append(step)
    return tuple(steps)


def _check_place(step: Step, before: Sequence[Step], *, critical: bool) -> None:
    line = step.line()
    if step.kind == "pause" and critical:
        raise StepError('"pause" would stop a critical pipeline', "leave it out: the last rate is its floor")
    if step in before:
        raise StepError(f'"{line}" stands there twice', "leave one out")
    if before and before[-1].kind == "pause":
        raise StepError(f'"{line}" comes after "pause"', 'put "pause" last: nothing is left to give up after it')
    for other in before:
        if _not_below(step, other):
            raise StepError(f'"{line}" is not below "{other.line()}" before it', "write rates from high to low")
        if step.kind == other.kind and step.kind not in ("rate", "model"):
            raise StepError(f'"{line}" comes after "{other.line()}"', "leave one out")


def _not_below(step: Step, other: Step) -> bool:
    if step.share is not None and other.share is not None:
        return step.share >= other.share
    if step.per_s is not None and other.per_s is not None:
        return step.per_s >= other.per_s
    return False


def ladder_texts(shed: Sequence[str] | None, *, critical: bool) -> tuple[str, ...]:
    """The ladder as written, else the default one. An empty list is a ladder without steps."""
    if shed is not None:
        return tuple(shed)
    return DEFAULT_CRITICAL if critical else DEFAULT
