"""Laws of the health book and of the percentiles."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edgeagent.health.book import HealthBook, note, overall
from edgeagent.health.latency import Gauge, percentile

NAMES = st.sampled_from(["camera/a", "camera/b", "engine/a", "infer/cpu", "link", "board"])
NOTES = st.lists(st.tuples(NAMES, st.sampled_from(["ok", "degraded", "failed"]), st.sampled_from(["", "x"])))
VALUES = st.lists(st.floats(0, 1e6), min_size=1, max_size=300)


@given(NOTES)
def test_the_whole_is_as_ill_as_its_parts_allow(notes: list[tuple[str, str, str]]) -> None:
    book = HealthBook()
    for now_ms, (name, word, reason) in enumerate(notes):
        before = book
        book, changed = note(book, name, word, reason, now_ms)  # type: ignore[arg-type]
        assert changed == (book != before)
        assert book.components[name].health == word
        assert book.components[name].since_ms <= now_ms
    words = {component.health for component in book.components.values()}
    whole, reason = overall(book)
    assert (whole == "ok") == (words <= {"ok"})
    assert whole != "failed" or "failed" in words
    assert (reason == "") == (whole == "ok")
    if reason:
        name = reason.split(":")[0]
        assert book.components[name].health == ("failed" if "failed" in words else "degraded")


@given(VALUES, st.integers(0, 1000))
def test_it_is_numpy_s_percentile(values: list[float], thousandths: int) -> None:
    ordered = sorted(values)
    index = -(-len(values) * thousandths // 1000)  # exact, where numpy multiplies in floating point
    expected = np.sort(np.array(values))[max(index, 1) - 1]
    assert percentile(ordered, thousandths / 1000) == expected
    if len(values) * thousandths % 1000:
        assert np.percentile(values, thousandths / 10, method="inverted_cdf") == expected


@given(st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1e3), st.integers(0, 300)), min_size=1, max_size=80))
def test_a_gauge_adds_up(results: list[tuple[float, float, int]]) -> None:
    gauge = Gauge()
    for result in results:
        gauge.add(*result)
    window = gauge.take()
    assert window.results == len(results)
    assert window.detections == sum(found for _, _, found in results)
    assert window.p50_ms is not None
    assert window.p95_ms is not None
    assert window.p99_ms is not None
    assert window.p50_ms <= window.p95_ms <= window.p99_ms <= round(max(row[0] for row in results), 3)
    assert window.engine_ms == round(sum(row[1] for row in results) / len(results), 3)
