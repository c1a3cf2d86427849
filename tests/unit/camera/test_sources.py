"""Pictures as drivers hand them over, and the pipeline of a CSI camera."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeagent.camera.gstreamer import pipeline_fault
from edgeagent.camera.sources import OpenCvCapture, _where_cameras_are, as_bgr, csi_pipeline, open_source
from edgeagent.camera.spec import CsiSpec, SyntheticSpec

BGR = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)


def test_bgr_is_left_as_it_is() -> None:
    assert as_bgr(BGR) is not None
    assert np.shares_memory(as_bgr(BGR), BGR)  # type: ignore[arg-type]
    assert np.array_equal(as_bgr(BGR), BGR)  # type: ignore[arg-type]


@pytest.mark.parametrize("grey", [BGR[:, :, 0], BGR[:, :, :1]])
def test_grey_is_spread_over_three_channels(grey: np.ndarray) -> None:
    image = as_bgr(grey)
    assert image is not None
    assert image.shape == (4, 6, 3)
    assert all(np.array_equal(image[:, :, channel], BGR[:, :, 0]) for channel in range(3))


def test_a_fourth_channel_is_dropped() -> None:
    four = np.dstack([BGR, np.full((4, 6), 255, np.uint8)])
    assert np.array_equal(as_bgr(four), BGR)  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 1), (4, 6, 3), (4, 6, 4)])
def test_sixteen_bits_come_down_to_eight(shape: tuple[int, ...]) -> None:
    image = as_bgr(np.full(shape, 0xABCD, np.uint16))
    assert image is not None
    assert (image.dtype, image.shape) == (np.uint8, (4, 6, 3))
    assert (image == 0xAB).all()


@pytest.mark.parametrize(
    "view",
    [
        BGR[::-1], BGR[:, ::-1], BGR[::2, ::3], BGR[:, :, ::-1], np.asfortranarray(BGR), BGR.transpose(1, 0, 2),
        np.broadcast_to(BGR[:1, :1], (4, 6, 3)),
    ],
)  # fmt: skip
def test_odd_strides_keep_their_pixels(view: np.ndarray) -> None:
    assert np.array_equal(as_bgr(view), view)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "junk",
    [
        None, 7, "picture", b"", [[1, 2, 3]], np.uint8(3), np.zeros(5, np.uint8), np.zeros((0, 0, 3), np.uint8),
        np.zeros((0, 6, 3), np.uint8), np.zeros((4, 0, 3), np.uint8), np.zeros((4, 6, 0), np.uint8),
        np.zeros((4, 6, 2), np.uint8), np.zeros((4, 6, 5), np.uint8), np.zeros((1, 4, 6, 3), np.uint8),
        np.zeros((4, 6, 3), np.float32), np.zeros((4, 6, 3), np.int16), np.zeros((4, 6, 3), bool),
        np.zeros((4, 6), object), np.zeros((4, 6), ">u2"), np.zeros((0, 0)),
    ],
)  # fmt: skip
def test_what_is_no_picture_is_none(junk: object) -> None:
    assert as_bgr(junk) is None


class FakeCapture:
    """`cv2.VideoCapture` as it answers when a driver knows nothing about itself."""

    def __init__(self, **properties: float) -> None:
        self._properties = properties

    def get(self, number: int) -> float:
        import cv2

        names = ("FRAME_WIDTH", "FRAME_HEIGHT", "FPS", "FRAME_COUNT")
        name = next(name for name in names if getattr(cv2, f"CAP_PROP_{name}") == number)
        return self._properties.get(name, 0.0)


@pytest.mark.parametrize("fps", [0.0, -1.0, float("nan"), float("inf"), 1e9, 0.01])
def test_a_rate_that_cannot_be_is_thirty(fps: float) -> None:
    assert OpenCvCapture(FakeCapture(FPS=fps), paced=True, ends=True).fps == 30.0


@pytest.mark.parametrize(
    ("count", "expected"), [(0.0, 0), (-1.0, 0), (60.0, 60), (-9.2e18, 0), (9.2e18, 0), (float("nan"), 0)]
)
def test_a_count_that_cannot_be_is_none_at_all(count: float, expected: int) -> None:
    assert OpenCvCapture(FakeCapture(FRAME_COUNT=count), paced=True, ends=True).expected_frames == expected
    assert OpenCvCapture(FakeCapture(FRAME_COUNT=count), paced=False, ends=False).expected_frames == 0


def test_the_pipeline_of_a_csi_camera() -> None:
    pipeline = csi_pipeline(CsiSpec(sensor_id=1, width=1280, height=720, fps=29.97))
    assert "nvarguscamerasrc sensor-id=1 !" in pipeline
    assert "width=1280,height=720,framerate=30/1" in pipeline
    assert pipeline.endswith("! appsink drop=true max-buffers=1 sync=false")


def test_a_synthetic_camera_can_leave_out_frames() -> None:
    spec = SyntheticSpec(width=64, height=48, fps=30.0, seed=3)
    one, two = open_source("cam", spec), open_source("cam", spec)
    for _ in range(5):
        one.read()
    two.skip(5)
    sixth, other_sixth = one.read(), two.read()
    assert sixth is not None
    assert other_sixth is not None
    assert np.array_equal(sixth, other_sixth)
    one.close()
    two.close()


def test_without_gstreamer_nobody_is_asked_about_a_pipeline() -> None:
    assert pipeline_fault("nosuchsrc ! appsink", name="libnosuch.so.0") is None


def test_a_missing_device_is_told_with_the_names_that_stay(tmp_path: Path) -> None:
    """A camera that was plugged in again may have another number."""
    missing = tmp_path / "video0"
    assert "ls -l" in _where_cameras_are(missing, tmp_path)
    (tmp_path / "video2").touch()
    assert _where_cameras_are(missing, tmp_path).endswith(f"another number now: there are {tmp_path}/video2")
    by_id = tmp_path / "v4l" / "by-id"
    by_id.mkdir(parents=True)
    for name in ("usb-Maker_Cam_1234-video-index0", "usb-Maker_Cam_1234-video-index1"):
        (by_id / name).symlink_to("../../video2")
    assert _where_cameras_are(missing, tmp_path).endswith(f"write {by_id}/usb-Maker_Cam_1234-video-index0")


def test_the_rate_of_before_stands_in_for_one_that_the_source_does_not_know() -> None:
    untold = OpenCvCapture(FakeCapture(FPS=90000.0), paced=False, ends=False, fps=12.5)
    assert (untold.fps, untold.fps_known) == (12.5, True)
    assert OpenCvCapture(FakeCapture(FPS=25.0), paced=False, ends=False, fps=12.5).fps == 25.0


def test_a_rate_that_was_guessed_is_told_from_one_that_is_known() -> None:
    assert OpenCvCapture(FakeCapture(FPS=12.5), paced=False, ends=False).fps_known
    assert not OpenCvCapture(FakeCapture(), paced=False, ends=False).fps_known
