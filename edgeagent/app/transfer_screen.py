"""How a transfer shows: one line that changes on a terminal (stderr), a line now and then elsewhere (stdout).

So what a program reads from stderr are errors and warnings only.
"""

from __future__ import annotations

import sys
from typing import TextIO

STEP = 10.0  # percent between two lines where there is no terminal


class TransferScreen:
    """`tell` takes 0..100 and a line, as often as it comes. `mute`: nothing where there is no terminal, because stdout
    has something else."""

    def __init__(self, *, mute: bool) -> None:
        self._live = sys.stderr.isatty()
        self._mute = mute and not self._live
        self._stream: TextIO = sys.stderr if self._live else sys.stdout
        self._told = -STEP
        self._shown = ""

    def tell(self, percent: float, text: str) -> None:
        if self._mute:
            return
        if self._live:
            self._show(f"{percent:5.1f} %  {text}")
        elif percent >= self._told + STEP or percent < self._told:
            self._told = percent
            self._stream.write(f"{percent:3.0f} %  {text}\n")
            self._stream.flush()

    def clear(self) -> None:
        """Before anything else is written, and when the transfer is over."""
        self._told = -STEP
        if self._shown:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
            self._shown = ""

    def _show(self, line: str) -> None:
        if line != self._shown:
            self._stream.write(f"\r\x1b[K{line}")
            self._stream.flush()
            self._shown = line
