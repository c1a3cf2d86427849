"""The plant's process: what it writes, what it listens to, and the four ways in which it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgeagent.board.telemetry import BoardReader
from edgeagent.simulate import plant_child
from edgeagent.simulate.board import VirtualBoard, make_board
from edgeagent.simulate.board_caps import read_caps
from edgeagent.simulate.plant import Caps, Load
from edgeagent.simulate.plant_child import HostLoad, Override, Plant, PlantFiles, mix_load, parse_override
from edgeagent.simulate.tools import nvpmodel


@pytest.fixture
def board(tmp_path: Path) -> VirtualBoard:
    return make_board("orin-nano", tmp_path / "board", seed=21)


@pytest.fixture
def child(board: VirtualBoard) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "edgeagent.simulate.plant_child", "--root", str(board.root), "--ambient", "30"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield process
        process.kill()


def caps(board: VirtualBoard) -> Caps:
    return read_caps(board.root, board.spec, board.pwm_path)


def test_dark_zones_say_eagain_while_it_runs(board: VirtualBoard, child: subprocess.Popen[bytes]) -> None:
    for path in board.fifos:
        fd = os.open(board.root / path, os.O_RDONLY | os.O_NONBLOCK)
        with pytest.raises(BlockingIOError):
            os.read(fd, 64)
        os.close(fd)


def test_it_ends_when_stdin_ends(child: subprocess.Popen[bytes]) -> None:
    assert child.stdin is not None
    child.stdin.close()
    assert child.wait(30) == 0


def test_it_ends_on_sigterm(child: subprocess.Popen[bytes]) -> None:
    child.send_signal(signal.SIGTERM)
    assert child.wait(30) == 0


def test_it_ends_with_its_parent(board: VirtualBoard) -> None:
    """A parent in between starts the plant, and ends when its own stdin does; the plant's stdin stays open."""
    keep_read, keep_write = os.pipe()
    between = (
        "import subprocess, sys;"
        f"subprocess.Popen([sys.executable, '-m', 'edgeagent.simulate.plant_child', '--root', sys.argv[1]],"
        f" stdin={keep_read}, pass_fds=());"
        "sys.stdin.read()"
    )
    command = [sys.executable, "-c", between, str(board.root)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=[keep_read]) as parent:
        os.close(keep_read)
        assert parent.stdin is not None
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"ready\n"
        parent.stdin.close()
        assert parent.stdout.read() == b""  # end of file: the plant has let go of its stdout
    os.close(keep_write)


def test_a_directory_that_is_no_board_is_status_2(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        assert plant_child.main(["--root", str(tmp_path)]) == 2
    finally:
        for number, action in before.items():
            signal.signal(number, action)
    assert "is no virtual board" in capfd.readouterr().err


def test_ticks_reach_a_reader_that_keeps_its_files_open(board: VirtualBoard) -> None:
    plant = Plant(board, 25.0, seed=1)
    with PlantFiles(board) as files, BoardReader(board.root) as reader:
        cold = reader.read()
        for _ in range(120):
            files.write(plant.tick(1.0, Load(cpu=0.5, gpu=1.0)))
        warm = reader.read()
    assert cold.hottest is not None
    assert warm.hottest is not None
    assert (warm.hottest.temperature_c or 0) > (cold.hottest.temperature_c or 0) + 10
    assert warm.gpu.load_percent == 100.0
    assert warm.cpu_load_percent == pytest.approx(50.0, abs=0.5)
    assert [zone.absent for zone in warm.zones if zone.name.startswith("cv")] == ["offline"] * 3


def test_only_what_changed_is_written_and_shorter_content_is_cut(board: VirtualBoard) -> None:
    with PlantFiles(board) as files:
        assert files.write({"rpm": b"1800\n", "pwm": b"77\n"}) == 2
        assert files.write({"rpm": b"900\n", "pwm": b"77\n"}) == 1
    assert board.path("rpm").read_bytes() == b"900\n"


def test_the_same_seed_gives_the_same_noise(board: VirtualBoard) -> None:
    ticks = [Plant(board, 25.0, seed).tick(0.5, Load()) for seed in (4, 4, 5)]
    assert ticks[0] == ticks[1] != ticks[2]


def test_a_power_mode_reaches_the_plant(board: VirtualBoard) -> None:
    assert caps(board) == Caps(1_344_000, 918_000_000, tuple(range(6)), 729_600, 306_000_000, "quiet")
    nvpmodel.apply_mode(board.root, nvpmodel.load_conf(board.root), 3)
    assert caps(board) == Caps(960_000, 408_000_000, (0, 1, 2, 3), 729_600, 306_000_000, "quiet")


def test_a_cap_caught_half_written_falls_back(board: VirtualBoard) -> None:
    (board.root / "sys/class/devfreq/17000000.gpu/max_freq").write_text("")
    assert caps(board).gpu_hz == board.spec.plant.gpu_hz[1]


def test_the_load_file_overrides_what_it_names() -> None:
    assert mix_load(0.25, {"gpu": 1.0, "memory_mb": 10.0}) == Load(0.25, 1.0, 10.0)
    assert mix_load(0.5, {}) == Load(0.5, 0.5, 1000.0)


@pytest.mark.parametrize("raw", [b"", b"[]", b'{"cpu": "much"}', b'{"cpu": NaN}', b'{"fan": 1}', b'{"cpu": true}'])
def test_junk_in_the_load_file_is_named(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_override(raw)


def test_the_load_file_is_followed_and_its_junk_ignored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "load.json"
    override = Override(path)
    assert override.values() == {}
    path.write_text(json.dumps({"cpu": 0.5, "ambient_c": 60}))
    assert override.values() == {"cpu": 0.5, "ambient_c": 60.0}
    path.write_text("{")
    assert override.values() == {"cpu": 0.5, "ambient_c": 60.0}
    override.values()
    assert capsys.readouterr().err.count("stays as it was") == 1
    path.unlink()
    assert override.values() == {}


def test_the_host_is_between_idle_and_busy() -> None:
    assert 0.0 <= HostLoad().share() <= 1.0


def test_what_is_worth_watching_as_stdin() -> None:
    read_end, write_end = os.pipe()
    null = os.open("/dev/null", os.O_RDONLY)
    assert plant_child.watchable(read_end) == [read_end]
    assert plant_child.watchable(null) == []
    assert not plant_child.ended([read_end], 0.0)
    os.write(write_end, b"chatter")
    assert not plant_child.ended([read_end], 0.0)
    os.close(write_end)
    assert plant_child.ended([read_end], 0.0)
    os.close(read_end)
    os.close(null)
    assert plant_child.watchable(read_end) == []
