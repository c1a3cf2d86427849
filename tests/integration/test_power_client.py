"""The client of the power helper: whatever the other end does, a call ends in an outcome or in a clear error."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from test_power_helper_kit import (
    NOBODY,
    WAIT_S,
    Gate,
    as_user,
    board,
    died,
    listening,
    misbehave,
    open_directory,
    write_tool,
)

from edgeagent.power.client import PROGRAM, HelperError, SocketHelper, private_helper
from edgeagent.simulate.board import VirtualBoard

GOOD = {"result": "done", "detail": "fine", "exit_status": 0, "output": "", "facts": {"mode_id": 2}}
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to come as another user")


@pytest.fixture
def orin(tmp_path: Path) -> VirtualBoard:
    return board(tmp_path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "helper.sock"


@contextlib.contextmanager
def stand_in(path: Path, serve: Callable[[socket.socket], None]) -> Iterator[None]:
    """Something at the socket that is not the helper: `serve` gets one connection."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        listener.settimeout(WAIT_S)

        def accept() -> None:
            with listener.accept()[0] as sock:
                serve(sock)

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield
        finally:
            thread.join()


def answer(data: bytes) -> Callable[[socket.socket], None]:
    def serve(sock: socket.socket) -> None:
        sock.recv(4096)
        sock.sendall(data)

    return serve


def error_of(path: Path, timeout_s: float = WAIT_S) -> HelperError:
    with pytest.raises(HelperError) as raised:
        SocketHelper(path, timeout_s=timeout_s).call("status")
    assert raised.value.mend
    assert "\n" not in raised.value.line()
    return raised.value


def test_a_call_through_the_socket(orin: VirtualBoard, path: Path) -> None:
    with listening(orin, path):
        helper = SocketHelper(path)
        assert helper.call("query-mode").facts["mode_name"] == "25W"
        assert helper.call("set-mode", id=2, reboot=False).result == "done"
        assert helper.call("query-mode").facts["mode_name"] == "MAXN_SUPER"
        assert helper.call("shell", command="true").result == "refused"


def test_a_path_longer_than_an_address_may_be(orin: VirtualBoard, path: Path) -> None:
    deep = path.parent.joinpath(*["deeper" * 5] * 5) / "power.sock"
    deep.parent.mkdir(parents=True)
    assert len(str(deep)) > 107
    places = ["--root", str(orin.root), "--state-dir", str(path.parent / "state"), "--socket", str(deep)]
    with subprocess.Popen([sys.executable, "-I", str(PROGRAM), *places], stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        assert b"listens at" in process.stderr.readline()
        assert SocketHelper(deep, timeout_s=WAIT_S).call("status").result == "done"
        process.terminate()
    assert not deep.exists()


def test_nobody_at_the_socket(path: Path) -> None:
    missing = error_of(path)
    assert (missing.error_code, missing.retry) == ("power-helper-unreachable", True)
    assert "systemctl start edgeagent-power.socket" in missing.mend
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    assert error_of(path).error_code == "power-helper-unreachable"


def test_a_path_that_is_no_socket(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert error_of(tmp_path / "file").error_code == "power-helper-unreachable"
    assert error_of(tmp_path / ("x" * 200)).error_code == "power-helper-unreachable"


@needs_root
@pytest.mark.parametrize("mode", [0o660, 0o666])
def test_a_user_who_is_not_allowed_is_told_which_group(mode: int) -> None:
    """By the socket's own mode, and by the helper behind it."""
    with open_directory() as directory:
        path, script = directory / "helper.sock", directory / "call.py"
        script.write_text(
            "import sys; from pathlib import Path\n"
            "from edgeagent.power.client import PROGRAM, HelperError, SocketHelper\n"
            "try:\n    SocketHelper(Path(sys.argv[1])).call('status')\n"
            "except HelperError as error:\n    print(error.error_code, error.mend)\n"
        )
        with listening(board(directory), path):
            path.chmod(mode)
            launcher = (*as_user(NOBODY, NOBODY, modules="edgeagent.power.client"), str(script), str(path))
            said = subprocess.run(launcher, capture_output=True, text=True, check=True).stdout
    assert said.startswith("power-helper-not-allowed ")
    assert "edgeagent" in said


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        b"hello\n",
        b"\xff\n",
        b"[]\n",
        b"null\n",
        b"{}\n",
        json.dumps(GOOD).encode(),
        json.dumps(GOOD).encode()[:-1] + b"\n",
        b"[" * 60_000 + b"\n",
        b"x" * 100_000,
        *(
            json.dumps({**GOOD, key: value}).encode() + b"\n"
            for key, value in [
                ("result", "maybe"),
                ("result", []),
                ("detail", 1),
                ("exit_status", "0"),
                ("exit_status", True),
                ("exit_status", 1.5),
                ("output", None),
                ("facts", []),
                ("facts", {"a": None}),
                ("facts", {"a": {"b": 1}}),
                ("facts", {"a": 1.5}),
                ("extra", 1),
            ]
        ),
    ],
    ids=lambda data: repr(data[:50]),
)
def test_an_answer_that_is_none_is_a_clear_error(path: Path, data: bytes) -> None:
    with stand_in(path, answer(data)):
        assert error_of(path).error_code == "power-helper-protocol"


def test_an_answer_in_pieces_is_an_answer(path: Path) -> None:
    def serve(sock: socket.socket) -> None:
        sock.recv(4096)
        for byte in json.dumps(GOOD).encode() + b"\n":
            sock.sendall(bytes([byte]))

    with stand_in(path, serve):
        found = SocketHelper(path).call("query-mode")
    assert (found.result, found.detail, found.exit_status, dict(found.facts)) == ("done", "fine", 0, {"mode_id": 2})


def test_no_answer_in_time(path: Path) -> None:
    gone = threading.Event()
    with stand_in(path, lambda sock: [gone.wait(WAIT_S)]):  # type: ignore[arg-type,return-value]
        late = error_of(path, timeout_s=0.2)
        gone.set()
    assert (late.error_code, late.retry) == ("power-helper-timeout", True)


def test_an_answer_that_drips_does_not_hold_us(path: Path) -> None:
    gone = threading.Event()

    def serve(sock: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while not gone.wait(0.01):
                sock.sendall(b" ")

    with stand_in(path, serve):
        late = error_of(path, timeout_s=0.3)
        gone.set()
    assert late.error_code == "power-helper-timeout"


def test_a_helper_with_a_full_queue_is_waited_for_and_then_given_up(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener, contextlib.ExitStack() as waiting:
        listener.bind(str(path))
        listener.listen(0)
        while True:
            sock = waiting.enter_context(socket.socket(socket.AF_UNIX))
            sock.setblocking(False)
            try:
                sock.connect(str(path))
            except BlockingIOError:
                break
        assert error_of(path, timeout_s=0.3).error_code == "power-helper-timeout"


# --- a helper of our own


def test_a_private_helper_ends_with_its_context(orin: VirtualBoard, tmp_path: Path) -> None:
    with private_helper(orin.root, state_dir=tmp_path / "state", log=subprocess.DEVNULL) as helper:
        assert helper.call("status").facts["uptime_s"] == 1800
    with pytest.raises(HelperError):
        helper.call("status")


def test_a_private_helper_is_used_from_several_threads(orin: VirtualBoard, tmp_path: Path) -> None:
    found: list[str] = []
    with private_helper(orin.root, state_dir=tmp_path / "state", log=subprocess.DEVNULL) as helper:
        threads = [
            threading.Thread(target=lambda: found.append(str(helper.call("query-mode").facts["mode_name"])))
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == ["25W"] * 8


def test_a_late_answer_is_not_taken_for_the_next(orin: VirtualBoard, tmp_path: Path) -> None:
    """And leaving the context waits for the tool, so that nothing acts on the board afterwards."""
    misbehave(orin, nvpmodel=["hang"])
    state = tmp_path / "state"
    with private_helper(orin.root, state_dir=state, tool_timeout_s=1.0, timeout_s=0.3) as helper:
        with pytest.raises(HelperError) as first:
            helper.call("query-mode")
        assert first.value.error_code == "power-helper-timeout"
        with pytest.raises(HelperError) as second:
            helper.call("status")
        assert second.value.error_code == "power-helper-protocol"


@pytest.mark.parametrize("kind", ["no directory", "somebody else's"])
def test_a_private_helper_that_cannot_start_says_so(
    tmp_path: Path, kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    if kind == "somebody else's":
        if os.geteuid() != 0:
            pytest.skip("needs root, to give a directory away")
        (tmp_path / "board").mkdir()
        os.chown(tmp_path / "board", NOBODY, NOBODY)
    with private_helper(tmp_path / "board", state_dir=tmp_path / "state") as helper:
        with pytest.raises(HelperError) as raised:
            helper.call("status")
    assert (raised.value.error_code, "run as root" in raised.value.mend) == ("power-helper-unreachable", True)
    assert "does not belong to this user" in capfd.readouterr().err


def test_a_private_helper_that_dies_is_an_error(orin: VirtualBoard, tmp_path: Path) -> None:
    """Its tool kills it, by the parent's id."""
    board_tool = orin.root / "bin"
    (board_tool / "nvpmodel").unlink()
    write_tool(board_tool, "nvpmodel", "kill -KILL $PPID")
    with private_helper(orin.root, state_dir=tmp_path / "state") as helper:
        with pytest.raises(HelperError) as raised:
            helper.call("query-mode")
        assert raised.value.error_code == "power-helper-protocol"


def test_a_private_helper_does_not_outlive_us(orin: VirtualBoard, tmp_path: Path) -> None:
    """Our end of the socket goes with us, however we end; the tool that runs is finished first."""
    gate = Gate(tmp_path / "gate")
    (orin.root / "bin/nvpmodel").unlink()
    write_tool(orin.root / "bin", "nvpmodel", f"echo $PPID > $RECORD; {gate.shell}")
    code = (
        "import sys; from pathlib import Path; from edgeagent.power.client import private_helper\n"
        "with private_helper(Path(sys.argv[1]), state_dir=Path(sys.argv[2])) as helper: helper.call('query-mode')"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(orin.root), str(tmp_path / "state")]) as parent:
        gate.wait()
        parent.kill()
    pid = int((orin.root / "bin/record").read_text())
    gate.open()
    assert died(pid)
