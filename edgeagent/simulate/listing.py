"""What `edgeagent simulate boards` lists, and how a virtual board is told to have misbehaving tools."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from edgeagent.errors import OperatorError
from edgeagent.simulate.board import virtual_boards
from edgeagent.simulate.board_list import ALIASES
from edgeagent.simulate.tools.misbehaviour import FILE, MISBEHAVIOURS


def list_boards(as_json: bool) -> str:
    """The boards with a line each, then the words that each tool knows."""
    boards = virtual_boards()
    if as_json:
        known = {tool: dict(words) for tool, words in MISBEHAVIOURS.items()}
        return json.dumps({"boards": dict(boards), "aliases": ALIASES, "misbehaviours": known})
    named = [(_names(name), description) for name, description in boards]
    width = max(len(names) for names, _ in named)
    lines = [f"{names:<{width}}  {description}" for names, description in named]
    for tool, words in MISBEHAVIOURS.items():
        lines += ["", f"--misbehave {tool}=WORD, where the tool then"]
        lines += [f"  {word:<12} {sentence}" for word, sentence in words.items()]
    return "\n".join(lines)


def _names(name: str) -> str:
    """`orin-nano-r36 (also: orin-nano)`"""
    short = [alias for alias, meant in ALIASES.items() if meant == name]
    return f"{name} (also: {', '.join(short)})" if short else name


def check_misbehaviour(wishes: Sequence[str]) -> dict[str, list[str]]:
    """Words by tool, of `TOOL=WORD` each; writes nothing. Raises OperatorError for a tool or word that is none."""
    words: dict[str, list[str]] = {}
    for wish in wishes:
        tool, _, word = wish.partition("=")
        if word not in MISBEHAVIOURS.get(tool, {}):
            known = MISBEHAVIOURS.get(tool)
            mend = f"{tool} knows: {', '.join(known)}" if known else f"tools: {', '.join(MISBEHAVIOURS)}"
            raise OperatorError(f"{wish!r} is no misbehaviour", mend=mend, code="virtual-board-misbehaviour")
        words.setdefault(tool, []).append(word)
    return words


def write_misbehaviour(root: Path, wishes: Sequence[str]) -> None:
    """Tell the tools of the virtual board under `root` to misbehave. Raises as `check_misbehaviour` does."""
    if words := check_misbehaviour(wishes):
        (root / FILE).write_text(json.dumps(words))
