"""Topics that an answer may go to, and those that would command somebody else."""

from __future__ import annotations

import pytest

from edgeagent.fleet.job_reply import reply_problem


@pytest.mark.parametrize("topic", ["answers", "my/answers/7", "edgeagent/v1/lab/_reply/desk-7", "edgeagent/v2/x", "/x"])
def test_a_plain_topic_is_good(topic: str) -> None:
    assert reply_problem(topic) == ""


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "a" * 513,
        "a/+",
        "#",
        "$SYS/broker",
        "$share/x/y",
        "a\0b",
        "a\nb",
        "edgeagent/v1/lab/one/cmd/reboot",
        "edgeagent/v1/lab/_all/cmd/reboot",
        "edgeagent/v1/lab/_group/g/cmd/reboot",
        "edgeagent/v1/other/two/config/desired",
        "edgeagent/v1/lab/two/status",
        "edgeagent/v1/lab",
        "edgeagent/v1",
    ],
)
def test_others_are_not(topic: str) -> None:
    assert reply_problem(topic)
