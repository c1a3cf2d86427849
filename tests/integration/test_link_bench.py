"""The benchmark measures what it says, with and without mosquitto."""

from __future__ import annotations

import pytest
from test_link_kit import needs_mosquitto

from edgeagent.fleet.bench import measure_publish_cost


@pytest.mark.parametrize(
    ("sink_only", "broker"), [(True, "sink"), pytest.param(False, "mosquitto", marks=needs_mosquitto)]
)
def test_every_message_is_published_and_costs_something(sink_only: bool, broker: str) -> None:
    figures = measure_publish_cost(messages=30, rate_hz=500.0, sink_only=sink_only)
    assert figures["broker"] == broker
    assert figures["dropped"] == 0
    assert float(figures["published"]) >= 30
    assert 0 < float(figures["cpu_us_per_message"]) < 10_000
    assert float(figures["payload_bytes"]) > 1500
