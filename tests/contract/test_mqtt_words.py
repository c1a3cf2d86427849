"""docs/mqtt.md lists every component, alarm and event of the agent, and none besides."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgeagent.fleet.examples import examples
from edgeagent.fleet.results import Event
from edgeagent.fleet.states import Alarm

REPOSITORY = Path(__file__).parents[2]
SOURCES = {path: path.read_text() for path in sorted((REPOSITORY / "edgeagent/app").glob("*.py"))}
CALLS = {
    "component": ("note", "_note", "component"),
    "alarm": ("alarm", "clear_alarm"),
    "events": ("event", "steer_event"),
}
NO_COMPONENT = {"ok", "degraded", "failed", "lost_ms"}  # a health, or another book's note


def listed(kind: str) -> set[str]:
    """The names in the first column of that table."""
    table = (REPOSITORY / "docs/mqtt.md").read_text().partition(f"\n| {kind} | |\n|---|---|\n")[2].partition("\n\n")[0]
    return {name for row in table.splitlines() for name in re.findall("`([^`]+)`", row.split("|")[1])}


def said(kind: str) -> set[str]:
    """What the agent's source names in such a call, `<...>` for what is put in."""
    found = set()
    for text in SOURCES.values():
        tree = ast.parse(text)
        constants = dict(_constants(tree))
        for call in ast.walk(tree):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in CALLS[kind]:
                found |= set(_names(call.args[0] if call.args else None, constants))
    return found - NO_COMPONENT


def _constants(tree: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    for node in tree.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
            yield node.target.id, node.value
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            yield node.targets[0].id, node.value
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Tuple):
            assert isinstance(node.value, ast.Tuple)
            names = [name.id for name in node.targets[0].elts if isinstance(name, ast.Name)]
            yield from zip(names, node.value.elts, strict=True)


def _names(word: ast.expr | None, constants: dict[str, ast.expr]) -> Iterator[str]:
    if isinstance(word, ast.Constant):
        yield str(word.value)
    elif isinstance(word, ast.Name) and word.id in constants:
        yield from _names(constants[word.id], constants)
    elif isinstance(word, ast.Subscript):
        yield from _names(word.value, constants)
    elif isinstance(word, ast.Dict):
        for value in word.values:
            yield from _names(value, constants)
    elif isinstance(word, ast.JoinedStr):
        yield "".join(part.value if isinstance(part, ast.Constant) else "<>" for part in word.values)


@pytest.mark.parametrize("kind", CALLS)
def test_the_document_lists_what_the_agent_says(kind: str) -> None:
    names = {re.sub("<.*>", "<>", name) for name in listed(kind)}
    assert said(kind) <= names
    quoted = "\n".join(SOURCES.values())
    assert [name for name in sorted(names) if f'"{name.replace("<>", "")}' not in quoted] == []


@pytest.mark.parametrize("message", [each for each in examples().values() if isinstance(each, Event | Alarm)])
def test_the_examples_are_of_events_and_alarms_that_there_are(message: Event | Alarm) -> None:
    assert message.type in said("events" if isinstance(message, Event) else "alarm")
