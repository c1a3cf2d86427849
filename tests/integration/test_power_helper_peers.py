"""How the power helper is reached and by whom: sockets, peers, several at once, peers that vanish, and its own end."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from test_power_helper_kit import (
    NOBODY,
    WAIT_S,
    Gate,
    Talk,
    activated,
    as_user,
    board,
    command,
    connect,
    listening,
    log_of,
    misbehave,
    mode_of,
    open_directory,
    process,
    read,
    served,
    set_uptime,
    write_tool,
)

from edgeagent.simulate.board import VirtualBoard

STATUS = b'{"verb": "status"}\n'
SHOUT = "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]);"
ASK = f"""{SHOUT}
try:
    s.sendall({STATUS!r})
except BrokenPipeError:
    pass  # a stranger is answered before he has spoken
print(s.makefile().readline())
"""
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to come as another user")


@pytest.fixture
def orin(tmp_path: Path) -> VirtualBoard:
    return board(tmp_path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "helper.sock"


# --- one request a connection


def test_one_request_a_connection(orin: VirtualBoard, path: Path) -> None:
    with listening(orin, path):
        for _ in range(3):
            with connect(path) as talk:
                assert talk.ask(verb="status")["result"] == "done"
                assert talk.ended()


def test_several_lines_are_refused_together(orin: VirtualBoard, path: Path) -> None:
    with listening(orin, path), connect(path) as talk:
        talk.send(b'{"verb": "reboot"}\n{"verb": "reboot"}\n')
        assert talk.reply()["result"] == "refused"
        assert talk.ended()
    assert not (orin.root / "run/virtual-reboot").exists()


def test_a_request_in_pieces_is_one_request(orin: VirtualBoard, path: Path) -> None:
    with listening(orin, path), connect(path) as talk:
        talk.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        for byte in STATUS:
            talk.send(bytes([byte]))
        assert talk.reply()["result"] == "done"


def test_a_peer_that_has_closed_its_half_is_answered(orin: VirtualBoard, path: Path) -> None:
    with listening(orin, path), connect(path) as talk:
        talk.send(STATUS)
        talk.sock.shutdown(socket.SHUT_WR)
        assert talk.reply()["result"] == "done"


def test_half_a_request_and_the_end_is_refused(orin: VirtualBoard, path: Path) -> None:
    with listening(orin, path), connect(path) as talk:
        talk.send(STATUS[:-1])
        talk.sock.shutdown(socket.SHUT_WR)
        found = talk.reply()
        assert (found["result"], "no newline" in found["detail"]) == ("refused", True)
        assert talk.ended()


def test_a_peer_that_does_not_finish_its_request_is_refused_in_time(orin: VirtualBoard, path: Path) -> None:
    with listening(orin, path), connect(path) as talk:
        talk.send(STATUS[:-1])
        assert talk.reply()["result"] == "refused"
        assert talk.ended()
        with connect(path) as after:
            assert after.ask(verb="status")["result"] == "done"


def test_a_peer_that_says_nothing_does_not_hold_the_next_one(orin: VirtualBoard, path: Path) -> None:
    with listening(orin, path), connect(path), connect(path) as second:
        assert second.ask(verb="status")["result"] == "done"


def test_a_peer_that_never_stops_talking_is_ended(orin: VirtualBoard, path: Path) -> None:
    with listening(orin, path), connect(path) as talk:
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            while True:
                talk.send(b"x" * 65536)
        with connect(path) as after:
            assert after.ask(verb="status")["result"] == "done"


def test_peers_that_vanish_do_no_harm(orin: VirtualBoard, path: Path) -> None:
    with listening(orin, path):
        for data in (b"", STATUS, STATUS[:5], b"junk\n" * 3, b"x" * 20_000):
            for _ in range(5):
                with connect(path) as talk:
                    talk.send(data)
        with connect(path) as talk:
            assert talk.ask(verb="status")["result"] == "done"


# --- one at a time


def test_a_client_that_is_killed_leaves_its_request_to_be_carried_out(
    orin: VirtualBoard, path: Path, tmp_path: Path
) -> None:
    gate = Gate(tmp_path / "gate")
    write_tool(tmp_path / "tools", "nvpmodel", f'{gate.shell}; echo "$@" >> $RECORD')
    with listening(orin, path, "--tools", str(tmp_path / "tools")):
        shouting = SHOUT + 's.sendall(b\'{"verb": "set-mode", "id": 0, "reboot": false}\' + bytes([10])); s.recv(1)'
        with subprocess.Popen([sys.executable, "-c", shouting, str(path)]) as client:
            gate.wait()
            client.kill()
        gate.open()
        with connect(path) as talk:
            assert talk.ask(verb="status")["result"] == "done"
    assert (tmp_path / "tools/record").read_text() == "-m 0\n"


def test_two_clients_at_once_are_served_one_after_the_other(orin: VirtualBoard, path: Path, tmp_path: Path) -> None:
    gate = Gate(tmp_path / "gate")
    write_tool(tmp_path / "tools", "nvpmodel", f"echo begin >> $RECORD; {gate.shell}; echo end >> $RECORD")
    with listening(orin, path, "--tools", str(tmp_path / "tools")):
        with connect(path) as first, connect(path) as second:
            for talk in (first, second):
                talk.send(b'{"verb": "query-mode"}\n')
            for _ in range(2):
                gate.wait()
                gate.open()
            assert [talk.reply()["exit_status"] for talk in (first, second)] == [0, 0]
    assert (tmp_path / "tools/record").read_text().split() == ["begin", "end", "begin", "end"]


def test_two_helpers_on_one_board_take_turns(orin: VirtualBoard, tmp_path: Path) -> None:
    gate = Gate(tmp_path / "gate")
    tools = tmp_path / "tools"
    write_tool(tools, "nvpmodel", f"echo begin >> $RECORD; {gate.shell}; echo end >> $RECORD")
    with served(orin, "--tools", str(tools)) as (first, _), served(orin, "--tools", str(tools)) as (second, _):
        first.send(b'{"verb": "query-mode"}\n')
        gate.wait()
        second.send(b'{"verb": "query-mode"}\n')
        with served(orin, "--tools", str(tools)) as (third, _):
            assert third.ask(verb="status")["result"] == "done", "looking needs no turn"
        gate.open()
        gate.wait()
        gate.open()
        assert [talk.reply()["exit_status"] for talk in (first, second)] == [0, 0]
    assert (tools / "record").read_text().split() == ["begin", "end", "begin", "end"]


def test_the_end_of_the_helper_waits_for_the_tool(orin: VirtualBoard, path: Path, tmp_path: Path) -> None:
    gate = Gate(tmp_path / "gate")
    write_tool(tmp_path / "tools", "nvpmodel", f"{gate.shell}; echo 'NV Power Mode: 15W'; echo 0")
    with listening(orin, path, "--tools", str(tmp_path / "tools")) as child, connect(path) as talk:
        talk.send(b'{"verb": "query-mode"}\n')
        gate.wait()
        child.send_signal(signal.SIGTERM)
        gate.open()
        assert talk.reply()["facts"]["mode_id"] == 0
        assert child.wait(WAIT_S) == 0


def test_an_idle_helper_ends_at_once_when_it_is_told(orin: VirtualBoard, path: Path) -> None:
    with listening(orin, path) as child:
        with connect(path) as talk:
            talk.ask(verb="status")
        child.send_signal(signal.SIGTERM)
        assert child.wait(WAIT_S) == 0
    with served(orin) as (talk, child):
        talk.ask(verb="status")
        child.send_signal(signal.SIGTERM)
        assert child.wait(WAIT_S) == 0


def test_a_helper_ends_when_its_only_peer_is_gone(orin: VirtualBoard) -> None:
    with served(orin) as (talk, child):
        talk.ask(verb="status")
        talk.close()
        assert child.wait(WAIT_S) == 0


def test_a_helper_ends_when_nobody_comes(orin: VirtualBoard, path: Path) -> None:
    with listening(orin, path, "--idle-exit", "0.2") as child:
        assert child.wait(WAIT_S) == 0


# --- who may


def ask_as(uid: int, gid: int, groups: str, path: Path) -> subprocess.CompletedProcess[str]:
    script = path.parent / "ask.py"
    script.write_text(ASK)
    return subprocess.run(
        [*as_user(uid, gid, groups), str(script), str(path)], capture_output=True, text=True, check=False
    )


@needs_root
@pytest.mark.parametrize(
    ("options", "uid", "gid", "groups", "admitted"),
    [
        ((), NOBODY, NOBODY, "", False),
        ((), 0, 0, "", True),
        (("--allow-uid", "1234"), 1234, NOBODY, "", True),
        (("--allow-uid", "1234"), 1235, 1234, "1234", False),
        (("--allow-user", "nobody"), NOBODY, NOBODY, "", True),
        (("--allow-group", "daemon"), NOBODY, 1, "", True),
        (("--allow-group", "daemon"), NOBODY, NOBODY, "7,1,9", True),
        (("--allow-group", "daemon"), 1, NOBODY, "", False),
        (("--allow-group", "daemon"), NOBODY, NOBODY, "7,9", False),
    ],
)
def test_only_allowed_users_and_groups_are_heard(
    options: tuple[str, ...], uid: int, gid: int, groups: str, admitted: bool
) -> None:
    with open_directory() as directory:
        path = directory / "helper.sock"
        with listening(board(directory), path, *options) as child:
            asked = ask_as(uid, gid, groups, path)
            found = json.loads(asked.stdout)
            log = log_of(child)
    if admitted:
        assert found["result"] == "done"
    else:
        assert (found["result"], found["facts"]) == ("refused", {"reason": "peer"})
        assert f"uid {uid} is not allowed here" in log


@needs_root
def test_a_stranger_who_talks_a_lot_gets_his_answer_and_no_more(orin: VirtualBoard) -> None:
    """His request is not even read; the log has twenty lines of a hundred."""
    with open_directory() as directory:
        path = directory / "helper.sock"
        script = directory / "shout.py"
        script.write_text(
            "import socket, sys\n"
            "for _ in range(100):\n"
            "    with socket.socket(socket.AF_UNIX) as s:\n"
            "        s.connect(sys.argv[1])\n"
            "        try:\n"
            "            s.sendall(b'{\"verb\": \"reboot\"}' + bytes([10]) + b'x' * 200000)\n"
            "        except OSError:\n"
            "            pass\n"
            "        print(s.makefile().readline())\n"
        )
        own = board(directory)
        with listening(own, path) as child:
            asked = subprocess.run([*as_user(NOBODY, NOBODY), str(script), str(path)], capture_output=True, check=True)
            log = log_of(child)
        assert asked.stdout.count(b'"reason": "peer"') == 100
        assert not (own.root / "run/virtual-reboot").exists()
    assert log.count("is not allowed here") == 20


def test_an_action_is_logged_with_who_what_and_how_it_ended(orin: VirtualBoard, path: Path) -> None:
    with listening(orin, path) as child, connect(path) as talk:
        talk.ask(verb="set-mode", id=0, reboot=False)
        (line,) = log_of(child).splitlines()
    assert line.startswith(
        f"<6>edgeagent-power: pid {os.getpid()} uid {os.geteuid()}: set-mode id=0 reboot=False: done in "
    )
    assert line.endswith("; ran: nvpmodel -m 0")


def test_junk_cannot_forge_a_line_of_the_log(orin: VirtualBoard) -> None:
    with served(orin) as (talk, child):
        talk.ask(verb="x\n<0>edgeagent-power: pid 1 uid 0: reboot: done\x1b[2J\u2028")
        talk.send(b'{"verb": "\xff"}\n')
        talk.reply()
        log = log_of(child)
    assert len(log.splitlines()) == 2
    assert all(line.startswith("<4>edgeagent-power: pid ") and line.isprintable() for line in log.splitlines())


# --- sockets


def run_to_its_end(arguments: list[str], **more: object) -> tuple[int, str]:
    ended = subprocess.run(arguments, capture_output=True, text=True, timeout=WAIT_S, check=False, **more)  # type: ignore[call-overload]
    return ended.returncode, ended.stderr


def test_a_socket_of_its_own_is_for_owner_and_group_and_goes_with_it(orin: VirtualBoard, path: Path) -> None:
    with process(command(orin, "--socket", str(path))) as child:
        with once_up(child, path) as talk:
            assert talk.ask(verb="status")["result"] == "done"
        assert mode_of(path) & 0o777 == 0o660
        child.send_signal(signal.SIGTERM)
        assert child.wait(WAIT_S) == 0
    assert not path.exists()


def once_up(child: subprocess.Popen[bytes], path: Path) -> Talk:
    """A connection, once the helper has said that it listens."""
    assert child.stderr is not None
    assert b"listens at" in child.stderr.readline()
    return connect(path)


@needs_root
def test_a_socket_of_its_own_belongs_to_the_allowed_group(orin: VirtualBoard, path: Path) -> None:
    with process(command(orin, "--socket", str(path), "--allow-group", "daemon")) as child:
        once_up(child, path).close()
        assert path.stat().st_gid == 1


def test_a_socket_that_nobody_listens_at_is_replaced(orin: VirtualBoard, path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with process(command(orin, "--socket", str(path))) as child, once_up(child, path) as talk:
        assert talk.ask(verb="status")["result"] == "done"


def test_a_socket_that_is_in_use_is_left_alone(orin: VirtualBoard, path: Path) -> None:
    with listening(orin, path):
        code, log = run_to_its_end(command(orin, "--socket", str(path)))
        assert (code, "somebody listens" in log) == (2, True)
        with connect(path) as talk:
            assert talk.ask(verb="status")["result"] == "done"


def test_a_file_in_place_of_the_socket_is_left_alone(orin: VirtualBoard, path: Path) -> None:
    path.write_text("precious")
    code, log = run_to_its_end(command(orin, "--socket", str(path)))
    assert (code, "is no socket" in log) == (2, True)
    assert path.read_text() == "precious"


@pytest.mark.parametrize(
    ("count", "pid", "said"),
    [("1", "1", "nothing to listen at"), ("2", "own", "one socket is wanted"), ("x", "own", "one socket is wanted")],
)
def test_only_a_socket_that_is_meant_for_it_is_taken(
    orin: VirtualBoard, path: Path, count: str, pid: str, said: str
) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        arguments = activated(command(orin), listener.fileno(), count=count, pid=pid)
        code, log = run_to_its_end(arguments, pass_fds=(listener.fileno(),))
    assert (code, said in log) == (2, True)


@pytest.mark.parametrize("kind", ["not listening", "inet", "datagram", "pipe"])
def test_only_a_listening_unix_stream_socket_is_taken(orin: VirtualBoard, path: Path, kind: str) -> None:
    if kind == "pipe":
        fd, other = os.pipe()
        os.close(other)
    else:
        family = socket.AF_INET if kind == "inet" else socket.AF_UNIX
        fd = socket.socket(family, socket.SOCK_DGRAM if kind == "datagram" else socket.SOCK_STREAM).detach()
    try:
        code, log = run_to_its_end(activated(command(orin), fd), pass_fds=(fd,))
    finally:
        os.close(fd)
    assert (code, "socket" in log) == (2, True)


def test_without_a_socket_it_says_how_to_start_it(orin: VirtualBoard) -> None:
    code, log = run_to_its_end(command(orin))
    assert (code, "start edgeagent-power.socket" in log) == (2, True)


# --- start


@pytest.mark.parametrize(
    "options",
    [
        ("--tool-timeout", "0"),
        ("--tool-timeout", "-1"),
        ("--tool-timeout", "nan"),
        ("--idle-exit", "0"),
        ("--socket", "x", "--serve-fd", "3"),
        ("--serve", "3"),
        ("--allow-uid", "me"),
        ("stray",),
    ],
)
def test_wrong_options_are_refused(orin: VirtualBoard, options: tuple[str, ...]) -> None:
    assert run_to_its_end(command(orin, *options))[0] == 2


@pytest.mark.parametrize("option", ["--allow-user", "--allow-group"])
def test_an_unknown_name_stops_the_start(orin: VirtualBoard, option: str) -> None:
    code, log = run_to_its_end(command(orin, option, "no-such-name-here", "--socket", "x"))
    assert (code, "no-such-name-here" in log) == (2, True)


def test_a_state_directory_is_closed_to_others(orin: VirtualBoard, tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir(mode=0o777)
    state.chmod(0o777)
    with served(orin) as (talk, _):
        talk.ask(verb="status")
        assert mode_of(state) == 0o700


def test_a_link_is_no_state_directory(orin: VirtualBoard, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "state").symlink_to(tmp_path / "elsewhere")
    code, log = run_to_its_end(command(orin, "--socket", "x"))
    assert (code, "state directory" in log) == (2, True)


@needs_root
def test_a_state_directory_of_somebody_else_is_refused(orin: VirtualBoard, tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    os.chown(tmp_path / "state", NOBODY, NOBODY)
    code, log = run_to_its_end(command(orin, "--socket", "x"))
    assert (code, "belongs to somebody else" in log) == (2, True)


@needs_root
def test_the_board_of_somebody_else_is_refused(orin: VirtualBoard) -> None:
    os.chown(orin.root, NOBODY, NOBODY)
    code, log = run_to_its_end(command(orin, "--socket", "x"))
    assert (code, "does not belong to this user" in log) == (2, True)


# --- what it is made of


def test_it_needs_nothing_but_the_standard_library(orin: VirtualBoard) -> None:
    """Run without site-packages; afterwards every loaded module is the standard library's."""
    code = (
        "import runpy, sys; sys.argv = sys.argv[1:]; known = sys.stdlib_module_names | {'__main__', '__mp_main__'}\n"
        "try:\n    runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "except SystemExit as end:\n    assert end.code in (0, None)\n"
        "print(sorted(name for name in sys.modules if name.partition('.')[0] not in known))"
    )
    launcher = (sys.executable, "-I", "-S", "-c", code)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        arguments = command(orin, "--serve-fd", str(theirs.fileno()), launcher=launcher)
        with subprocess.Popen(arguments, pass_fds=(theirs.fileno(),), stdout=subprocess.PIPE) as child:
            theirs.close()
            ours.sendall(b'{"verb": "query-mode"}\n')
            assert json.loads(ours.recv(65536))["result"] == "done"
            ours.close()
            out, _ = child.communicate(timeout=WAIT_S)
    assert out.decode().strip() == "[]"


def test_what_a_peer_asked_for_before_it_went_is_not_done(orin: VirtualBoard, tmp_path: Path) -> None:
    """A client that gave up, or an agent that was stopped, must not change the board minutes later."""
    misbehave(orin, nvpmodel=["slow"])
    path = tmp_path / "helper.sock"
    with listening(orin, path), connect(path) as first:
        first.send(b'{"verb": "query-mode"}\n')
        with connect(path) as gone:
            gone.send(b'{"verb": "set-mode", "id": 2, "reboot": false}\n')
        assert first.reply()["result"] == "done"
        with connect(path) as last:
            assert last.ask(verb="status")["result"] == "done"
    assert read(orin, "var/lib/nvpmodel/status") == "pmode:0001"


@pytest.mark.parametrize(
    "request_line", [{"verb": "reboot"}, {"verb": "set-mode", "id": 3, "reboot": True}], ids=["reboot", "set-mode"]
)
def test_a_helper_may_be_started_so_that_it_never_reboots(
    orin: VirtualBoard, tmp_path: Path, request_line: dict[str, object]
) -> None:
    set_uptime(orin, 4000)
    path = tmp_path / "helper.sock"
    with listening(orin, path, "--no-reboot"), connect(path) as talk:
        reply = talk.ask(**request_line)
    assert (reply["result"], reply["facts"]["reason"]) == ("refused", "board")
    assert not (orin.root / "run/virtual-reboot").exists()


def test_questions_are_not_logged_and_actions_with_a_limit(orin: VirtualBoard, tmp_path: Path) -> None:
    path = tmp_path / "helper.sock"
    with listening(orin, path) as child:
        for _ in range(100):
            with connect(path) as talk:
                assert talk.ask(verb="status")["result"] == "done"
        for _ in range(70):
            with connect(path) as talk:
                assert talk.ask(verb="uncap", domain="cpu")["result"] == "done"
        log = log_of(child)
    assert "status" not in log
    assert log.count("uncap") == 60
