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
from edgeagent.simulate.board import VirtualBoard, make_board, reboot_board
from edgeagent.simulate.board_caps import read_caps
from edgeagent.simulate.plant import Caps, Load
from edgeagent.simulate.plant_child import Plant
from edgeagent.simulate.plant_load import HostLoad, Override, mix_load, parse_override
from edgeagent.simulate.plant_open import PlantFiles
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


def test_what_somebody_else_wrote_is_written_over(board: VirtualBoard) -> None:
    """A tool raised a clock and let go of it before the plant looked; the fan was held and is regulated again."""
    content = {"cpu_freq:0": b"729600\n", "pwm": b"77\n"}
    with PlantFiles(board) as files:
        files.write(content)
        board.path("cpu_freq:0").write_bytes(b"1344000\n")
        files.write({"cpu_freq:0": b"729600\n"})
        board.path("pwm").write_bytes(b"255\n")
        files.write(content)
    assert board.path("cpu_freq:0").read_bytes() == b"729600\n"
    assert board.path("pwm").read_bytes() == b"77\n"


def test_the_same_seed_gives_the_same_noise(board: VirtualBoard) -> None:
    ticks = [Plant(board, 25.0, seed).tick(0.5, Load()) for seed in (4, 4, 5)]
    assert ticks[0] == ticks[1] != ticks[2]


def test_a_power_mode_reaches_the_plant(board: VirtualBoard) -> None:
    assert caps(board) == Caps(
        1_344_000, 918_000_000, tuple(range(6)), 729_600, 306_000_000, "quiet", None, 3_199_000_000
    )
    nvpmodel.apply_mode(board.root, nvpmodel.load_conf(board.root), 3)
    assert caps(board) == Caps(960_000, 408_000_000, (0, 1, 2, 3), 729_600, 306_000_000, "quiet", None, 2_133_000_000)


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


def agx(tmp_path: Path) -> tuple[VirtualBoard, Plant]:
    board = make_board("agx-orin-r36", tmp_path / "agx", seed=21)
    return board, Plant(board, 25.0, seed=1)


def now(path: Path) -> bytes | None:
    """What a reader gets from a zone that may sleep; None for EAGAIN."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        return os.read(fd, 64)
    except BlockingIOError:
        return None
    finally:
        os.close(fd)


def test_a_sensor_answers_while_its_part_has_work(tmp_path: Path) -> None:
    board, plant = agx(tmp_path)
    gpu = board.root / board.sleepers["zone:gpu-thermal"]
    with PlantFiles(board) as files:
        files.write(plant.tick(1.0, Load()))
        assert now(gpu) is None
        for _ in range(3):
            files.write(plant.tick(1.0, Load(gpu=1.0)))
        assert 25_000 < int(now(gpu) or 0) < 90_000
        assert now(gpu) is None  # once a tick
        files.write(plant.tick(1.0, Load(gpu=1.0)))
        files.write(plant.tick(1.0, Load()))
        assert now(gpu) is None  # what nobody read is taken back


def test_a_reader_that_keeps_its_files_open_sees_zones_wake(tmp_path: Path) -> None:
    board, plant = agx(tmp_path)
    with PlantFiles(board) as files, BoardReader(board.root) as reader:
        files.write(plant.tick(1.0, Load()))
        asleep = {zone.name for zone in reader.read().zones if zone.absent}
        files.write(plant.tick(1.0, Load(gpu=0.5, dla=1.0)))
        reading = reader.read()
    assert asleep == {"gpu-thermal", *(f"cv{n}-thermal" for n in range(3))}
    assert [zone.name for zone in reading.zones if zone.absent] == []


def test_the_dla_is_active_when_the_load_file_says_so(tmp_path: Path) -> None:
    board, plant = agx(tmp_path)
    with PlantFiles(board) as files:
        files.write(plant.tick(1.0, mix_load(0.0, {"dla": 0.5})))
        assert board.path("dla:1").read_bytes() == b"active\n"
        files.write(plant.tick(1.0, mix_load(0.0, {})))
        assert board.path("dla:1").read_bytes() == b"suspended\n"


def test_over_current_events_can_be_set(board: VirtualBoard) -> None:
    content = Plant(board, 25.0, seed=1).tick(1.0, Load(), None, {"oc1": 3.0, "oc2": 1.0, "cpu": 0.5})
    assert (content["oc1"], content["oc2"], content["oc3"]) == (b"3\n", b"1\n", b"0\n")


def test_over_power_peaks_come_in_the_uncapped_mode_only(board: VirtualBoard) -> None:
    counts = {}
    for mode in (1, 2):
        nvpmodel.apply_mode(board.root, nvpmodel.load_conf(board.root), mode)
        plant = Plant(board, 25.0, seed=1)
        for _ in range(20):
            content = plant.tick(5.0, Load(1.0, 1.0))
        counts[mode] = int(content["oc3"])
    assert counts[1] == 0
    assert counts[2] > 100


def test_locked_clocks_stay_up(board: VirtualBoard) -> None:
    for path in (board.root / "sys/devices/system/cpu/cpufreq").iterdir():
        (path / "scaling_min_freq").write_text("1344000\n")
    (board.root / "sys/class/devfreq/17000000.gpu/min_freq").write_text("918000000\n")
    content = Plant(board, 25.0, seed=1).tick(1.0, Load())
    assert (content["cpu_freq:4"], content["gpu_freq"]) == (b"1344000\n", b"918000000\n")


def test_a_core_that_goes_offline_leaves_the_lists_and_stat(board: VirtualBoard) -> None:
    (board.root / "sys/devices/system/cpu/cpu3/online").write_text("0\n")
    content = Plant(board, 25.0, seed=1).tick(1.0, Load())
    assert (content["online"], content["offline"]) == (b"0-2,4-5\n", b"3\n")
    assert b"cpu3 " not in content["stat"]


def test_the_fan_follows_its_profile_until_somebody_holds_it(board: VirtualBoard) -> None:
    quiet = int(Plant(board, 25.0, seed=1).tick(1.0, Load())["pwm"])
    status = board.root / "var/lib/nvfancontrol/status"
    status.write_text(status.read_text().replace("quiet", "cool"))
    assert int(Plant(board, 25.0, seed=1).tick(1.0, Load())["pwm"]) > quiet
    (board.root / "run/nvfancontrol.stopped").touch()
    board.path("pwm").write_text("255\n")
    plant = Plant(board, 25.0, seed=1)
    for _ in range(20):
        content = plant.tick(1.0, Load())
    assert "pwm" not in content
    assert int(content["rpm"]) > 5000


def test_a_fan_that_is_switched_off_stands_still(board: VirtualBoard) -> None:
    (board.path("pwm").parent / "pwm1_enable").write_text("0\n")
    plant = Plant(board, 25.0, seed=1)
    for _ in range(40):
        content = plant.tick(1.0, Load())
    assert content["rpm"] == b"0\n"
    assert "pwm" not in content


def test_r32_takes_the_fan_by_its_own_switch(tmp_path: Path) -> None:
    board = make_board("nano-r32", tmp_path / "nano", seed=1)
    fan = board.root / "sys/devices/pwm-fan"
    (fan / "temp_control").write_text("0\n")
    (fan / "target_pwm").write_text("200\n")
    content = Plant(board, 25.0, seed=1).tick(1.0, Load())
    assert content["cur_pwm"] == b"200\n"
    assert "pwm" not in content


def test_a_memory_clock_that_is_held_is_left_alone(board: VirtualBoard) -> None:
    assert "emc_rate" in Plant(board, 25.0, seed=1).tick(1.0, Load())
    (board.root / "sys/kernel/debug/bpmp/debug/clk/emc/mrq_rate_locked").write_text("1\n")
    assert "emc_rate" not in Plant(board, 25.0, seed=1).tick(1.0, Load())


def test_it_follows_reboots(board: VirtualBoard, child: subprocess.Popen[bytes]) -> None:
    """The numbers are others, the files are new, and so is what the plant writes into them and holds open."""
    assert child.stdout is not None
    for _ in range(2):
        again = reboot_board(board.root)
        assert child.stdout.readline() == b"ready\n"
        assert 0 < float(again.path("uptime").read_text().split()[0]) < 60
        assert [now(again.root / path) for path in again.fifos] == [None] * 3


def test_it_follows_another_board_in_the_same_place(board: VirtualBoard, child: subprocess.Popen[bytes]) -> None:
    assert child.stdout is not None
    other = make_board("thor-r38", board.root, seed=1)
    assert child.stdout.readline() == b"ready\n"
    assert 20_000_000 < int(other.path("rail:VIN:uw").read_text()) < 60_000_000


def test_a_board_that_is_being_made_anew_cannot_be_held_open(board: VirtualBoard) -> None:
    open_before = len(list(Path("/proc/self/fd").iterdir()))
    board.path("uptime").unlink()
    with pytest.raises(FileNotFoundError):
        PlantFiles(board)
    assert len(list(Path("/proc/self/fd").iterdir())) == open_before


def test_a_fifo_in_place_of_a_file_is_no_reason_to_wait(board: VirtualBoard) -> None:
    board.path("uptime").unlink()
    os.mkfifo(board.path("uptime"))
    with pytest.raises(OSError, match="No such device or address"):
        PlantFiles(board)
