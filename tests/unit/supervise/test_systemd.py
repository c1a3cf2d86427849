"""What systemd is told: over a real datagram socket, named by a path or in the abstract namespace."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgeagent.supervise import systemd
from edgeagent.supervise.systemd import Notifier, journal_entries, notifier, watchdog_s


@pytest.fixture
def no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where systemd-python is not installed."""
    for name in ("systemd", "systemd.daemon", "systemd.journal"):
        monkeypatch.setitem(sys.modules, name, None)


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    """The service manager's end, and its address as it stands in NOTIFY_SOCKET."""
    address = str(tmp_path / "notify") if request.param == "path" else f"@edgeagent-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(address.replace("@", "\0", 1))
        end.settimeout(5)
        yield end, address


def heard(end: socket.socket) -> str:
    return end.recv(4096).decode()


@pytest.mark.usefixtures("no_library")
def test_the_life_of_a_service_is_told(manager: tuple[socket.socket, str]) -> None:
    end, address = manager
    told = notifier({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7"}, 7)
    assert told.watchdog_s == 30.0
    told.ready()
    told.alive()
    told.status("ready;  3\nresults")
    told.extend(1.5)
    told.stopping()
    expected = ["READY=1", "WATCHDOG=1", "STATUS=ready; 3 results", "EXTEND_TIMEOUT_USEC=1500000", "STOPPING=1"]
    assert [heard(end) for _ in expected] == expected


@pytest.mark.usefixtures("no_library")
def test_a_reload_carries_its_time(manager: tuple[socket.socket, str]) -> None:
    end, address = manager
    before = time.monotonic_ns() // 1000
    notifier({"NOTIFY_SOCKET": address}, 7).reloading()
    word, _, usec = heard(end).partition("\nMONOTONIC_USEC=")
    assert word == "RELOADING=1"
    assert before <= int(usec) <= time.monotonic_ns() // 1000


def test_the_same_status_is_told_once() -> None:
    said: list[str] = []
    told = Notifier(said.append)
    for text in ("ready", "ready", "degraded", "ready"):
        told.status(text)
    assert said == ["STATUS=ready", "STATUS=degraded", "STATUS=ready"]


def test_nobody_is_told_outside_a_service_or_of_life_without_a_watchdog() -> None:
    outside = notifier({}, 7)
    outside.ready()
    outside.alive()
    said: list[str] = []
    Notifier(said.append).alive()
    assert said == []


@pytest.mark.usefixtures("no_library")
def test_a_manager_that_has_gone_is_no_error(tmp_path: Path) -> None:
    notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")}, 7).ready()


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "2500000"}, 2.5),
        ({"WATCHDOG_USEC": "2500000", "WATCHDOG_PID": "8"}, None),
    ],
)
def test_whether_the_watchdog_watches_this_process(environment: dict[str, str], expected: float | None) -> None:
    assert watchdog_s(environment, 7) == expected


class Library:
    """Stands for systemd-python: its two functions, and what they were given."""

    def __init__(self) -> None:
        self.notified: list[str] = []
        self.entries: list[tuple[str, ...]] = []

    def notify(self, text: str) -> None:
        self.notified.append(text)
        raise OSError("the manager has gone")

    def sendv(self, *fields: str) -> None:
        self.entries.append(fields)


def test_the_library_is_used_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    library = Library()
    for name in ("systemd", "systemd.daemon", "systemd.journal"):
        monkeypatch.setitem(sys.modules, name, library)  # type: ignore[arg-type]
    notifier({"NOTIFY_SOCKET": "/nowhere"}, 7).ready()
    assert library.notified == ["READY=1"]
    send = journal_entries()
    assert send is not None
    send({"MESSAGE": "here", "EDGEAGENT_CAMERA": "belt"})
    assert library.entries == [("MESSAGE=here", "EDGEAGENT_CAMERA=belt")]


@pytest.mark.usefixtures("no_library")
def test_there_are_no_entries_without_the_library() -> None:
    assert systemd.journal_entries() is None
