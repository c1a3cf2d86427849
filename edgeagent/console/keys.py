"""Keys of a terminal, one at a time and at once: no Enter needed, nothing echoed.

The terminal is left as it was found, whatever happens in between. Ctrl-C stays what it is.
"""

from __future__ import annotations

import os
import select
import sys
import termios
import tty
from types import TracebackType
from typing import Final

ESCAPES: Final = {
    "\x1b[A": "up",
    "\x1b[B": "down",
    "\x1b[C": "right",
    "\x1b[D": "left",
    "\x1bOA": "up",
    "\x1bOB": "down",
    "\x1bOC": "right",
    "\x1bOD": "left",
    "\x1b[5~": "pgup",
    "\x1b[6~": "pgdn",
    "\x1b[H": "home",
    "\x1bOH": "home",
    "\x1b[1~": "home",
    "\x1b[F": "end",
    "\x1bOF": "end",
    "\x1b[4~": "end",
}
_NAMES: Final = {"\r": "enter", "\n": "enter", "\x7f": "backspace", "\x08": "backspace", "\x1b": "esc"}
_READ: Final = 256


def split_keys(text: str) -> list[str]:
    """What was typed as key names; escape sequences that are not known are dropped as a whole."""
    keys: list[str] = []
    while text:
        known = next((sequence for sequence in ESCAPES if text.startswith(sequence)), None)
        if known is not None:
            keys.append(ESCAPES[known])
            text = text[len(known) :]
        elif text.startswith("\x1b[") and len(text) > 2:
            text = text[_sequence_end(text) :]
        else:
            keys.append(_NAMES.get(text[0], text[0]))
            text = text[1:]
    return keys


def _sequence_end(text: str) -> int:
    """A CSI sequence ends with a character from @ to ~."""
    return next((i + 1 for i in range(2, len(text)) if "@" <= text[i] <= "~"), len(text))


class Keyboard:
    """The terminal's keys while the `with` lasts."""

    def __init__(self) -> None:
        self._file = sys.stdin.fileno()
        self._before = termios.tcgetattr(self._file)

    def __enter__(self) -> Keyboard:
        tty.setcbreak(self._file)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        termios.tcsetattr(self._file, termios.TCSADRAIN, self._before)

    def wait(self, timeout_s: float) -> list[str]:
        """The keys pressed within that time; the first one ends the wait. A terminal that has gone is a `q`."""
        readable, _, _ = select.select([self._file], [], [], max(0.0, timeout_s))
        if not readable:
            return []
        typed = os.read(self._file, _READ)
        return split_keys(typed.decode(errors="ignore")) if typed else ["q"]
