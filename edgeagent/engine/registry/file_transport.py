"""A registry that is a directory: a mounted share, a stick, a web server's root."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

from edgeagent.durable import sync
from edgeagent.engine.ownership import give_to_owner_of
from edgeagent.engine.registry.errors import RegistryTransportError
from edgeagent.engine.registry.transport import CHUNK, Body, Resume
from edgeagent.engine.registry.watch import Watch, reason_of
from edgeagent.engine.store_files import make_folder

ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR})


class FileTransport:
    """`file:///DIR`. A file that is put appears whole, under its name, or not at all."""

    def __init__(self, url: str, watch: Watch) -> None:
        self.url = url
        self._root = Path(unquote(urlsplit(url).path))
        self._watch = watch

    @contextlib.contextmanager
    def get(self, path: str, resume: Resume | None = None) -> Iterator[Body | None]:
        file = self._opened(path)
        if file is None:
            yield None
            return
        with file:
            state = os.fstat(file.fileno())
            validator = f"{state.st_ino}-{state.st_size}-{state.st_mtime_ns}"
            same = resume is not None and resume.validator in (validator, None) and resume.offset <= state.st_size
            start = resume.offset if resume is not None and same else 0
            file.seek(start)
            yield Body(start, state.st_size, validator, self._chunks(file))

    def put(self, path: str, content: bytes | Path) -> None:
        target = self._root / path
        try:
            if not self._root.is_dir():
                raise RegistryTransportError("registry_unreachable", f"there is no directory {self._root}")
            make_folder(target.parent)
            self._write(target, content)
        except OSError as error:
            raise _failed("write", target, error) from error

    def _write(self, target: Path, content: bytes | Path) -> None:
        fd, name = tempfile.mkstemp(prefix=".new-", dir=target.parent)
        try:
            with os.fdopen(fd, "wb") as file:
                self._copy(content, file)
                os.fchmod(fd, 0o644)  # whoever serves the directory may read it
                give_to_owner_of(target.parent, fd)
                file.flush()
                os.fsync(fd)
            Path(name).replace(target)
            sync(target.parent)
        finally:
            Path(name).unlink(missing_ok=True)

    def _copy(self, content: bytes | Path, file: BinaryIO) -> None:
        if isinstance(content, bytes):
            file.write(content)
            return
        with content.open("rb") as source:
            shutil.copyfileobj(source, file, CHUNK)

    def _opened(self, path: str) -> BinaryIO | None:
        """The file; None when it is not there. A directory that is not there is a registry that cannot be reached."""
        target = self._root / path
        try:
            fd = os.open(target, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe in its place must not hold us
        except OSError as error:
            if error.errno in ABSENT and self._root.is_dir():
                return None
            raise _failed("read", target if self._root.is_dir() else self._root, error) from error
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise RegistryTransportError("registry_unreachable", f"{target} is no regular file")
        return os.fdopen(fd, "rb")

    def _chunks(self, file: BinaryIO) -> Iterator[bytes]:
        while True:
            self._watch.check()
            try:
                chunk = file.read(CHUNK)
            except OSError as error:
                raise RegistryTransportError("registry_cut", f"reading ended: {reason_of(error)}") from error
            if not chunk:
                return
            yield chunk


def _failed(verb: str, path: Path, error: OSError) -> RegistryTransportError:
    mend = "check that it is mounted, and its owner" if verb == "read" else "check the directory's owner and its space"
    return RegistryTransportError("registry_unreachable", f"cannot {verb} {path}: {reason_of(error)}", mend=mend)
