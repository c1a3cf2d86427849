"""How a camera is: ok, degraded or failed, with a code and a reason. Pure: looks in, verdicts out.

A camera has failed when its capture has ended, and for as long as no picture comes that is a new one. It is recovering
(degraded) from its first new picture on, and well when such pictures have come for GOOD_S; after one failure among
good times it is well at once. One that runs is degraded while its rate, its size or the share of its unusable frames
is wrong over the last WINDOW_S; it takes more to come out of that than to stay out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

Word = Literal["ok", "degraded", "failed"]

WINDOW_S = 10.0
GOOD_S = 10.0
PATIENCE_S = 2.5  # without a new picture, before the good time counts from nought again
LEAST, MOST = 0.8, 1.25  # shares of the promised rate
MARGIN = 0.08  # of that rate, on the way back
CORRUPT, CLEAN = 0.05, 0.02  # unusable share of all frames: from which on it counts, and below which it is over

RATE, SIZE, CORRUPT_CODE, RECOVERING = "source_rate", "source_size", "source_corrupt", "source_recovering"
FROZEN = "source_frozen"  # the capture's word


@dataclass(frozen=True)
class Promise:
    """What the source said when it was opened, or was asked for. None: not known, or not to be judged. `gap_s`: so much
    may lie between two pictures of a source that is slow, or says nothing of its rate."""

    fps: float | None = None
    min_fps: float | None = None
    size: tuple[int, int] | None = None
    gap_s: float = 0.0


@dataclass(frozen=True)
class Look:
    """One look at a capture. Frames and unusable frames count from its start; shed frames are frames, too."""

    at_s: float
    frames: int
    unusable: int
    size: tuple[int, int] | None = None
    unchanged_s: float = 0.0
    moved: bool = True


@dataclass(frozen=True)
class Verdict:
    health: Word
    code: str = ""
    reason: str = ""


OK = Verdict("ok")


@dataclass(frozen=True)
class HealthState:
    """`looks`: those of the window, oldest first, of one capture only. `doubts`: what is wrong with one that runs.
    `failures`: since it was `proven` last, by good pictures for GOOD_S.
    """

    failed: Verdict | None = None
    good_since_s: float | None = None
    moved_s: float | None = None
    looks: tuple[Look, ...] = ()
    doubts: tuple[Verdict, ...] = ()
    failures: int = 0
    proven: bool = False

    @property
    def verdict(self) -> Verdict:
        if self.failed is not None and self.good_since_s is None:
            return self.failed
        if self.failed is not None:
            return Verdict("degraded", RECOVERING, f"pictures come again after: {self.failed.reason}")
        return self.doubts[0] if self.doubts else OK


def fail(state: HealthState, code: str, reason: str) -> HealthState:
    """Its capture has ended."""
    return HealthState(failed=Verdict("failed", code, reason), failures=state.failures + 1)


def reopen(state: HealthState) -> HealthState:
    """A capture counts from nought again."""
    return replace(state, looks=())


def promise_anew(state: HealthState) -> HealthState:
    """Another rate is held against it from now on: that the one before was missed makes this one no harder to keep."""
    return replace(state, doubts=tuple(doubt for doubt in state.doubts if doubt.code != RATE))


def judge(state: HealthState, look: Look, promise: Promise) -> HealthState:
    """One more look. `proven` afterwards: it has given good pictures for so long that its past does not count."""
    last = state.looks[-1] if state.looks else None
    if last is not None and look.frames < last.frames:  # of another capture
        state, last = reopen(state), None
    kept = tuple(old for old in state.looks if look.at_s - old.at_s <= WINDOW_S)
    state = replace(state, looks=(*kept, look))
    new = look.moved or not _was_frozen(state)  # a first picture may be the frozen one again
    good = last is not None and look.frames > last.frames and look.unchanged_s == 0.0 and new
    state = _settle(state, look.at_s, good, max(PATIENCE_S, promise.gap_s, 2 / promise.fps if promise.fps else 0.0))
    return replace(state, doubts=tuple(_doubts(state, promise)))


def _settle(state: HealthState, now_s: float, good: bool, patience_s: float) -> HealthState:
    """Whether the failure before is over. Without a good picture for `patience_s` it begins anew."""
    moved_s = now_s if good else state.moved_s
    if moved_s is None or now_s - moved_s > patience_s:
        return replace(state, good_since_s=None, moved_s=moved_s, proven=False)
    since_s = now_s if state.good_since_s is None else state.good_since_s
    proven = now_s - since_s >= GOOD_S
    failures = 0 if proven else state.failures
    failed = None if proven or (failures <= 1 and not _was_frozen(state)) else state.failed
    return replace(state, good_since_s=since_s, moved_s=moved_s, proven=proven, failures=failures, failed=failed)


def _was_frozen(state: HealthState) -> bool:
    """It may take a while to show that it still is."""
    return state.failed is not None and state.failed.code == FROZEN


def _doubts(state: HealthState, promise: Promise) -> Iterator[Verdict]:
    first, last = state.looks[0], state.looks[-1]
    before = {doubt.code: doubt for doubt in state.doubts}
    if last.size is not None and promise.size is not None and last.size != promise.size:
        yield Verdict("degraded", SIZE, f"its frames are {_size(last.size)}, not {_size(promise.size)}")
    if last.at_s - first.at_s < WINDOW_S - 1.5:  # too little seen: what was, is
        yield from (doubt for code, doubt in before.items() if code != SIZE)
        return
    frames, unusable = last.frames - first.frames, last.unusable - first.unusable
    yield from _corrupt(frames, unusable, before.get(CORRUPT_CODE))
    yield from _rate(frames / (last.at_s - first.at_s), promise, before.get(RATE))


def _corrupt(frames: int, unusable: int, before: Verdict | None) -> Iterator[Verdict]:
    share = unusable / max(1, frames + unusable)
    if share > (CLEAN if before else CORRUPT):
        yield before or Verdict("degraded", CORRUPT_CODE, f"{share:.0%} of its frames are unusable")


def _rate(fps: float, promise: Promise, before: Verdict | None) -> Iterator[Verdict]:
    """The reason keeps the number with which it began: a reason that changed every second would be published so."""
    if fps <= 0:
        return  # a stall, which the capture tells
    if promise.min_fps is not None:
        low, high, wanted = promise.min_fps, float("inf"), f"at least {promise.min_fps:g}"
    elif promise.fps is not None:
        low, high, wanted = LEAST * promise.fps, MOST * promise.fps, f"{promise.fps:g}"
    else:
        return
    margin = MARGIN * low if before else 0.0
    if not low + margin <= fps <= high - margin:
        yield before or Verdict("degraded", RATE, f"it gives {fps:.1f} frames a second, not {wanted}")


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
