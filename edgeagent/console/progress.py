"""How it goes on several devices at once: a bar for each on a terminal, elsewhere a line for each change. On stderr."""

from __future__ import annotations

import importlib.util
import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Final

from edgeagent.console.device import clip

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

MOST_BARS: Final = 20
"""More devices than these get a count of those that have ended."""
COUNT_S: Final = 2.0


class Screen:
    """`quiet`: nothing at all, for scripts."""

    def __init__(self, count: int, *, quiet: bool = False) -> None:
        self._bars: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._said: dict[str, str] = {}
        self._quiet = quiet
        self._count = count
        self._ended: set[str] = set()
        self._counted_s = 0.0
        has_rich = importlib.util.find_spec("rich") is not None
        self._wants_bars = not quiet and count <= MOST_BARS and sys.stderr.isatty() and has_rich

    def __enter__(self) -> Screen:
        if self._wants_bars:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

            columns = (
                TextColumn("{task.description}"),
                BarColumn(20),
                TimeElapsedColumn(),
                TextColumn("{task.fields[line]}"),
            )
            self._bars = Progress(*columns, console=Console(stderr=True), transient=True)
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars is not None:
            self._bars.stop()

    def tell(self, device: str, line: str, percent: float | None, *, ended: bool) -> None:
        """Shown when it is another line than the last one about this device."""
        line = clip(line)
        if self._bars is not None:
            self._bar(device, line, percent, ended=ended)
        elif not self._quiet and self._count > MOST_BARS:
            self._tally(device, ended=ended)
        elif not self._quiet and self._said.get(device) != _tens(line):
            self._said[device] = _tens(line)
            _write(f"{device}: {line}")

    def _tally(self, device: str, *, ended: bool) -> None:
        if ended:
            self._ended.add(device)
        now_s = time.monotonic()
        if now_s - self._counted_s >= COUNT_S:
            self._counted_s = now_s
            _write(f"{len(self._ended)} of {self._count} devices have ended")

    def _bar(self, device: str, line: str, percent: float | None, *, ended: bool) -> None:
        from rich.markup import escape

        assert self._bars is not None  # noqa: S101  for the type checker: the caller has looked
        if device not in self._tasks:
            self._tasks[device] = self._bars.add_task(escape(device), total=None, line="")
        done = 100.0 if ended else percent
        self._bars.update(
            self._tasks[device], total=None if done is None else 100, completed=done or 0, line=escape(line)
        )


def _write(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def _tens(line: str) -> str:
    """The line without its last digits, so that a log gets a line for each tenth of the way and not for each second."""
    return " ".join(word[:-1] if word.isdigit() and len(word) > 1 else word for word in line.split())
