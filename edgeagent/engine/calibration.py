"""A calibration set on disk: lossless pictures of what the engine will see, part to calibrate, part held out.

    calibration/<name>/000.png ... set.json

The set is collected once for a camera and an input size and then stays: its digest is part of the engine key, so
the same set means the same engine. Written whole or not at all (temporary name, fsync, rename).
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edgeagent.engine.locks import try_lock
from edgeagent.engine.store import store_error
from edgeagent.errors import StoreError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Frames = npt.NDArray[np.uint8]


NEW_PREFIX = ".new-"


class SetRecord(BaseModel):
    """The content of set.json. `digest` is over the pictures' bytes in order; the last `holdout` are held out."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    schema_: Literal["edgeagent.calibration/1"] = Field(default="edgeagent.calibration/1", alias="schema")
    width: int
    height: int
    files: list[str]
    holdout: int
    digest: str


@dataclass(frozen=True)
class CalibrationSet:
    folder: Path
    record: SetRecord


def set_name(camera: str, source: str, width: int, height: int) -> str:
    """The name of the set of one camera, one source and one input size. `source` is its one-line description."""
    mark = hashlib.sha256(f"{source}|{width}x{height}".encode()).hexdigest()[:10]
    return f"{camera}-{mark}"


def find_set(folder: Path) -> CalibrationSet | None:
    """The whole, undamaged set in `folder`, or None."""
    try:
        record = SetRecord.model_validate_json((folder / "set.json").read_bytes())
        if digest_of([folder / name for name in record.files]) == record.digest:
            return CalibrationSet(folder, record)
    except (OSError, ValidationError):
        return None
    return None


def digest_of(paths: list[Path]) -> str:
    """SHA-256 over the files' SHA-256s, in order."""
    whole = hashlib.sha256()
    for path in paths:
        whole.update(hashlib.sha256(path.read_bytes()).digest())
    return whole.hexdigest()


def save_set(folder: Path, frames: list[Frames], holdout: int) -> CalibrationSet:
    """Write `frames` (uint8 (H, W, 3) BGR, the held-out ones last) as the set `folder`. Raises StoreError."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        new = Path(tempfile.mkdtemp(prefix=f"{NEW_PREFIX}{folder.name}-", dir=folder.parent))
    except OSError as error:
        raise store_error("write", folder, error) from error
    try:
        record = _write(new, frames, holdout)
        if folder.exists():
            shutil.rmtree(folder)
        new.rename(folder)
        _fsync(folder.parent)
        return CalibrationSet(folder, record)
    except OSError as error:
        raise store_error("write", folder, error) from error
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _write(new: Path, frames: list[Frames], holdout: int) -> SetRecord:
    import cv2

    names = [f"{index:03d}.png" for index in range(len(frames))]
    for name, frame in zip(names, frames, strict=True):
        done, data = cv2.imencode(".png", frame, [cv2.IMWRITE_PNG_COMPRESSION, 1])
        if not done:
            raise StoreError("OpenCV could not encode a calibration frame as PNG")
        (new / name).write_bytes(data.tobytes())
    height, width = frames[0].shape[:2]
    digest = digest_of([new / name for name in names])
    record = SetRecord(width=width, height=height, files=names, holdout=holdout, digest=digest)
    (new / "set.json").write_text(record.model_dump_json(by_alias=True), encoding="utf-8")
    for path in new.iterdir():
        _fsync(path)
    return record


def load_frames(found: CalibrationSet) -> tuple[list[Frames], list[Frames]]:
    """The frames to calibrate with and the held-out ones, uint8 (H, W, 3) BGR."""
    import cv2
    import numpy as np

    frames: list[Frames] = []
    for name in found.record.files:
        image = cv2.imread(str(found.folder / name), cv2.IMREAD_COLOR)
        if image is None or image.shape != (found.record.height, found.record.width, 3):
            raise StoreError(
                f"{found.folder / name} is no picture of this set", mend="delete the set; it is collected anew"
            )
        frames.append(image.astype(np.uint8, copy=False))
    cut = len(frames) - found.record.holdout
    return frames[:cut], frames[cut:]


@contextlib.contextmanager
def set_lock(folder: Path) -> Iterator[bool]:
    """Hold the right to collect the set `folder`; yields False when another process collects it."""
    with ExitStack() as stack:
        try:
            free = stack.enter_context(try_lock(folder.parent / ".locks" / folder.name))
        except OSError as error:
            raise store_error("lock", folder, error) from error
        yield free


def sweep_sets(root: Path) -> list[str]:
    """Remove what killed builds left half-written; returns the names. A set being collected now stays."""
    swept = []
    for new in sorted(root.glob(f"{NEW_PREFIX}*")) if root.is_dir() else []:
        with set_lock(root / new.name.removeprefix(NEW_PREFIX).rsplit("-", 1)[0]) as free:
            if free:
                shutil.rmtree(new, ignore_errors=True)
                swept.append(new.name)
    return swept


def _fsync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
