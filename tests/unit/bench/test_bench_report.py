"""The same run as facts and as a table: every number of the table stands in the facts."""

from __future__ import annotations

import json

import pytest

from edgeagent.bench.arrivals import Arrivals
from edgeagent.bench.end_to_end import EndToEnd, Spent
from edgeagent.bench.limits import Rate
from edgeagent.bench.power import Power
from edgeagent.bench.report import Measured, facts, table


def measured(power: Power) -> Measured:
    arrivals = Arrivals()
    for frame in range(1, 101):
        head = {"pipeline": "p", "frame": frame, "capture_ts": 7}
        arrivals.add({**head, "detections": [{}] * 20, "lat_ms": 4.0, "engine_ms": 1.0})
    spent = Spent(capture=0.3, infer=0.02, agent=0.004, network=0.001)
    whole = EndToEnd("mosquitto", 2, 30.0, 2.0, arrivals, spent, power)
    return Measured("an engine", Rate(1000, 1.0, 0.9), Rate(990, 1.0, 0.9), Rate(950, 1.0, 0.2), whole)


def test_facts_are_the_shares_of_a_frame() -> None:
    told = json.loads(json.dumps(facts(measured(Power([9.0, 11.0], "VDD_IN")))))
    assert told["schema"] == "edgeagent.bench/1"
    assert told["engine_limit"] == {"fps": 1000.0, "frame_ms": 1.0, "cpu_us": 900.0}
    assert told["loop_share_of_engine"] == 0.95
    whole = told["end_to_end"]
    assert (whole["results"], whole["fps"], whole["lost"], whole["detections_a_frame"]) == (100, 50.0, 0, 20.0)
    assert whole["cpu_us"] == {
        "capture": 3000.0, "infer": 200.0, "agent": 40.0, "network": 10.0, "ring_to_mqtt": 250.0,
    }  # fmt: skip
    assert whole["core_percent"] == 1.25
    assert (whole["power_w"], whole["energy_mj"], whole["power_source"]) == (10.0, 200.0, "VDD_IN")


def test_the_table_tells_the_same_in_words() -> None:
    text = table(measured(Power([10.0], "VDD_IN")))
    for part in ("95.0 %", "250 us a frame", "0 frames lost", "10.00 W (VDD_IN), 200.0 mJ a frame", "2 cameras"):
        assert part in text
    assert max(map(len, text.splitlines())) < 100


@pytest.mark.parametrize("power", [Power()])
def test_a_machine_without_rails_says_so(power: Power) -> None:
    whole = facts(measured(power))["end_to_end"]
    assert isinstance(whole, dict)
    assert (whole["power_w"], whole["energy_mj"]) == (None, None)
    assert "no rails" in table(measured(power))
