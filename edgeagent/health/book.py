"""Component states -> one health. Pure: the time comes in, the book comes out.

A component is what can be well or ill by itself: a camera, a pipeline's engine, the infer child, the link, the
board. The whole is failed when nothing of what it is for works, degraded when something does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Word = Literal["ok", "degraded", "failed"]
VITAL = ("camera/", "engine/", "infer/")


@dataclass(frozen=True)
class Component:
    """`since_ms`: wall time at which it came into this health."""

    health: Word
    reason: str
    since_ms: int


@dataclass(frozen=True)
class HealthBook:
    components: Mapping[str, Component] = field(default_factory=dict)


def note(book: HealthBook, name: str, health: Word, reason: str, now_ms: int) -> tuple[HealthBook, bool]:
    """The book with `name` in that health; True when that changed anything a person would see."""
    old = book.components.get(name)
    if old is not None and old.health == health and old.reason == reason:
        return book, False
    since = old.since_ms if old is not None and old.health == health else now_ms
    return HealthBook({**book.components, name: Component(health, reason, since)}), True


def forget(book: HealthBook, name: str) -> tuple[HealthBook, bool]:
    """The book without `name`: it is no more. True when it was there."""
    if name not in book.components:
        return book, False
    return HealthBook({other: found for other, found in book.components.items() if other != name}), True


def overall(book: HealthBook) -> tuple[Word, str]:
    """The health of the whole and the reason that binds: of the kind that nothing works of when there is one, else
    the first failed component's, else the first degraded's."""
    lost = _lost_kind(book)
    if lost:
        return "failed", _first(book, "failed", lost)
    for word in ("failed", "degraded"):
        if reason := _first(book, word):
            return "degraded", reason
    return "ok", ""


def _first(book: HealthBook, word: str, kind: str = "") -> str:
    """The first component of that kind in that health, with its reason; empty when there is none."""
    ill = (name for name, c in sorted(book.components.items()) if c.health == word and name.startswith(kind))
    return next((f"{name}: {book.components[name].reason}" for name in ill), "")


def _lost_kind(book: HealthBook) -> str:
    """The vital kind of which every component has failed; empty when there is none."""
    for kind in VITAL:
        words = [c.health for name, c in book.components.items() if name.startswith(kind)]
        if words and all(word == "failed" for word in words):
            return kind
    return ""
