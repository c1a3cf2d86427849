"""Polygons: what is one, and what only looks like one."""

from __future__ import annotations

import math
import random

import pytest
from pydantic_core import PydanticCustomError

from edgeagent.config.pipeline_table import PipelineSettings
from edgeagent.config.region_table import MOST_CORNERS, checked_polygon
from edgeagent.config.schema import Config

STAR = [[0.5 + 0.4 * math.sin(4 * math.pi * n / 5), 0.5 - 0.4 * math.cos(4 * math.pi * n / 5)] for n in range(5)]
ROUND = [[0.5 + 0.4 * math.cos(2 * math.pi * n / 40), 0.5 + 0.4 * math.sin(2 * math.pi * n / 40)] for n in range(40)]
BAY = [[0, 0], [0.2, 0], [0.2, 0.8], [0.8, 0.8], [0.8, 0], [1, 0], [1, 1], [0, 1]]


@pytest.mark.parametrize(
    "polygon", [[[0, 0], [1, 0], [0, 1]], ROUND, BAY, BAY[::-1], [[0, 0], [0.5, 0], [1, 0], [0, 1]]]
)
def test_a_polygon_is_taken_as_it_is(polygon: list[list[float]]) -> None:
    assert checked_polygon(polygon) == tuple((float(x), float(y)) for x, y in polygon)


@pytest.mark.parametrize(
    "polygon",
    [
        STAR,
        [[0, 0], [1, 0], [0.5, 0]],  # goes back on itself
        [[0, 0], [1, 0], [0.5, 0], [0.5, 1]],
        [[0, 0], [1, 0], [1, 1], [0.5, 0], [0, 1]],  # a corner on another side
        [[0, 0], [0.5, 0.5], [1, 0], [1, 1], [0.5, 0.5], [0, 1]],  # one corner twice
        [*ROUND, *([0.1, 0.001 * n] for n in range(MOST_CORNERS))],
        [[0, 0], [1, 0], [0, math.nan]],
        [[0, 0], [1, 0], [0, math.inf]],
        [[0, 0], [1, 0], [-0.001, 1]],
        {"x": 1},
    ],
)
def test_what_is_no_polygon_is_refused(polygon: object) -> None:
    with pytest.raises(PydanticCustomError):
        checked_polygon(polygon)


def test_corners_out_of_order_are_told() -> None:
    """Of a round polygon's corners in any other order, sides cross, whatever the order is."""
    rng = random.Random(5)
    for _ in range(50):
        mixed = rng.sample(ROUND[::5], 8)
        place = mixed.index(ROUND[0])
        turned = mixed[place:] + mixed[:place]
        in_order = turned in (ROUND[::5], [ROUND[0], *ROUND[5::5][::-1]])
        try:
            checked_polygon(mixed)
            assert in_order
        except PydanticCustomError:
            assert not in_order


def test_a_config_with_regions_survives_json() -> None:
    pipeline = {
        "camera": "a",
        "model": "m",
        "class_min_score": {"bolt": 0.6},
        "regions": [
            {"name": "bay", "polygon": BAY},
            {"name": "hole", "kind": "exclude", "polygon": [[0, 0], [1, 0], [0, 1]]},
        ],
    }
    config = Config.model_validate(
        {
            "cameras": {"a": {"source": {"type": "synthetic"}}},
            "models": {"m": {"path": "sample:conveyor"}},
            "pipelines": {"p": pipeline},
        }
    )
    assert Config.model_validate(config.model_dump(mode="json")) == config
    assert Config.model_validate_json(config.model_dump_json()) == config


def test_every_key_is_described() -> None:
    regions = PipelineSettings.model_fields["regions"].annotation
    (table,) = {one for one in regions.__args__ if one is not Ellipsis}
    for name, field in table.model_fields.items():
        assert field.description and field.description.endswith("."), name
        assert not field.is_required() or field.examples, name
