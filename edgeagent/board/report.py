"""A board and one reading of it, for a person and for a program. Pure: values in, text or a JSON-ready dict out.

The text puts first what somebody woken at night asks first: which board, is it slowing itself down, how far is it
from doing so. A value that is missing says why.
"""

from __future__ import annotations

from dataclasses import asdict

from edgeagent.board.fingerprint import board_fingerprint
from edgeagent.board.identity import Identity
from edgeagent.board.reading import Reading, flat_measurements
from edgeagent.board.report_identity import contradictions, head, identity_json, rests_on
from edgeagent.board.report_readings import readings_text


def render_board_text(identity: Identity, reading: Reading) -> str:
    """Some fifty lines, ending in a newline. No colours, at most 120 columns wide for known boards."""
    sections = (
        head(identity, reading.uptime_s),
        *readings_text(reading),
        rests_on(identity),
        contradictions(identity),
    )
    return "\n\n".join("\n".join(lines) for lines in map(list, sections) if lines) + "\n"


def board_json(identity: Identity, reading: Reading) -> dict[str, object]:
    """The same as plain dicts, lists, text and numbers. null = could not be read; `absent` says why."""
    return {
        "schema": "edgeagent/board/1",
        "identity": identity_json(identity),
        "fingerprint": board_fingerprint(identity),
        "measurements": flat_measurements(reading),
        **_readings_json(reading),
    }


def _readings_json(reading: Reading) -> dict[str, object]:
    """Every part with what was read of it and why not, and what follows from them."""
    return {
        **asdict(reading),
        "zones": [{**asdict(zone), "headroom_c": zone.headroom_c} for zone in reading.zones],
        "over_current": [{**asdict(found), "meaning": found.meaning} for found in reading.over_current],
        "clocks": [{**asdict(clock), "lock": clock.lock} for clock in reading.clocks],
        "clocks_locked": reading.clocks_locked,
        "throttle_alerts": list(reading.throttle_alerts),
        "throttle_source": reading.throttle_source,
        "slowed": list(reading.slowed),
        "power_total_mw": reading.power_total_mw,
        "power_total_source": reading.power_total_source,
    }
