"""Commands to an agent whose disk is read-only, as a worn one remounts itself: what changes nothing is done."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from jobs_kit import Scene, scene
from test_link_kit import needs_mosquitto

from edgeagent.fleet.states import Info

pytestmark = [needs_mosquitto, pytest.mark.timeout(120)]


def mount(*words: str) -> None:
    done = subprocess.run(["mount", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mount("-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder))
    try:
        mount("-o", "remount,ro", str(folder))
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def place(tmp_path: Path, read_only: Path) -> Iterator[Scene]:
    with scene(tmp_path / "scene", read_only / "state") as found, found.agent():
        found.watcher.ever(Info, lambda info: "doctor" in (info.commands or ()))
        yield found


def test_doctor_logs_and_config_answer_and_nothing_else_is_done(place: Scene) -> None:
    commander = place.commander
    doctor = commander.do("doctor")
    assert doctor.state == "succeeded", doctor.reason
    assert doctor.result is not None and doctor.result["report"]
    logs = commander.do("logs")
    assert logs.state == "succeeded" and logs.result is not None and logs.result["lines"]
    config = commander.do("config", {"only": "device.id"})
    assert config.result is not None and config.result["settings"]
    for name, args in (
        ("restart", {"agent": True}),
        ("log-level", {"level": "debug"}),
        ("snapshot", {"camera": "belt"}),
    ):
        refused = commander.do(name, args)
        assert (refused.state, refused.code) == ("refused", "jobs_not_stored"), name
    again = commander.send("config", {"only": "device.id"}, job=config.id)
    assert commander.answer(again).state == "succeeded"
    assert "Traceback" not in place.log()
