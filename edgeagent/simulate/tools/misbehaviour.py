"""What the stand-in tools do wrong on request: `ROOT/misbehave.json` holds lists of words by tool.

    {"nvpmodel": ["prompt"], "jetson_clocks": ["slow", "warn"]}

The file is read at every call. `MISBEHAVIOURS` says which words each tool knows. What is wrong in the file costs one
line on stderr and changes nothing else. Words that every tool treats alike are carried out here, by `begin`; the rest
is handed to the tool.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from edgeagent.simulate.tools.machine import complain, say

FILE = "misbehave.json"
SLOW_S = 4.0
_FLOOD_LINES = 20_000
_ORPHAN_S = 60

_EVERY_TOOL = {
    "hang": "waits for ever and ignores SIGTERM; only SIGKILL ends it",
    "fail": "prints an error and exits with the status of a failure, having changed nothing",
    "slow": f"takes {SLOW_S:.0f} seconds before it does its work",
    "warn": "prints warnings before its normal output",
    "silent-kill": "dies by SIGKILL at once, without a word",
    "flood": "prints more than a megabyte on each stream before its normal output",
    "junk": "prints bytes that are no UTF-8 before its normal output",
    "orphan": f"leaves a child behind that holds its streams open for {_ORPHAN_S} seconds",
}
_LIE = {"lie": "exits with status 0 and does nothing at all"}
_HALF = {"half": "sets the CPU's values only and exits with status 0"}

MISBEHAVIOURS: Mapping[str, Mapping[str, str]] = {
    "nvpmodel": {
        **_EVERY_TOOL,
        "prompt": "asks the reboot question at every -m, also for the mode that is set",
        "wait-stdin": "asks the reboot question at every -m and waits for as long as stdin stays open",
        "chroot": "says that it runs in a chroot, writes the status file, touches no sysfs, exits with status 0",
        "lie": "-m exits with status 0 and does nothing at all",
        "half": "-m sets the CPU's values only, writes the status file and exits with status 0",
    },
    "jetson_clocks": {
        **_EVERY_TOOL,
        **_LIE,
        **_HALF,
        "prompt": "asks at every --store whether it may overwrite the file",
    },
    "nvfancontrol": {**_EVERY_TOOL, **_LIE},
    "tegrastats": dict(_EVERY_TOOL),
    "systemctl": {**_EVERY_TOOL, **_LIE},
}
"""Tool -> word -> what the tool then does, as a sentence without its subject."""

_WARNINGS: Mapping[str, tuple[str, ...]] = {
    "nvpmodel": ("NVPM WARN: fan mode is not set!", "NVPM WARN: power budget of this mode is not verified"),
    "jetson_clocks": ("Failed to retrieve unit state: Access denied", "WARNING! CPUIDLE is not supported!"),
    "nvfancontrol": ("NVFAN WARN: thermal zone is not readable",),
    "tegrastats": ("Warning: some statistics need root",),
    "systemctl": ("Warning: The unit file changed on disk. Run 'systemctl daemon-reload' to reload units.",),
}
_FAILURES: Mapping[str, tuple[int, tuple[str, ...]]] = {
    "nvpmodel": (255, ("NVPM ERROR: failed to set power mode!", "NVPM ERROR: optMask is 1, no request for power mode")),
    "jetson_clocks": (1, ("Error: Failed to max GPU frequency!",)),
    "nvfancontrol": (1, ("NVFAN ERROR: failed to read the configuration file",)),
    "tegrastats": (1, ("Failed to read thermal zones",)),
    "systemctl": (1, ("Failed to connect to bus: No such file or directory",)),
}


def begin(tool: str, root: Path) -> tuple[frozenset[str], int | None]:
    """The words in force for this call of `tool`, and the status to exit with where one of them ends the call."""
    words = _words(tool, root)
    if "silent-kill" in words:
        os.kill(os.getpid(), signal.SIGKILL)
    if "hang" in words:
        wait_for_ever()
    if "slow" in words:
        time.sleep(SLOW_S)
    _be_noisy(tool, words)
    if "fail" in words:
        status, lines = _FAILURES[tool]
        for line in lines:
            complain(line)
        return words, status
    return words, None


def wait_for_ever() -> None:
    """Nothing but SIGKILL ends this."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while True:
        signal.pause()


def _be_noisy(tool: str, words: frozenset[str]) -> None:
    if "orphan" in words:
        _leave_a_child()
    if "junk" in words:
        _print_bytes(b"\xff\xfe\x80 \xc3\x28 \x00\x1b[31m\n")
    if "flood" in words:
        _print_bytes(b"NVPM VERB: nothing in particular, many times over again\n" * _FLOOD_LINES)
    if "warn" in words:
        for line in _WARNINGS[tool]:
            say(line)


def _print_bytes(data: bytes) -> None:
    for stream in (sys.stdout.buffer, sys.stderr.buffer):
        stream.write(data)
        stream.flush()


def _leave_a_child() -> None:
    """The child keeps both streams: a reader that waits for their end waits for the child."""
    if os.fork() == 0:
        signal.alarm(_ORPHAN_S)
        signal.pause()
        os._exit(0)


def _words(tool: str, root: Path) -> frozenset[str]:
    try:
        wanted = _parse((root / FILE).read_text(), tool)
    except FileNotFoundError:
        return frozenset()
    except (OSError, ValueError) as error:
        complain(f"virtual board: {FILE} is not understood and is ignored: {error}")
        return frozenset()
    known = frozenset(MISBEHAVIOURS[tool])
    if unknown := sorted(wanted - known):
        complain(f"virtual board: {tool} knows no {', '.join(unknown)}; it knows {', '.join(sorted(known))}")
    return wanted & known


def _parse(text: str, tool: str) -> frozenset[str]:
    """The words for `tool`. Raises ValueError for anything but lists of words by tool."""
    content = json.loads(text)
    if not isinstance(content, dict):
        raise ValueError("it holds no object")
    words = content.get(tool, [])
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise ValueError(f"{tool} is no list of words")
    return frozenset(words)
