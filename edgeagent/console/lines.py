"""Lines of cells, drawn without rich's tables: fifty rows twice a second would cost a fifth of a core with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment

Cell = tuple[str, str]
"""Text as wide as it is to be, and rich's name of its style."""


@dataclass(frozen=True)
class Lines:
    """Each line's cells with a blank between them, filled up with empty lines to `height`."""

    lines: Sequence[Sequence[Cell]]
    height: int

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for line in self.lines:
            for text, style in line:
                yield Segment(f"{text} ", console.get_style(style.strip() or "none"))
            yield Segment.line()
        for _ in range(self.height - len(self.lines)):
            yield Segment.line()


def fit(text: str, width: int, *, right: bool = False) -> str:
    """Cut or padded to so many cells of the terminal."""
    length = cell_len(text)
    if length > width:
        return set_cell_size(text, max(0, width - 1)) + "…"
    return " " * (width - length) + text if right else text + " " * (width - length)
