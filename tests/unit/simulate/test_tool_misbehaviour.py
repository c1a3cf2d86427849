"""What the stand-ins do wrong on request: every word of every tool, as seen by whoever runs them."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from toolbox import CPU, misbehave, put, reboot_is_pending, run, start, sysfs, text

from edgeagent.simulate.board import VirtualBoard, make_board
from edgeagent.simulate.tools.misbehaviour import MISBEHAVIOURS

CALLS = {
    "nvpmodel": ["-m", "0"],
    "jetson_clocks": [],
    "nvfancontrol": ["-q"],
    "systemctl": ["restart", "nvfancontrol"],
    "tegrastats": ["--interval", "10"],
}
"""A call of each tool that does what the tool is for."""
ENDING = [tool for tool in CALLS if tool != "tegrastats"]
GPU = "sys/class/devfreq/17000000.gpu"
STATUS = "var/lib/nvpmodel/status"
TESTED_HERE = {"hang", "fail", "slow", "warn", "silent-kill", "flood", "junk", "orphan"} | {
    "prompt",
    "wait-stdin",
    "chroot",
    "lie",
    "half",
}


@pytest.fixture
def board(tmp_path: Path) -> VirtualBoard:
    return make_board("orin-nano", tmp_path / "board", seed=11)


@pytest.fixture
def dies_with_its_group(board: VirtualBoard) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Children in sessions of their own, ended with everything they left behind."""
    children: list[subprocess.Popen[bytes]] = []
    yield children
    for child in children:
        os.killpg(child.pid, signal.SIGKILL)
        child.communicate()


def call(board: VirtualBoard, tool: str, **words: list[str]) -> subprocess.CompletedProcess[str]:
    misbehave(board, **words)
    return run(board, tool, *CALLS[tool])


def still_runs_after(child: subprocess.Popen[str], seconds: float) -> bool:
    try:
        child.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        return True
    return False


def ignores_sigterm(child: subprocess.Popen[str]) -> bool:
    """From the kernel: SigIgn is a mask of signal numbers, the first bit being signal 1."""
    status = Path(f"/proc/{child.pid}/status").read_text()
    mask = next(line.split()[1] for line in status.splitlines() if line.startswith("SigIgn:"))
    return bool(int(mask, 16) >> (signal.SIGTERM - 1) & 1)


# --- the table -------------------------------------------------------------------------------------------------------


def test_the_table_has_a_sentence_for_each_word_of_the_five_tools() -> None:
    assert set(MISBEHAVIOURS) == set(CALLS)
    assert {word for words in MISBEHAVIOURS.values() for word in words} == TESTED_HERE
    assert all(len(sentence) > 20 for words in MISBEHAVIOURS.values() for sentence in words.values())


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '"hang"', '{"nvpmodel": "hang"}', '{"nvpmodel": [1]}', "\udcff\udcfe"]
)
def test_junk_in_the_file_costs_one_line_and_changes_nothing(board: VirtualBoard, content: str) -> None:
    (board.root / "misbehave.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    done = run(board, "nvpmodel", "-q")
    assert (done.returncode, done.stdout) == (0, "NV Power Mode: 25W\n1\n")
    assert len(done.stderr.splitlines()) == 1
    assert "misbehave.json" in done.stderr


def test_a_word_that_the_tool_does_not_know_costs_one_line_and_the_others_count(board: VirtualBoard) -> None:
    misbehave(board, jetson_clocks=["chroot", "half"])
    done = run(board, "jetson_clocks")
    assert done.returncode == 0
    assert done.stderr.startswith("virtual board: jetson_clocks knows no chroot; it knows ")
    assert len(done.stderr.splitlines()) == 1
    assert text(board, f"{GPU}/min_freq") == "306000000\n"


def test_words_for_one_tool_leave_the_others_alone(board: VirtualBoard) -> None:
    misbehave(board, systemctl=["fail"])
    assert run(board, "nvpmodel", "-q").stdout == "NV Power Mode: 25W\n1\n"


# --- words of every tool ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tool", CALLS)
def test_hang_says_nothing_and_survives_sigterm(board: VirtualBoard, tool: str) -> None:
    misbehave(board, **{tool: ["hang"]})
    before = sysfs(board)
    with start(board, tool, *CALLS[tool]) as child:
        while not ignores_sigterm(child):
            assert still_runs_after(child, 0.05)
        child.terminate()
        assert still_runs_after(child, 0.2)
        child.kill()
        assert child.communicate() == ("", "")
        assert child.returncode == -signal.SIGKILL
    assert sysfs(board) == before


@pytest.mark.parametrize("tool", CALLS)
def test_fail_says_why_and_changes_nothing(board: VirtualBoard, tool: str) -> None:
    before = sysfs(board)
    done = call(board, tool, **{tool: ["fail"]})
    assert done.returncode == (255 if tool == "nvpmodel" else 1)
    assert (done.stdout, bool(done.stderr)) == ("", True)
    assert sysfs(board) == before


@pytest.mark.parametrize("tool", CALLS)
def test_silent_kill_leaves_no_word(board: VirtualBoard, tool: str) -> None:
    before = sysfs(board)
    done = call(board, tool, **{tool: ["silent-kill"]})
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGKILL, "", "")
    assert sysfs(board) == before


def test_slow_tools_are_late_and_do_their_work(board: VirtualBoard) -> None:
    """All of them at once: four seconds are the same for all."""
    misbehave(board, **{tool: ["slow"] for tool in CALLS})
    children = {tool: start(board, tool, *CALLS[tool]) for tool in CALLS}
    assert all(still_runs_after(child, 0.1) for child in children.values())
    assert text(board, STATUS) == "pmode:0001"
    tegrastats = children.pop("tegrastats")
    for child in children.values():
        child.communicate(timeout=60)
        assert child.returncode == 0
    assert text(board, STATUS) == "pmode:0000"
    assert tegrastats.stdout is not None
    assert "RAM" in tegrastats.stdout.readline()
    tegrastats.kill()
    tegrastats.communicate()


@pytest.mark.parametrize("tool", ENDING)
def test_warn_adds_lines_before_the_answer(board: VirtualBoard, tool: str) -> None:
    normal = call(board, tool)
    warned = call(board, tool, **{tool: ["warn"]})
    assert warned.returncode == normal.returncode == 0
    assert warned.stdout.endswith(normal.stdout)
    assert len(warned.stdout) > len(normal.stdout)


def test_a_query_with_warnings_still_has_its_answer_at_the_end(board: VirtualBoard) -> None:
    misbehave(board, nvpmodel=["warn"])
    lines = run(board, "nvpmodel", "-q").stdout.splitlines()
    assert lines[-2:] == ["NV Power Mode: 25W", "1"]
    assert all(line.startswith("NVPM WARN: ") for line in lines[:-2])


@pytest.mark.parametrize("tool", ENDING)
def test_flood_fills_both_streams_and_the_work_is_done(board: VirtualBoard, tool: str) -> None:
    done = call(board, tool, **{tool: ["flood"]})
    assert done.returncode == 0
    assert min(len(done.stdout), len(done.stderr)) > 1_000_000


@pytest.mark.parametrize("tool", ENDING)
def test_junk_is_no_utf8_on_either_stream(board: VirtualBoard, tool: str) -> None:
    misbehave(board, **{tool: ["junk"]})
    done = subprocess.run([str(board.bin_dir / tool), *CALLS[tool]], capture_output=True, timeout=60, check=True)
    for stream in (done.stdout, done.stderr):
        with pytest.raises(UnicodeDecodeError):
            stream.decode()


@pytest.mark.parametrize("word", ["warn", "flood", "junk"])
def test_tegrastats_prints_its_lines_after_the_noise(board: VirtualBoard, word: str) -> None:
    misbehave(board, tegrastats=[word])
    command = [str(board.bin_dir / "tegrastats"), "--interval", "10"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
        assert child.stdout is not None
        assert not child.stdout.readline().startswith(b"1")
        assert any(b" RAM " in line for line in child.stdout)
        child.kill()


@pytest.mark.parametrize("tool", ENDING)
def test_orphan_leaves_the_streams_open_after_the_tool_has_ended(
    board: VirtualBoard, dies_with_its_group: list[subprocess.Popen[bytes]], tool: str
) -> None:
    misbehave(board, **{tool: ["orphan"]})
    pipe = subprocess.PIPE
    command = [str(board.bin_dir / tool), *CALLS[tool]]
    child = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True)
    dies_with_its_group.append(child)
    assert child.wait(60) == 0
    with pytest.raises(subprocess.TimeoutExpired):
        child.communicate(timeout=0.3)


# --- words of some ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tool", ENDING)
def test_lie_is_a_success_without_a_deed(board: VirtualBoard, tool: str) -> None:
    put(board, "run/nvfancontrol.stopped", "")
    before = sysfs(board)
    done = call(board, tool, **{tool: ["lie"]})
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert sysfs(board) == before
    assert text(board, STATUS) == "pmode:0001"
    assert (board.root / "run/nvfancontrol.stopped").exists()


def test_lie_keeps_a_board_from_rebooting(board: VirtualBoard) -> None:
    misbehave(board, systemctl=["lie"], nvpmodel=["lie"])
    assert run(board, "systemctl", "reboot").returncode == 0
    assert run(board, "nvpmodel", "-m", "3", "--force").returncode == 0
    assert not reboot_is_pending(board)
    assert run(board, "nvpmodel", "-q").stdout == "NV Power Mode: 25W\n1\n"


def test_half_a_mode_is_the_cpu_s(board: VirtualBoard) -> None:
    assert call(board, "nvpmodel", nvpmodel=["half"]).returncode == 0
    assert text(board, STATUS) == "pmode:0000"
    assert text(board, f"{CPU}/cpu0/cpufreq/scaling_max_freq") == "1497600\n"
    assert text(board, f"{GPU}/max_freq") == "918000000\n"


def test_half_a_lock_is_the_cpu_s(board: VirtualBoard) -> None:
    assert call(board, "jetson_clocks", jetson_clocks=["half"]).returncode == 0
    assert text(board, f"{CPU}/cpu0/cpufreq/scaling_min_freq") == "1344000\n"
    assert text(board, f"{GPU}/min_freq") == "306000000\n"


def test_chroot_notes_the_mode_and_touches_no_sysfs(board: VirtualBoard) -> None:
    before = sysfs(board)
    done = call(board, "nvpmodel", nvpmodel=["chroot"])
    assert (done.returncode, done.stdout) == (0, "Running in chroot, ignoring request.\n")
    assert sysfs(board) == before
    assert run(board, "nvpmodel", "-q").stdout == "NV Power Mode: 15W\n0\n"


@pytest.mark.parametrize("mode", ["0", "1"])
def test_prompt_asks_for_every_mode_even_the_one_that_is_set(board: VirtualBoard, mode: str) -> None:
    misbehave(board, nvpmodel=["prompt"])
    done = run(board, "nvpmodel", "-m", mode)
    assert done.returncode == 234
    assert "DO YOU WANT TO REBOOT NOW?" in done.stdout
    assert run(board, "nvpmodel", "-m", mode, answer="YES\n").returncode == 0
    assert reboot_is_pending(board)


def test_prompt_asks_before_any_store(board: VirtualBoard, tmp_path: Path) -> None:
    misbehave(board, jetson_clocks=["prompt"])
    done = run(board, "jetson_clocks", "--store", str(tmp_path / "store"))
    assert (done.returncode, (tmp_path / "store").exists()) == (1, False)
    assert run(board, "jetson_clocks", "--store", str(tmp_path / "store"), answer="y\n").returncode == 0


def test_wait_stdin_waits_as_long_as_stdin_is_open_and_takes_no_answer(board: VirtualBoard) -> None:
    misbehave(board, nvpmodel=["wait-stdin"])
    with start(board, "nvpmodel", "-m", "0") as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert any("DO YOU WANT TO REBOOT NOW?" in line for line in iter(child.stdout.readline, ""))
        child.stdin.write("YES\n")
        child.stdin.flush()
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(0.5)
        out, _ = child.communicate()
    assert child.returncode == 234
    assert out.splitlines()[-2:] == ["NVPM ERROR: bad input!", "NVPM ERROR: optMask is 1, no request for power mode"]
    assert not reboot_is_pending(board)
    assert text(board, STATUS) == "pmode:0001"
