"""The build log: written by the builder's threads, bounded, and read for what it means.

Kept are the first and the last part of all lines down to INFO; lines of VERBOSE only count for what they say of
progress. Every method may be called from any thread, and none raises: an exception would end in the builder's C++.
"""

from __future__ import annotations

import threading
from collections import Counter, deque

from edgeagent.engine.build.tensorrt.lines import Finding, Meaning, read_line
from edgeagent.engine.build.tensorrt.progress import LogProgress

LETTERS = {0: "F", 1: "E", 2: "W", 3: "I", 4: "V"}  # ILogger.Severity: INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE
WARNING, INFO = 2, 3
HEAD_BYTES, TAIL_BYTES = 1 << 18, 3 << 18  # a quarter and three quarters of a megabyte
MOST_SUBJECTS = 100
LINE_BYTES = 4096


class Journal:
    """What TensorRT said during one build."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._head: list[bytes] = []
        self._head_bytes = 0
        self._tail: deque[bytes] = deque()
        self._tail_bytes = 0
        self._dropped = 0
        self._errors: deque[str] = deque(maxlen=5)
        self._counts: Counter[Meaning] = Counter()
        self._subjects: dict[Meaning, dict[str, None]] = {}
        self.steps = LogProgress()

    def add(self, severity: int, text: str) -> None:
        """Take a line of TensorRT's logger."""
        if severity > INFO:
            self.steps.note(text)
            return
        line = " ".join(text.split())
        finding = read_line(line)
        with self._lock:
            self._keep(f"[{LETTERS.get(severity, '?')}] {line}".encode()[:LINE_BYTES])
            if severity < WARNING:
                self._errors.append(line)
            if finding is not None and not (finding.meaning == "driver" and severity >= WARNING):
                self._note(finding)

    def count(self, meaning: Meaning) -> int:
        with self._lock:
            return self._counts[meaning]

    def subjects(self, meaning: Meaning) -> tuple[str, ...]:
        """The layers or tensors that lines of this meaning named, in order, each once."""
        with self._lock:
            return tuple(self._subjects.get(meaning, ()))

    def errors(self) -> tuple[str, ...]:
        """The last error lines, at most five."""
        with self._lock:
            return tuple(self._errors)

    def log(self) -> bytes:
        """All that was kept, at most a megabyte; a line tells what is missing in the middle."""
        with self._lock:
            gap = [b"... %d lines left out ..." % self._dropped] if self._dropped else []
            lines = [*self._head, *gap, *self._tail]
        return b"\n".join(lines) + b"\n" if lines else b""

    def _note(self, finding: Finding) -> None:
        self._counts[finding.meaning] += 1
        named = self._subjects.setdefault(finding.meaning, {})
        if finding.subject and len(named) < MOST_SUBJECTS:
            named[finding.subject] = None

    def _keep(self, line: bytes) -> None:
        if self._head_bytes + len(line) < HEAD_BYTES and not self._tail:
            self._head.append(line)
            self._head_bytes += len(line) + 1
            return
        self._tail.append(line)
        self._tail_bytes += len(line) + 1
        while self._tail_bytes > TAIL_BYTES:
            self._tail_bytes -= len(self._tail.popleft()) + 1
            self._dropped += 1
