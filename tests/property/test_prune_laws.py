"""Laws of pruning, for any store and any budget."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edgeagent.engine.prune import ORDER, Holding, decide_prune

holdings = st.lists(
    st.builds(
        Holding,
        name=st.text("abcdef0123456789", min_size=1, max_size=6),
        state=st.sampled_from(ORDER),
        bytes=st.integers(0, 100),
        last_used=st.integers(0, 5),
        keep=st.sampled_from(["", "", "active on line-1", "previous on line-2", "pinned"]),
    ),
    max_size=12,
    unique_by=lambda one: one.name,
)
budgets = st.integers(0, 800)


@given(store=holdings, budget=budgets)
def test_it_ends_within_the_budget_or_with_nothing_left_to_remove(store: list[Holding], budget: int) -> None:
    gone = {removal.name for removal in decide_prune(store, budget)}
    left = [one for one in store if one.name not in gone]
    assert all(one.keep == "" for one in store if one.name in gone)
    assert sum(one.bytes for one in left) <= budget or all(one.keep for one in left)


@given(store=holdings, budget=budgets)
def test_no_more_goes_than_must(store: list[Holding], budget: int) -> None:
    removals = decide_prune(store, budget)
    if removals:
        before_the_last = sum(one.bytes for one in store) - sum(one.bytes for one in removals[:-1])
        assert before_the_last > budget


@given(store=holdings, budget=budgets)
def test_nothing_stays_that_should_have_gone_earlier(store: list[Holding], budget: int) -> None:
    def rank(one: Holding) -> tuple[int, int]:
        return ORDER.index(one.state), one.last_used

    by_name = {one.name: one for one in store}
    gone = [by_name[removal.name] for removal in decide_prune(store, budget)]
    left = [one for one in store if one not in gone and not one.keep]
    assert [rank(one) for one in gone] == sorted(rank(one) for one in gone)
    assert all(rank(gone[-1]) <= rank(one) for one in left) if gone else True


@given(store=holdings, budget=budgets, order=st.data())
def test_the_order_on_disk_does_not_count(store: list[Holding], budget: int, order: st.DataObject) -> None:
    assert decide_prune(order.draw(st.permutations(store)), budget) == decide_prune(store, budget)


@given(store=holdings, budget=budgets, less=budgets)
def test_a_smaller_budget_takes_the_same_ones_first(store: list[Holding], budget: int, less: int) -> None:
    few, many = sorted((decide_prune(store, budget), decide_prune(store, less)), key=len)
    assert many[: len(few)] == few
