"""A connection to a web server in which every wait is watched: resolving, connecting, TLS, each read and write.

The standard library's `http.client` speaks HTTP over it. It was chosen over the usual packages because it does nothing
by itself: no proxy from the environment, no redirects, no cookies, no decompression, no retries; and it weighs nothing.
What it lacks is a limit on the time in all, and this module gives it that.
"""

from __future__ import annotations

import contextlib
import io
import os
import select
import socket
import ssl
from collections.abc import Callable, Iterator
from typing import TypeVar

from edgeagent.engine.registry.errors import RegistryTransportError
from edgeagent.engine.registry.watch import Watch, reason_of

Result = TypeVar("Result")
WRITE_PIECE = 1 << 16


class Wire:
    """What `http.client` takes for a socket. The connection itself is closed by `dialled`, and by nobody else."""

    def __init__(self, sock: socket.socket, watch: Watch) -> None:
        self._sock = sock
        self._watch = watch

    def sendall(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            piece = view[:WRITE_PIECE]
            view = view[self._patiently(lambda piece=piece: self._sock.send(piece), select.POLLOUT) :]  # type: ignore[misc]

    def receive_into(self, buffer: memoryview) -> int:
        return self._patiently(lambda: self._sock.recv_into(buffer), select.POLLIN)

    def makefile(self, mode: str) -> io.BufferedReader:
        assert mode == "rb"  # noqa: S101  all that http.client asks for
        return io.BufferedReader(_Reader(self), 1 << 16)

    def close(self) -> None:
        """http.client closes its connection before the answer has been read."""

    def _patiently(self, act: Callable[[], Result], event: int) -> Result:
        self._watch.check()
        while True:
            try:
                return act()
            except ssl.SSLWantWriteError:
                self._watch.wait_for(self._sock, select.POLLOUT, "the server")
            except ssl.SSLWantReadError:
                self._watch.wait_for(self._sock, select.POLLIN, "the server")
            except BlockingIOError:
                self._watch.wait_for(self._sock, event, "the server")


class _Reader(io.RawIOBase):
    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        return self._wire.receive_into(buffer)


@contextlib.contextmanager
def dialled(host: str, port: int, tls: ssl.SSLContext | None, watch: Watch) -> Iterator[Wire]:
    """A connection, closed at the end. Raises RegistryTransportError."""
    sock = _connected(host, port, watch)
    try:
        if tls is not None:
            sock = _secured(sock, host, tls, watch)
        yield Wire(sock, watch)
    finally:
        sock.close()


def _connected(host: str, port: int, watch: Watch) -> socket.socket:
    """A connected socket that does not block: the first of the host's addresses that takes it."""
    failure = RegistryTransportError("registry_unreachable", f"{host} has no address")
    for family, kind, protocol, _, address in watch.resolve(host, port):
        sock = socket.socket(family, kind, protocol)
        try:
            sock.setblocking(False)
            sock.connect_ex(address)
            watch.wait_for(sock, select.POLLOUT, f"a connection to {address[0]} port {port}")
            error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if error == 0:
                return sock
            reason = os.strerror(error).lower()
            failure = RegistryTransportError(
                "registry_unreachable", f"no connection to {address[0]} port {port}: {reason}"
            )
        except RegistryTransportError as stalled:
            if stalled.error_code == "registry_timeout":
                sock.close()
                raise
            failure = stalled
        except BaseException:
            sock.close()
            raise
        sock.close()
    raise failure


def _secured(sock: socket.socket, host: str, tls: ssl.SSLContext, watch: Watch) -> ssl.SSLSocket:
    try:
        secured = tls.wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False)
    except BaseException:
        sock.close()
        raise
    try:
        Wire(secured, watch)._patiently(secured.do_handshake, select.POLLIN)
    except ssl.SSLCertVerificationError as error:
        secured.close()
        why = error.verify_message
        mend = "check the device's clock and the server's certificate; a CA of your own goes into the system's store"
        raise RegistryTransportError(
            "registry_unreachable", f"{host} does not prove who it is: {why}", mend=mend
        ) from error
    except OSError as error:
        secured.close()
        raise RegistryTransportError("registry_unreachable", f"no TLS with {host}: {reason_of(error)}") from error
    except BaseException:
        secured.close()
        raise
    return secured
