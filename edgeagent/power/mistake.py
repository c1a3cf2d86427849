"""One thing that is wrong with a power file: where, what, and how to mend it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from edgeagent.errors import OperatorError

_TOLD = 10


@dataclass(frozen=True)
class Mistake:
    """`place` is a line (`line 12`) or a dotted key (`intent.balanced.modes`); empty means the whole file."""

    place: str
    message: str
    mend: str

    def line(self) -> str:
        """`PLACE: message (mend)`, always one line that any terminal can print."""
        text = f"{self.place or 'the file'}: {self.message} ({self.mend})"
        return " ".join(text.encode("utf-8", "backslashreplace").decode().split())


class MistakesError(OperatorError):
    """A file with mistakes. `mistakes` has them all; the message tells the first ten and counts the rest."""

    code: ClassVar[str] = "power"

    def __init__(self, where: str, mistakes: Sequence[Mistake]) -> None:
        self.where = where
        self.mistakes = tuple(mistakes)
        count = "1 mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
        told = [mistake.line() for mistake in mistakes[:_TOLD]]
        if len(mistakes) > _TOLD:
            told.append(f"and {len(mistakes) - _TOLD} more")
        super().__init__(f"{where} has {count}: " + "; ".join(told), facts={"mistakes": len(mistakes)})


def shown(text: object) -> str:
    """A piece of the file for a message: quoted, printable, at most 40 characters."""
    quoted = ascii(str(text)[:41])
    return quoted if len(str(text)) <= 40 else f"{quoted[:41]}...{quoted[-1]}"
