"""Asking children what an import gives: started together, each ended after the same time, none outlives the call."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from edgeagent.app.doctor_probe import MARK

BINDINGS = "cuda.bindings.driver"
MODULES = ("cv2", "tensorrt", "pycuda", BINDINGS, "lap", "jtop")
LIMIT_S = 15.0
_REAP_S = 2.0
_PROGRAM = Path(__file__).with_name("doctor_probe.py")


@dataclass(frozen=True)
class Probe:
    """What became of importing `module`. `error` is "" when all went well; `missing` when it is not installed.

    A module that is there, and lacks one of its own, is broken and not missing.
    """

    module: str
    facts: Mapping[str, str | int] = field(default_factory=dict)
    error: str = ""

    @property
    def missing(self) -> bool:
        missing = str(self.facts.get("missing", ""))
        return bool(missing) and f"{self.module}.".startswith(f"{missing}.")

    def text(self, fact: str) -> str:
        return str(self.facts.get(fact, ""))


def probe_modules(limit_s: float = LIMIT_S, modules: Sequence[str] = MODULES) -> dict[str, Probe]:
    """Import each module in a child of its own. Takes `limit_s` and a little at the most."""
    with ThreadPoolExecutor(len(modules)) as pool:
        return dict(zip(modules, pool.map(lambda name: Asking(name, limit_s).ask(), modules), strict=True))


class Asking:
    """One child that is asked once, and may be ended before its time by another thread."""

    def __init__(self, module: str, limit_s: float = LIMIT_S) -> None:
        self._module = module
        self._limit_s = limit_s
        self._lock = Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = False

    def ask(self) -> Probe:
        """Takes the limit and a little at the most. The child does not outlive this call, however it ends."""
        try:
            process = self._start()
        except OSError as error:
            return Probe(self._module, {}, f"no child could be started: {error.strerror}")
        if process is None:
            return Probe(self._module, {}, "stopped before it began")
        try:
            return self._hear(process)
        finally:
            if process.poll() is None:
                _end(process)

    def stop(self) -> None:
        """End the child, or keep it from being started; `ask` then returns soon."""
        with self._lock:
            self._stopped = True
            if self._process is not None and self._process.returncode is None:
                _kill_group(self._process)

    def _start(self) -> subprocess.Popen[bytes] | None:
        with self._lock:
            if self._stopped:
                return None
            self._process = subprocess.Popen(
                [sys.executable, str(_PROGRAM), self._module],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,  # so that what it starts can be ended with it
            )
            return self._process

    def _hear(self, process: subprocess.Popen[bytes]) -> Probe:
        try:
            output, errors = process.communicate(timeout=self._limit_s)
        except subprocess.TimeoutExpired:
            output, errors = _end(process)
            facts = _facts(output)
            doing = facts.get("stage", "importing it")
            return Probe(self._module, facts, f"{doing} took more than {self._limit_s:g} s and was ended")
        facts = _facts(output)
        came_through = process.returncode == 0 and "done" in facts
        death = "" if came_through else _death(process.returncode, errors)
        return Probe(self._module, facts, str(facts.get("error", "")) or death)


def _end(process: subprocess.Popen[bytes]) -> tuple[bytes, bytes]:
    """Kill it and take what it said; one that the kernel does not let go of is left behind."""
    _kill_group(process)
    try:
        return process.communicate(timeout=_REAP_S)
    except subprocess.TimeoutExpired as late:
        for stream in (process.stdout, process.stderr):
            if stream:
                stream.close()
        process.poll()
        return late.output or b"", b""


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _facts(output: bytes) -> dict[str, str | int]:
    """The marked lines together; a line that a dying child cut short is left out."""
    facts: dict[str, str | int] = {}
    for line in output.decode("utf-8", "replace").splitlines():
        if line.startswith(MARK):
            with suppress(ValueError, RecursionError):
                told = json.loads(line.removeprefix(MARK))
                facts.update(told if isinstance(told, dict) else {})
    return facts


def _death(code: int, errors: bytes) -> str:
    last = (errors.decode("utf-8", "replace").strip().splitlines() or [""])[-1]
    how = f"signal {_signal_name(-code)}" if code < 0 else f"exit code {code}"
    return f"its import ended the process ({how}){f': {last}' if last else ''}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
