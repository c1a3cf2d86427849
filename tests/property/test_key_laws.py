"""Laws of the engine key, for any facts."""

from __future__ import annotations

import dataclasses
import json

from hypothesis import given
from hypothesis import strategies as st

from edgeagent.engine.key import EngineWish, canonical_json, engine_key

words = st.text(max_size=12)
leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | words
options = st.dictionaries(words, leaves | st.lists(leaves, max_size=3) | st.dictionaries(words, leaves, max_size=3))
wishes = st.builds(
    EngineWish,
    model_digest=words,
    graft_version=st.integers(0, 9),
    options=options,
    precision=words,
    calibration_digest=words,
    placement=words,
    batch=st.integers(1, 64),
    backend=words,
    fingerprint=st.dictionaries(words, words, max_size=4),
)


def shuffled(value: object, order: st.DataObject) -> object:
    """The same value with every mapping's items in another order."""
    if isinstance(value, dict):
        keys = order.draw(st.permutations(list(value)))
        return {key: shuffled(value[key], order) for key in keys}
    return value


@given(wish=wishes, order=st.data())
def test_order_never_counts(wish: EngineWish, order: st.DataObject) -> None:
    turned = dataclasses.replace(
        wish, options=shuffled(wish.options, order), fingerprint=shuffled(wish.fingerprint, order)
    )
    assert engine_key(turned) == engine_key(wish)


@given(one=wishes, two=wishes)
def test_keys_differ_where_facts_differ(one: EngineWish, two: EngineWish) -> None:
    same = json.dumps(dataclasses.asdict(one), sort_keys=True) == json.dumps(dataclasses.asdict(two), sort_keys=True)
    assert (engine_key(one) == engine_key(two)) == same


@given(value=options)
def test_canonical_json_reads_back(value: dict[str, object]) -> None:
    assert canonical_json(json.loads(canonical_json(value))) == canonical_json(value)
