"""`edgeagent demo` as a newcomer runs it: a process, its report, its one-line errors, and what it leaves behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from agent_kit import Family, command_line, shared_memory
from test_link_kit import Ear, free_port, mosquitto, needs_mosquitto, program

from edgeagent.simulate.video import write_video

pytestmark = pytest.mark.timeout(240)

FIGURES = {
    "module": str,
    "engine": dict,
    "frames": int,
    "fps": float,
    "results_published": int,
    "latency_ms": dict,
    "dropped": int,
    "agent_rss_mb": float,
    "agent_cpu_percent": float,
    "first_result_s": float,
    "health": str,
}


@pytest.fixture(scope="module")
def state_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo-state")


@pytest.fixture
def family() -> Iterator[Family]:
    """Every process that a test started, however; nothing of it may be left when the command has ended."""
    members = Family()
    yield members
    members.kill_all()


def demo(family: Family, state_dir: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return command_line("demo", "--headless", "--state", str(state_dir), *arguments, family=family)


def read_report(path: Path) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(path.read_text())
    return report


def test_the_demo_builds_runs_reports_and_leaves_nothing(tmp_path: Path, state_dir: Path, family: Family) -> None:
    shared_before = shared_memory()
    report_file = tmp_path / "r.json"
    done = demo(family, state_dir, "--duration", "3", "--report", str(report_file))
    assert done.returncode == 0, done.stderr
    assert family.members() == {}
    assert shared_memory() <= shared_before
    assert list((state_dir / "run").iterdir()) == []
    report = read_report(report_file)
    for name, kind in FIGURES.items():
        assert isinstance(report[name], kind), f"{name}: {report[name]!r}"
    assert report["module"] == "Jetson Orin Nano 8GB"
    assert report["engine"]["precision"] == "int8"
    assert report["engine"]["agreement"] >= 0.9
    assert report["results_published"] > 30
    assert report["latency_ms"]["p50"] <= report["latency_ms"]["p95"] <= report["latency_ms"]["p99"]
    assert report["health"] == "ok"


def test_in_a_hot_room_the_build_slows_down_and_says_why(tmp_path: Path, state_dir: Path, family: Family) -> None:
    report_file = tmp_path / "hot.json"
    hot = ("--ambient", "55", "--module", "orin-nano")
    done = demo(family, state_dir, "--duration", "2", *hot, "--report", str(report_file))
    assert done.returncode == 0, done.stderr
    report = read_report(report_file)
    assert report["least_duty"] < 0.9
    assert any("91 C" in reason for reason in report["slowed_because"])
    assert 85.0 < report["hottest_c"] < 96.0
    assert report["engine"]["from_store"] is False
    assert report["results_published"] > 20
    assert "% pace, hottest" in done.stdout
    assert "the build was slowed down to" in done.stdout
    assert family.members() == {}


def test_a_second_demo_takes_the_engine_from_the_store(tmp_path: Path, state_dir: Path, family: Family) -> None:
    report_file = tmp_path / "r.json"
    for _ in range(2):
        done = demo(family, state_dir, "--duration", "1", "--report", str(report_file))
        assert done.returncode == 0, done.stderr
    assert read_report(report_file)["engine"]["from_store"] is True


def test_every_frame_of_a_file_played_once_has_its_result(tmp_path: Path, state_dir: Path, family: Family) -> None:
    video, report_file = tmp_path / "belt.mp4", tmp_path / "r.json"
    write_video(video, (640, 480), 30.0, 120, seed=5)
    done = demo(family, state_dir, "--source", str(video), "--report", str(report_file))
    assert done.returncode == 0, done.stderr
    report = read_report(report_file)
    assert (report["frames"], report["results_published"], report["results_received"]) == (120, 120, 120)
    assert report["dropped"] == 0


def test_a_file_that_is_cut_short_is_told(tmp_path: Path, state_dir: Path, family: Family) -> None:
    video, report_file = tmp_path / "belt.avi", tmp_path / "r.json"
    write_video(video, (640, 480), 30.0, 60, seed=6)
    video.write_bytes(video.read_bytes()[: video.stat().st_size // 2])
    done = demo(family, state_dir, "--source", str(video), "--report", str(report_file))
    assert done.returncode == 0, done.stderr
    report = read_report(report_file)
    assert 0 < report["frames"] < 60
    assert report["results_published"] == report["frames"]
    assert f"ended after {report['frames']} of 60 frames" in done.stdout


def test_killing_the_demo_takes_everything_with_it(state_dir: Path, family: Family) -> None:
    heard = Ear()
    command = [sys.executable, "-m", "edgeagent", "demo", "--headless", "--state", str(state_dir)]
    with program(command, heard, env=family.environment()) as process:
        heard.wait(lambda line: line.startswith("engine: ready") or "results a second" in line)
        process.kill()
    family.wait_gone()


def test_ctrl_c_ends_it_cleanly(state_dir: Path, family: Family) -> None:
    heard = Ear()
    command = [sys.executable, "-m", "edgeagent", "demo", "--headless", "--state", str(state_dir)]
    with program(command, heard, env=family.environment()) as process:
        heard.wait(lambda line: "results a second" in line)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    assert family.members() == {}
    assert any("results at" in line for line in heard.items)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--source", "/nowhere.mp4"], 2, "there is no file /nowhere.mp4"),
        (["--source", "/dev/video99"], 2, "there is no device /dev/video99"),
        (["--source", "ftp://camera"], 2, "write one of"),
        (["--module", "toaster"], 2, "there is no virtual board called 'toaster'"),
        (["--broker", "http://broker"], 2, "mqtt://"),
        (["--report", "/nowhere/r.json"], 2, "there is no directory /nowhere"),
    ],
)
def test_a_wrong_wish_is_one_clear_line(
    state_dir: Path, family: Family, arguments: list[str], code: int, says: str
) -> None:
    done = demo(family, state_dir, *arguments)
    assert done.returncode == code
    assert done.stdout == ""
    assert says in done.stderr
    assert done.stderr.count("\n") == 1
    assert family.members() == {}


@pytest.mark.parametrize("content", [b"", b"this is no video\n"], ids=["empty", "text"])
def test_a_file_that_is_no_video_is_one_clear_line(
    tmp_path: Path, state_dir: Path, family: Family, content: bytes
) -> None:
    path = tmp_path / "belt.mp4"
    path.write_bytes(content)
    done = demo(family, state_dir, "--source", str(path))
    assert done.returncode == 2
    assert str(path) in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_gstreamer_source_is_refused_with_the_reason(state_dir: Path, family: Family) -> None:
    cv2 = pytest.importorskip("cv2")
    if "GStreamer:                   YES" in cv2.getBuildInformation():
        pytest.skip("this OpenCV has GStreamer")
    done = demo(family, state_dir, "--source", "gst:videotestsrc ! appsink")
    assert done.returncode == 2
    assert "built without GStreamer" in done.stderr


def test_a_port_in_use_is_told(state_dir: Path, family: Family) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = demo(family, state_dir, "--port", str(taken.getsockname()[1]))
    assert done.returncode == 2
    assert "is in use" in done.stderr


def test_two_demos_run_beside_each_other(tmp_path: Path, state_dir: Path, family: Family) -> None:
    reports = [tmp_path / "1.json", tmp_path / "2.json"]
    codes = []

    def run(report: Path) -> None:
        codes.append(demo(family, state_dir, "--duration", "2", "--report", str(report)).returncode)

    both = [threading.Thread(target=run, args=(report,)) for report in reports]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert codes == [0, 0]
    assert all(read_report(report)["results_published"] > 20 for report in reports)


@needs_mosquitto
def test_what_an_earlier_run_left_on_the_broker_is_ignored(tmp_path: Path, state_dir: Path, family: Family) -> None:
    port = free_port()
    branch = "edgeagent/v1/demo/virtual-orin-nano/"
    old = {"schema": "edgeagent.event/1", "session": "a-1", "seq": 1, "ts": 1, "id": "x", "type": "engine-failed"}
    event = json.dumps({**old, "severity": "error", "text": "old news", "facts": {"final": True}})
    with mosquitto(tmp_path, port):
        for topic, payload in ((f"{branch}e/engine-failed", event), (f"{branch}c/unknown", "{}")):
            publish = ["mosquitto_pub", "-h", "127.0.0.1", "-p", str(port), "-r", "-t", topic, "-m", payload]
            subprocess.run(publish, check=True)
        done = demo(family, state_dir, "--duration", "1", "--broker", f"mqtt://127.0.0.1:{port}")
    assert done.returncode == 0, done.stderr
    assert "old news" not in done.stdout


def test_a_build_that_is_killed_does_not_end_the_demo(tmp_path: Path, family: Family) -> None:
    heard = Ear()
    command = [sys.executable, "-m", "edgeagent", "demo", "--headless", "--duration", "1", "--state", str(tmp_path)]
    with program(command, heard, env=family.environment()) as process:
        heard.wait(lambda line: line.startswith("engine: collecting"))
        os.kill(family.pid_of("engine.build.child"), signal.SIGKILL)
        heard.wait(lambda line: line.startswith("error: the build was killed"))
        assert process.wait(90) == 0
    assert any("results at" in line for line in heard.items)


@needs_mosquitto
def test_a_broker_that_refuses_is_told(tmp_path: Path, state_dir: Path, family: Family) -> None:
    port, heard = free_port(), Ear()
    broker = f"mqtt://ann:wrong@127.0.0.1:{port}"
    command = [sys.executable, "-m", "edgeagent", "demo", "--headless", "--state", str(state_dir), "--broker", broker]
    with mosquitto(tmp_path, port, "allow_anonymous false"):
        with program(command, heard, env=family.environment()) as process:
            line = heard.wait(lambda line: "refused" in line)
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 1
    assert "wrong" not in " ".join(heard.items)
    assert line.startswith("the broker refused")
    assert family.members() == {}
