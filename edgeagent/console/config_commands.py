"""`edgeagent fleet config get`, `set` and `clear`: read what the broker has, wish, and wait for the answer."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from edgeagent.console import config_course
from edgeagent.console.broker import Address
from edgeagent.console.config_course import Course
from edgeagent.console.operator_link import OperatorLink
from edgeagent.console.progress import Screen
from edgeagent.console.said import encode_said, facts_of
from edgeagent.console.targets import key_of
from edgeagent.console.wishes import Change, Known, next_wish
from edgeagent.errors import OperatorError
from edgeagent.fleet.answers import ConfigReported
from edgeagent.fleet.envelope import MessageError
from edgeagent.fleet.inbound import Desired, desired_topic, parse_desired
from edgeagent.fleet.link_types import Message
from edgeagent.fleet.messages import parse_message
from edgeagent.fleet.states import Status
from edgeagent.fleet.topics import Topics

READ_S: Final = 3.0
LISTEN_S: Final = 0.25
Say = Callable[[str], None]
Courses = dict[str, Course]


@dataclass(frozen=True)
class Patience:
    """`answer_s` for the first word, `deadline_s` for the last one; without `wait` for none."""

    answer_s: float = 15.0
    deadline_s: float = 420.0
    wait: bool = True


def command_get(address: Address, targets: Sequence[Topics], as_json: bool, say: Say) -> int:
    """0 when every device has reported."""
    with OperatorLink(address) as link:
        known = _read(link, targets)
    if as_json:
        say(json.dumps([_facts(topics, known[key_of(topics)]) for topics in targets], indent=1))
    else:
        say("\n\n".join("\n".join(_text(topics, known[key_of(topics)])) for topics in targets))
    return 0 if all(each.reported is not None for each in known.values()) else 1


def command_set(
    address: Address,
    targets: Sequence[Topics],
    change: Change,
    patience: Patience,
    *,
    unseen: bool,
    as_json: bool,
    say: Say,
) -> int:
    """Wishes the change for every device at once. 0 all committed, 2 one rejected, else 1."""
    with OperatorLink(address) as link:
        known = _read(link, targets)
        strangers = [key for key, each in known.items() if each.version == 0 and each.reported is None]
        if strangers and not unseen:
            raise OperatorError(
                f"{', '.join(strangers)}: has never reported a config",
                mend="check the name, or publish the wish nevertheless with --unseen",
                code="unknown-device",
            )
        courses = {key_of(each): _publish(link, each, known[key_of(each)], change) for each in targets}
        if patience.wait:
            with Screen(len(courses), quiet=as_json) as screen:
                _follow(link, targets, known, patience, courses, screen)
    _tell_end(list(courses.values()), as_json, say)
    return config_course.exit_code(list(courses.values())) if patience.wait else 0


def _publish(link: OperatorLink, topics: Topics, known: Known, change: Change) -> Course:
    wish = next_wish(known, change)
    link.publish(desired_topic(topics), encode_said(wish), retain=True)
    return Course(key_of(topics), wish.version, wish.by)


def _read(link: OperatorLink, targets: Sequence[Topics]) -> dict[str, Known]:
    """What the broker keeps on the two topics of each device."""
    known = {key_of(topics): Known() for topics in targets}
    link.subscribe(t for each in targets for t in (each.status, each.config_reported, desired_topic(each)))
    until_s = time.monotonic() + READ_S
    while (left_s := until_s - time.monotonic()) > 0:
        complete = all(each.reported is not None for each in known.values())
        message = link.hear(min(LISTEN_S, left_s))
        if message is None and complete:
            break
        if message is not None:
            _note(known, targets, message)
    return known


def _note(known: dict[str, Known], targets: Sequence[Topics], message: Message) -> None:
    for topics in targets:
        old = known[key_of(topics)]
        if message.topic == desired_topic(topics):
            known[key_of(topics)] = replace(old, wish=_wish(message.payload))
        elif message.topic == topics.status and isinstance(status := _read_message(message), Status):
            known[key_of(topics)] = replace(old, state=status.state)
        elif message.topic == topics.config_reported and isinstance(answer := _read_message(message), ConfigReported):
            known[key_of(topics)] = replace(old, reported=answer)


def _read_message(message: Message) -> object:
    """None for what cannot be read: it is as if it had not come."""
    try:
        return parse_message(message.topic, message.payload)
    except MessageError:
        return None


def _wish(payload: bytes) -> Desired | None:
    try:
        return parse_desired(payload)
    except MessageError:
        return None  # somebody has published what no device takes: the next wish replaces it


def _follow(
    link: OperatorLink,
    targets: Sequence[Topics],
    known: dict[str, Known],
    patience: Patience,
    courses: Courses,
    screen: Screen,
) -> None:
    """Listens until every device has said its last word, or is given up."""
    since_s = time.monotonic()
    while any(course.open for course in courses.values()):
        message = link.hear(LISTEN_S)
        if message is not None:
            _note(known, targets, message)
        waited_s = time.monotonic() - since_s
        for key, course in courses.items():
            reported, state = known[key].reported, known[key].state
            heard = course if reported is None else config_course.hear(course, reported)
            courses[key] = now = config_course.wait(
                heard, waited_s, patience.answer_s, patience.deadline_s, state=state
            )
            screen.tell(key, config_course.line(now), None, ended=not now.open)


def _tell_end(courses: list[Course], as_json: bool, say: Say) -> None:
    if as_json:
        rows = [
            {"device": c.device, "version": c.version, "state": c.word, "reason": c.reason, "errors": list(c.errors)}
            for c in courses
        ]
        say(json.dumps(rows, indent=1))
        return
    for course in courses:
        say(f"{course.device}: version {course.version} {config_course.line(course)}")
        for error in course.errors:
            say(f"{course.device}: {error}")


def _facts(topics: Topics, known: Known) -> dict[str, object]:
    reported, pending = known.reported, known.pending
    return {
        "fleet": topics.fleet,
        "device": topics.device,
        "reported": None if reported is None else facts_of(reported),
        "pending": None if pending is None else facts_of(pending),
    }


def _text(topics: Topics, known: Known) -> list[str]:
    reported, pending = known.reported, known.pending
    if reported is None:
        lines = [f"{key_of(topics)}: has not reported a config"]
    else:
        by = f", wished by {reported.by}" if reported.by else ""
        lines = [
            f"{key_of(topics)}: version {reported.version} {reported.state.replace('_', ' ')}{by}",
            *([f"  {reported.reason}"] if reported.reason else []),
            *(f"  {each.path or 'config'}: {each.message} ({each.mend})" for each in reported.errors),
            f"  in force: version {reported.in_force}, hash {reported.hash[:12]}",
            *(f"    {line}" for line in _leaves(reported.desired)),
        ]
    if pending is not None:
        lines.append(f"  waits for the device: version {pending.version}")
        lines += [f"    {line}" for line in _leaves(pending.config if pending.patch is None else pending.patch)]
    return lines


def _leaves(data: Any, path: str = "") -> Iterator[str]:  # noqa: ANN401
    """`pipelines.people.min_score = 0.4`, one line a value."""
    if isinstance(data, dict) and data:
        for key, value in data.items():
            yield from _leaves(value, f"{path}.{key}" if path else key)
    elif path:
        yield f"{path} = {json.dumps(data, ensure_ascii=False)}"
