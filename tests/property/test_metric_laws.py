"""Laws of the endpoint for Prometheus: whatever keys a board makes up, one scrape is always whole."""

from __future__ import annotations

import math
from collections import Counter

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from edgeagent.app.prometheus import Metrics
from edgeagent.clock import ManualClock
from edgeagent.fleet.examples import TOPICS
from edgeagent.fleet.measurements import GROUPS, Measurement, Numbers

HEADER = {"session": "a-1", "seq": 1, "ts": 0}
REQUIRED = {
    "thermal": {"temp_max_c": 40.0},
    "cpu": {"percent": 1.0},
    "memory": {"total_mb": 1.0, "available_mb": 1.0},
}
ENDINGS = st.sampled_from(["_c", "_w", "_mb", "_mhz", "_ms", "_s", "_percent", "_events", "_active", "_total", ""])
STEMS = st.sampled_from(["temp", "temp_max", "power", "power_total", "oc1", "core0", "dla0", "engine", "bytes", "x"])
ANY = st.text("abmsw_019", max_size=8).map(lambda text: f"k{text}")
KEYS = st.one_of(ANY, st.builds(lambda a, b: a + b, STEMS, ENDINGS))
VALUES = st.one_of(st.booleans(), st.integers(0, 2**53), st.floats(allow_nan=False, allow_infinity=False, width=32))


@st.composite
def measurements(draw: st.DrawFn) -> tuple[str, Numbers]:
    group = draw(st.sampled_from(["thermal", "power", "cpu", "gpu", "memory", "disk", "camera", "pipeline", "status"]))
    model = GROUPS.get(group, Measurement)
    extras = {k: v for k, v in draw(st.dictionaries(KEYS, VALUES, max_size=6)).items() if k not in model.model_fields}
    extras = {key: value for key, value in extras.items() if key not in ("schema", "session", "seq", "ts")}
    return TOPICS.measurement(group), model.model_validate({**HEADER, **REQUIRED.get(group, {}), **extras})


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(measurements(), max_size=4))
def test_a_scrape_is_always_whole(said: list[tuple[str, Numbers]]) -> None:
    metrics = Metrics(ManualClock(), stale_s=15.0)
    for topic, message in said:
        metrics.take(topic, message)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(metrics)
    text = generate_latest(registry).decode()
    series: Counter[tuple[str, tuple[tuple[str, str], ...]]] = Counter()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            series[sample.name, tuple(sorted(sample.labels.items()))] += 1
            assert not math.isnan(sample.value)
    assert all(count == 1 for count in series.values()), "Prometheus refuses a scrape that names a series twice"
