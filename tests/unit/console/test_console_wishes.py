"""Settings as they are written, the wish made of them, and how it and a command go on a device."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from console_kit import job, reported

from edgeagent.console import config_course, job_course
from edgeagent.console.result_text import DEPTH, LINES, result_lines
from edgeagent.console.said import encode_said
from edgeagent.console.settings_text import patch_of, read_settings, split_words, value_of
from edgeagent.console.targets import key_of, parse_targets
from edgeagent.console.wishes import Change, Known, next_wish
from edgeagent.desired_layer import MOST_VERSION, has_hidden, merge_patch
from edgeagent.errors import OperatorError
from edgeagent.fleet.inbound import Desired, parse_desired
from edgeagent.fleet.topics import TopicError

Course = config_course.Course


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.4", 0.4),
        ("8", 8),
        ("true", True),
        ("quiet", "quiet"),
        ('"true"', "true"),
        ('["gate", "yard"]', ["gate", "yard"]),
        ("{ type = 'synthetic' }", {"type": "synthetic"}),
        ("rtsp://10.0.0.7/s1", "rtsp://10.0.0.7/s1"),
        ("2026-01-01", "2026-01-01"),
        ("rate 50%", "rate 50%"),
        ("a\nb = 1", "a\nb = 1"),
    ],
)
def test_values_are_toml_or_text(text: str, value: object) -> None:
    assert value_of(text) == value


def test_keys_are_dotted_and_null_takes_away() -> None:
    words = [
        "pipelines.people.min_score=0.4",
        'pipelines.people.class_min_score."traffic light"=0.2',
        "power.intent=null",
    ]
    assert patch_of(words) == {
        "pipelines": {"people": {"min_score": 0.4, "class_min_score": {"traffic light": 0.2}}},
        "power": {"intent": None},
    }


@pytest.mark.parametrize("word", ["=4", "a b=4", "a.=4", ".a=4", "a=", "a\nb=1", "a[0]=1"])
def test_what_is_no_setting_is_refused(word: str) -> None:
    with pytest.raises(OperatorError):
        patch_of([word])


@pytest.mark.parametrize("words", [["a=1", "a=2"], ["a=1", "a.b=2"], ["a.b=2", "a=1"]])
def test_a_key_is_set_once(words: list[str]) -> None:
    with pytest.raises(OperatorError):
        patch_of(words)


def test_devices_and_settings_are_told_apart() -> None:
    assert split_words(["gate-07", "a.b=1", "p/gate-08"]) == (["gate-07", "p/gate-08"], ["a.b=1"])


def test_targets() -> None:
    assert [key_of(t) for t in parse_targets(["gate-07", "p/gate-08", "gate-07"], "f")] == ["f/gate-07", "p/gate-08"]
    with pytest.raises(OperatorError):
        parse_targets([], "f")
    with pytest.raises(TopicError):
        parse_targets(["Gate_07"], "f")


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [  # from RFC 7396, appendix A
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
def test_merge_patch_as_in_the_rfc(target: dict[str, Any], patch: dict[str, Any], result: dict[str, Any]) -> None:
    assert merge_patch(target, patch) == result


def test_files() -> None:
    assert read_settings("[a]\nb = 1\n", "x.toml") == {"a": {"b": 1}}
    assert read_settings('{"a": null}', "x.json") == {"a": None}
    for text, name in (("[a", "x.toml"), ("[1]", "x.json"), ("a = 2026-01-01", "x.toml")):
        with pytest.raises(OperatorError):
            read_settings(text, name)


def test_the_next_wish_is_newer_than_all_and_whole() -> None:
    known = Known(reported(7, "committed", in_force=7, desired={"a": {"x": 1}}), Desired(version=7, config={}))
    wish = next_wish(known, Change(patch={"a": {"y": 2}}, by="ops"))
    assert (wish.version, wish.config, wish.patch, wish.by) == (8, {"a": {"x": 1, "y": 2}}, None, "ops")


def test_a_wish_that_the_device_has_not_seen_is_not_forgotten() -> None:
    known = Known(reported(7, "committed", in_force=7, desired={"a": 1}), Desired(version=9, config={"b": 2}))
    wish = next_wish(known, Change(patch={"c": 3}))
    assert (wish.version, wish.config) == (10, {"b": 2, "c": 3})
    waiting = Known(known.reported, Desired(version=9, base=7, patch={"a": None, "b": 2}))
    assert next_wish(waiting, Change(patch={"c": 3})).config == {"b": 2, "c": 3}


def test_an_old_or_broken_message_does_not_set_the_count_back() -> None:
    for version, state in ((1, "ignored"), (0, "rejected"), (MOST_VERSION, "rejected")):
        said = reported(version, state, in_force=7).model_copy(update={"answered": 65})
        assert next_wish(Known(said), Change(patch={"a": 1})).version == 66


def test_a_wish_that_the_device_does_not_count_is_not_counted_here() -> None:
    said = reported(MOST_VERSION, "ignored", in_force=7).model_copy(update={"answered": 9})
    wish = next_wish(Known(said, Desired(version=MOST_VERSION, config={"b": 1})), Change(patch={"a": 1}))
    assert (wish.version, wish.config) == (10, {"a": 1})


def test_there_is_a_highest_version() -> None:
    with pytest.raises(OperatorError, match="highest"):
        next_wish(Known(reported(MOST_VERSION, "committed", in_force=MOST_VERSION)), Change(patch={"a": 1}))


def test_a_wish_that_did_not_hold_is_not_built_upon() -> None:
    known = Known(reported(8, "rolled_back", in_force=7, desired={"a": 1}), Desired(version=8, config={"a": "bad"}))
    assert next_wish(known, Change(patch={"b": 2})).config == {"a": 1, "b": 2}


def test_a_patch_for_the_device_names_what_it_changes() -> None:
    known = Known(reported(9, "rejected", in_force=7, desired={"a": 1}))
    wish = next_wish(known, Change(patch={"a": None}, on_device=True, trial_s=5))
    assert (wish.version, wish.base, wish.patch, wish.trial_s) == (10, 7, {"a": None}, 5)
    assert next_wish(Known(), Change(whole={})).config == {}


def test_a_null_arrives() -> None:
    wish = Desired(version=2, base=1, patch={"a": {"b": None}})
    payload = encode_said(wish)
    assert json.loads(payload) == {"version": 2, "base": 1, "patch": {"a": {"b": None}}, "by": ""}
    assert parse_desired(payload) == wish


def test_a_wish_goes_through_its_trial() -> None:
    course = Course("d", 8)
    assert config_course.hear(course, reported(7, "committed")) == course
    course = config_course.hear(course, reported(8, "trial", trial_left_s=42))
    assert config_course.line(course) == "trial, 42 s left at most"
    course = config_course.hear(course, reported(8, "committed", restarted=["camera/yard"]))
    assert config_course.line(course) == "committed (restarted camera/yard)"
    assert config_course.hear(course, reported(8, "trial")) == course
    assert config_course.exit_code([course]) == 0


def test_a_rejected_wish_tells_every_mistake() -> None:
    errors = [{"path": "a.b", "message": "is wrong", "mend": "mend it"}, {"path": "", "message": "too deep"}]
    course = config_course.hear(Course("d", 8), reported(8, "rejected", reason="2 mistakes", errors=errors))
    assert course.errors == ("a.b: is wrong (mend it)", "config: too deep")
    assert config_course.exit_code([Course("e", 8, word="committed"), course]) == 2


@pytest.mark.parametrize("word", ["rolled_back", "ignored", "superseded", "no_answer", "timed_out"])
def test_every_other_end_is_a_failure(word: config_course.Word) -> None:
    assert config_course.exit_code([Course("d", 8, word=word)]) == 1
    assert not Course("d", 8, word=word).open


def test_a_newer_wish_supersedes_ours() -> None:
    course = config_course.hear(Course("d", 8), reported(9, "committed", by="eve"))
    assert (course.word, course.reason) == ("superseded", "the device took version 9 from eve")


def test_of_two_wishes_at_once_each_hears_its_own_answer() -> None:
    first, second = Course("d", 8, "ann"), Course("d", 8, "eve")
    taken, refused = reported(8, "trial", by="ann"), reported(8, "ignored", by="eve")
    assert config_course.hear(first, taken).word == "trial"
    assert config_course.hear(second, taken).word == "superseded"
    assert config_course.hear(first, refused) == first
    assert config_course.hear(second, refused).word == "ignored"
    assert config_course.hear(first, reported(8, "rejected")).word == "rejected"


def test_patience_with_a_wish() -> None:
    sent, trial = Course("d", 8), Course("d", 8, word="trial")
    assert config_course.wait(sent, 14, 15, 400) == sent
    assert config_course.wait(sent, 15, 15, 400, state="lost").reason.startswith("the device is lost; ")
    assert config_course.wait(trial, 100, 15, 400) == trial
    assert config_course.wait(trial, 400, 15, 400).word == "timed_out"
    done = Course("d", 8, word="committed")
    assert config_course.wait(done, 1000, 15, 400) == done


def test_a_job_goes_on_to_its_last_word() -> None:
    course = job_course.Course("d")
    course = job_course.hear(course, job("running", percent=41.5, phase="choosing tactics"))
    assert (job_course.line(course), course.open) == ("running 42 %: choosing tactics", True)
    course = job_course.hear(course, job("failed", code="gpu_lost", reason="the GPU has gone"))
    assert (job_course.line(course), course.open) == ("failed: the GPU has gone [gpu_lost]", False)
    assert job_course.hear(course, job("accepted")) == course


def test_a_late_answer_counts_after_all() -> None:
    given_up = job_course.wait(job_course.Course("d"), 15, 15, 3600)
    assert (given_up.word, given_up.open) == ("no_answer", False)
    assert job_course.hear(given_up, job("succeeded")).word == "succeeded"


def test_patience_with_a_job() -> None:
    running = job_course.Course("d", "running")
    assert job_course.wait(running, 100, 15, 3600) == running
    assert job_course.wait(running, 3600, 15, 3600).word == "no_end"


def test_a_command_succeeded_where_it_succeeded_everywhere() -> None:
    good, bad = job_course.Course("a", "succeeded"), job_course.Course("b", "refused")
    assert [job_course.exit_code(courses) for courses in ([good], [good, bad], [])] == [0, 1, 1]


def test_a_result_is_lines_for_a_person() -> None:
    result = {
        "ok": True,
        "level": "debug",
        "text": "one\ntwo",
        "report": {"summary": "all well", "checks": [{"name": "board", "state": "ok", "text": "an Orin", "mend": ""}]},
        "settings": {
            "device.id": {"value": "gate-07", "layer": "file"},
            "mqtt.port": {"value": 1883, "layer": "default"},
        },
        "models": {"parts": {"path": "sample:conveyor", "size": 3}},
        "empty": {},
    }
    assert result_lines(result) == [
        "ok: true",
        "level: debug",
        "text:",
        "  one",
        "  two",
        "report:",
        "  summary: all well",
        "  checks:",
        "    board  ok  an Orin",
        "settings:",
        "  device.id: gate-07  (file)",
        "  mqtt.port: 1883  (default)",
        "models:",
        "  parts: path=sample:conveyor, size=3",
        "empty: {}",
    ]


def test_times_of_day_in_a_result() -> None:
    (_, line) = result_lines({"lines": [{"ts": 1_760_000_000_000, "level": "info", "text": "begun"}]})
    assert re.fullmatch(r"  2025-10-\d\d \d\d:\d\d:20\.000\S+  info  begun", line)


def test_a_result_cannot_steer_the_terminal_nor_flood_it() -> None:
    assert result_lines({"a": "\x1b[2Jx"}) == ["a: ?[2Jx"]
    assert len(result_lines({"a": list(range(10 * LINES))})) == LINES + 1
    deep: dict[str, Any] = {}
    for _ in range(10 * DEPTH):
        deep = {"a": deep, "b": 1}
    assert len(result_lines(deep)) < 10 * DEPTH
    assert result_lines(None) == []


HIDDEN = {"cameras": {"gate": {"source": {"type": "rtsp", "url": "rtsp://***@10.0.0.7/s1"}}}}


def test_a_layer_with_a_hidden_secret_is_changed_by_a_patch() -> None:
    known = Known(reported(4, "committed", in_force=4, desired=HIDDEN))
    wish = next_wish(known, Change(patch={"pipelines": {"people": {"min_score": 0.4}}}))
    assert (wish.version, wish.base, wish.config) == (5, 4, None)
    assert wish.patch == {"pipelines": {"people": {"min_score": 0.4}}}


def test_a_layer_with_a_secret_is_built_upon_the_wish_that_the_broker_keeps() -> None:
    whole = {"cameras": {"gate": {"source": {"type": "rtsp", "url": "rtsp://ops:pw@10.0.0.7/s1"}}}}
    kept = Desired(version=4, config=whole)
    known = Known(reported(4, "committed", in_force=4, desired=HIDDEN), kept)
    wish = next_wish(known, Change(patch={"pipelines": {"people": {"min_score": 0.4}}}))
    assert wish.config == {**whole, "pipelines": {"people": {"min_score": 0.4}}}


@pytest.mark.parametrize("text", ["rtsp://***@10.0.0.7/s1", "rtsp://10.0.0.7/s1?token=***"])
def test_hidden_secrets_are_seen_wherever_they_are(text: str) -> None:
    assert has_hidden({"a": [{"b": text}]})
    assert not has_hidden({"a": [{"b": "rtsp://10.0.0.7/s1"}], "c": 4})
