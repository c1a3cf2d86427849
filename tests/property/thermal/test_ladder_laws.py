"""Laws of the ladder, whatever the pipelines, the weather and the looks."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from edgeagent.thermal.governor import Reason, Verdict
from edgeagent.thermal.ladder import Change, Ladder, LadderRules, LadderState, climb, grant, load
from edgeagent.thermal.steps import DEFAULT, DEFAULT_CRITICAL, Step, parse_ladder

RULES = LadderRules()
LISTS = (
    DEFAULT,
    ("rate 80%", "rate 60%", "rate 40%", "rate 20%"),
    ("model tiny", "rate 5/s", "power low-power", "pause"),
    ("pause",),
    (),
)


@st.composite
def lineups(draw: st.DrawFn) -> list[Ladder]:
    found = []
    for number in range(draw(st.integers(1, 5))):
        critical = draw(st.booleans())
        texts = DEFAULT_CRITICAL if critical else draw(st.sampled_from(LISTS))
        steps = parse_ladder(texts, critical=critical)
        full = draw(st.sampled_from([None, 10.0, 30.0]))
        found.append(Ladder(f"p{number}", steps, draw(st.integers(-2, 2)), critical, full))
    return found


def cannots(ladders: list[Ladder]) -> st.SearchStrategy[dict[tuple[str, Step], str]]:
    every = [(ladder.pipeline, step) for ladder in ladders for step in ladder.steps]
    if not every:
        return st.just({})
    return st.sets(st.sampled_from(every)).map(lambda some: dict.fromkeys(some, "not to be had"))


verdicts = st.builds(
    Verdict,
    level=st.sampled_from(["nominal", "warm", "hot", "critical"]),
    build_duty=st.just(0.0),
    allowance=st.sampled_from([0.0, 0.3, 0.6, 0.9, 1.0]),
    reason=st.just(Reason("heat", "hot")),
)
spells = st.lists(st.tuples(verdicts, st.integers(1, 200), st.sampled_from([0.5, 1.0, 2.0, 40.0])), max_size=30)


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_the_steps_in_force_are_a_stack_and_no_critical_pipeline_stops(data: st.DataObject) -> None:
    ladders = data.draw(lineups())
    cannot = data.draw(cannots(ladders))
    by_name = {ladder.pipeline: ladder for ladder in ladders}
    state, now_s, last_s = LadderState(), 0.0, None
    for told, looks, every_s in data.draw(spells):
        for _ in range(looks):
            before, (state, change) = state, climb(RULES, ladders, state, told, now_s, cannot)
            if change is None:
                assert state.taken == before.taken
            elif change.down:
                check_down(before, state, change, by_name, cannot)
            else:
                assert state.taken == before.taken[:-1] and change.taken == before.taken[-1]
                assert told.level in ("nominal", "warm") and change.lasted_s >= RULES.calm_s
            if change is not None:
                assert last_s is None or now_s - last_s >= RULES.critical_dwell_s
                last_s = now_s
            assert all(grant(state, ladder.pipeline).share > 0 for ladder in ladders if ladder.critical)
            now_s += every_s


def check_down(
    before: LadderState, after: LadderState, change: Change, ladders: dict[str, Ladder], cannot: dict
) -> None:
    taken = change.taken
    assert after.taken == (*before.taken, taken)
    assert (taken.pipeline, taken.step) not in cannot
    assert ladders[taken.pipeline].steps[taken.index] == taken.step
    assert all(one.index < taken.index for one in before.taken if one.pipeline == taken.pipeline)
    assert load(list(ladders.values()), after) <= load(list(ladders.values()), before)
    assert sum(one.step.kind == "power" for one in after.taken) <= 1


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_no_critical_pipeline_sheds_while_another_still_could(data: st.DataObject) -> None:
    ladders = data.draw(lineups())
    state, now_s = LadderState(), 0.0
    told = Verdict("critical", 0.0, 0.0, Reason("heat", "hot"))
    order = []
    for _ in range(200):
        state, change = climb(RULES, ladders, state, told, now_s, {})
        if change is not None:
            order.append(next(ladder for ladder in ladders if ladder.pipeline == change.taken.pipeline))
        now_s += 1
    ranks = [(ladder.critical, ladder.priority) for ladder in order]
    assert ranks == sorted(ranks)


@settings(deadline=None, max_examples=20)
@given(lineups(), st.lists(st.tuples(verdicts, st.integers(1, 60)), max_size=10))
def test_in_lasting_calm_everything_comes_back(ladders: list[Ladder], spells: list[tuple[Verdict, int]]) -> None:
    state, now_s = LadderState(), 0.0
    for told, looks in spells:
        for _ in range(looks):
            state, _ = climb(RULES, ladders, state, told, now_s, {})
            now_s += 1
    calm = Verdict("nominal", 1.0, 1.0, Reason("none", ""))
    for _ in range(3 * int(RULES.max_calm_s)):
        state, _ = climb(RULES, ladders, state, calm, now_s, {})
        now_s += 1
    assert state.taken == ()


@dataclass
class Box:
    """A board of one heat capacity in a box, and a governor that asks for less while it is above its set point."""

    ambient_c: float
    rise_c: float
    tau_s: float
    set_point_c: float = 90.0
    celsius: float = 50.0
    allowance: float = 1.0
    hot: list[float] = field(default_factory=list)

    def warm_up(self, running: float, seconds: float) -> Verdict:
        self.celsius += (self.ambient_c + self.rise_c * running - self.celsius) * min(1.0, seconds / self.tau_s)
        above_c = self.celsius - self.set_point_c
        if above_c > 0:
            self.allowance = max(0.0, self.allowance - 0.01 * seconds)
        elif above_c < -4:
            self.allowance = min(1.0, self.allowance + 0.01 * seconds)
        level = "critical" if above_c > 5 else "hot" if above_c > 0 else "warm" if above_c > -4 else "nominal"
        return Verdict(level, 0.0, self.allowance, Reason("heat", "hot"))  # type: ignore[arg-type]


@settings(deadline=None, max_examples=20, phases=(Phase.explicit, Phase.generate))  # hours of looks: no shrinking
@given(
    lineups(),
    st.floats(20, 70),
    st.floats(20, 90),
    st.floats(5, 400),
)
def test_it_does_not_swing_on_any_board(ladders: list[Ladder], ambient_c: float, rise_c: float, tau_s: float) -> None:
    """In an unchanging world the changes become rare: in the third hour it turns round six times at most."""
    box, state, now_s = Box(ambient_c, rise_c, tau_s), LadderState(), 0.0
    changes: list[tuple[float, bool]] = []
    while now_s < 3 * 3600:
        told = box.warm_up(load(ladders, state), 2.0)
        state, change = climb(RULES, ladders, state, told, now_s, {})
        if change is not None:
            changes.append((now_s, change.down))
        now_s += 2.0
    late = [down for at_s, down in changes if at_s > 2 * 3600]
    assert sum(one != other for one, other in itertools.pairwise(late)) <= 6
    for (first_s, _), (second_s, down) in itertools.pairwise(changes):
        assert second_s - first_s >= (RULES.critical_dwell_s if down else RULES.calm_s)
