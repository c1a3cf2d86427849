"""jtop as a second source of readings, kept at arm's length: our side of `jtop_child`.

Everything is done by `poll`, which the owner calls with each sample of the board: it starts the child, takes what it
said, notices its silence, kills it, and starts it again a few times. It never blocks and never raises; whether jtop is
missing, of another version or hung shows only in `JtopState.why`.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from edgeagent.board import jtop_child
from edgeagent.board.jtop_words import MENDS, JtopEnd, JtopSample, Retry, Why, parse_jtop_line
from edgeagent.clock import Clock
from edgeagent.supervise.messages import LineBuffer

START_ALLOWANCE_S = 30.0
SILENT_INTERVALS = 5.0
MIN_SILENCE_S = 10.0
MAX_LINE = 16_384
MAX_READS = 4
CLOSE_WAIT_S = 1.0


@dataclass(frozen=True)
class JtopState:
    """`sample` is the newest one while the child lives and speaks, else None and `why` says the reason.

    `given_up`: this process does not try again.
    """

    why: Why = "starting"
    detail: str = ""
    sample: JtopSample | None = None
    given_up: bool = False

    @property
    def mend(self) -> str:
        return MENDS[self.why]


class JtopSource:
    """Owns at most one child. Poll it from one thread; `close` it or use it in a `with`."""

    def __init__(
        self,
        clock: Clock,
        *,
        python: str = sys.executable,
        interval_s: float = 2.0,
        socket: str = jtop_child.SOCKET,
    ) -> None:
        """`python`: an interpreter that can import jtop. `interval_s`: how often jtop's service is to measure.

        `socket`: where jtop's service listens, looked at before jtop is imported.
        """
        self._clock = clock
        self._command = [python, "-I", str(Path(jtop_child.__file__).resolve()), str(interval_s), socket]
        self._silence_s = max(MIN_SILENCE_S, SILENT_INTERVALS * interval_s)
        self._child: subprocess.Popen[bytes] | None = None
        self._dying: subprocess.Popen[bytes] | None = None
        self._lines = LineBuffer(MAX_LINE)
        self._end: JtopEnd | None = None
        self._retry = Retry()
        self._started_s = 0.0
        self._deadline_s = 0.0
        self._next_start_s: float | None = 0.0
        self._state = JtopState()

    def __enter__(self) -> JtopSource:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int | None:
        return self._child.pid if self._child else None

    def fileno(self) -> int:
        """What to wait on to poll early: readable when the child speaks or ends; -1 without a child."""
        return _out(self._child) if self._child else -1

    def poll(self) -> JtopState:
        """What jtop says now."""
        now_s = self._clock.monotonic_ns() / 1e9
        self._reap()
        if self._child is not None:
            self._listen(self._child, now_s)
        elif self._next_start_s is not None and now_s >= self._next_start_s and self._dying is None:
            self._start(now_s)
        return self._state

    def close(self) -> None:
        """End the child. Waits a moment for its end; one that is stuck in the kernel is left to it."""
        self._next_start_s = None
        self._kill()
        if self._dying is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._dying.wait(CLOSE_WAIT_S)
            self._dying = None

    def _start(self, now_s: float) -> None:
        self._lines, self._end = LineBuffer(MAX_LINE), None
        self._started_s, self._deadline_s = now_s, now_s + START_ALLOWANCE_S
        try:
            self._child = subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0
            )
        except OSError as error:
            self._settle("failed", f"the child could not be started: {error.strerror or error}", now_s)
            return
        os.set_blocking(_out(self._child), False)

    def _listen(self, child: subprocess.Popen[bytes], now_s: float) -> None:
        ended = child.poll() is not None  # before the last read: nothing comes after the end
        broken = not self._take(child, now_s)
        if broken:
            self._lose("failed", "the child broke its protocol", now_s)
        elif ended:
            last = self._end or JtopEnd("failed", f"the child ended with status {child.returncode}")
            self._lose(last.why, last.detail, now_s)
        elif now_s > self._deadline_s:
            self._lose("stalled", "jtop said nothing in its time", now_s)

    def _take(self, child: subprocess.Popen[bytes], now_s: float) -> bool:
        """Hear what has come, as much as a sane child can say; False when it was not what a child says."""
        for _ in range(MAX_READS):
            data = _read(_out(child))
            if not data:
                break
            try:
                lines = self._lines.feed(data)
            except ValueError:
                return False
            for line in lines:
                if not self._hear(line, now_s):
                    return False
        return True

    def _hear(self, line: bytes, now_s: float) -> bool:
        said = parse_jtop_line(line)
        if isinstance(said, JtopEnd):
            self._end = said
        elif said is not None:
            self._deadline_s = now_s + self._silence_s
            self._state = JtopState("", "", said)
        return said is not None

    def _lose(self, why: Why, detail: str, now_s: float) -> None:
        self._kill()
        self._settle(why, detail, now_s)

    def _settle(self, why: Why, detail: str, now_s: float) -> None:
        self._retry, delay_s = self._retry.after_end(why, now_s - self._started_s)
        self._next_start_s = None if delay_s is None else now_s + delay_s
        self._state = JtopState(why, detail, given_up=delay_s is None)

    def _kill(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        child.kill()
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                pipe.close()
        self._dying = child
        self._reap()

    def _reap(self) -> None:
        """Nothing is started while the last child still dies: one stuck in the kernel must not get company."""
        if self._dying is not None and self._dying.poll() is not None:
            self._dying = None


def _out(child: subprocess.Popen[bytes]) -> int:
    return child.stdout.fileno() if child.stdout is not None else -1


def _read(fd: int) -> bytes:
    try:
        return os.read(fd, 65536)
    except OSError:  # BlockingIOError: nothing now
        return b""
