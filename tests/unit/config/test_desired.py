"""From a wish to a candidate, or to the answer why not."""

from __future__ import annotations

from typing import Any

import pytest

from edgeagent.config.desired import Again, Answer, Candidate, Kept, Refused, Wish, consider, hash_of
from edgeagent.config.effective import compose
from edgeagent.config.layers import Layer
from edgeagent.desired_layer import MOST_VERSION, highest_after, merge_patch

FILE: dict[str, Any] = {
    "device": {"id": "line-3"},
    "cameras": {"belt": {"source": {"type": "synthetic"}}},
    "models": {"parts": {"path": "sample:conveyor"}},
    "pipelines": {"all": {"camera": "belt", "model": "parts"}},
}
LOCAL = [Layer("file", FILE)]
IN_FORCE = Kept(4, {"pipelines": {"all": {"iou": 0.4}}}, "d4")
ANSWERED = Answer(5, "rolled_back", "d5")


def asked(wish: Wish, committed: Kept = IN_FORCE, answered: Answer = ANSWERED) -> Candidate | Again | Refused:
    return consider(wish, committed, answered, LOCAL, ())


def refused(wish: Wish) -> Refused:
    found = asked(wish)
    assert isinstance(found, Refused)
    return found


def test_a_whole_wish_takes_the_place_of_the_layer() -> None:
    found = asked(Wish(6, "d6", config={"pipelines": {"all": {"min_score": 0.5}}}, by="me", trial_s=3.0))
    assert isinstance(found, Candidate)
    pipeline = found.loaded.config.pipelines["all"]
    assert (pipeline.min_score, pipeline.iou) == (0.5, 0.5)
    assert (found.kept.version, found.kept.by, found.trial_s) == (6, "me", 3.0)
    assert found.loaded.provenance["pipelines.all.min_score"] == "desired"


def test_a_patch_changes_the_layer_in_force() -> None:
    found = asked(Wish(6, "d6", base=4, patch={"pipelines": {"all": {"min_score": 0.5}}}))
    assert isinstance(found, Candidate)
    assert found.kept.layer == {"pipelines": {"all": {"iou": 0.4, "min_score": 0.5}}}


def test_null_in_a_whole_wish_takes_away_what_the_file_has() -> None:
    found = asked(Wish(6, "d6", config={"pipelines": {"all": None}}))
    assert isinstance(found, Candidate)
    assert found.loaded.config.pipelines == {}


@pytest.mark.parametrize(
    ("wish", "word", "path"),
    [
        (Wish(5, "other", config={}), "ignored", None),
        (Wish(1, "d1", config={}), "ignored", None),
        (Wish(MOST_VERSION, "d", config={}), "ignored", None),
        (Wish(5 + 2**52, "d", config={}), "ignored", None),
        (Wish(6, "d6", base=5, patch={}), "rejected", "base"),
        (Wish(6, "d6", config={"pipelines": {"all": {"min_score": 7}}}), "rejected", "pipelines.all.min_score"),
        (Wish(6, "d6", config={"nonsense": 1}), "rejected", "nonsense"),
        (Wish(6, "d6", config={"cameras": {"belt": None}}), "rejected", "pipelines.all.camera"),
        (Wish(6, "d6", config={"device": {"id": "x"}}), "rejected", "device.id"),
        (Wish(6, "d6", base=4, patch={"remote": {"config": True}}), "rejected", "remote.config"),
    ],
)
def test_why_not(wish: Wish, word: str, path: str | None) -> None:
    found = refused(wish)
    assert found.word == word and found.reason
    assert [mistake.path for mistake in found.errors] == ([path] if path else [])


@pytest.mark.parametrize("version", [7, 1_790_000_000_000, 1_790_000_000_000_000])
def test_versions_may_be_times(version: int) -> None:
    found = asked(Wish(version, "d", config={}))
    assert isinstance(found, Candidate) and found.kept.version == version


def test_no_single_wish_uses_the_versions_up_and_all_of_them_can_be_used() -> None:
    assert [highest_after(MOST_VERSION - left) - MOST_VERSION for left in (4, 3, 2, 1, 0)] == [-2, -1, -1, 0, 0]
    newest, wishes = 0, 0
    while newest < MOST_VERSION:
        highest = highest_after(newest)
        assert newest < highest <= MOST_VERSION
        newest, wishes = highest, wishes + 1
    assert wishes == 53


def test_all_mistakes_at_once() -> None:
    found = refused(Wish(6, "d6", config={"pipelines": {"all": {"min_score": 7, "iou": -1, "foo": 1}}, "bar": 2}))
    assert len(found.errors) == 4


def test_the_very_same_wish_is_answered_again() -> None:
    assert isinstance(asked(Wish(5, "d5", config={})), Again)


def test_a_layer_that_nests_too_deep_is_refused() -> None:
    deep: dict[str, Any] = {}
    for _ in range(100):
        deep = {"x": deep}
    assert refused(Wish(6, "d6", config=deep)).word == "rejected"


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [  # RFC 7396, appendix A, as far as it is about objects
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_a_merge_patch(target: dict[str, Any], patch: dict[str, Any], result: dict[str, Any]) -> None:
    assert merge_patch(target, patch) == result


def test_the_hash_is_of_what_is_in_force_however_it_was_written() -> None:
    one = compose([Layer("file", FILE)], "x").config
    same = compose([Layer("file", {**FILE, "mqtt": {"keepalive_s": 30}})], "x").config
    other = compose([Layer("file", {**FILE, "mqtt": {"keepalive_s": 31}})], "x").config
    assert hash_of(one) == hash_of(same) != hash_of(other)
    assert len(hash_of(one)) == 64
