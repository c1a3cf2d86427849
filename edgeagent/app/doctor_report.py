"""What the doctor says, for a person and for a program. Pure.

A check is ok, a warning (it works, with less) or a problem (it does not work), and says what to do about it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Literal

State = Literal["ok", "warning", "problem"]
Fact = str | int | float | bool | None

_ORDER: tuple[State, ...] = ("ok", "warning", "problem")
OK, FAILED = 0, 1


@dataclass(frozen=True)
class Check:
    """One line: the thing looked at, its state in plain words, and the mend where it is not ok."""

    name: str
    state: State
    text: str
    mend: str = ""
    facts: Mapping[str, Fact] = field(default_factory=dict)


def ok(name: str, text: str, **facts: Fact) -> Check:
    return Check(name, "ok", text, "", facts)


def warning(name: str, text: str, mend: str, **facts: Fact) -> Check:
    return Check(name, "warning", text, mend, facts)


def problem(name: str, text: str, mend: str, **facts: Fact) -> Check:
    return Check(name, "problem", text, mend, facts)


def exit_code(checks: Sequence[Check]) -> int:
    """0 when there is no problem; warnings do not count."""
    return FAILED if any(check.state == "problem" for check in checks) else OK


def render_text(checks: Sequence[Check]) -> str:
    """Aligned columns; problems come last, where they are seen, and the summary closes the page. No last newline."""
    width = max((len(check.name) for check in checks), default=0)
    lines = []
    for check in sorted(checks, key=lambda one: _ORDER.index(one.state)):
        lines.append(f"{check.state:<8} {check.name:<{width}}  {_one_line(check.text)}")
        if check.mend:
            lines.append(f"{'':<8} {'':<{width}}  mend: {_one_line(check.mend)}")
    return "\n".join([*lines, "", summary(checks)])


def summary(checks: Sequence[Check]) -> str:
    """`1 problem, 2 warnings, 14 ok`."""
    counts = {state: sum(check.state == state for check in checks) for state in _ORDER}
    problems = f"{counts['problem'] or 'no'} problem{'' if counts['problem'] == 1 else 's'}"
    return f"{problems}, {counts['warning']} warning{'' if counts['warning'] == 1 else 's'}, {counts['ok']} ok"


def render_json(checks: Sequence[Check], about: Mapping[str, Fact]) -> str:
    """One object: what was looked at, the summary, and every check in the order of the checks."""
    return json.dumps(
        {
            "schema": "edgeagent/doctor/1",
            **about,
            "ok": exit_code(checks) == OK,
            "summary": summary(checks),
            "checks": [{**asdict(check), "facts": dict(check.facts)} for check in checks],
        },
        indent=2,
    )


def _one_line(text: str) -> str:
    """Texts may quote a library's error: no line breaks or control characters, only what every terminal prints."""
    plain = "".join(char if char.isprintable() else " " for char in text)
    return " ".join(plain.encode("utf-8", "backslashreplace").decode().split())
