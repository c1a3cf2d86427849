"""The cheapest assignment: against every possible one."""

from __future__ import annotations

import sys
from itertools import permutations

import numpy as np
import pytest

pytest.importorskip("lap", reason="the extra tracking is not installed")

from edgeagent.errors import OperatorError
from edgeagent.vision.assign import assign


def total(costs: np.ndarray, pairs: list[tuple[int, int]], limit: float) -> float:
    """What an assignment costs: its pairs, and half the limit for each row and column that is left alone."""
    alone = sum(costs.shape) - 2 * len(pairs)
    return sum(costs[row, column] for row, column in pairs) + alone * limit / 2


def best(costs: np.ndarray, limit: float) -> float:
    rows, columns = costs.shape
    places = [*range(columns), *[-1] * rows]
    return min(
        total(costs, [(row, column) for row, column in enumerate(chosen) if column >= 0], limit)
        for chosen in set(permutations(places, rows))
    )


@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (4, 1), (3, 3), (4, 3), (3, 4)])
def test_no_assignment_is_cheaper(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(shape)
    for _ in range(40):
        costs, limit = rng.random(shape), float(rng.uniform(0.1, 1.0))
        rows, columns = assign(costs, limit)
        pairs = list(zip(rows.tolist(), columns.tolist(), strict=True))
        assert len({row for row, _ in pairs}) == len({column for _, column in pairs}) == len(pairs)
        assert all(costs[pair] < limit for pair in pairs)
        assert total(costs, pairs, limit) == pytest.approx(best(costs, limit))


def test_without_a_solver_that_works_the_mend_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lap", None)
    with pytest.raises(OperatorError, match="needs the package lap") as caught:
        assign(np.zeros((2, 2)), 0.5)
    assert caught.value.error_code == "tracking_extra" and "lap" in caught.value.mend


def test_what_cannot_be_is_never_chosen() -> None:
    costs = np.array([[np.inf, 0.2], [np.inf, 0.1]])
    assert [list(side) for side in assign(costs, 0.8)] == [[1], [1]]
    assert [list(side) for side in assign(np.full((3, 2), np.inf), 0.8)] == [[], []]


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (3, 0)])
def test_nothing_belongs_to_nothing(shape: tuple[int, int]) -> None:
    assert [list(side) for side in assign(np.zeros(shape), 0.8)] == [[], []]
