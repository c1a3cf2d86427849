"""What `edgeagent simulate boards` lists, and how a virtual board is told to have misbehaving tools."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from edgeagent.errors import OperatorError
from edgeagent.simulate.board import virtual_boards
from edgeagent.simulate.tools.misbehaviour import FILE, MISBEHAVIOURS


def list_boards(as_json: bool) -> str:
    """The boards with a line each, then the words that each tool knows."""
    boards = virtual_boards()
    if as_json:
        return json.dumps({"boards": dict(boards), "misbehaviours": {k: dict(v) for k, v in MISBEHAVIOURS.items()}})
    width = max(len(name) for name, _ in boards)
    lines = [f"{name:<{width}}  {description}" for name, description in boards]
    for tool, words in MISBEHAVIOURS.items():
        lines += ["", f"--misbehave {tool}=WORD, where the tool then"]
        lines += [f"  {word:<12} {sentence}" for word, sentence in words.items()]
    return "\n".join(lines)


def write_misbehaviour(root: Path, wishes: Sequence[str]) -> None:
    """`TOOL=WORD` each, for the virtual board under `root`. Raises OperatorError for a tool or word that is none."""
    words: dict[str, list[str]] = {}
    for wish in wishes:
        tool, _, word = wish.partition("=")
        if word not in MISBEHAVIOURS.get(tool, {}):
            known = MISBEHAVIOURS.get(tool)
            mend = f"{tool} knows: {', '.join(known)}" if known else f"tools: {', '.join(MISBEHAVIOURS)}"
            raise OperatorError(f"{wish!r} is no misbehaviour", mend=mend, code="virtual-board-misbehaviour")
        words.setdefault(tool, []).append(word)
    if words:
        (root / FILE).write_text(json.dumps(words))
