"""Speaking to systemd: what the service manager is told of us, and entries for the journal with fields of their own.

The one place that imports systemd-python, and only where it is installed: the notification is one datagram of text,
sd_notify(3), and is sent by ourselves elsewhere. Outside a service nothing is sent at all.

Invariant: nothing here raises. A service manager that does not listen must not end the agent; what follows from it is
the manager's own doing.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib import import_module
from typing import Any

Send = Callable[[str], None]
SendEntry = Callable[[Mapping[str, str]], None]
USEC = 1_000_000


class Notifier:
    """What the service manager is told. `watchdog_s`: its patience with a silent agent; None: it does not watch."""

    def __init__(self, send: Send, watchdog_s: float | None = None) -> None:
        self._send = send
        self.watchdog_s = watchdog_s
        self._status = ""

    def ready(self) -> None:
        """Everything is started. After `reloading`: what was asked for is in force."""
        self._send("READY=1")

    def status(self, text: str) -> None:
        """One line for `systemctl status`; the same one again is not sent."""
        line = " ".join(text.split())
        if line != self._status:
            self._status = line
            self._send(f"STATUS={line}")

    def alive(self) -> None:
        """The sign of life that the watchdog waits for. Only for a caller that has just seen that the work goes on."""
        if self.watchdog_s is not None:
            self._send("WATCHDOG=1")

    def reloading(self) -> None:
        """The config is read anew; `ready` ends it."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def extend(self, seconds: float) -> None:
        """Starting or stopping goes on, and may take that much longer from now on."""
        self._send(f"EXTEND_TIMEOUT_USEC={round(seconds * USEC)}")

    def stopping(self) -> None:
        self._send("STOPPING=1")


def notifier(environment: Mapping[str, str], pid: int) -> Notifier:
    """The notifier for process `pid` with this environment; one that says nothing outside a service."""
    address = environment.get("NOTIFY_SOCKET", "")
    if not address:
        return Notifier(lambda text: None)
    return Notifier(_library_send() or _plain_send(address), watchdog_s(environment, pid))


def watchdog_s(environment: Mapping[str, str], pid: int) -> float | None:
    """The watchdog's patience where it watches this process, sd_watchdog_enabled(3)."""
    usec, watched = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", str(pid))
    if not usec.isdigit() or int(usec) == 0 or watched != str(pid):
        return None
    return int(usec) / USEC


def _library_send() -> Send | None:
    """systemd-python's; it takes the socket's name from the environment of the process."""
    notify = _from_library("systemd.daemon", "notify")
    if notify is None:
        return None

    def send(text: str) -> None:
        with suppress(OSError):
            notify(text)

    return send


def _plain_send(address: str) -> Send:
    """The same in a few lines. A name that starts with @ is one of the abstract namespace, unix(7)."""
    name = f"\0{address[1:]}" if address.startswith("@") else address

    def send(text: str) -> None:
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as to:
            to.sendto(text.encode(), name)

    return send


def journal_entries() -> SendEntry | None:
    """What writes entries with fields into the journal; None where systemd-python is not installed."""
    sendv = _from_library("systemd.journal", "sendv")
    if sendv is None:
        return None

    def send(fields: Mapping[str, str]) -> None:
        with suppress(OSError):
            sendv(*(f"{name}={value}" for name, value in fields.items()))

    return send


def _from_library(module: str, name: str) -> Callable[..., Any] | None:
    try:
        found = getattr(import_module(module), name, None)
    except ImportError:
        return None
    return found if callable(found) else None
