"""The bench of the sensors: what it reports, and that the largest board keeps to the bound in CPU time."""

from __future__ import annotations

import pytest

from edgeagent.errors import OperatorError
from edgeagent.simulate.telemetry_bench import measure_telemetry


def test_a_sample_of_the_largest_board_is_within_the_bound() -> None:
    found = measure_telemetry(["thor-r38"])
    assert found["within_bound"] is True
    assert found["worst_mean_ms"] == found["thor-r38_sample_ms"]
    files = found["thor-r38_files"]
    assert isinstance(files, int)
    assert 40 < files < 120


def test_a_board_that_does_not_exist() -> None:
    with pytest.raises(OperatorError, match="no virtual board"):
        measure_telemetry(["nothing"])
