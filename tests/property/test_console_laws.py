"""Laws of the console's pure parts: junk changes nothing, records stay small, keys never lead out of the list."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from edgeagent.console.device import MOST_PARTS
from edgeagent.console.fleet_book import FleetBook
from edgeagent.console.keys import split_keys
from edgeagent.console.plain import facts, headline, table
from edgeagent.console.settings_text import patch_of, value_of
from edgeagent.console.view import SORTS, View, pick, press, scroll, total
from edgeagent.desired_layer import merge_patch
from edgeagent.errors import OperatorError
from edgeagent.fleet.envelope import encode
from edgeagent.fleet.examples import examples

EXAMPLES = [(topic, encode(message)) for topic, message in examples().items()]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)
TREES = st.dictionaries(st.sampled_from("abc"), st.integers() | st.dictionaries(st.sampled_from("xyz"), st.integers()))


@st.composite
def nearly_messages(draw: st.DrawFn) -> tuple[str, bytes]:
    """An example on its topic or another's, perhaps with one value exchanged, or cut off."""
    topic, _ = draw(st.sampled_from(EXAMPLES))
    _, payload = draw(st.sampled_from(EXAMPLES))
    if draw(st.booleans()):
        data: dict[str, Any] = json.loads(payload)
        data[draw(st.sampled_from(sorted(data)))] = draw(JSON)
        payload = json.dumps(data).encode()
    return topic, payload[: draw(st.integers(0, len(payload)))] if draw(st.integers(0, 3)) == 0 else payload


def check(book: FleetBook) -> None:
    devices = list(book.devices.values())
    total(devices, 1.0)
    table(devices, 1.0)
    for device in devices:
        headline(device)
        json.dumps(facts(device, 1.0))
        assert max(len(device.alarms), len(device.engines), len(device.summaries)) <= MOST_PARTS


@settings(max_examples=300)
@given(st.lists(nearly_messages() | st.tuples(st.text(), st.binary(max_size=64)), max_size=20), st.booleans())
def test_whatever_comes_the_book_can_be_shown(messages: list[tuple[str, bytes]], retained: bool) -> None:
    book = FleetBook()
    for topic, payload in messages:
        book.take(topic, payload, 1.0, retained=retained)
    check(book)
    assert len(book.devices) <= 1
    for sort in SORTS:
        assert len(pick(book.devices.values(), View(sort=sort), 1.0)) == len(book.devices)


KEYS = st.sampled_from(["up", "down", "pgup", "pgdn", "home", "end", "s", "S", "r", "t", "/", "enter", "esc", "?", "x"])


@given(st.lists(KEYS), st.integers(0, 50), st.integers(1, 20))
def test_no_key_leads_out_of_the_list(keys: list[str], count: int, page: int) -> None:
    view = View()
    for key in keys:
        view = scroll(press(view, key, count, page), count, page)
        assert 0 <= view.top <= view.cursor < max(1, count)
        assert view.cursor < view.top + page
        assert view.top <= max(0, count - page)


@given(st.text())
def test_whatever_is_typed_is_keys(text: str) -> None:
    assert all(split_keys(text))


@given(TREES, TREES)
def test_a_patch_makes_what_it_says_and_twice_makes_no_difference(target: Any, patch: Any) -> None:
    once = merge_patch(target, patch)
    assert merge_patch(once, patch) == once
    assert set(once) == set(target) | set(patch)


@given(st.text())
def test_every_text_is_a_value_for_json(text: str) -> None:
    json.dumps(value_of(text), allow_nan=True)


@given(st.lists(st.text()))
def test_words_are_a_patch_or_refused(words: list[str]) -> None:
    with suppress(OperatorError):
        json.dumps(patch_of(words))
