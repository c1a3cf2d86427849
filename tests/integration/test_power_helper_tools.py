"""What the power helper does with tools that misbehave: each ends in a clear result, and the helper goes on.

No test looks at a clock: the helper's limit for a tool is 1.5 seconds, and a call that outlasts the client's own limit
raises HelperError.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_power_helper_kit import (
    NOBODY,
    TOOL_S,
    as_user,
    board,
    died,
    helper,
    misbehave,
    open_directory,
    served,
    write_tool,
)

from edgeagent.power.client import Outcome
from edgeagent.simulate.board import VirtualBoard
from edgeagent.simulate.tools.misbehaviour import MISBEHAVIOURS

SET_MODE = ("set-mode", {"id": 0, "reboot": False})
EXPECTED = {
    ("nvpmodel", "prompt"): (SET_MODE, "reboot-required"),
    ("nvpmodel", "wait-stdin"): (SET_MODE, "reboot-required"),
    ("nvpmodel", "hang"): (SET_MODE, "timed-out"),
    ("nvpmodel", "slow"): (SET_MODE, "timed-out"),
    ("nvpmodel", "fail"): (SET_MODE, "failed"),
    ("nvpmodel", "silent-kill"): (SET_MODE, "failed"),
    ("nvpmodel", "chroot"): (SET_MODE, "ignored"),
    ("nvpmodel", "lie"): (SET_MODE, "done"),  # found out by whoever verifies
    ("nvpmodel", "half"): (SET_MODE, "done"),
    ("nvpmodel", "warn"): (SET_MODE, "done"),
    ("nvpmodel", "flood"): (SET_MODE, "done"),
    ("nvpmodel", "junk"): (SET_MODE, "done"),
    ("nvpmodel", "orphan"): (SET_MODE, "done"),
    ("jetson_clocks", "prompt"): (("lock-clocks", {}), "failed"),
    ("jetson_clocks", "hang"): (("lock-clocks", {}), "timed-out"),
    ("jetson_clocks", "slow"): (("lock-clocks", {}), "timed-out"),
    ("jetson_clocks", "fail"): (("lock-clocks", {}), "failed"),
    ("jetson_clocks", "silent-kill"): (("lock-clocks", {}), "failed"),
    ("jetson_clocks", "lie"): (("lock-clocks", {}), "failed"),  # it stored nothing
    ("jetson_clocks", "half"): (("lock-clocks", {}), "done"),
    ("jetson_clocks", "warn"): (("lock-clocks", {}), "done"),
    ("jetson_clocks", "flood"): (("lock-clocks", {}), "done"),
    ("jetson_clocks", "junk"): (("lock-clocks", {}), "done"),
    ("jetson_clocks", "orphan"): (("lock-clocks", {}), "done"),
    ("systemctl", "hang"): (("reboot", {}), "timed-out"),
    ("systemctl", "slow"): (("reboot", {}), "timed-out"),
    ("systemctl", "fail"): (("reboot", {}), "failed"),
    ("systemctl", "silent-kill"): (("reboot", {}), "failed"),
    ("systemctl", "lie"): (("reboot", {}), "rebooting"),
    ("systemctl", "warn"): (("reboot", {}), "rebooting"),
    ("systemctl", "flood"): (("reboot", {}), "rebooting"),
    ("systemctl", "junk"): (("reboot", {}), "rebooting"),
    ("systemctl", "orphan"): (("reboot", {}), "rebooting"),
}
USED = ("nvpmodel", "jetson_clocks", "systemctl")


@pytest.fixture
def orin(tmp_path: Path) -> VirtualBoard:
    return board(tmp_path)


def test_every_misbehaviour_of_every_tool_is_listed_here() -> None:
    assert set(EXPECTED) == {(tool, word) for tool in USED for word in MISBEHAVIOURS[tool]}


@pytest.mark.parametrize(("tool", "word"), EXPECTED, ids=lambda value: value)
def test_a_misbehaviour_ends_in_a_clear_result(orin: VirtualBoard, tool: str, word: str) -> None:
    (verb, arguments), result = EXPECTED[tool, word]
    misbehave(orin, **{tool: [word]})
    with helper(orin, tool_s=TOOL_S if result == "timed-out" else 20.0) as root:
        found = root.call(verb, **arguments)
        assert found.result == result, found
        assert found.detail and "\n" not in found.detail
        assert len(found.output) <= 4096
        misbehave(orin)
        after = root.call("query-mode")
        assert after.result == "done", after
        assert root.call("status").facts["stuck_tools"] == 0


@pytest.mark.parametrize("word", ["hang", "slow", "fail", "silent-kill", "prompt", "lie"])
def test_a_store_that_did_not_come_about_is_not_left_behind(orin: VirtualBoard, word: str) -> None:
    misbehave(orin, jetson_clocks=[word])
    with helper(orin, tool_s=TOOL_S) as root:
        assert root.call("lock-clocks").result != "done"
        assert root.call("status").facts["clock_store"] is False
        misbehave(orin)
        assert root.call("lock-clocks").result == "done"


def test_a_restore_that_failed_can_be_tried_again(orin: VirtualBoard) -> None:
    with helper(orin, tool_s=TOOL_S) as root:
        root.call("lock-clocks")
        misbehave(orin, jetson_clocks=["fail"])
        assert root.call("release-clocks").result == "failed"
        assert root.call("status").facts["clock_store"] is True
        misbehave(orin)
        assert root.call("release-clocks").result == "done"


# --- tools of our own


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    directory = tmp_path / "tools"
    directory.mkdir()
    return directory


def query(orin: VirtualBoard, tools: Path, *options: str) -> Outcome:
    with served(orin, "--tools", str(tools), "--tool-timeout", str(TOOL_S), *options) as (talk, _):
        return Outcome(**talk.ask(verb="query-mode"))


def test_a_tool_is_given_nothing_of_ours(orin: VirtualBoard, tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fixed environment, / as its directory, /dev/null on stdin, no other descriptors, a session of its own."""
    body = (
        "import json, os\n"
        f"found = dict(environment=dict(os.environ), directory=os.getcwd(), stdin=os.readlink('/proc/self/fd/0'),\n"
        "    leader=os.getsid(0) == os.getpid() == os.getpgrp(), umask=os.umask(0),\n"
        "    open=sorted(int(fd) for fd in os.listdir('/proc/self/fd') if os.path.exists(f'/proc/self/fd/{fd}')))\n"
        f"open({str(tools / 'record')!r}, 'w').write(json.dumps(found))\n"
    )
    write_tool(tools, "nvpmodel", body, interpreter=f"{sys.executable} -I")
    monkeypatch.setenv("LD_PRELOAD_LATER", "x")
    query(orin, tools)
    found = json.loads((tools / "record").read_text())
    environment = {key: found["environment"].get(key) for key in found["environment"] if key != "LC_CTYPE"}
    home = environment.pop("HOME")
    assert environment == {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
    assert Path(str(home)).stat().st_mode & 0o777 == 0o700  # the helper's own directory
    assert (found["directory"], found["stdin"], found["leader"]) == ("/", "/dev/null", True)
    assert [fd for fd in found["open"] if fd > 2] == []
    assert found["umask"] == 0o022


def test_a_tool_cannot_ask_on_the_terminal(orin: VirtualBoard, tools: Path) -> None:
    write_tool(tools, "nvpmodel", "read answer < /dev/tty && echo asked; exit 3")
    found = query(orin, tools)
    assert (found.result, found.exit_status) == ("failed", 3)
    assert "asked" not in found.output


def test_whatever_a_tool_started_dies_with_it(orin: VirtualBoard, tools: Path) -> None:
    """At the limit as well as after a normal end."""
    write_tool(tools, "nvpmodel", "sleep 600 & echo $! > $RECORD; echo 'NV Power Mode: 15W'; echo 0; $WAIT")
    body = (tools / "nvpmodel").read_text()
    for wait, result in (("wait", "timed-out"), ("true", "done")):
        (tools / "nvpmodel").write_text(body.replace("$WAIT", wait))
        assert query(orin, tools).result == result
        assert died(int((tools / "record").read_text()))


def test_a_flood_of_output_keeps_its_beginning_and_its_end(orin: VirtualBoard, tools: Path) -> None:
    write_tool(tools, "nvpmodel", "echo first; seq 1 9000; echo last >&2; exit 7")
    found = query(orin, tools)
    assert (found.result, found.exit_status, len(found.output)) == ("failed", 7, 4096)
    assert found.output.startswith("first\n1\n2\n") and found.output.endswith("\nlast")
    assert "\n[...]\n" in found.output


def test_output_has_no_control_characters(orin: VirtualBoard, tools: Path) -> None:
    write_tool(tools, "nvpmodel", r"printf 'a\033[31mb\000c\377d\r\n\342\200\256'; exit 1")
    found = query(orin, tools)
    assert all(character.isprintable() or character == "\n" for character in found.output)


@pytest.mark.parametrize(
    "said",
    ["", "NV Power Mode: 15W", "NV Power Mode:\n0", "0\nNV Power Mode: 15W", "NV Power Mode: 15W\nzero", "15W\n0"],
)
def test_an_answer_without_a_mode_is_a_failure(orin: VirtualBoard, tools: Path, said: str) -> None:
    write_tool(tools, "nvpmodel", f"cat <<'END'\n{said}\nEND")
    found = query(orin, tools)
    assert (found.result, found.exit_status, found.detail) == ("failed", 0, "nvpmodel -q named no power mode")


@pytest.mark.parametrize("kind", ["not executable", "a directory", "no interpreter", "not a program"])
def test_a_tool_that_cannot_be_started_is_a_failure(orin: VirtualBoard, tools: Path, kind: str) -> None:
    if kind == "a directory":
        (tools / "nvpmodel").mkdir()
    else:
        write_tool(tools, "nvpmodel", "exit 0", interpreter="/nowhere/sh" if kind == "no interpreter" else "/bin/sh")
    if kind == "not executable":
        (tools / "nvpmodel").chmod(0o644)
    if kind == "not a program":
        (tools / "nvpmodel").write_bytes(b"\x7fELF, or so it says")
    assert query(orin, tools).result == "failed"


def test_death_by_a_signal_is_named(orin: VirtualBoard, tools: Path) -> None:
    write_tool(tools, "nvpmodel", "kill -SEGV $$")
    found = query(orin, tools)
    assert (found.result, found.exit_status) == ("failed", 128 + 11)
    assert "SIGSEGV" in found.detail


@pytest.fixture
def stubborn(tools: Path) -> Iterator[Path]:
    """A tool that this test's helper, an ordinary user, cannot kill: a program that has become root altogether."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to make a tool that the helper may not kill")
    if os.statvfs(tools).f_flag & os.ST_NOSUID:
        pytest.skip("the temporary directory is mounted with nosuid")
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("needs a C compiler for a program with the setuid bit")
    source = tools / "stubborn.c"
    source.write_text(
        "#define _GNU_SOURCE\n#include <stdio.h>\n#include <unistd.h>\n"
        'int main(void) { setresuid(0, 0, 0); FILE *f = fopen("%s", "w"); fprintf(f, "%%d", getpid()); fclose(f);'
        ' puts("here"); fflush(stdout); sleep(300); }\n' % (tools / "record")
    )
    os.spawnlp(os.P_WAIT, compiler, compiler, "-o", str(tools / "nvpmodel"), str(source))
    (tools / "nvpmodel").chmod(0o4755)
    yield tools
    if (tools / "record").exists():
        os.kill(int((tools / "record").read_text()), 9)


def test_a_tool_that_cannot_be_killed_does_not_hold_the_helper(stubborn: Path) -> None:
    """Stands for a tool in uninterruptible sleep, which SIGKILL does not end either."""
    with open_directory() as directory:
        orin = board(directory)
        for path in (directory, *directory.rglob("*")):
            os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
        tools = directory / "tools"
        shutil.copytree(stubborn, tools)
        options = ("--tools", str(tools), "--tool-timeout", "0.5")
        with served(orin, *options, launcher=as_user(NOBODY, NOBODY)) as (talk, _):
            found = talk.ask(verb="query-mode")
            assert (found["result"], found["exit_status"]) == ("timed-out", None)
            assert "does not even die of SIGKILL" in found["detail"]
            assert found["output"] == "here"
            assert talk.ask(verb="status")["facts"]["stuck_tools"] == 1
            assert talk.ask(verb="set-mode", id=99, reboot=False)["result"] == "refused"
