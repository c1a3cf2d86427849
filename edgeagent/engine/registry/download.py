"""Files of an entry on their way: kept in part files, gone on with after a cut or a restart, compared at the end.

    <folder>/<sha256>.part     what has come so far
    <folder>/<sha256>.json     from where, and what that server called this version of the file

A part file is never trusted: when it is complete, its SHA-256 must be the manifest's. Where it is not, and bytes from
an earlier turn are in it, the file is fetched once more from its beginning before the registry is blamed.
"""

from __future__ import annotations

import contextlib
import errno
import json
import shutil
from collections.abc import Callable
from pathlib import Path

from edgeagent.engine.ownership import give_path_to_owner_of
from edgeagent.engine.registry.errors import RegistryDataError, RegistryTransportError
from edgeagent.engine.registry.transport import Body, Resume, Transport
from edgeagent.engine.registry.verdict import Part, judge_content, judge_said_size
from edgeagent.engine.registry.watch import Watch
from edgeagent.engine.store import sha256_of
from edgeagent.engine.store_files import make_folder
from edgeagent.engine.store_files import translated as told

MOST_CUTS = 8  # of one file from one mirror, each after some bytes had come
KEPT_FOLDERS = 4


class PartFile:
    """The part file of one file. Raises StoreError where the disk fails."""

    def __init__(self, folder: Path, part: Part) -> None:
        self.path = folder / f"{part.sha256}.part"
        self._note = folder / f"{part.sha256}.json"
        self._part = part
        with told("write", folder):
            make_folder(folder)
        if self.size() > part.bytes:
            self.drop()

    def size(self) -> int:
        with told("read", self.path):
            return self.path.stat().st_size if self.path.exists() else 0

    def whole(self) -> bool:
        return self.size() == self._part.bytes and self.path.exists()

    def drop(self) -> None:
        with told("remove", self.path):
            self.path.unlink(missing_ok=True)
            self._note.unlink(missing_ok=True)

    def resume(self, url: str) -> Resume | None:
        """How to go on from what is there; None when nothing is. Another mirror's name for the version means nothing
        to this one, and the digest at the end tells whether both have the same file."""
        if not self.size():
            return None
        note: object = None
        with contextlib.suppress(OSError, ValueError):
            note = json.loads(self._note.read_text(encoding="utf-8"))
        validator = note.get("validator") if isinstance(note, dict) and note.get("url") == url else None
        return Resume(self.size(), validator if isinstance(validator, str) else None)

    def take(self, body: Body, url: str, came: Callable[[int], None]) -> None:
        """Write what comes. `came` is told the number of bytes in the file. Raises RegistryDataError when it is too
        much or ends too early, and whatever the transport raises; what had come stays."""
        judge_said_size(self._part, body.total)
        with told("write", self.path):
            self._check_space(self._part.bytes - body.start)
            self._note.write_text(json.dumps({"url": url, "validator": body.validator}), encoding="utf-8")
            file = self.path.open("r+b" if self.path.exists() else "x+b", buffering=0)
            for ours in (self.path, self._note):
                give_path_to_owner_of(ours.parent, ours)
        with file:
            count = body.start
            with told("write", self.path):
                file.truncate(count)
                file.seek(count)
            for chunk in body.chunks:
                count += len(chunk)
                if count > self._part.bytes:
                    break
                with told("write", self.path):
                    _write_all(file.write, chunk)
                came(count)
        if count != self._part.bytes:
            self.drop()
        judge_said_size(self._part, count)

    def _check_space(self, wanted: int) -> None:
        if shutil.disk_usage(self.path.parent).free < wanted:
            raise OSError(errno.ENOSPC, "no space left on device")


def bring(transport: Transport, path: str, part: Part, folder: Path, watch: Watch, came: Callable[[int], None]) -> Path:
    """The file `path` of a registry, whole and compared, as a file in `folder`.

    Raises RegistryDataError, RegistryTransportError and StoreError (disk_full); after the latter two what had come is
    still there for the next time.
    """
    file = PartFile(folder, part)
    mixed = file.size() > 0  # bytes of an earlier turn are in it
    while True:
        if not file.whole():
            mixed = _fill(transport, path, file, watch, came) or mixed
        with told("read", file.path):
            sha256 = sha256_of(file.path)
        try:
            judge_content(part, file.size(), sha256)
        except RegistryDataError:
            file.drop()
            if not mixed:
                raise
            mixed = False
            continue
        return file.path


def _fill(transport: Transport, path: str, file: PartFile, watch: Watch, came: Callable[[int], None]) -> bool:
    """Until the part file has all its bytes; whether it was filled in several turns."""
    for turn in range(MOST_CUTS + 1):
        before = file.size()
        try:
            with transport.get(path, file.resume(transport.url)) as body:
                if body is None:
                    raise RegistryDataError("registry_truncated", "a file that its manifest names is not there")
                file.take(body, transport.url, came)
                return turn > 0 or body.start > 0
        except RegistryTransportError as error:
            watch.tick()
            if error.error_code != "registry_cut" or file.size() <= before or turn == MOST_CUTS:
                raise
    raise AssertionError("the loop ends by return or raise")


def sweep_parts(root: Path, may_go: Callable[[str], bool]) -> None:
    """Remove the part files of all but the last few entries under `root`, unless `may_go` says that one is in use.

    Which are the last is told by their dates; a wrong clock costs no more than a download from the beginning.
    """
    with contextlib.suppress(OSError):
        folders = sorted(root.iterdir(), key=lambda folder: folder.stat().st_mtime_ns, reverse=True)
        for folder in folders[KEPT_FOLDERS:]:
            if may_go(folder.name):
                shutil.rmtree(folder, ignore_errors=True)


def _write_all(write: Callable[[memoryview], int | None], chunk: bytes) -> None:
    view = memoryview(chunk)
    while view:
        view = view[write(view) or 0 :]
