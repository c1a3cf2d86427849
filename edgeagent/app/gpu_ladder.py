"""What follows when the GPU is lost again and again: the last step of the ladder. Pure; seconds are monotonic.

A child that loses its GPU is started again by its supervisor, and an engine that was there twice is in quarantine
(engine_troubles.py). Where it is lost once more after that, within WINDOW_S, no process can mend it: an alarm asks for
a reboot. It is taken back when an engine has run for QUIET_S without a loss. Several processes that lose the GPU
together have lost it once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

LOSSES: Final = 3  # one by itself, one that puts the engine into quarantine, one that the engine is not to blame for
WINDOW_S: Final = 1800.0
QUIET_S: Final = 600.0
TOGETHER_S: Final = 5.0  # what other processes say within this time after a loss is the same one


@dataclass(frozen=True)
class GpuState:
    """`lost_s`: when it was lost, within the window; `by`: who has told of the last one; `asked`: the alarm is raised;
    `serving_s`: since when an engine has run without a loss."""

    lost_s: tuple[float, ...] = ()
    by: frozenset[str] = frozenset()
    asked: bool = False
    serving_s: float | None = None


def after_loss(state: GpuState, now_s: float, by: str) -> tuple[GpuState, bool]:
    """The state after a process has lost it, and whether a reboot is to be asked for now: once until it is quiet
    again."""
    if state.lost_s and now_s - state.lost_s[-1] < TOGETHER_S and by not in state.by:
        return replace(state, by=state.by | {by}, serving_s=None), False
    lost_s = (*(at for at in state.lost_s if now_s - at < WINDOW_S), now_s)[-LOSSES:]
    asks = len(lost_s) >= LOSSES and not state.asked
    return GpuState(lost_s, frozenset({by}), state.asked or asks), asks


def after_look(state: GpuState, now_s: float, *, serves: bool) -> tuple[GpuState, bool]:
    """The state after a look at whether an engine runs, and whether the alarm is to be taken back now."""
    if not serves:
        return replace(state, serving_s=None), False
    since_s = now_s if state.serving_s is None else state.serving_s
    if now_s - since_s < QUIET_S:
        return replace(state, serving_s=since_s), False
    return GpuState(serving_s=since_s), state.asked
