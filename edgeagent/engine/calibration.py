"""Calibration sets: lossless pictures of what the engine will see, part to calibrate, part held out.

    calibration/<name>/0000.png ... set.json
    calibration/.new-<name>-XXXX/      being collected; swept at the next start when its collector is gone
    calibration/.locks/<name>          held while one process collects that set; never deleted

A set is collected once for a camera and an input size, or for a directory of pictures, and then stays: its digest is
part of the engine key, so the same set means the same engine. Written whole or not at all (temporary name, fsync,
rename). Pictures go to disk one by one. Reading is calibration_set.py's.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from edgeagent.durable import sync
from edgeagent.engine.calibration_set import CalibrationSet, Pictures, SetRecord, digest_of, find_set
from edgeagent.engine.locks import try_lock
from edgeagent.engine.store import store_error
from edgeagent.errors import EngineError, StoreError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from edgeagent.engine.spread import SpreadChooser

    Frames = npt.NDArray[np.uint8]

__all__ = [
    "CalibrationSet",
    "Pictures",
    "SetRecord",
    "SetWriter",
    "digest_of",
    "find_set",
    "holdout_last",
    "set_lock",
    "set_name",
    "spread",
    "sweep_sets",
]

NEW_PREFIX, OLD_PREFIX = ".new-", ".old-"
LEAST_SPREAD = 2.0  # standard deviation of pixel values; sensor noise alone stays below


@dataclass(frozen=True)
class _Taken:
    """A picture in the set: when it was taken (a running number), its digest, its liveliness (`spread`)."""

    number: int
    name: str
    digest: bytes
    spread: float


class SetWriter:
    """A set being collected: pictures go to disk as they come, and nothing is left of them without `commit`.

    Either every picture is wanted (`add`), or those that differ most are chosen from a stream (`choose`, then `offer`
    until `settled`).
    """

    def __init__(self, folder: Path) -> None:
        """Collect the set `folder`. The caller holds its `set_lock`. Raises StoreError, as every method does."""
        self._folder = folder
        self._taken: list[_Taken] = []
        self._count = 0
        self._size: tuple[int, int] = (0, 0)
        self._chooser: SpreadChooser | None = None
        with self._translated():
            folder.parent.mkdir(parents=True, exist_ok=True)
            self._new = Path(tempfile.mkdtemp(prefix=f"{NEW_PREFIX}{folder.name}-", dir=folder.parent))

    @property
    def kept(self) -> int:
        """How many pictures are in the set so far."""
        return len(self._taken)

    @property
    def offered(self) -> int:
        """How many pictures were looked at."""
        return self._count

    @property
    def settled(self) -> bool:
        """Whether further offers would bring nothing; False without `choose`."""
        return self._chooser is not None and self._chooser.settled

    def choose(self, count: int, looks: int | None = None) -> None:
        """From here on `offer` keeps the `count` pictures that differ most, of `looks` times as many."""
        from edgeagent.engine.spread import LOOKS, SpreadChooser

        self._chooser = SpreadChooser(count, LOOKS if looks is None else looks)

    def add(self, frame: Frames) -> None:
        """Take a picture, uint8 (H, W, 3) BGR, into the set."""
        self._taken.append(self._written(frame, len(self._taken)))

    def offer(self, frame: Frames) -> bool:
        """Take a picture, uint8 (H, W, 3) BGR, into the set if it is unlike those in it; whether it was taken.

        Raises ValueError without `choose` before.
        """
        from edgeagent.engine.spread import describe

        if self._chooser is None:
            raise ValueError("a set that takes offers is told first how many to choose")
        verdict = self._chooser.offer(describe(frame))
        if not verdict.keep:
            self._count += 1
        elif verdict.replaces is None:
            self.add(frame)
        else:
            self._taken[verdict.replaces] = self._written(frame, verdict.replaces)
        return verdict.keep

    def _written(self, frame: Frames, place: int) -> _Taken:
        import cv2

        self._size = (frame.shape[1], frame.shape[0])
        done, data = cv2.imencode(".png", frame, [cv2.IMWRITE_PNG_COMPRESSION, 1])
        if not done:
            raise StoreError("OpenCV could not encode a calibration frame as PNG")
        name = _file_name(place)
        with self._translated():
            (self._new / name).write_bytes(data.tobytes())
        self._count += 1
        return _Taken(self._count, name, hashlib.sha256(data.tobytes()).digest(), spread(frame))

    def commit(self, holdout: int) -> CalibrationSet:
        """Make what was added the set; `holdout` pictures, spread evenly over the time, are kept apart.

        Raises EngineError when every picture is of one colour: scales made from them would be nonsense, and the set
        would stay.
        """
        self._refuse_blank()
        in_time = sorted(self._taken, key=lambda taken: taken.number)
        ordered = [in_time[index] for index in holdout_last(len(in_time), holdout)]
        record = SetRecord(
            width=self._size[0],
            height=self._size[1],
            files=[taken.name for taken in ordered],
            holdout=holdout,
            digest=hashlib.sha256(b"".join(taken.digest for taken in ordered)).hexdigest(),
            spread=None if self._chooser is None else round(self._chooser.spread, 2),
        )
        with self._translated():
            self._write_out(record)
            self._move_in()
        return CalibrationSet(self._folder, record)

    def _refuse_blank(self) -> None:
        if max((taken.spread for taken in self._taken), default=0.0) < LEAST_SPREAD:
            raise EngineError(
                f"all {len(self._taken)} calibration frames are of one colour",
                mend="uncover the camera, switch the light on; the build tries again",
                code="no_calibration",
                retry=True,
            )

    def _write_out(self, record: SetRecord) -> None:
        """All of the set onto the disk, its record last."""
        for name in record.files:
            sync(self._new / name)
        text = record.model_dump_json(by_alias=True, exclude_none=True)  # as older agents know it, where it can be
        (self._new / "set.json").write_text(text, encoding="utf-8")
        sync(self._new / "set.json")
        sync(self._new)

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


def set_name(camera: str, source: str, width: int, height: int) -> str:
    """The name of the set of one camera, one source and one input size. `source` is its one-line description."""
    mark = hashlib.sha256(f"{source}|{width}x{height}".encode()).hexdigest()[:10]
    return f"{camera}-{mark}"


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
