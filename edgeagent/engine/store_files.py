"""Small files of the store, each changed under a lock of its own and replaced whole; and errors a person can act on."""

from __future__ import annotations

import contextlib
import errno
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import BaseModel, ValidationError

from edgeagent.durable import replace_file, sync
from edgeagent.engine.locks import LockBusyError, hold_lock, try_lock
from edgeagent.engine.ownership import give_path_to_owner_of
from edgeagent.errors import StoreError

KEY_PATTERN = re.compile(r"[0-9a-f]{32}")
Model = TypeVar("Model", bound=BaseModel)


def store_error(verb: str, path: Path, error: OSError) -> StoreError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreError(
            f"the disk is full: cannot {verb} {path}", mend="free some space", code="disk_full", retry=True
        )
    reason = (error.strerror or str(error)).lower()
    sudo = "use sudo, or " if isinstance(error, PermissionError) else ""
    return StoreError(f"cannot {verb} {path}: {reason}", mend=f"{sudo}check the directory's owner and the disk")


@contextlib.contextmanager
def translated(verb: str, path: Path) -> Iterator[None]:
    """Turn what the file system says into a StoreError a person can act on."""
    try:
        yield
    except OSError as error:
        raise store_error(verb, path, error) from error


@contextlib.contextmanager
def held(lock: Path, *, shared: bool = False) -> Iterator[None]:
    """Hold a lock for the block. Raises StoreError: busy when nobody lets go of it."""
    with ExitStack() as stack:
        try:
            with translated("lock", lock):
                stack.enter_context(hold_lock(lock, shared=shared))
        except LockBusyError as error:
            raise StoreError(
                f"another process holds {lock}", mend="see what it is doing", code="busy", retry=True
            ) from error
        yield


def make_folder(folder: Path) -> None:
    """Make a directory of the store, on the disk when this returns. Raises OSError."""
    if folder.is_dir():
        return
    if not folder.parent.exists():
        make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    give_path_to_owner_of(folder.parent, folder)
    sync(folder.parent)


def sweep_halves(folder: Path, lock: Path, pattern: str) -> None:
    """Remove what killed writers of small files left (durable.py), unless one of them is writing now."""
    with contextlib.suppress(OSError):
        halves = sorted(folder.glob(pattern))
        if halves:
            with try_lock(lock) as free:
                for half in halves if free else ():
                    half.unlink(missing_ok=True)


class Pages(Generic[Model]):
    """Small JSON files `<folder>/<name>.json` of one model. What cannot be read as one counts as empty."""

    def __init__(self, folder: Path, locks: Path, kind: str, empty: Model) -> None:
        self._folder = folder
        self._locks = locks
        self._kind = kind
        self._empty = empty

    def read(self, name: str) -> Model:
        """Raises StoreError where the disk does not let us look."""
        path = self.path(name)
        try:
            return type(self._empty).model_validate_json(path.read_bytes())
        except (FileNotFoundError, NotADirectoryError, ValidationError):
            return self._empty
        except OSError as error:
            raise store_error("read", path, error) from error

    def names(self) -> list[str]:
        with translated("read", self._folder):
            if not self._folder.is_dir():
                return []
            return sorted(p.name.removesuffix(".json") for p in self._folder.glob("*.json") if p.name[0] != ".")

    @contextlib.contextmanager
    def alone(self, name: str) -> Iterator[None]:
        """Nobody else changes this page during the block."""
        with held(self.lock(name)):
            yield

    def write(self, name: str, page: Model) -> None:
        """Replace the page, within `alone`. Raises StoreError; the old one is then still there."""
        path = self.path(name)
        with translated("write", path):
            make_folder(self._folder)
            replace_file(path, page.model_dump_json(exclude_defaults=True).encode() + b"\n")

    def remove(self, name: str) -> None:
        """Remove the page, within `alone`."""
        with translated("remove", self.path(name)):
            self.path(name).unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove half-written pages of writers that were killed."""
        for half in self._folder.glob(".*.json.*.new") if self._folder.is_dir() else ():
            name = half.name[1:].split(".json.")[0]
            sweep_halves(self._folder, self.lock(name), f".{name}.json.*.new")

    def path(self, name: str) -> Path:
        return self._folder / f"{name}.json"

    def lock(self, name: str) -> Path:
        return self._locks / f"{self._kind}-{name}"
