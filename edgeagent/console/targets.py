"""Which devices are meant: `gate-07` of the fleet in question, or `plant-2/gate-07`. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from edgeagent.errors import OperatorError
from edgeagent.fleet.topics import Topics


def parse_targets(words: Iterable[str], fleet: str) -> list[Topics]:
    """Each once, in order. Raises OperatorError for none, and TopicError for what cannot be a device."""
    found: dict[str, Topics] = {}
    for word in words:
        before, slash, device = word.rpartition("/")
        topics = Topics(before if slash else fleet, device)
        found.setdefault(key_of(topics), topics)
    if not found:
        raise OperatorError("no device is named", mend="name one or more, such as gate-07 or plant-2/gate-07")
    return list(found.values())


def key_of(topics: Topics) -> str:
    return f"{topics.fleet}/{topics.device}"
