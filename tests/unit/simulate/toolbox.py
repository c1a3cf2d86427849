"""Runs the stand-in tools of a virtual board as the programs they are, for the tests beside this file."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from edgeagent.simulate.board import VirtualBoard

Done = subprocess.CompletedProcess[str]
CPU = "sys/devices/system/cpu"
NOBODY = 65534


def run(board: VirtualBoard, tool: str, *arguments: str, answer: str = "") -> Done:
    """Run a tool to its end; its stdin holds `answer` and ends then."""
    command = [str(board.bin_dir / tool), *arguments]
    return subprocess.run(
        command, input=answer, capture_output=True, text=True, timeout=60, check=False, errors="replace"
    )


def start(board: VirtualBoard, tool: str, *arguments: str) -> subprocess.Popen[str]:
    """Start a tool whose stdin stays open."""
    pipe = subprocess.PIPE
    command = [str(board.bin_dir / tool), *arguments]
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def misbehave(board: VirtualBoard, **words: list[str]) -> None:
    (board.root / "misbehave.json").write_text(json.dumps(words))


def text(board: VirtualBoard, path: str) -> str:
    return (board.root / path).read_text()


def put(board: VirtualBoard, path: str, content: str) -> None:
    (board.root / path).parent.mkdir(parents=True, exist_ok=True)
    (board.root / path).write_text(content)


def edit(board: VirtualBoard, path: str, old: str, new: str) -> None:
    """Replace in a file; a file that does not hold `old` is a mistake of the test."""
    content = text(board, path)
    assert re.search(old, content, re.MULTILINE), f"{path} holds no {old}"
    put(board, path, re.sub(old, new, content, flags=re.MULTILINE))


def sysfs(board: VirtualBoard) -> dict[str, bytes]:
    """All of sysfs, by path: what a refusal must leave as it was."""
    base = board.root / "sys"
    files = (path for path in base.rglob("*") if path.is_file() and not path.is_symlink())
    return {str(path.relative_to(base)): path.read_bytes() for path in files}


def give_away(board: VirtualBoard) -> None:
    """Make somebody else root on this board. Only root may give files away."""
    if os.geteuid() != 0:
        pytest.skip("only root can give a virtual board to another user")
    os.chown(board.root, NOBODY, NOBODY)


def reboot_is_pending(board: VirtualBoard) -> bool:
    return Path(board.root / "run/virtual-reboot").exists()
