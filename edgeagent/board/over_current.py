"""Over-current counters: found by name, counted since boot, and as what is new since the sample before.

hwmon `soctherm_oc` of Orin and later: `ocN_event_cnt` is cumulative since boot, `ocN_throt_en` says whether the channel
may slow the chip down. OC3 climbs all the time in an uncapped power mode, so its rate says more than its count.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from edgeagent.board.files import OpenFiles, Probe, list_names, numbered, read_int, read_text
from edgeagent.board.parts import Absent, OverCurrent
from edgeagent.board.rails import HWMON

_MOST = 2**53  # more is no count, and no number that every reader of JSON keeps
_COUNTER = re.compile(r"(oc[0-9]{1,2})_event_cnt")


class Counted(NamedTuple):
    """A counter's value and the monotonic time at which it was read, in seconds."""

    events: int
    at_s: float


@dataclass(frozen=True)
class OverCurrentProbe:
    channel: str
    events: Probe
    throttles: bool | None


def find_over_current(root: str, files: OpenFiles) -> Iterator[OverCurrentProbe]:
    for directory in numbered(f"{root}/{HWMON}", "hwmon"):
        if read_text(f"{directory}/name") == "soctherm_oc":
            for found in filter(None, map(_COUNTER.fullmatch, list_names(directory))):
                enabled = read_int(f"{directory}/{found.group(1)}_throt_en")
                events = files.open(f"{directory}/{found.group()}")
                yield OverCurrentProbe(found.group(1), events, None if enabled is None else enabled != 0)


def read_over_current(
    probe: OverCurrentProbe, before: Mapping[str, Counted], now_s: float
) -> tuple[OverCurrent, Counted | None]:
    """The channel now, and what to compare the next sample with: None when there is no count to compare with."""
    events, absent = probe.events.read_int()
    return count_over_current(probe.channel, events, absent, before.get(probe.channel), now_s, probe.throttles)


def count_over_current(
    channel: str, events: int | None, absent: Absent, before: Counted | None, now_s: float, throttles: bool | None
) -> tuple[OverCurrent, Counted | None]:
    """Pure. A counter that went backwards was restarted: nothing can be said of the time between."""
    if events is None or not 0 <= events <= _MOST:
        return OverCurrent(channel, None, throttles=throttles, absent=absent or "unreadable"), before
    now = Counted(events, now_s)
    if before is None or events < before.events:
        return OverCurrent(channel, events, throttles=throttles), now
    new, passed_s = events - before.events, now_s - before.at_s
    rate = new / passed_s if passed_s > 0 else None
    return OverCurrent(channel, events, new, rate, throttles), now
