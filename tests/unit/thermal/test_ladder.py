"""The order in which pipelines give up what they have, and get it back."""

from __future__ import annotations

import itertools

from edgeagent.thermal.governor import Level, Reason, Verdict
from edgeagent.thermal.ladder import (
    Cannot,
    Change,
    Ladder,
    LadderRules,
    LadderState,
    climb,
    grant,
    load,
    lowered_power,
    unavailable,
    withdraw,
)
from edgeagent.thermal.steps import DEFAULT, DEFAULT_CRITICAL, parse_ladder, parse_step

RULES = LadderRules()
DLA = parse_step("placement dla")


def verdict(level: Level = "hot", allowance: float = 0.0) -> Verdict:
    return Verdict(level, 0.0, allowance, Reason("heat", "tj is at 93.0 C, 2.0 C above its set point"))


CALM = verdict("nominal", 1.0)


def ladder(name: str, *texts: str, priority: int = 0, critical: bool = False, full: float | None = None) -> Ladder:
    steps = texts or (DEFAULT_CRITICAL if critical else DEFAULT)
    return Ladder(name, parse_ladder(steps, critical=critical), priority, critical, full)


class Stairs:
    """A board that is looked at every second."""

    def __init__(self, *ladders: Ladder, cannot: Cannot | None = None) -> None:
        self.ladders, self.cannot = ladders, cannot or {}
        self.state, self.now_s = LadderState(), 1000.0
        self.changes: list[tuple[float, Change]] = []

    def look(self, told: Verdict, seconds: int = 1, every_s: float = 1.0) -> list[str]:
        """The changes of that time: `-a rate 50%` for a step down, `+a rate 50%` for one back up."""
        first = len(self.changes)
        for _ in range(seconds):
            self.state, change = climb(RULES, self.ladders, self.state, told, self.now_s, self.cannot)
            if change is not None:
                self.changes.append((self.now_s, change))
            self.now_s += every_s
        return [f"{'-' if c.down else '+'}{c.taken.pipeline} {c.taken.step.line()}" for _, c in self.changes[first:]]

    def share(self, name: str) -> float:
        return grant(self.state, name).share


def test_nothing_is_shed_while_everything_is_allowed() -> None:
    stairs = Stairs(ladder("a"))
    assert stairs.look(verdict("hot", 1.0), 600) == []
    assert stairs.look(verdict("warm", 1.0), 600) == []


def test_the_lowest_priority_goes_first_and_the_critical_one_last() -> None:
    stairs = Stairs(
        ladder("gate", "rate 50%", "rate 25%", priority=-9, critical=True),
        ladder("belt", "rate 50%", "pause", priority=5),
        ladder("yard", "rate 50%", "pause", priority=1),
    )
    assert stairs.look(verdict(), 200) == [
        "-yard rate 50%", "-yard pause", "-belt rate 50%", "-belt pause", "-gate rate 50%", "-gate rate 25%",
    ]  # fmt: skip
    assert [stairs.share(name) for name in ("yard", "belt", "gate")] == [0.0, 0.0, 0.25]


def test_equals_share_what_is_missing_turn_by_turn() -> None:
    stairs = Stairs(ladder("a", "rate 50%", "rate 25%"), ladder("b", "rate 50%", "rate 25%"))
    assert stairs.look(verdict(), 100) == ["-a rate 50%", "-b rate 50%", "-a rate 25%", "-b rate 25%"]


def test_no_more_is_shed_than_the_allowance_asks_for() -> None:
    stairs = Stairs(*(ladder(name, "rate 50%", "pause") for name in "abcd"))
    assert stairs.look(verdict("hot", 0.75), 300) == ["-a rate 50%", "-b rate 50%"]
    assert load(stairs.ladders, stairs.state) == 0.75


def test_one_step_at_a_time_with_time_to_see_what_it_does() -> None:
    stairs = Stairs(ladder("a"), ladder("b"))
    stairs.look(verdict(), 60)
    times = [at_s for at_s, _ in stairs.changes]
    assert all(after - before >= RULES.shed_dwell_s for before, after in itertools.pairwise(times))
    hurried = Stairs(ladder("a"), ladder("b"))
    hurried.look(verdict("critical"), 60)
    times = [at_s for at_s, _ in hurried.changes]
    assert [round(after - before) for before, after in itertools.pairwise(times)] == [3] * 7


def test_critical_sheds_whatever_the_allowance_says() -> None:
    assert Stairs(ladder("a", "pause")).look(verdict("critical", 1.0), 5) == ["-a pause"]


def test_a_critical_pipeline_keeps_its_floor_even_with_a_pause_in_its_ladder() -> None:
    steps = parse_ladder(["rate 50%", "pause"], critical=False)
    stairs = Stairs(Ladder("gate", steps, critical=True))
    assert stairs.look(verdict("critical"), 600) == ["-gate rate 50%"]
    assert list(unavailable(stairs.ladders, stairs.state, {})) == [
        ("gate", parse_step("pause"), "a critical pipeline is never stopped")
    ]


def test_a_step_that_is_not_to_be_had_is_passed_over_and_said_so() -> None:
    why = "no engine for a DLA is in the store"
    stairs = Stairs(ladder("a", "placement dla", "rate 50%"), cannot={("a", DLA): why})
    assert stairs.look(verdict(), 1) == ["-a rate 50%"]
    assert stairs.changes[0][1].passed == ((DLA, why),)
    assert list(unavailable(stairs.ladders, stairs.state, stairs.cannot)) == [("a", DLA, why)]
    assert stairs.look(CALM, 200) == ["+a rate 50%"]
    stairs.cannot = {}
    assert stairs.look(verdict(), 1) == ["-a placement dla"], "it is looked at again when its turn comes again"


def test_power_is_lowered_once_for_the_board() -> None:
    stairs = Stairs(ladder("a", "power low-power", "rate 50%"), ladder("b", "power low-power", "rate 50%"))
    assert stairs.look(verdict(), 100) == ["-a power low-power", "-b rate 50%", "-a rate 50%"]
    assert lowered_power(stairs.state) == "low-power"
    assert stairs.changes[1][1].passed == ((parse_step("power low-power"), "the board's power is lowered already"),)
    assert stairs.look(CALM, 400) == ["+a rate 50%", "+b rate 50%", "+a power low-power"]
    assert lowered_power(stairs.state) == ""


def test_the_way_up_is_the_way_down_backwards() -> None:
    stairs = Stairs(ladder("a", priority=1), ladder("b", critical=True))
    down = stairs.look(verdict(), 200)
    up = stairs.look(CALM, 2000)
    assert len(down) == 8
    assert [step[1:] for step in up] == [step[1:] for step in reversed(down)]
    assert stairs.state.taken == ()
    assert grant(stairs.state, "a").limits == (1.0, None)


def test_what_is_given_back_tells_how_long_it_was_gone_and_why_it_went() -> None:
    stairs = Stairs(ladder("a", "rate 50%"))
    stairs.look(verdict(), 30)
    stairs.look(CALM, 100)
    (down_s, down), (up_s, up) = stairs.changes
    assert up.lasted_s == up_s - down_s == 30 + RULES.calm_s
    assert (down.taken.code, down.taken.reason) == ("heat", "tj is at 93.0 C, 2.0 C above its set point")
    assert up.taken == down.taken


def test_nothing_comes_back_before_a_minute_of_calm_without_a_break() -> None:
    stairs = Stairs(ladder("a", "rate 50%"))
    stairs.look(verdict(), 1)
    for _ in range(20):
        assert stairs.look(CALM, 50) == []
        assert stairs.look(verdict("hot", 1.0), 1) == []
    assert stairs.look(verdict("warm", 1.0), 61) == ["+a rate 50%"]


def test_looks_that_did_not_come_are_not_taken_for_calm() -> None:
    stairs = Stairs(ladder("a", "rate 50%"))
    stairs.look(verdict(), 1)
    stairs.look(CALM, 1)
    stairs.now_s += 3600
    assert stairs.look(CALM, 1) == []
    assert stairs.look(CALM, 61) == ["+a rate 50%"]
    assert stairs.look(verdict(), 10) == ["-a rate 50%"]
    assert stairs.look(CALM, 40, every_s=RULES.stale_s + 1) == [], "looks so rare prove nothing"


def test_nothing_comes_back_that_would_be_more_than_is_allowed() -> None:
    stairs = Stairs(ladder("a", "rate 50%", "pause"))
    stairs.look(verdict(), 30)
    assert stairs.look(verdict("nominal", 0.6), 600) == ["+a pause"]
    assert stairs.look(verdict("nominal", 1.0), 600) == ["+a rate 50%"]


def test_a_relapse_doubles_the_wait_and_an_hour_without_one_halves_it() -> None:
    stairs = Stairs(ladder("a", *(f"rate {90 - 10 * n}%" for n in range(8))))
    stairs.look(verdict(), 80)
    waits = []
    for _ in range(4):
        since_s = stairs.now_s
        while stairs.look(CALM, 1) == []:
            pass
        waits.append(round(stairs.changes[-1][0] - since_s))
        assert len(stairs.look(verdict(), 15)) == 1
    assert waits == [60, 120, 240, 480]
    begun = len(stairs.changes)
    stairs.look(CALM, 9000)
    times = [at_s for at_s, _ in stairs.changes[begun:]]
    assert [round(after - before) for before, after in itertools.pairwise(times)] == [
        960, 960, 960, 480, 240, 120, 60,
    ]  # fmt: skip


def test_the_wait_never_grows_beyond_half_an_hour() -> None:
    stairs = Stairs(ladder("a", "rate 50%"))
    for _ in range(12):
        stairs.look(verdict(), 15)
        while stairs.look(CALM, 1) == []:
            pass
    assert stairs.state.calm_s == RULES.max_calm_s


def test_a_step_that_came_to_nothing_is_withdrawn_and_the_next_one_is_due() -> None:
    stairs = Stairs(ladder("a", "placement dla", "rate 50%"))
    stairs.look(verdict(), 1)
    stairs.state, gone = withdraw(stairs.state, "a", DLA)
    assert gone is not None and gone.step == DLA
    stairs.cannot = {("a", DLA): "its engine did not load"}
    assert stairs.look(verdict(), 1) == ["-a rate 50%"]
    assert withdraw(stairs.state, "a", DLA) == (stairs.state, None)


def test_a_pipeline_that_does_not_run_sheds_nothing_and_weighs_nothing() -> None:
    stairs = Stairs()
    assert stairs.look(verdict("critical"), 60) == []
    assert load((), LadderState()) == 0.0


def test_what_is_left_of_a_pipeline() -> None:
    stairs = Stairs(ladder("a", "rate 50%", "rate 5/s", "model tiny", "placement dla", full=20.0))
    loads = [load(stairs.ladders, stairs.state)]
    for _ in range(4):
        stairs.look(verdict(), 10)
        loads.append(load(stairs.ladders, stairs.state))
    left = grant(stairs.state, "a")
    assert (left.limits, left.model, left.placement, left.paused) == ((0.5, 5.0), "tiny", "dla", False)
    assert loads == [1.0, 0.5, 0.25, 0.125, 0.0625]
