"""USB cameras of the config, and whether they will be found again."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeagent.app.doctor import run_doctor
from edgeagent.app.doctor_cameras import check_cameras, find_cameras
from edgeagent.config.schema import Config

BY_ID = "/dev/v4l/by-id/usb-Maker_Cam_1234-video-index0"


def config(**devices: str) -> Config:
    cameras = {name: {"source": {"type": "v4l2", "device": device}} for name, device in devices.items()}
    return Config.model_validate({"cameras": {**cameras, "drawn": {"source": {"type": "synthetic"}}}})


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A machine with one camera, /dev/video2."""
    link = tmp_path / BY_ID.removeprefix("/")
    link.parent.mkdir(parents=True)
    (tmp_path / "dev/video2").touch()
    link.symlink_to("../../video2")
    return tmp_path


def told(root: Path, **devices: str) -> list[tuple[str, str, str]]:
    wanted = config(**devices)
    return [(check.state, check.text, check.mend) for check in check_cameras(wanted, find_cameras(root, wanted))]


def test_a_path_that_stays_is_fine(root: Path) -> None:
    assert told(root, door=BY_ID) == [("ok", BY_ID, "")]


def test_a_number_is_warned_of_with_the_path_that_stays(root: Path) -> None:
    ((level, detail, mend),) = told(root, door="/dev/video2")
    assert (level, mend) == ("warning", f'write device = "{BY_ID}"')
    assert "gives anew" in detail


def test_a_number_that_is_gone_may_be_another_now(root: Path) -> None:
    assert told(root, door="/dev/video0") == [
        ("warning", "there is no /dev/video0; it may have another number now", f"plug it in, or write one of: {BY_ID}")
    ]


def test_a_machine_without_udev_s_paths_has_no_advice(tmp_path: Path) -> None:
    assert told(tmp_path, door="/dev/video0") == [("warning", "there is no /dev/video0", "plug it in")]


def test_without_usb_cameras_nothing_is_said(root: Path) -> None:
    assert told(root) == []


def test_the_doctor_says_it(root: Path, tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text('[cameras.door.source]\ntype = "v4l2"\ndevice = "/dev/video0"\n')
    _, text = run_doctor(root, False, path, limit_s=0.1)
    assert "there is no /dev/video0; it may have another number now" in text
