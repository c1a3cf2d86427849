"""Talking to the power helper: one line of JSON there, one line back, within a time limit.

The helper is the small root program in `helper.py`; this module knows its protocol and nothing of what it does.
`SocketHelper` calls the one that systemd starts; `private_helper` starts one of our own on a socket pair, for root and
for the owner of a virtual board. An answer, also a refusal, is an `Outcome`; no answer is a `HelperError`.
"""

from __future__ import annotations

import json
import math
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol, cast, get_args

from edgeagent.errors import EdgeAgentError

Result = Literal["done", "reboot-required", "rebooting", "ignored", "refused", "timed-out", "failed"]
RESULTS = frozenset(get_args(Result))
MAX_REPLY = 65536
_BUSY_S = 0.05  # how long to wait before knocking again at a helper whose queue is full
_GRACE_S = 1.0
_REFUSED_TO_START = 2
PROGRAM = Path(__file__).with_name("helper.py")


@dataclass(frozen=True)
class Outcome:
    """What the helper answered. `exit_status` and `output` are those of the last tool it ran."""

    result: Result
    detail: str = ""
    exit_status: int | None = None
    output: str = ""
    facts: Mapping[str, str | int | bool] = field(default_factory=dict)


class PowerHelper(Protocol):
    """Something that carries out the helper's verbs. Raises HelperError when it gives no answer."""

    def call(self, verb: str, **arguments: str | int | bool) -> Outcome: ...


class HelperError(EdgeAgentError):
    """The helper gave no answer: see the code for why.

    power-helper-unreachable, power-helper-not-allowed, power-helper-timeout, power-helper-protocol.
    """

    code = "power-helper"
    who = "operator"


class SocketHelper:
    """The helper behind a socket, one connection a call. `timeout_s` bounds a whole call, waiting in line included."""

    def __init__(self, path: Path, *, timeout_s: float = 300.0) -> None:
        self._path = path
        self._timeout_s = timeout_s

    def call(self, verb: str, **arguments: str | int | bool) -> Outcome:
        deadline = time.monotonic() + self._timeout_s
        with closing(_connect(self._path, deadline)) as sock:
            return _exchange(sock, verb, arguments, deadline)


class _StreamHelper:
    """Our own child at the other end of `sock`: many calls, one after the other, from any thread."""

    def __init__(self, sock: socket.socket, process: subprocess.Popen[bytes], timeout_s: float) -> None:
        self._sock = sock
        self._process = process
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._broken: HelperError | None = None

    def call(self, verb: str, **arguments: str | int | bool) -> Outcome:
        with self._lock:
            if self._broken:  # a late answer would be taken for that to the next call
                raise _broke_off(f"an earlier call failed: {self._broken.message}")
            try:
                return _exchange(self._sock, verb, arguments, time.monotonic() + self._timeout_s)
            except HelperError as error:
                self._broken = error
                if error.error_code == "power-helper-protocol":
                    self._look_whether_it_started()
                raise

    def _look_whether_it_started(self) -> None:
        with suppress(subprocess.TimeoutExpired):
            if self._process.wait(_GRACE_S) == _REFUSED_TO_START:
                raise HelperError(
                    "the power helper refused to start",
                    mend="its own line says why; as a rule: run as root",
                    code="power-helper-unreachable",
                )


@contextmanager
def private_helper(
    root: Path, *, state_dir: Path, tool_timeout_s: float = 30.0, timeout_s: float = 150.0, log: int | None = None
) -> Iterator[PowerHelper]:
    """The helper as our own child, for the board under `root`; it ends with the context.

    It has only the rights of this process. Its log lines go to `log` (a file descriptor or subprocess.DEVNULL), or
    to our own stderr. Leaving the context waits for a tool that still runs, within the tool's own time limit.
    """
    ours, theirs = socket.socketpair()
    with closing(ours):
        with closing(theirs):
            process = _start(theirs.fileno(), root, state_dir, tool_timeout_s, log)
        try:
            yield _StreamHelper(ours, process, timeout_s)
        finally:
            ours.close()
            _end(process, patience_s=2 * (tool_timeout_s + 2) + 75)


def _start(fd: int, root: Path, state_dir: Path, tool_timeout_s: float, log: int | None) -> subprocess.Popen[bytes]:
    options = ["--serve-fd", str(fd), "--root", str(root), "--state-dir", str(state_dir)]
    return subprocess.Popen(
        [sys.executable, "-I", str(PROGRAM), *options, "--tool-timeout", str(tool_timeout_s)],
        pass_fds=(fd,),
        stdin=subprocess.DEVNULL,
        stderr=log,
        start_new_session=True,  # Ctrl-C is for us: the helper ends when we close its socket
    )


def _end(process: subprocess.Popen[bytes], *, patience_s: float) -> None:
    """The helper ends by itself, after the tool that it runs; it is killed where it does not."""
    try:
        process.wait(patience_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _connect(path: Path, deadline: float) -> socket.socket:
    """A connection to the helper. Raises HelperError when there is none by the deadline."""
    while True:
        try:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        except OSError as error:  # no file descriptors left
            raise _no_connection(path, error) from error
        try:
            sock.settimeout(_left(deadline))
            with _short_name(path) as name:
                sock.connect(name)
            return sock
        except BlockingIOError:  # the queue of the socket is full
            sock.close()
            time.sleep(_BUSY_S)
        except TimeoutError as error:
            sock.close()
            raise _late("the call") from error
        except OSError as error:
            sock.close()
            raise _no_connection(path, error) from error
        except HelperError:
            sock.close()
            raise


@contextmanager
def _short_name(path: Path) -> Iterator[str]:
    """A name of at most the 107 bytes that a socket's address holds: a longer one goes through its directory's fd."""
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield str(path) if len(os.fsencode(path)) < 108 else f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)


def _no_connection(path: Path, error: OSError) -> HelperError:
    facts = {"socket": str(path), "errno": error.errno}
    if isinstance(error, PermissionError):
        return HelperError(
            f"this user may not use the power helper at {path}",
            mend="add the user to the group of the socket: sudo usermod -aG edgeagent USER, then log in again",
            code="power-helper-not-allowed",
            facts=facts,
        )
    return HelperError(
        f"no power helper at {path}: {error.strerror or error}",
        mend="sudo systemctl start edgeagent-power.socket, then systemctl status edgeagent-power",
        code="power-helper-unreachable",
        facts=facts,
        retry=True,
    )


def _exchange(sock: socket.socket, verb: str, arguments: Mapping[str, object], deadline: float) -> Outcome:
    line = json.dumps({"verb": verb, **arguments}).encode() + b"\n"
    try:
        sock.settimeout(_left(deadline))
        sock.sendall(line)
    except TimeoutError as error:
        raise _late(verb) from error
    except OSError:
        pass  # it may have answered without reading: a refusal lies ready for us then
    return _parse_reply(_receive_line(sock, verb, deadline))


def _receive_line(sock: socket.socket, verb: str, deadline: float) -> bytes:
    """One line without its newline. Raises HelperError at the end of the stream and at the deadline."""
    buffer = b""
    while not buffer.endswith(b"\n"):
        try:
            sock.settimeout(_left(deadline))
            data = sock.recv(65536)
        except TimeoutError as error:
            raise _late(verb) from error
        except OSError as error:
            raise _broke_off(f"the connection broke: {error.strerror}") from error
        if not data:
            raise _broke_off(f"the power helper ended without an answer to {verb}")
        buffer += data
        if len(buffer) > MAX_REPLY:
            raise _broke_off("the power helper's answer is too long")
    return buffer[:-1]


def _left(deadline: float) -> float:
    """Seconds to the deadline. Raises HelperError where it has passed."""
    left_s = deadline - time.monotonic()
    if left_s <= 0 or math.isnan(left_s):
        raise _late("the call")
    return left_s


def _late(what: str) -> HelperError:
    return HelperError(
        f"the power helper did not answer {what} in time",
        mend="journalctl -u edgeagent-power shows what it is doing",
        code="power-helper-timeout",
        retry=True,
    )


def _broke_off(what: str) -> HelperError:
    return HelperError(
        what,
        mend="journalctl -u edgeagent-power says why; helper and agent must be of one release",
        code="power-helper-protocol",
        retry=True,
    )


def _parse_reply(line: bytes) -> Outcome:
    """The outcome in one line. Raises HelperError for anything that is none, and for a refused peer."""
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise _broke_off("the power helper's answer is no JSON") from error
    if not isinstance(fields, dict) or not _is_reply(fields):
        raise _broke_off("the power helper's answer is none that this release knows")
    outcome = Outcome(
        cast(Result, fields["result"]), fields["detail"], fields["exit_status"], fields["output"], fields["facts"]
    )
    if outcome.result == "refused" and outcome.facts.get("reason") == "peer":
        raise HelperError(
            f"the power helper refuses this user: {outcome.detail}",
            mend="add the user to the group edgeagent, then log in again",
            code="power-helper-not-allowed",
        )
    return outcome


def _is_reply(fields: Mapping[str, object]) -> bool:
    if fields.keys() != {"result", "detail", "exit_status", "output", "facts"}:
        return False
    texts = isinstance(fields["detail"], str) and isinstance(fields["output"], str)
    status = fields["exit_status"]
    whole = status is None or (isinstance(status, int) and not isinstance(status, bool))
    known = isinstance(fields["result"], str) and fields["result"] in RESULTS
    return texts and whole and known and _are_facts(fields["facts"])


def _are_facts(facts: object) -> bool:
    return isinstance(facts, dict) and all(isinstance(value, str | int) for value in facts.values())
