"""What the power helper's tests share: the real program on a virtual board, byte by byte. No tests in here."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from edgeagent.power.client import Outcome, PowerHelper, private_helper
from edgeagent.simulate.board import VirtualBoard, make_board

CHILDREN = Path(__file__).parents[1] / "children"
NOBODY = 65534
PROGRAM = Path(__file__).parents[2] / "edgeagent/power/helper.py"
WAIT_S = 20.0
TOOL_S = 1.5
Reply = dict[str, Any]


def board(tmp_path: Path, name: str = "orin-nano") -> VirtualBoard:
    return make_board(name, tmp_path / "board", seed=7)


@contextlib.contextmanager
def helper(board: VirtualBoard, *, tool_s: float = 10.0) -> Iterator[PowerHelper]:
    """The product's own way to the helper, with a limit that no tool of these tests reaches unless it is meant to."""
    state = board.root.parent / "state"
    with private_helper(board.root, state_dir=state, tool_timeout_s=tool_s, timeout_s=WAIT_S) as found:
        yield found


def call_once(board: VirtualBoard, verb: str, **arguments: str | int | bool) -> Outcome:
    with helper(board) as found:
        return found.call(verb, **arguments)


def misbehave(board: VirtualBoard, **words: list[str]) -> None:
    (board.root / "misbehave.json").write_text(json.dumps(words))


def set_uptime(board: VirtualBoard, seconds: int) -> None:
    board.path("uptime").write_text(f"{seconds}.25 {2 * seconds}.00\n")


def read(board: VirtualBoard, path: str) -> str:
    return (board.root / path).read_text().strip()


def write_tool(directory: Path, name: str, body: str, *, interpreter: str = "/bin/sh") -> None:
    """A tool of our own. `$RECORD` in a shell body stands for a file beside the tools."""
    directory.mkdir(exist_ok=True)
    body = body.replace("$RECORD", str(directory / "record"))
    (directory / name).write_text(f"#!{interpreter}\n{body}\n")
    (directory / name).chmod(0o755)


def command(board: VirtualBoard, *options: str, launcher: Sequence[str] = (sys.executable, "-I")) -> list[str]:
    state = ["--state-dir", str(board.root.parent / "state"), "--root", str(board.root)]
    return [*launcher, str(PROGRAM), *state, *options]


def as_user(uid: int, gid: int, groups: str = "", modules: str = "") -> tuple[str, ...]:
    """A launcher that runs a Python program as somebody else, who need not be able to read `modules`; only root can."""
    return (sys.executable, "-I", str(CHILDREN / "as_user.py"), str(uid), str(gid), groups, modules)


@contextlib.contextmanager
def open_directory() -> Iterator[Path]:
    """A directory that other users can enter, which pytest's own are not."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


class Talk:
    """One connected socket to a helper: raw bytes out, replies in."""

    def __init__(self, sock: socket.socket) -> None:
        sock.settimeout(WAIT_S)
        self.sock = sock
        self._lines = sock.makefile("rb")

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def reply(self) -> Reply:
        line = self._lines.readline()
        assert line.endswith(b"\n"), "the helper closed the connection without an answer"
        found = json.loads(line)
        assert found.keys() == {"result", "detail", "exit_status", "output", "facts"}
        return found

    def ask(self, **fields: object) -> Reply:
        self.send(json.dumps(fields).encode() + b"\n")
        return self.reply()

    def ended(self) -> bool:
        """True once the helper has closed its end."""
        try:
            return self._lines.read(1) == b""
        except ConnectionResetError:
            return True

    def close(self) -> None:
        self._lines.close()
        self.sock.close()

    def __enter__(self) -> Talk:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextlib.contextmanager
def process(arguments: list[str], **more: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A helper whose log is a pipe. It must have ended, or ends by SIGTERM, with status 0 when the test did well."""
    started = subprocess.Popen(arguments, stderr=subprocess.PIPE, **more)
    try:
        yield started
    finally:
        if started.poll() is None:
            started.send_signal(signal.SIGTERM)
        try:
            started.wait(WAIT_S)
        finally:
            started.kill()
            print(started.communicate()[1].decode())


@contextlib.contextmanager
def served(
    board: VirtualBoard, *options: str, launcher: Sequence[str] = (sys.executable, "-I")
) -> Iterator[tuple[Talk, subprocess.Popen[bytes]]]:
    """A helper at the other end of a socket pair."""
    ours, theirs = socket.socketpair()
    with theirs, Talk(ours) as talk:
        arguments = command(board, "--serve-fd", str(theirs.fileno()), *options, launcher=launcher)
        with process(arguments, pass_fds=(theirs.fileno(),)) as child:
            theirs.close()
            yield talk, child


@contextlib.contextmanager
def listening(board: VirtualBoard, path: Path, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """A helper that systemd could have started: it gets a listening socket as file descriptor 3."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        path.chmod(0o666)  # in these tests the helper itself is the one who refuses
        listener.listen(16)
        with process(activated(command(board, *options), listener.fileno()), pass_fds=(listener.fileno(),)) as child:
            yield child


def activated(arguments: list[str], fd: int, *, count: str = "1", pid: str = "own") -> list[str]:
    """The command line of a process that passes `fd` on as systemd does, and becomes the helper."""
    code = (
        "import os, sys; fd, count, pid = int(sys.argv[1]), sys.argv[2], sys.argv[3]; os.dup2(fd, 3);"
        "os.environ.update(LISTEN_FDS=count, LISTEN_PID=str(os.getpid()) if pid == 'own' else pid);"
        "os.execv(sys.argv[4], sys.argv[4:])"
    )
    return [sys.executable, "-c", code, str(fd), count, pid, *arguments]


def connect(path: Path) -> Talk:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.connect(str(path))
    return Talk(sock)


def log_of(child: subprocess.Popen[bytes]) -> str:
    """What a helper that has ended, or ends now, has logged."""
    if child.poll() is None:
        child.send_signal(signal.SIGTERM)
    _, log = child.communicate(timeout=WAIT_S)
    return log.decode()


def died(pid: int) -> bool:
    """Waits for the end of a process that is nobody's child here; False where it does not come."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([fd], [], [], WAIT_S)[0])
    finally:
        os.close(fd)


class Gate:
    """Two FIFOs that stop a tool where the test wants it: the tool says that it is there, the test lets it go on."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(exist_ok=True)
        self.arrived, self.opened = directory / "arrived", directory / "opened"
        for path in (self.arrived, self.opened):
            os.mkfifo(path)

    @property
    def shell(self) -> str:
        return f"echo here > '{self.arrived}'; read _ < '{self.opened}'"

    def wait(self) -> None:
        with self.arrived.open("rb") as fifo:
            fifo.read()

    def open(self) -> None:
        with self.opened.open("wb") as fifo:
            fifo.write(b"go\n")


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)
