"""Which box belongs to which: the cheapest assignment of a cost table. Pure.

The solver is the package `lap` (Jonker and Volgenant, "A Shortest Augmenting Path Algorithm for Dense and Sparse
Linear Assignment Problems", Computing 38, 1987). It is imported when it is first needed, so that everything but
tracking works without it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from edgeagent.errors import OperatorError

Costs = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]


def assign(costs: Costs, limit: float) -> tuple[Indices, Indices]:
    """Rows and the columns they belong to, of costs (M, K), such that the sum of the costs is least.

    No pair costs `limit` or more: leaving a row and a column alone costs as much. M and K may be 0. Raises
    OperatorError where a solver is needed and `lap` is missing.
    """
    possible = costs < limit
    if not possible.any():
        return _none(), _none()
    if possible.sum(axis=0).max() == 1 and possible.sum(axis=1).max() == 1:
        rows, columns = np.nonzero(possible)  # nobody has a choice
        return rows.astype(np.int64), columns.astype(np.int64)
    return _solved(np.where(possible, costs, 2.0 * limit + 1.0), limit)


def _solved(costs: Costs, limit: float) -> tuple[Indices, Indices]:
    lapjv = solver()
    column_of, _ = lapjv(costs, extend_cost=True, cost_limit=limit, return_cost=False)
    rows = np.flatnonzero(np.asarray(column_of) >= 0).astype(np.int64)
    columns = np.asarray(column_of)[rows].astype(np.int64)
    good = costs[rows, columns] < limit
    return rows[good], columns[good]


def solver() -> Any:  # noqa: ANN401 - a compiled function
    """The package's solver. Raises OperatorError where it is missing or does not work."""
    try:
        import lap
    except (ImportError, ValueError) as error:  # the second is Cython's word for an extension built for another numpy
        raise OperatorError(
            f"tracking needs the package lap, which does not work here: {error}",
            mend="pip install --force-reinstall lap, or set tracking = false",
            code="tracking_extra",
        ) from error
    return lap.lapjv


def _none() -> Indices:
    return np.zeros(0, np.int64)
