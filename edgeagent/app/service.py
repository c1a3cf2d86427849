"""The agent and what watches over it on this machine: systemd, and whoever reads the status file.

Once a second the loop itself tells both that it goes on; a loop that hangs tells nobody, and that is the sign. The
file is for the installer, for `edgeagent status` and for people: it is in memory (`/run`), and replaced as a whole.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Literal

from edgeagent import __version__
from edgeagent.app.publisher import Publisher
from edgeagent.app.release_news import ReleaseNews
from edgeagent.fleet.link_types import LinkStats
from edgeagent.supervise.systemd import Notifier

SCHEMA = "edgeagent/status/1"
FILE = "status.json"
STOP_S = 110.0  # above the power helper's patience with two tools that hang
READY_STATES = ("ready", "degraded")


class ServiceDesk:
    """For the event loop only. `directories`: run_dir, state_dir. `link_alive`: whether the link's thread runs."""

    def __init__(
        self,
        notifier: Notifier,
        directories: tuple[Path, Path],
        session: str,
        publisher: Publisher,
        link_alive: Callable[[], bool],
    ) -> None:
        self._notifier = notifier
        run_dir, state_dir = directories
        self._path = run_dir / FILE
        self._release = ReleaseNews(state_dir, publisher)
        self._session = session
        self._publisher = publisher
        self._link_alive = link_alive
        self._written = b""

    def started(self) -> None:
        """Everything has been started."""
        self._notifier.ready()
        self._release.tell()

    def second(self, link: LinkStats) -> None:
        """A second has passed in which the loop did its work."""
        self._release.look()
        facts = self._facts(link)
        self._notifier.status(status_line(facts))
        self._write(facts)
        if self._link_alive():
            self._notifier.alive()

    def reload(self, word: Literal["reloading", "ready"]) -> None:
        """The config file is being read, or has been."""
        if word == "reloading":
            self._notifier.reloading()
        else:
            self._notifier.ready()

    def stopping(self) -> None:
        """We end. A tool that hangs while the board's power is set back may hold that up."""
        self._notifier.stopping()
        self._notifier.extend(STOP_S)

    def _facts(self, link: LinkStats) -> dict[str, object]:
        state, reason, components = self._publisher.standing()
        return {
            "schema": SCHEMA,
            "version": __version__,
            "pid": os.getpid(),
            "session": self._session,
            "state": state,
            "reason": reason,
            "connected": link.connected,
            "results": self._publisher.results,
            "components": components,
        }

    def _write(self, facts: Mapping[str, object]) -> None:
        data = f"{json.dumps(facts, indent=1)}\n".encode()
        if data == self._written:
            return
        with suppress(OSError):  # a full /run is no reason to end
            beside = self._path.with_name(f".{FILE}.new")
            beside.write_bytes(data)
            beside.replace(self._path)
            self._written = data


def status_line(facts: Mapping[str, object]) -> str:
    """The line for `systemctl status`."""
    link = "broker reached" if facts["connected"] else "no broker"
    reason = f": {facts['reason']}" if facts["reason"] else ""
    return f"{facts['state']}{reason}; {link}; {facts['results']} results"
