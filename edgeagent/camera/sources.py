"""Frame sources behind one small protocol. The only place that opens cameras, files and streams through OpenCV.

A source may hang in a driver at any time: it is used by a capture child only, which the agent kills when it falls
silent. `read()` returns BGR uint8 (H, W, 3), or None when this frame could not be had.
"""

from __future__ import annotations

import math
import os
import stat
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from edgeagent.camera.gstreamer import pipeline_fault
from edgeagent.camera.spec import (
    CsiSpec,
    FileSpec,
    GStreamerSpec,
    RtspSpec,
    SourceSpec,
    SyntheticSpec,
    V4l2Spec,
    redact_url,
)
from edgeagent.errors import SourceError

Image = npt.NDArray[np.uint8]
SAME_RATE = 0.05  # a share: cameras that say 30 and mean 29.97


class EndOfSource(Exception):
    """The source has no more frames and never will."""


class FrameSource(Protocol):
    """An open source. `fps` is a guess where it is not `fps_known`. `paced` sources hand out frames as fast as they are
    asked and need a timetable."""

    width: int
    height: int
    fps: float
    fps_known: bool
    paced: bool
    expected_frames: int

    def read(self) -> Image | None:
        """The next frame, None when it could not be had. Raises EndOfSource."""
        ...

    def skip(self, frames: int) -> None:
        """Leave out the next frames. Raises EndOfSource."""
        ...

    def pass_over(self) -> bool:
        """Leave out the next frame with as little work as can be: it is taken from the source, so that the newest one
        is always next, and not turned into a picture. False when it could not be had. Raises EndOfSource."""
        ...

    def close(self) -> None: ...


def open_source(camera: str, spec: SourceSpec, fps: float | None = None) -> FrameSource:
    """Open what `spec` names. Raises SourceError with the reason and the mend.

    `fps`: the rate that it had before, which need not be measured again.
    """
    if isinstance(spec, SyntheticSpec):
        return _open_synthetic(camera, spec)
    if isinstance(spec, FileSpec):
        return _open_file(camera, spec)
    if isinstance(spec, RtspSpec):
        return _open_rtsp(camera, spec, fps)
    if isinstance(spec, V4l2Spec):
        return _open_v4l2(camera, spec)
    pipeline = spec.pipeline if isinstance(spec, GStreamerSpec) else csi_pipeline(spec)
    return _open_gstreamer(camera, pipeline)


class SyntheticCamera:
    """Drawn parts on a conveyor: the same frame for the same number, whatever the machine."""

    paced = True
    fps_known = True
    expected_frames = 0

    def __init__(self, spec: SyntheticSpec) -> None:
        from edgeagent.simulate.scenes import ConveyorStream

        self.width, self.height, self.fps = spec.width, spec.height, spec.fps
        self._stream = ConveyorStream(spec.width, spec.height, spec.fps, spec.seed)
        self._image: Image | None = None
        self._index = 0

    def read(self) -> Image | None:
        self._image, _, _ = self._stream.frame(self._index, self._image)
        self._index += 1
        return self._image

    def skip(self, frames: int) -> None:
        self._index += frames

    def pass_over(self) -> bool:
        self._index += 1
        return True

    def close(self) -> None:
        self._image = None


class OpenCvCapture:
    """Anything `cv2.VideoCapture` reads. `ends` tells a failed read apart: end of file, or trouble."""

    def __init__(self, capture: Any, *, paced: bool, ends: bool, fps: float | None = None) -> None:  # noqa: ANN401  cv2 has no stable types
        import cv2

        self._capture = capture
        self._ends = ends
        self.paced = paced
        self.width = int(capture.get(cv2.CAP_PROP_FRAME_WIDTH))
        self.height = int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
        told = capture.get(cv2.CAP_PROP_FPS)
        known = told if 0.1 <= told <= 1000 else fps
        self.fps_known = known is not None
        self.fps = 30.0 if known is None else known
        count = capture.get(cv2.CAP_PROP_FRAME_COUNT) if ends else 0
        self.expected_frames = int(count) if 0 < count < 1e9 else 0

    def read(self) -> Image | None:
        done, image = self._capture.read()
        if not done:
            if self._ends:
                raise EndOfSource
            return None
        return as_bgr(image)

    def skip(self, frames: int) -> None:
        for _ in range(frames):
            if not self._capture.grab():
                raise EndOfSource

    def pass_over(self) -> bool:
        if not self._capture.grab():
            if self._ends:
                raise EndOfSource
            return False
        return True

    def close(self) -> None:
        self._capture.release()


def as_bgr(image: object) -> Image | None:
    """Any picture a driver may hand over as BGR uint8 (H, W, 3); None when it is no picture at all.

    Grey is spread over three channels, a fourth channel is dropped, 16-bit is brought down to 8.
    """
    if not isinstance(image, np.ndarray) or image.size == 0:
        return None
    if image.dtype == np.uint16:
        image = (image >> 8).astype(np.uint8)
    if image.dtype != np.uint8:
        return None
    if image.ndim == 2:
        image = image[:, :, None]
    if image.ndim != 3 or image.shape[2] not in (1, 3, 4):
        return None
    if image.shape[2] == 1:
        return np.ascontiguousarray(np.repeat(image, 3, axis=2))
    return image[:, :, :3]


def quiet_opencv() -> None:
    """Before OpenCV is imported: no chatter on stderr, one thread (the engine needs the others)."""
    os.environ.setdefault("OPENCV_LOG_LEVEL", "OFF")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    import cv2

    cv2.setNumThreads(1)


def opencv_has_gstreamer() -> bool:
    import cv2

    lines = (line.split(":") for line in cv2.getBuildInformation().splitlines() if "GStreamer:" in line)
    return any(parts[1].strip().startswith("YES") for parts in lines)


def csi_pipeline(spec: CsiSpec) -> str:
    """The Argus pipeline of a CSI camera, scaled and converted in hardware up to the last step."""
    return (
        f"nvarguscamerasrc sensor-id={spec.sensor_id} ! video/x-raw(memory:NVMM),width={spec.width},"
        f"height={spec.height},framerate={math.ceil(spec.fps)}/1 ! nvvidconv ! video/x-raw,format=BGRx ! "
        "videoconvert ! video/x-raw,format=BGR ! appsink drop=true max-buffers=1 sync=false"
    )


def _open_synthetic(camera: str, spec: SyntheticSpec) -> SyntheticCamera:
    try:
        return SyntheticCamera(spec)
    except ValueError as error:
        raise SourceError(
            f"camera {camera}: {error}", mend="ask for a larger picture or another rate", code="source_wrong"
        ) from error


def _open_file(camera: str, spec: FileSpec) -> OpenCvCapture:
    import cv2

    path = Path(spec.path).absolute()  # FFmpeg takes what comes before a colon in a bare name for a protocol
    _check_file(camera, path)
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    if not capture.isOpened():
        raise SourceError(
            f"camera {camera}: {path} is no video that OpenCV can read, or it is cut short before its index",
            mend="copy the video again, or convert it with ffmpeg",
            code="source_unreadable",
        )
    return OpenCvCapture(capture, paced=True, ends=True)


def _check_file(camera: str, path: Path) -> None:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise SourceError(f"camera {camera}: {path} is no file", mend="name a video file", code="source_wrong")
        with path.open("rb") as file:
            empty = not file.read(1)
    except OSError as error:
        missing = isinstance(error, FileNotFoundError | NotADirectoryError)
        text = f"there is no file {path}" if missing else f"{path} cannot be read: {error.strerror}"
        code = "source_missing" if missing else "source_unreadable"
        raise SourceError(f"camera {camera}: {text}", mend="check the path and its owner", code=code) from error
    if empty:
        raise SourceError(f"camera {camera}: {path} is empty", mend="copy the video again", code="source_unreadable")


def _open_rtsp(camera: str, spec: RtspSpec, fps: float | None) -> OpenCvCapture:
    """FFmpeg measures the rate over 20 frames before a stream is open, whatever the stream says of it: 0.8 s at 25 fps.

    A rate of before is believed without that, unless the stream now says another one.
    """
    if fps is not None:
        source = OpenCvCapture(_rtsp_capture(camera, spec, "|fpsprobesize;0"), paced=False, ends=False, fps=fps)
        if abs(source.fps - fps) <= SAME_RATE * fps:
            return source
        source.close()
    return OpenCvCapture(_rtsp_capture(camera, spec), paced=False, ends=False)


def _rtsp_capture(camera: str, spec: RtspSpec, options: str = "") -> Any:  # noqa: ANN401  cv2 has no stable types
    os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] = f"rtsp_transport;{spec.transport}{options}"
    import cv2

    limits = [
        cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, int(spec.open_timeout_s * 1000),
        cv2.CAP_PROP_READ_TIMEOUT_MSEC, int(spec.stall_timeout_s * 1000),
    ]  # fmt: skip
    capture = cv2.VideoCapture(spec.url, cv2.CAP_FFMPEG, limits)
    if not capture.isOpened():
        raise SourceError(
            f"camera {camera}: {redact_url(spec.url)} did not answer as an RTSP stream",
            mend="check the address, the credentials and that the camera is on",
            retry=True,
            code="source_unreachable",
        )
    return capture


def _open_v4l2(camera: str, spec: V4l2Spec) -> OpenCvCapture:
    import cv2

    _check_device(camera, Path(spec.device))
    os.environ["OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT"] = str(math.ceil(spec.stall_timeout_s))  # its own: ten seconds
    capture = cv2.VideoCapture(spec.device, cv2.CAP_V4L2)
    wishes = ((cv2.CAP_PROP_FRAME_WIDTH, spec.width), (cv2.CAP_PROP_FRAME_HEIGHT, spec.height))
    for key, value in (*wishes, (cv2.CAP_PROP_FPS, spec.fps)):
        if value is not None:
            capture.set(key, value)
    if not capture.isOpened():
        raise SourceError(
            f"camera {camera}: {spec.device} cannot be opened as a camera",
            mend="see `v4l2-ctl --list-devices`, and whether another program holds it",
            retry=True,
            code="source_unreadable",
        )
    return OpenCvCapture(capture, paced=False, ends=False)


def _check_device(camera: str, path: Path) -> None:
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise SourceError(
            f"camera {camera}: there is no device {path}",
            mend=_where_cameras_are(path),
            retry=True,
            code="source_missing",
        ) from error
    if not stat.S_ISCHR(mode):
        raise SourceError(f"camera {camera}: {path} is no device", mend="name a /dev/video device", code="source_wrong")


def _where_cameras_are(missing: Path, root: Path = Path("/dev")) -> str:
    """What to do about a device that is not there. The kernel numbers a camera anew when it is plugged in again."""
    lasting = sorted(str(path) for path in (root / "v4l" / "by-id").glob("*-index0"))
    others = sorted(str(path) for path in root.glob("video*") if path != missing)
    if lasting:
        return f"plug the camera in; if it is, it has another number now: write {', '.join(lasting[:4])}"
    if others:
        return f"plug the camera in; if it is, it has another number now: there are {', '.join(others[:4])}"
    return "plug the camera in; `ls -l /dev/v4l/by-id` lists what is there"


def _open_gstreamer(camera: str, pipeline: str) -> OpenCvCapture:
    import cv2

    if not opencv_has_gstreamer():
        raise SourceError(
            f"camera {camera}: this OpenCV ({cv2.__version__}) was built without GStreamer",
            mend="use the OpenCV of JetPack or of the distribution (python3-opencv), not the one from pip",
            code="opencv_without_gstreamer",
        )
    fault = pipeline_fault(pipeline)
    if fault is not None:
        raise SourceError(
            f"camera {camera}: GStreamer refuses the pipeline: {redact_url(fault)}",
            mend="correct the pipeline, or install the plugin that it needs; try it with gst-launch-1.0",
            code="source_wrong",
        )
    capture = cv2.VideoCapture(pipeline, cv2.CAP_GSTREAMER)
    if not capture.isOpened():
        raise SourceError(
            f"camera {camera}: GStreamer cannot start the pipeline",
            mend="try it with gst-launch-1.0, fakesink in place of appsink",
            retry=True,
            code="source_unreadable",
            facts={"pipeline": redact_url(pipeline)},
        )
    return OpenCvCapture(capture, paced=False, ends=False)
