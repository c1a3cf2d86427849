"""A calibration set on disk: lossless pictures of what the engine will see, part to calibrate, part held out.

    calibration/<name>/0000.png ... set.json
    calibration/.new-<name>-XXXX/      being collected; swept at the next start when its collector is gone
    calibration/.locks/<name>          held while one process collects that set; never deleted

The set is collected once for a camera and an input size and then stays: its digest is part of the engine key, so
the same set means the same engine. Written whole or not at all (temporary name, fsync, rename). Pictures go to disk
and come from it one by one: a set of thousands needs no more memory than one of ten.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Literal, overload

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edgeagent.durable import sync
from edgeagent.engine.locks import try_lock
from edgeagent.engine.store import store_error
from edgeagent.errors import EngineError, StoreError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Frames = npt.NDArray[np.uint8]


NEW_PREFIX, OLD_PREFIX = ".new-", ".old-"
LEAST_SPREAD = 2.0  # standard deviation of pixel values; sensor noise alone stays below
FileName = Annotated[str, Field(pattern=r"^[0-9]{4,}\.png$")]


class SetRecord(BaseModel):
    """The content of set.json. `digest` is over the pictures' bytes in order; the last `holdout` are held out."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    schema_: Literal["edgeagent.calibration/1"] = Field(default="edgeagent.calibration/1", alias="schema")
    width: int
    height: int
    files: list[FileName]
    holdout: int = Field(ge=0)
    digest: str


@dataclass(frozen=True)
class CalibrationSet:
    """A whole set. `to_calibrate` and `held_out` read uint8 (H, W, 3) BGR pictures as they are asked for."""

    folder: Path
    record: SetRecord

    def to_calibrate(self) -> Pictures:
        return self._pictures(slice(None, len(self.record.files) - self.record.holdout))

    def held_out(self) -> Pictures:
        return self._pictures(slice(len(self.record.files) - self.record.holdout, None))

    def _pictures(self, which: slice) -> Pictures:
        paths = [self.folder / name for name in self.record.files[which]]
        return Pictures(paths, (self.record.height, self.record.width, 3))


class Pictures(Sequence["Frames"]):
    """Pictures on disk, read one by one. Raises StoreError for one that is not there or of another size."""

    def __init__(self, paths: list[Path], shape: tuple[int, int, int]) -> None:
        self._paths = paths
        self._shape = shape

    def __len__(self) -> int:
        return len(self._paths)

    @overload
    def __getitem__(self, index: int) -> Frames: ...
    @overload
    def __getitem__(self, index: slice) -> Pictures: ...
    def __getitem__(self, index: int | slice) -> Frames | Pictures:
        if isinstance(index, slice):
            return Pictures(self._paths[index], self._shape)
        return self._read(self._paths[index])

    def _read(self, path: Path) -> Frames:
        import cv2
        import numpy as np

        image = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if image is None or image.shape != self._shape:
            raise StoreError(
                f"{path} is no picture of this set", mend="delete the set; it is collected anew", retry=True
            )
        return image.astype(np.uint8, copy=False)


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


class SetWriter:
    """A set being collected: pictures go to disk as they come, and nothing is left of them without `commit`."""

    def __init__(self, folder: Path) -> None:
        """Collect the set `folder`. The caller holds its `set_lock`. Raises StoreError, as every method does."""
        self._folder = folder
        self._digests: list[bytes] = []
        self._size: tuple[int, int] = (0, 0)
        self._most_spread = 0.0
        with self._translated():
            folder.parent.mkdir(parents=True, exist_ok=True)
            self._new = Path(tempfile.mkdtemp(prefix=f"{NEW_PREFIX}{folder.name}-", dir=folder.parent))

    def add(self, frame: Frames) -> None:
        """Take a picture, uint8 (H, W, 3) BGR, into the set."""
        import cv2

        self._size = (frame.shape[1], frame.shape[0])
        self._most_spread = max(self._most_spread, spread(frame))
        done, data = cv2.imencode(".png", frame, [cv2.IMWRITE_PNG_COMPRESSION, 1])
        if not done:
            raise StoreError("OpenCV could not encode a calibration frame as PNG")
        with self._translated():
            _write(self._new / _file_name(len(self._digests)), data.tobytes())
        self._digests.append(hashlib.sha256(data.tobytes()).digest())

    def commit(self, holdout: int) -> CalibrationSet:
        """Make what was added the set; `holdout` pictures, spread evenly over the time, are kept apart.

        Raises EngineError when every picture is of one colour: scales made from them would be nonsense, and the set
        would stay.
        """
        self._refuse_blank()
        order = holdout_last(len(self._digests), holdout)
        digest = hashlib.sha256(b"".join(self._digests[index] for index in order)).hexdigest()
        record = SetRecord(
            width=self._size[0],
            height=self._size[1],
            files=[_file_name(index) for index in order],
            holdout=holdout,
            digest=digest,
        )
        with self._translated():
            _write(self._new / "set.json", record.model_dump_json(by_alias=True).encode())
            sync(self._new)
            self._move_in()
        return CalibrationSet(self._folder, record)

    def _refuse_blank(self) -> None:
        if self._most_spread < LEAST_SPREAD:
            raise EngineError(
                f"all {len(self._digests)} calibration frames are of one colour",
                mend="uncover the camera, switch the light on; the build tries again",
                code="no_calibration",
                retry=True,
            )

    def _move_in(self) -> None:
        """Put the new set where an old one or the rest of one may lie."""
        old = self._folder.with_name(f"{OLD_PREFIX}{self._folder.name}")
        shutil.rmtree(old, ignore_errors=True)
        if self._folder.exists():
            self._folder.rename(old)
        self._new.rename(self._folder)
        sync(self._folder.parent)
        shutil.rmtree(old, ignore_errors=True)

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise store_error("write", self._folder, error) from error

    def __enter__(self) -> SetWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self._new, ignore_errors=True)


def holdout_last(count: int, holdout: int) -> list[int]:
    """The order of `count` pictures in a set: those held out go last, and come from the whole time."""
    picked = [(2 * number + 1) * count // (2 * holdout) for number in range(holdout)]
    return sorted(set(range(count)) - set(picked)) + picked


def spread(frame: Frames) -> float:
    """Standard deviation of `frame`, uint8 (H, W, 3), in its liveliest channel and without the letterbox's bars."""
    import cv2

    from edgeagent.vision.letterbox import PAD_VALUE

    picture = (frame != PAD_VALUE).any(axis=2)
    rows, columns = picture.any(axis=1).nonzero()[0], picture.any(axis=0).nonzero()[0]
    if rows.size == 0:
        return 0.0
    inner = frame[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return float(cv2.meanStdDev(inner)[1].max())


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
    for folder, owner in _leftovers(root):
        with set_lock(root / owner) as free:
            if free:
                shutil.rmtree(folder, ignore_errors=True)
                swept.append(folder.name)
    return swept


def _leftovers(root: Path) -> list[tuple[Path, str]]:
    """Directories that are no sets yet or no more, each with the name of its set."""
    new = [(path, path.name.removeprefix(NEW_PREFIX).rpartition("-")[0]) for path in root.glob(f"{NEW_PREFIX}*")]
    old = [(path, path.name.removeprefix(OLD_PREFIX)) for path in root.glob(f"{OLD_PREFIX}*")]
    return sorted((path, owner) for path, owner in new + old if owner)


def _file_name(index: int) -> str:
    return f"{index:04d}.png"


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
