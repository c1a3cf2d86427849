"""Two engines have a difference exactly when they have two keys."""

from __future__ import annotations

import copy

from hypothesis import given
from hypothesis import strategies as st

from edgeagent.engine.explain import explain_difference
from edgeagent.engine.key import key_of_facts

names = st.sampled_from(["options", "fingerprint", "l4t", "gpu_parts", "classes", "a.b", "a", "b", "", "builder"])
leaves = (
    st.none()
    | st.booleans()
    | st.integers(-2, 2)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=6)
    | st.sampled_from(["a" * 64, "tpc_pg_mask=240", "none"])
)
values = st.recursive(leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3))
facts = st.dictionaries(names, values, max_size=5)


@given(one=facts, two=facts)
def test_no_difference_means_one_key(one: dict[str, object], two: dict[str, object]) -> None:
    assert (explain_difference(one, two) == []) == (key_of_facts(one) == key_of_facts(two))


@given(one=facts)
def test_an_engine_does_not_differ_from_itself(one: dict[str, object]) -> None:
    assert explain_difference(one, copy.deepcopy(one)) == []


@given(one=facts, two=facts)
def test_the_other_way_round_it_is_the_same_facts(one: dict[str, object], two: dict[str, object]) -> None:
    there, back = explain_difference(one, two), explain_difference(two, one)
    assert sorted(found.fact for found in there) == sorted(found.fact for found in back)
    assert all(found.sentence and "\n" not in found.sentence for found in there)
