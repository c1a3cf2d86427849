"""`edgeagent fleet config get`, `set` and `clear`: read what the broker has, wish, and wait for the answer."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
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
from edgeagent.fleet.topics import Topics

READ_S: Final = 2.0
LISTEN_S: Final = 0.25
Say = Callable[[str], None]


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
        courses = {}
        for topics in targets:
            wish = next_wish(known[key_of(topics)], change)
            link.publish(desired_topic(topics), encode_said(wish), retain=True)
            courses[key_of(topics)] = Course(key_of(topics), wish.version)
        if patience.wait:
            with Screen(len(courses), quiet=as_json) as screen:
                _follow(link, targets, courses, patience, screen)
    _tell_end(list(courses.values()), as_json, say)
    return config_course.exit_code(list(courses.values())) if patience.wait else 0


def _read(link: OperatorLink, targets: Sequence[Topics]) -> dict[str, Known]:
    """What the broker keeps on the two topics of each device."""
    known = {key_of(topics): Known() for topics in targets}
    link.subscribe(topic for topics in targets for topic in (topics.config_reported, desired_topic(topics)))
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
    for topics, answer in _answers(targets, message):
        old = known[key_of(topics)]
        known[key_of(topics)] = Known(answer, old.wish)
    for topics in targets:
        if message.topic == desired_topic(topics):
            old = known[key_of(topics)]
            known[key_of(topics)] = Known(old.reported, _wish(message.payload))


def _answers(targets: Sequence[Topics], message: Message) -> Iterator[tuple[Topics, ConfigReported]]:
    """The device and its answer, when the message is one. What cannot be read is as if it had not come."""
    for topics in targets:
        if message.topic == topics.config_reported:
            try:
                answer = parse_message(message.topic, message.payload)
            except MessageError:
                return
            if isinstance(answer, ConfigReported):
                yield topics, answer


def _wish(payload: bytes) -> Desired | None:
    try:
        return parse_desired(payload)
    except MessageError:
        return None  # somebody has published what no device takes: the next wish replaces it


def _follow(
    link: OperatorLink, targets: Sequence[Topics], courses: dict[str, Course], patience: Patience, screen: Screen
) -> None:
    """Listens until every device has said its last word, or is given up."""
    since_s = time.monotonic()
    while any(course.open for course in courses.values()):
        message = link.hear(LISTEN_S)
        if message is not None:
            for topics, answer in _answers(targets, message):
                courses[key_of(topics)] = config_course.hear(courses[key_of(topics)], answer)
        waited_s = time.monotonic() - since_s
        for key, course in courses.items():
            courses[key] = config_course.wait(course, waited_s, patience.answer_s, patience.deadline_s)
            screen.tell(key, config_course.line(courses[key]), None, ended=not courses[key].open)


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
