"""Video files of the synthetic camera, to play through `--source FILE` or to show somebody."""

from __future__ import annotations

import re
from pathlib import Path

from edgeagent.errors import OperatorError

SMALLEST = 64
CODECS = {".mp4": "mp4v", ".avi": "MJPG", ".mkv": "mp4v"}


def parse_size(text: str) -> tuple[int, int]:
    """`WIDTHxHEIGHT` in pixels. Raises OperatorError."""
    match = re.fullmatch(r"(\d{2,4})x(\d{2,4})", text)
    if match is None:
        raise OperatorError(f"--size {text!r} is no size", mend="write for example 640x480")
    width, height = int(match[1]), int(match[2])
    if min(width, height) < SMALLEST or width % 2 or height % 2:
        raise OperatorError(f"--size {text}: too small, or odd", mend=f"both sides even, and {SMALLEST} or more")
    return width, height


def write_video(path: Path, size: tuple[int, int], fps: float, frames: int, seed: int) -> None:
    """Write `frames` frames of the conveyor. Raises OperatorError for a suffix or a size that cannot be written."""
    from edgeagent.camera.sources import quiet_opencv

    quiet_opencv()
    import cv2

    from edgeagent.simulate.scenes import ConveyorStream

    codec = CODECS.get(path.suffix.lower())
    if codec is None:
        raise OperatorError(f"cannot write {path.name}", mend=f"name it {', '.join(CODECS)}")
    width, height = size
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), fps, (width, height))
    if not writer.isOpened():
        raise OperatorError(f"cannot write {path}", mend="check the directory and the disk")
    stream = ConveyorStream(width, height, fps, seed)
    try:
        for index in range(frames):
            writer.write(stream.frame(index)[0])
    finally:
        writer.release()
