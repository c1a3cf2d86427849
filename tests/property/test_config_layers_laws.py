"""Laws of the layers: merging tables is associative, and provenance is complete and exact."""

from hypothesis import given, settings
from hypothesis import strategies as st

from edgeagent.config.layers import ORDER, Layer, leaves, merge, merge_layers
from edgeagent.config.toml_text import dotted

VALUES = st.one_of(st.integers(), st.text(max_size=3), st.booleans(), st.lists(st.integers(), max_size=2))
KEYS = st.sampled_from(["a", "b", "c", "a b", "x.y"])


def nested(values):
    return st.recursive(
        st.dictionaries(KEYS, values, max_size=3),
        lambda inner: st.dictionaries(KEYS, st.one_of(values, inner), max_size=3),
        max_leaves=10,
    )


# Whatever a layer may hold; here a key may be a table in one layer and a value in the next.
ANYTHING = nested(st.one_of(VALUES, st.none()))
# Tables whose keys say whether they hold a table, as a schema's do. (RFC 7396 itself is associative only for these.)
TABLES = st.recursive(
    st.dictionaries(st.sampled_from(["v1", "v2"]), VALUES, max_size=2),
    lambda inner: st.dictionaries(st.sampled_from(["t1", "t2"]), inner, max_size=2),
    max_leaves=8,
)
LAYERS = st.lists(st.sampled_from(ORDER), unique=True).flatmap(
    lambda names: st.tuples(*(st.builds(Layer, st.just(name), ANYTHING) for name in names))
)


@settings(deadline=None)
@given(TABLES, TABLES, TABLES)
def test_merging_tables_is_associative(one, two, three):
    assert merge(merge(one, two), three) == merge(one, merge(two, three))


@settings(deadline=None)
@given(TABLES)
def test_merging_with_nothing_or_itself_changes_nothing(data):
    assert merge(data, {}) == merge({}, data) == merge(data, data) == data


@settings(deadline=None)
@given(ANYTHING, ANYTHING)
def test_what_the_upper_layer_writes_is_in_force(below, above):
    result = dict(leaves(merge(below, above)))
    written = {path: value for path, value in leaves(above) if value is not None and value != {}}
    assert all(result[path] == value for path, value in written.items())


@settings(deadline=None)
@given(LAYERS)
def test_each_leaf_has_exactly_one_layer(layers):
    merged = merge_layers(layers)
    assert merged.provenance.keys() == {dotted(path) for path, _ in leaves(merged.data)}
    assert set(merged.provenance.values()) <= {layer.name for layer in layers}


@settings(deadline=None)
@given(LAYERS)
def test_a_leafs_layer_is_the_last_one_that_writes_it(layers):
    merged = merge_layers(layers)
    in_order = sorted(layers, key=lambda layer: ORDER.index(layer.name))
    for path, value in leaves(merged.data):
        writers = [layer.name for layer in in_order if path in dict(leaves(layer.data))]
        if value != {}:
            assert merged.provenance[dotted(path)] == writers[-1]


@settings(deadline=None)
@given(LAYERS)
def test_no_deletion_is_left_over(layers):
    assert all(value is not None for _, value in leaves(merge_layers(layers).data))
