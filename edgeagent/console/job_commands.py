"""`edgeagent fleet cmd`: say a command to devices, and follow each until its last word."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from edgeagent.console import job_course
from edgeagent.console.broker import Address
from edgeagent.console.config_commands import Patience
from edgeagent.console.device import clip
from edgeagent.console.job_course import Course
from edgeagent.console.operator_link import OperatorLink
from edgeagent.console.progress import Screen
from edgeagent.console.result_text import result_lines
from edgeagent.console.said import encode_said
from edgeagent.console.targets import key_of
from edgeagent.errors import LinkError
from edgeagent.fleet.answers import Job
from edgeagent.fleet.envelope import Message, MessageError
from edgeagent.fleet.inbound import Command, command_topic
from edgeagent.fleet.messages import parse_message
from edgeagent.fleet.states import Info, Status
from edgeagent.fleet.topics import ROOT, TopicError, Topics, parse_topic

LISTEN_S: Final = 0.25
QUIET_S: Final = 0.75
GATHER_S: Final = 10.0
AFTER_S: Final = 10.0
"""A device may answer this long after the deadline: it ends a job there, and has to say so."""
HOUR_S: Final = 3600.0
Say = Callable[[str], None]


@dataclass(frozen=True)
class Order:
    """What is said, and to whom: `targets`, or a group, or everyone of the fleet where both are empty."""

    name: str
    args: Mapping[str, Any]
    fleet: str
    targets: Sequence[Topics] = ()
    group: str = ""
    deadline_s: float | None = None
    by: str = ""

    @property
    def expiry_s(self) -> float:
        return HOUR_S if self.deadline_s is None else self.deadline_s


@dataclass
class Answers:
    """What has been heard so far."""

    courses: dict[str, Course]
    states: dict[str, str]
    groups: dict[str, tuple[str, ...]]


def command_cmd(address: Address, order: Order, patience: Patience, *, as_json: bool, say: Say) -> int:
    """0 when it succeeded on every device; without waiting, when the broker has it."""
    job = str(uuid.uuid4())
    heard = Answers({}, {}, {})
    with OperatorLink(address) as link:
        _find_devices(link, order, heard)
        link.subscribe(_job_topics(order, job))
        for topic in _command_topics(order):
            link.publish(topic, _payload(order, job), retain=False, expiry_s=order.expiry_s)
        if patience.wait:
            with Screen(len(heard.courses), quiet=as_json) as screen:
                _follow(link, order, job, heard, patience, screen)
    courses = list(heard.courses.values())
    _tell_end(job, courses, as_json, say)
    return job_course.exit_code(courses) if patience.wait else 0


def _payload(order: Order, job: str) -> bytes:
    now_ms = time.time_ns() // 1_000_000
    deadline_ts = None if order.deadline_s is None else now_ms + round(order.deadline_s * 1000)
    return encode_said(Command(id=job, args=dict(order.args), ts=now_ms, deadline_ts=deadline_ts, by=order.by))


def _command_topics(order: Order) -> list[str]:
    if order.targets:
        return [command_topic(each.fleet, order.name, device=each.device) for each in order.targets]
    return [command_topic(order.fleet, order.name, group=order.group)]


def _job_topics(order: Order, job: str) -> list[str]:
    if order.targets:
        return [each.job(job) for each in order.targets]
    return [f"{ROOT}/{order.fleet}/+/job/{job}"]


def _find_devices(link: OperatorLink, order: Order, heard: Answers) -> None:
    """Who has to answer: the named ones, or who belongs to the group by its own word. Raises LinkError for nobody."""
    heard.courses.update({key_of(each): Course(key_of(each)) for each in order.targets})
    if order.targets:
        link.subscribe(each.status for each in order.targets)
        return
    link.subscribe([f"{ROOT}/{order.fleet}/+/status", f"{ROOT}/{order.fleet}/+/info"])
    until_s = time.monotonic() + GATHER_S
    while time.monotonic() < until_s and (message := link.hear(QUIET_S)) is not None:
        _note(heard, "", message.topic, message.payload)
    members = [key for key in heard.states if not order.group or order.group in heard.groups.get(key, ())]
    heard.courses.update({key: _expected(key, heard.states[key]) for key in members})
    if not members:
        who = f"group {order.group} of fleet {order.fleet}" if order.group else f"fleet {order.fleet}"
        raise LinkError(
            f"no device of {who} is known to the broker", mend="check --fleet and --group", code="no-device"
        )


def _expected(key: str, state: str) -> Course:
    """One that is not there cannot answer; should it come back before the deadline, it obeys all the same."""
    if state in ("lost", "stopped"):
        return Course(key, "no_answer", reason=f"the device was {state} when it was said")
    return Course(key)


def _note(heard: Answers, job: str, topic: str, payload: bytes) -> None:
    try:
        where = parse_topic(topic)
        message: Message | None = parse_message(where, payload)
    except (TopicError, MessageError):
        return
    key = f"{where.fleet}/{where.device}"
    match message:
        case Status():
            heard.states[key] = message.state
        case Info():
            heard.groups[key] = message.groups
        case Job() if message.id == job:
            heard.courses[key] = job_course.hear(heard.courses.get(key, Course(key)), message)


def _follow(link: OperatorLink, order: Order, job: str, heard: Answers, patience: Patience, screen: Screen) -> None:
    since_s = time.monotonic()
    deadline_s = min(patience.deadline_s, order.expiry_s + AFTER_S)
    while any(course.open for course in heard.courses.values()):
        message = link.hear(LISTEN_S)
        if message is not None:
            _note(heard, job, message.topic, message.payload)
        waited_s = time.monotonic() - since_s
        for key, course in heard.courses.items():
            now = job_course.wait(course, waited_s, patience.answer_s, deadline_s)
            if now.word == "no_answer" and course.open and heard.states.get(key) in ("lost", "stopped"):
                now = replace(now, reason=f"the device is {heard.states[key]}")
            heard.courses[key] = now
            screen.tell(key, job_course.line(now), now.percent, ended=not now.open)


def _tell_end(job: str, courses: list[Course], as_json: bool, say: Say) -> None:
    if as_json:
        rows = [
            {"device": c.device, "state": c.word, "code": c.code, "reason": c.reason, "result": c.result}
            for c in courses
        ]
        say(json.dumps({"id": job, "devices": rows}, indent=1))
        return
    for course in sorted(courses, key=lambda each: each.device):
        say(f"{course.device}: {clip(job_course.line(course))}")
        for line in result_lines(course.result):
            say(f"  {line}")
    if len(courses) > 1:
        good = sum(course.word == job_course.GOOD for course in courses)
        say(f"{good} of {len(courses)} devices succeeded (job {job})")
