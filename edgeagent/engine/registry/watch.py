"""How long a registry is waited for: silence, the time in all, and an ear for whoever wants to end it meanwhile."""

from __future__ import annotations

import select
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from edgeagent.engine.registry.errors import RegistryTransportError

SLICE_S = 0.25  # between two looks at whether the download is still wanted
Resolved = list[tuple[socket.AddressFamily, socket.SocketKind, int, str, tuple[str, int]]]


@dataclass(frozen=True)
class Limits:
    """`stall_s`: silence after which a mirror is left; `timeout_s`: what one mirror may take in all;
    `max_download_mb`: what one entry may have in all (10^6 bytes)."""

    stall_s: float = 20.0
    timeout_s: float = 1800.0
    max_download_mb: int = 2048


class Watch:
    """The patience with one mirror. `tick` is called several times a second while waiting, and may raise to end it.

    `start` begins the time of one mirror; every wait raises RegistryTransportError: registry_stalled when nothing
    came for `stall_s`, registry_timeout when the mirror's time is over.
    """

    def __init__(self, limits: Limits, tick: Callable[[], None]) -> None:
        self.limits = limits
        self.tick = tick
        self.start()

    def start(self) -> None:
        self._until_s = time.monotonic() + self.limits.timeout_s

    def check(self) -> None:
        """Whether the mirror's time is over."""
        if time.monotonic() >= self._until_s:
            raise RegistryTransportError("registry_timeout", f"it took longer than {self.limits.timeout_s:g} s in all")

    def slices(self, what: str) -> Slices:
        """Pieces of one wait for `what`."""
        return Slices(self, what)

    def wait_for(self, sock: socket.socket, event: int, what: str) -> None:
        """Until `sock` is ready for `event` (of select.poll)."""
        poll = select.poll()
        poll.register(sock, event)
        pieces = self.slices(what)
        while not poll.poll(pieces.next_s() * 1000):
            pass

    def resolve(self, host: str, port: int) -> Resolved:
        """The addresses of a host. The resolver has no time limit of its own, so it runs beside us."""
        box: list[Resolved | OSError] = []
        thread = threading.Thread(target=_resolve_into, args=(box, host, port), daemon=True)
        thread.start()
        pieces = self.slices(f"the address of {host}")
        while thread.is_alive():
            thread.join(pieces.next_s())
        if isinstance(box[0], OSError):
            raise RegistryTransportError("registry_unreachable", f"{host} has no address: {reason_of(box[0])}")
        return box[0]


class Slices:
    """One wait in pieces: `next_s` gives the length of the next, after a tick."""

    def __init__(self, watch: Watch, what: str) -> None:
        self._watch = watch
        self._what = what
        self._silent_until_s = time.monotonic() + watch.limits.stall_s

    def next_s(self) -> float:
        self._watch.tick()
        self._watch.check()
        left_s = self._silent_until_s - time.monotonic()
        if left_s <= 0:
            stall_s = self._watch.limits.stall_s
            raise RegistryTransportError(
                "registry_stalled", f"nothing came for {stall_s:g} s, waiting for {self._what}"
            )
        return min(left_s, SLICE_S)


def reason_of(error: Exception) -> str:
    """What the system says, in a few words."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(text).split()).lower()[:200]


def _resolve_into(box: list[Resolved | OSError], host: str, port: int) -> None:
    try:
        box.append(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))  # type: ignore[arg-type]
    except OSError as error:
        box.append(error)
    except UnicodeError as error:  # a label too long for a name
        box.append(OSError(0, f"it is no name: {error}"))
