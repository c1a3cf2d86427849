"""Layers: what wins, and where each value came from."""

import sys

import pytest

from edgeagent.config.layers import ORDER, Layer, merge, merge_layers, too_deep
from edgeagent.errors import ConfigError


def test_tables_merge_and_the_rest_replaces():
    below = {"mqtt": {"url": "a", "keepalive_s": 30}, "classes": [1, 2]}
    above = {"mqtt": {"url": "b"}, "classes": [3]}
    assert merge(below, above) == {"mqtt": {"url": "b", "keepalive_s": 30}, "classes": [3]}


def test_merging_changes_neither_side():
    below = {"mqtt": {"url": "a"}}
    above = {"mqtt": {"keepalive_s": 5}}
    merge(below, above)["mqtt"]["url"] = "changed"
    assert below == {"mqtt": {"url": "a"}}
    assert above == {"mqtt": {"keepalive_s": 5}}


@pytest.mark.parametrize(
    ("below", "above", "result"),
    [
        # The examples of RFC 7396, appendix A, that are about objects.
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merging_follows_rfc_7396(below, above, result):
    assert merge(below, above) == result


def test_another_type_replaces_the_whole_source():
    below = {"source": {"type": "v4l2", "device": "/dev/video0"}}
    assert merge(below, {"source": {"type": "synthetic"}}) == {"source": {"type": "synthetic"}}
    assert merge(below, {"source": {"type": "v4l2", "fps": 5}})["source"]["device"] == "/dev/video0"
    assert merge(below, {"source": {"fps": 5}})["source"]["device"] == "/dev/video0"


def test_the_later_layer_wins_whatever_the_order_given():
    file = Layer("file", {"mqtt": {"url": "file", "keepalive_s": 9}})
    line = Layer("command line", {"mqtt": {"url": "line"}})
    for layers in ([file, line], [line, file]):
        merged = merge_layers(layers)
        assert merged.data == {"mqtt": {"url": "line", "keepalive_s": 9}}
        assert merged.provenance == {"mqtt.url": "command line", "mqtt.keepalive_s": "file"}


def test_each_layer_is_weaker_than_the_next():
    layers = [Layer(name, {"who": name}) for name in ORDER]
    for count in range(1, len(ORDER) + 1):
        assert merge_layers(layers[:count]).data == {"who": ORDER[count - 1]}


def test_a_deleted_value_has_no_layer():
    merged = merge_layers([Layer("file", {"a": {"b": 1, "c": 2}}), Layer("desired", {"a": {"b": None}})])
    assert merged.provenance == {"a.c": "file"}


def test_a_table_that_was_emptied_came_from_who_emptied_it():
    merged = merge_layers([Layer("file", {"a": {"b": 1}}), Layer("desired", {"a": {"b": None}})])
    assert merged.data == {"a": {}}
    assert merged.provenance == {"a": "desired"}


def test_a_table_in_place_of_a_value_leaves_no_trace():
    merged = merge_layers([Layer("file", {"a": 1}), Layer("desired", {"a": {"b": 2}})])
    assert merged.provenance == {"a.b": "desired"}


def test_a_key_that_needs_quotes_is_quoted():
    assert merge_layers([Layer("file", {"a.b": {"c": 1}})]).provenance == {'"a.b".c': "file"}


def test_an_unknown_layer_is_our_own_mistake():
    with pytest.raises(ValueError, match="elsewhere"):
        Layer("elsewhere", {})


def test_a_bottomless_layer_is_refused():
    data = inner = {}
    for _ in range(sys.getrecursionlimit()):
        inner["a"] = inner = {}
    assert too_deep(data)
    with pytest.raises(ConfigError, match="command line nest too deep"):
        merge_layers([Layer("command line", data)])


def test_a_layer_does_not_show_its_values():
    assert "s3kr1t" not in repr(Layer("file", {"url": "s3kr1t"}))
    assert "s3kr1t" not in repr(merge_layers([Layer("file", {"url": "s3kr1t"})]))
