"""Laws of the engine key, for any facts."""

from __future__ import annotations

import dataclasses
import json

from hypothesis import given
from hypothesis import strategies as st

from edgeagent.engine.key import EngineWish, canonical_json, engine_facts, engine_key, key_of_facts

words = st.text(max_size=12)
leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | words
options = st.dictionaries(words, leaves | st.lists(leaves, max_size=3) | st.dictionaries(words, leaves, max_size=3))
wishes = st.builds(
    EngineWish,
    model_digest=words,
    graft_version=st.integers(0, 9),
    options=options,
    precision=words,
    quantisation=words,
    calibration_digest=words,
    placement=words,
    batch=st.integers(1, 64),
    shapes=st.dictionaries(words, st.lists(st.integers(1, 4096), max_size=4).map(tuple), max_size=2),
    backend=words,
    fingerprint=st.dictionaries(words, words, max_size=4),
    builder=st.dictionaries(words, leaves.filter(lambda leaf: leaf is not None), max_size=3),
    plugins=st.dictionaries(words, words, max_size=2),
)
names = [field.name for field in dataclasses.fields(EngineWish)]


def shuffled(value: object, order: st.DataObject) -> object:
    """The same value with every mapping's items in another order."""
    if isinstance(value, dict):
        keys = order.draw(st.permutations(list(value)))
        return {key: shuffled(value[key], order) for key in keys}
    return value


@given(wish=wishes, order=st.data())
def test_order_never_counts(wish: EngineWish, order: st.DataObject) -> None:
    mappings = ("options", "shapes", "fingerprint", "builder", "plugins")
    turned = dataclasses.replace(wish, **{name: shuffled(getattr(wish, name), order) for name in mappings})
    assert engine_key(turned) == engine_key(wish)


@given(wish=wishes, other=wishes, name=st.sampled_from(names))
def test_any_single_fact_counts(wish: EngineWish, other: EngineWish, name: str) -> None:
    changed = dataclasses.replace(wish, **{name: getattr(other, name)})
    same = canonical_json(engine_facts(changed)) == canonical_json(engine_facts(wish))
    assert (engine_key(changed) == engine_key(wish)) == same


@given(wish=wishes)
def test_facts_survive_a_manifest(wish: EngineWish) -> None:
    assert key_of_facts(json.loads(json.dumps(engine_facts(wish)))) == engine_key(wish)


@given(one=wishes, two=wishes)
def test_keys_differ_where_facts_differ(one: EngineWish, two: EngineWish) -> None:
    same = json.dumps(dataclasses.asdict(one), sort_keys=True) == json.dumps(dataclasses.asdict(two), sort_keys=True)
    assert (engine_key(one) == engine_key(two)) == same


@given(value=options)
def test_canonical_json_reads_back(value: dict[str, object]) -> None:
    assert canonical_json(json.loads(canonical_json(value))) == canonical_json(value)
