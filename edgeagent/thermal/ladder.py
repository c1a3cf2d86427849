"""The inference ladder: which pipeline gives up what, and when it gets it back. Pure.

Every pipeline brings a ladder (steps.py). Steps are taken one at a time: those of pipelines that are not critical
before those of critical ones; lower priority first; among pipelines of one priority turn by turn, so that equals share
what is missing. A step that cannot be taken now (there is no such engine in the store, somebody else has lowered the
power already) is passed over, and said so; it is looked at again when its turn comes again.

The way up is the way down backwards: the last step taken is the first one given back. It takes long: the governor must
have called it nominal or warm for `calm_s` without a break (a board that a build keeps at its set point is warm), its
allowance must cover the step, and as long must have passed since the last change. A step that
has to be taken again soon after one was given back (`relapse_s`) doubles that time, up to `max_calm_s`; after
`forgive_s` without a step down, each step up halves it. A board whose balance lies between two steps therefore changes
ever more rarely, and does not swing.

How much is still running is an estimate (`load`): the mean of the shares that the pipelines are granted. A step that
moves a pipeline elsewhere is reckoned to relieve the board by a fixed share. The estimate need not be right: the
governor looks at the board itself, and asks for less while it stays hot.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from edgeagent.thermal.governor import Verdict
from edgeagent.thermal.steps import Step

RELIEF = {"placement": 0.5, "model": 0.5, "power": 0.7}
"""What is reckoned to remain of a pipeline's load (of all load, for power) after a step that changes no rate."""

PER_S_SHARE = 0.5  # of a rate in results a second where the full rate is not known
SLACK = 0.01
CALM = ("nominal", "warm")


@dataclass(frozen=True)
class LadderRules:
    """Times in seconds. `shed_dwell_s` lies between two steps down: the board's answer to the first must show before
    the second is taken; where it is critical, `critical_dwell_s` does. A look that comes later than `stale_s` after
    the one before ends a calm spell: nobody knows what was in between."""

    shed_dwell_s: float = 10.0
    critical_dwell_s: float = 3.0
    calm_s: float = 60.0
    relapse_s: float = 1200.0
    max_calm_s: float = 1800.0
    forgive_s: float = 3600.0
    stale_s: float = 15.0


@dataclass(frozen=True)
class Ladder:
    """One pipeline. `priority`: the lower, the sooner it sheds. `full_per_s`: its results a second with nothing shed,
    None where that is not known."""

    pipeline: str
    steps: tuple[Step, ...]
    priority: int = 0
    critical: bool = False
    full_per_s: float | None = None


@dataclass(frozen=True)
class Taken:
    """A step in force: number `index` of its pipeline's ladder, since when, and the governor's reason for it."""

    pipeline: str
    index: int
    step: Step
    since_s: float
    code: str
    reason: str


@dataclass(frozen=True)
class Change:
    """What has just happened: a step `down` taken, or given back after `lasted_s`. `passed` are the steps of that
    pipeline that were passed over on the way down, with the reason of each."""

    taken: Taken
    down: bool
    lasted_s: float = 0.0
    passed: tuple[tuple[Step, str], ...] = ()


@dataclass(frozen=True)
class LadderState:
    """`taken`: the steps in force, the newest last. `calm_s`: how long it must be calm before the next is given back,
    0 for what the rules say."""

    taken: tuple[Taken, ...] = ()
    looked_s: float | None = None
    changed_s: float | None = None
    shed_s: float | None = None
    restored_s: float | None = None
    calm_from_s: float | None = None
    calm_s: float = 0.0


@dataclass(frozen=True)
class Grant:
    """What a pipeline is left with. `share` 0 is a pause; `per_s` bounds its results a second beside the share."""

    share: float = 1.0
    per_s: float | None = None
    placement: str = ""
    model: str = ""
    steps: tuple[Taken, ...] = ()

    @property
    def paused(self) -> bool:
        return self.share == 0

    @property
    def limits(self) -> tuple[float, float | None]:
        return self.share, self.per_s


Cannot = Mapping[tuple[str, Step], str]
"""Why a pipeline cannot take a step now; what is not in it can be taken."""


def climb(
    rules: LadderRules,
    ladders: Sequence[Ladder],
    state: LadderState,
    verdict: Verdict,
    now_s: float,
    cannot: Cannot,
) -> tuple[LadderState, Change | None]:
    """One look: at most one step down or up. `now_s` is monotonic and may be as late as it likes."""
    state = _noticed(rules, state, verdict, now_s)
    if _wants_less(ladders, state, verdict):
        return _shed(rules, ladders, state, verdict, now_s, cannot)
    if state.taken and verdict.level in CALM:
        return _restore(rules, ladders, state, verdict, now_s)
    return state, None


def _noticed(rules: LadderRules, state: LadderState, verdict: Verdict, now_s: float) -> LadderState:
    """The state with this look's part in the calm spell."""
    gap = state.looked_s is None or now_s - state.looked_s > rules.stale_s
    calm_from_s = None
    if verdict.level in CALM:
        calm_from_s = now_s if gap or state.calm_from_s is None else state.calm_from_s
    return replace(state, looked_s=now_s, calm_from_s=calm_from_s)


def _wants_less(ladders: Sequence[Ladder], state: LadderState, verdict: Verdict) -> bool:
    return verdict.level == "critical" or load(ladders, state) > verdict.allowance + SLACK


def _shed(
    rules: LadderRules, ladders: Sequence[Ladder], state: LadderState, verdict: Verdict, now_s: float, cannot: Cannot
) -> tuple[LadderState, Change | None]:
    dwell_s = rules.critical_dwell_s if verdict.level == "critical" else rules.shed_dwell_s
    if state.changed_s is not None and now_s - state.changed_s < dwell_s:
        return state, None
    found = _next_down(ladders, state, cannot)
    if found is None:
        return state, None
    ladder, index, passed = found
    taken = Taken(ladder.pipeline, index, ladder.steps[index], now_s, verdict.reason.code, verdict.reason.text)
    calm_s = _calm_after_shed(rules, state, now_s)
    new = replace(state, taken=(*state.taken, taken), changed_s=now_s, shed_s=now_s, restored_s=None, calm_s=calm_s)
    return new, Change(taken, down=True, passed=passed)


def _calm_after_shed(rules: LadderRules, state: LadderState, now_s: float) -> float:
    """Doubled by a relapse; what earlier relapses made of it is forgotten when nothing was shed for long."""
    calm_s = state.calm_s or rules.calm_s
    if state.restored_s is not None and now_s - state.restored_s < max(rules.relapse_s, calm_s):
        return min(rules.max_calm_s, 2 * calm_s)
    recent = state.shed_s is not None and now_s - state.shed_s < rules.forgive_s
    return calm_s if state.taken or recent else rules.calm_s


def _restore(
    rules: LadderRules, ladders: Sequence[Ladder], state: LadderState, verdict: Verdict, now_s: float
) -> tuple[LadderState, Change | None]:
    calm_s = now_s - state.calm_from_s if state.calm_from_s is not None else 0.0
    wanted_s = state.calm_s or rules.calm_s
    if calm_s < wanted_s or (state.changed_s is not None and now_s - state.changed_s < wanted_s):
        return state, None
    last = state.taken[-1]
    forgiven = state.shed_s is None or now_s - state.shed_s > rules.forgive_s
    new = replace(
        state,
        taken=state.taken[:-1],
        changed_s=now_s,
        restored_s=now_s,
        calm_s=max(rules.calm_s, wanted_s / 2) if forgiven else wanted_s,
    )
    if load(ladders, new) > verdict.allowance + SLACK:
        return state, None
    return new, Change(last, down=False, lasted_s=now_s - last.since_s)


def _next_down(
    ladders: Sequence[Ladder], state: LadderState, cannot: Cannot
) -> tuple[Ladder, int, tuple[tuple[Step, str], ...]] | None:
    """The next step to take and what its pipeline passes over for it; None when nothing is left to shed."""
    best: tuple[tuple[bool, int, int, int], Ladder, int, tuple[tuple[Step, str], ...]] | None = None
    for order, ladder in enumerate(ladders):
        depth = sum(taken.pipeline == ladder.pipeline for taken in state.taken)
        found = _first_possible(ladder, state, cannot)
        if found is None:
            continue
        rank = (ladder.critical, ladder.priority, depth, order)
        if best is None or rank < best[0]:
            best = (rank, ladder, *found)
    return best[1:] if best is not None else None


def _first_possible(
    ladder: Ladder, state: LadderState, cannot: Cannot
) -> tuple[int, tuple[tuple[Step, str], ...]] | None:
    start = 1 + max((taken.index for taken in state.taken if taken.pipeline == ladder.pipeline), default=-1)
    passed: list[tuple[Step, str]] = []
    for index in range(start, len(ladder.steps)):
        step = ladder.steps[index]
        why = why_not(ladder, step, state, cannot)
        if not why:
            return index, tuple(passed)
        passed.append((step, why))
    return None


def why_not(ladder: Ladder, step: Step, state: LadderState, cannot: Cannot) -> str:
    """Why this step cannot be taken now; empty when it can."""
    if step.kind == "pause" and ladder.critical:
        return "a critical pipeline is never stopped"
    if step.kind == "power" and any(taken.step.kind == "power" for taken in state.taken):
        return "the board's power is lowered already"
    return cannot.get((ladder.pipeline, step), "")


def withdraw(state: LadderState, pipeline: str, step: Step) -> tuple[LadderState, Taken | None]:
    """Without a step that came to nothing (its engine did not load): the board has had no relief of it."""
    for taken in state.taken:
        if taken.pipeline == pipeline and taken.step == step:
            left = tuple(other for other in state.taken if other is not taken)
            return replace(state, taken=left, changed_s=None), taken
    return state, None


def grant(state: LadderState, pipeline: str) -> Grant:
    """What the pipeline is left with now."""
    found = Grant()
    for taken in state.taken:
        if taken.pipeline == pipeline:
            found = replace(_with_step(found, taken.step), steps=(*found.steps, taken))
    return found


def _with_step(found: Grant, step: Step) -> Grant:
    if step.kind == "pause":
        return replace(found, share=0.0)
    if step.share is not None:
        return replace(found, share=min(found.share, step.share))
    if step.per_s is not None:
        return replace(found, per_s=min(found.per_s, step.per_s) if found.per_s is not None else step.per_s)
    if step.kind == "placement":
        return replace(found, placement=step.name)
    if step.kind == "model":
        return replace(found, model=step.name)
    return found


def lowered_power(state: LadderState) -> str:
    """The power intent that a step in force asks for; empty for none."""
    return next((taken.step.name for taken in state.taken if taken.step.kind == "power"), "")


def load(ladders: Sequence[Ladder], state: LadderState) -> float:
    """The estimated share of the full load that still runs, 0..1; 0 with no pipeline. A step down never raises it."""
    if not ladders:
        return 0.0
    if not state.taken:
        return 1.0
    mean = sum(_load(ladder, grant(state, ladder.pipeline)) for ladder in ladders) / len(ladders)
    return mean * (RELIEF["power"] if lowered_power(state) else 1.0)


def _load(ladder: Ladder, granted: Grant) -> float:
    share = granted.share
    if granted.per_s is not None:
        share = min(share, granted.per_s / ladder.full_per_s if ladder.full_per_s else PER_S_SHARE)
    return share * _relief(granted)


def _relief(granted: Grant) -> float:
    return (RELIEF["placement"] if granted.placement else 1.0) * (RELIEF["model"] if granted.model else 1.0)


def unavailable(ladders: Sequence[Ladder], state: LadderState, cannot: Cannot) -> Iterator[tuple[str, Step, str]]:
    """The steps that could not be taken now, each with its reason: what a person would want to mend beforehand."""
    for ladder in ladders:
        taken = {one.index for one in state.taken if one.pipeline == ladder.pipeline}
        for index, step in enumerate(ladder.steps):
            if index not in taken and (why := why_not(ladder, step, state, cannot)):
                yield ladder.pipeline, step, why
