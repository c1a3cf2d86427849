"""One thing that is wrong with a config: where, what, and how to mend it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgeagent.errors import ConfigError


@dataclass(frozen=True, order=True)
class Mistake:
    """`path` is dotted, such as cameras.belt.source.fps; empty means the whole document. Holds no secret."""

    path: str
    message: str
    mend: str

    def line(self) -> str:
        """`PATH: message (mend)`, always one line that any terminal can print."""
        text = f"{self.path or 'config'}: {self.message} ({self.mend})"
        return " ".join(text.encode("utf-8", "backslashreplace").decode().split())


class ConfigMistakesError(ConfigError):
    """A config with mistakes: all of them, in one error."""

    def __init__(self, where: str, mistakes: Sequence[Mistake]) -> None:
        self.where = where
        self.mistakes = tuple(mistakes)
        count = "1 mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
        super().__init__(
            f"{where} has {count}: " + "; ".join(mistake.line() for mistake in mistakes),
            facts={"mistakes": len(mistakes)},
        )
