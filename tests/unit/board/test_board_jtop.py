"""Our side of the jtop child with real processes: programs that stand in for the interpreter, and for jtop itself.

The stand-in package has the few names that the child uses and fails in the words of the real one; the real one is
asked in tests/integration/test_jtop_real.py.
"""

from __future__ import annotations

import importlib.util
import json
import os
import select
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgeagent.board import jtop_child
from edgeagent.board.jtop import JtopSource, JtopState
from edgeagent.board.jtop_words import DELAYS_S, JtopSample
from edgeagent.clock import ManualClock
from edgeagent.supervise.messages import LineBuffer

SAMPLE = b'{"sample": {"emc_khz": 2133000}}'


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def program(tmp_path: Path) -> Callable[[str], str]:
    """A program that runs this Python code, whatever its arguments are, with `say` to write lines."""

    def write(code: str) -> str:
        script, path = tmp_path / "code.py", tmp_path / "program"
        say = "import os, sys, time\ndef say(line):\n    os.write(1, line + b'\\n')\n"
        script.write_text(say + code)
        path.write_text(f'#!/bin/sh\nexec {sys.executable} {script} "$@"\n')
        path.chmod(0o755)
        return str(path)

    return write


def heard(source: JtopSource) -> JtopState:
    """The state after the child spoke or ended."""
    state = source.poll()
    if source.fileno() >= 0:
        assert select.select([source.fileno()], [], [], 30.0)[0]
        state = source.poll()
    return state


def ended(source: JtopSource) -> JtopState:
    """The state once there is no child."""
    while (state := heard(source)) and source.pid is not None:
        pass
    return state


def test_the_first_poll_starts_and_the_next_hears(clock: ManualClock, program: Callable[[str], str]) -> None:
    with JtopSource(clock, python=program(f"say({SAMPLE!r}); sys.stdin.read()")) as source:
        assert source.poll() == JtopState("starting")
        assert heard(source) == JtopState("", "", JtopSample(emc_khz=2_133_000))


def test_the_child_is_run_isolated(clock: ManualClock, program: Callable[[str], str], tmp_path: Path) -> None:
    code = f"open({str(tmp_path / 'arguments')!r}, 'w').write('\\n'.join(sys.argv[1:]))"
    with JtopSource(clock, python=program(code), interval_s=3.0, socket="/run/there.sock") as source:
        ended(source)
    assert (tmp_path / "arguments").read_text().splitlines() == ["-I", jtop_child.__file__, "3.0", "/run/there.sock"]


def test_closing_leaves_no_process(clock: ManualClock, program: Callable[[str], str]) -> None:
    source = JtopSource(clock, python=program("import signal; signal.signal(15, signal.SIG_IGN); time.sleep(600)"))
    source.poll()
    pid = source.pid
    source.close()
    assert pid is not None
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert source.poll().why == "starting"
    assert source.pid is None


def test_silence_after_a_sample_is_a_stall(clock: ManualClock, program: Callable[[str], str]) -> None:
    with JtopSource(clock, python=program(f"say({SAMPLE!r}); time.sleep(600)"), interval_s=2.0) as source:
        assert heard(source).sample is not None
        clock.advance(9.0)
        assert source.poll().sample is not None
        clock.advance(1.5)
        stalled = source.poll()
    assert (stalled.why, stalled.sample, stalled.given_up) == ("stalled", None, False)


def test_a_start_that_takes_too_long_is_a_stall(clock: ManualClock, program: Callable[[str], str]) -> None:
    with JtopSource(clock, python=program("time.sleep(600)")) as source:
        source.poll()
        clock.advance(29.0)
        assert source.poll().why == "starting"
        clock.advance(2.0)
        assert source.poll().why == "stalled"


@pytest.mark.parametrize(
    ("code", "why", "detail"),
    [
        ('say(b\'{"end": "not-running", "detail": "why"}\')', "not-running", "why"),
        ("sys.exit(3)", "failed", "the child ended with status 3"),
        ("os.kill(os.getpid(), 9)", "failed", "the child ended with status -9"),
        ("say(b'hello'); time.sleep(600)", "failed", "the child broke its protocol"),
        ("os.write(1, b'x' * 20_000); time.sleep(600)", "failed", "the child broke its protocol"),
    ],
)
def test_how_a_child_ends(clock: ManualClock, program: Callable[[str], str], code: str, why: str, detail: str) -> None:
    with JtopSource(clock, python=program(code)) as source:
        state = ended(source)
    assert (state.why, state.detail, state.sample, state.given_up) == (why, detail, None, False)
    assert state.mend


def test_the_last_sample_goes_with_the_child(clock: ManualClock, program: Callable[[str], str]) -> None:
    with JtopSource(clock, python=program(f"say({SAMPLE!r})")) as source:
        assert ended(source).sample is None


def test_a_child_that_babbles_cannot_hold_us(clock: ManualClock, program: Callable[[str], str]) -> None:
    line = SAMPLE + b"\n"
    with JtopSource(clock, python=program(f"while True: os.write(1, {line!r} * 2000)")) as source:
        assert heard(source).sample is not None


def test_it_is_started_again_after_a_growing_while_and_then_left(
    clock: ManualClock, program: Callable[[str], str], tmp_path: Path
) -> None:
    code = f"open({str(tmp_path / 'starts')!r}, 'a').write('x')"
    with JtopSource(clock, python=program(code)) as source:
        for delay_s in DELAYS_S:
            assert not ended(source).given_up
            clock.advance(delay_s - 1.0)
            source.poll()
            assert source.pid is None
            clock.advance(1.1)
        assert ended(source).given_up
        clock.advance(1e6)
        assert source.poll().given_up
        assert source.pid is None
    assert (tmp_path / "starts").read_text() == "x" * (len(DELAYS_S) + 1)


def test_an_interpreter_that_is_not_there(clock: ManualClock) -> None:
    with JtopSource(clock, python="/nowhere/python") as source:
        state = source.poll()
    assert (state.why, source.fileno()) == ("failed", -1)
    assert "No such file" in state.detail


# The child itself, with a package that stands in for jtop.

PACKAGE = """
class JtopException(Exception):
    pass

class jtop:
    memory = {"EMC": {"cur": 2133000, "val": 12}}
    gpu = {"gpu": {"status": {"load": 42.1}, "freq": {}}}
    engine = {"NVENC": {"NVENC": {"online": True, "cur": 435200}}, "OFA": {"OFA": {}}}

    def __init__(self, interval):
        print("jtop says something of its own")
        self.left = 2

    def start(self):
        import multiprocessing
        multiprocessing.set_start_method("fork", force=True)
        START

    def ok(self):
        self.left -= 1
        OK
        return self.left >= 0
"""


def child_command(package: Path, socket_path: str) -> list[str]:
    """The child as a program, with `package` where it looks for jtop."""
    code = (
        f"import runpy, sys; sys.path.insert(0, {str(package)!r}); "
        "sys.argv.pop(0); runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    return [sys.executable, "-I", "-c", code, jtop_child.__file__, "0.1", socket_path]


@pytest.fixture
def run_child(tmp_path: Path) -> Iterator[Callable[..., list[dict[str, object]]]]:
    """Runs jtop_child with the stand-in, and gives what it said."""
    path = str(tmp_path / "jtop.sock")

    def run(start: str = "pass", ok: str = "pass", *, package: bool = True) -> list[dict[str, object]]:
        if package:
            text = PACKAGE.replace("START", start).replace("OK", ok)
            (tmp_path / "jtop.py").write_text(text)
        command = child_command(tmp_path, path)
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            said = process.stdout.read()
            assert process.wait(30) == 0
        return [json.loads(line) for line in LineBuffer().feed(said)]

    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        yield run


def test_the_child_says_what_sysfs_lacks_and_nothing_else(run_child: Callable[..., list[dict[str, object]]]) -> None:
    sample = {
        "emc_khz": 2_133_000,
        "emc_load_percent": 12,
        "gpu_load_percent": 42.1,
        "engines": [["NVENC", True, 435_200]],
    }
    assert run_child() == [
        {"sample": sample},
        {"sample": sample},
        {"end": "stalled", "detail": "jtop's service sends nothing"},
    ]


@pytest.mark.parametrize(
    ("raised", "why"),
    [
        ('JtopException("The jtop.service is not active. Please run:\\nsudo jtop")', "not-running"),
        ('JtopException("I can\'t access jtop.service.\\nPlease logout")', "no-permission"),
        ('JtopException("Mismatch version jtop service: [4.3.2] and client: [7.2.2]")', "version-mismatch"),
        ('JtopException("Mismatch of Python versions between library and service")', "python-mismatch"),
        ('JtopException("Authentication with jetson-stats server failed")', "failed"),
        ('JtopException("Lost connection with jtop server")', "not-running"),
        ("PermissionError(13, 'Permission denied')", "no-permission"),
        ("EOFError()", "not-running"),
        ('KeyError("EMC")', "failed"),
        ('ImportError("No module named smbus2")', "failed"),
    ],
)
def test_the_child_names_what_jtop_raises(
    run_child: Callable[..., list[dict[str, object]]], raised: str, why: str
) -> None:
    for where in ({"start": f"raise {raised}"}, {"ok": f"raise {raised}"}):
        last = run_child(**where)[-1]
        assert last["end"] == why
        assert "\n" not in str(last["detail"])


def test_the_child_needs_nothing_of_ours() -> None:
    """Any interpreter that has jtop can run it."""
    words = [line.split() for line in Path(jtop_child.__file__).read_text().splitlines()]
    imported = {line[1].partition(".")[0] for line in words if line[:1] in (["import"], ["from"])}
    assert imported - sys.stdlib_module_names == {"jtop"}


def test_without_the_package(run_child: Callable[..., list[dict[str, object]]]) -> None:
    if importlib.util.find_spec("jtop"):
        pytest.skip("jetson-stats is installed here")
    assert [said["end"] for said in run_child(package=False)] == ["absent"]


def test_without_a_service(tmp_path: Path, run_child: Callable[..., list[dict[str, object]]]) -> None:
    (tmp_path / "jtop.sock").unlink()
    assert [said["end"] for said in run_child()] == ["not-running"]
    (tmp_path / "jtop.sock").write_text("no socket")
    assert [said["end"] for said in run_child()] == ["not-running"]


def test_the_child_ends_with_its_stdin(run_child: Callable[..., list[dict[str, object]]], tmp_path: Path) -> None:
    """A jtop that waits for ever, and an agent that is gone."""
    (tmp_path / "jtop.py").write_text(PACKAGE.replace("START", "import time; time.sleep(600)").replace("OK", "pass"))
    with subprocess.Popen(
        child_command(tmp_path, str(tmp_path / "jtop.sock")), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(30) == 0
