"""A calibration set as it lies on disk, and its pictures, read one by one.

    calibration/<name>/0000.png ... set.json

Its digest is part of the engine key, so the same set means the same engine. A set of thousands needs no more memory
than one of ten.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, overload

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edgeagent.errors import StoreError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Frames = npt.NDArray[np.uint8]


FileName = Annotated[str, Field(pattern=r"^[0-9]{4,}\.png$")]


class SetRecord(BaseModel):
    """The content of set.json. `digest` is over the pictures' bytes in order; the last `holdout` are held out.

    `spread` tells how much the pictures differ (spread.py, in grey levels); None in sets that were not chosen so.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    schema_: Literal["edgeagent.calibration/1"] = Field(default="edgeagent.calibration/1", alias="schema")
    width: int
    height: int
    files: list[FileName]
    holdout: int = Field(ge=0)
    digest: str
    spread: float | None = None


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
