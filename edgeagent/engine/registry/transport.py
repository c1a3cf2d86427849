"""What a registry's transport can do: give the bytes of a name, from an offset if it can, and take them.

It knows nothing of engines, keys and signatures, and decides nothing but how to get bytes. Whatever goes wrong is a
RegistryTransportError.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from edgeagent.engine.registry.errors import RegistryDataError, RegistrySetupError
from edgeagent.engine.registry.watch import Watch

CHUNK = 1 << 17


@dataclass(frozen=True)
class Resume:
    """What is there already: `offset` bytes, and what the same server called that version of the file, if it did."""

    offset: int
    validator: str | None


@dataclass(frozen=True)
class Body:
    """A file being read. `start`: where its bytes begin (an offset that was asked for, or 0); `total`: size of the
    whole file as the server says, None where it does not; `validator`: what it calls this version of it."""

    start: int
    total: int | None
    validator: str | None
    chunks: Iterator[bytes]


class Transport(Protocol):
    """One registry. `url` is it for a person."""

    url: str

    def get(self, path: str, resume: Resume | None = None) -> AbstractContextManager[Body | None]:
        """The file `path` (below the registry's URL); None when it is not there."""
        ...

    def put(self, path: str, content: bytes | Path) -> None:
        """Make `path` hold `content`, whole or not at all."""
        ...


def open_registry(url: str, watch: Watch) -> Transport:
    """The transport for a URL. Raises RegistrySetupError."""
    scheme = urlsplit(url).scheme
    if scheme == "file":
        from edgeagent.engine.registry.file_transport import FileTransport

        return FileTransport(url, watch)
    if scheme in ("http", "https"):
        from edgeagent.engine.registry.http_transport import HttpTransport

        return HttpTransport(url, watch)
    if scheme == "s3":
        from edgeagent.engine.registry.s3_transport import S3Transport

        return S3Transport(url, watch)
    raise RegistrySetupError("registry_url", f"{url!r} is no registry")


def read_small(transport: Transport, path: str, most: int) -> bytes | None:
    """A small file, whole; None when it is not there. Raises RegistryDataError when it has more than `most` bytes."""
    with transport.get(path) as body:
        if body is None:
            return None
        content = bytearray()
        for chunk in body.chunks if (body.total or 0) <= most else ():
            content += chunk
            if len(content) > most:
                break
        if len(content) > most or (body.total or 0) > most:
            name = path.rpartition("/")[2]
            raise RegistryDataError("registry_oversized", f"its {name} is larger than {most} bytes", mend="")
        return bytes(content)
