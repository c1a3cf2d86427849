"""How a transfer shows on the terminal: one line that changes there, a line now and then elsewhere. On stderr."""

from __future__ import annotations

import sys
from typing import TextIO

STEP = 10.0  # percent between two lines where there is no terminal


class TransferScreen:
    """`tell` takes 0..100 and a line, as often as it comes."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._live = self._stream.isatty()
        self._told = -STEP
        self._shown = ""

    def tell(self, percent: float, text: str) -> None:
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
