"""What the installer left for the agent to say: that an upgrade did not work, and which release runs in its place.

The installer writes the file (docs/install.md); the next release that is installed and works removes it. Until then the
device is degraded by it, and says so at every start; the event is published once.
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import structlog
from pydantic import BaseModel, ConfigDict, ValidationError

from edgeagent.app.publisher import Publisher
from edgeagent.durable import replace_file

log = structlog.get_logger("release")

FILE = "rolled-back.json"
COMPONENT = "release"
EVENT = "release-rolled-back"


class RolledBack(BaseModel):
    """The file. `told`: the event has been published."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    from_release: str
    to_release: str
    reason: str
    told: bool = False


class ReleaseNews:
    """Says on MQTT that an upgrade was undone, where one was, and that this is over when the file has gone."""

    def __init__(self, state_dir: Path, publisher: Publisher) -> None:
        self._path = state_dir / FILE
        self._publisher = publisher
        self._told = False

    def tell(self) -> None:
        """At the start."""
        found = read_rolled_back(self._path)
        if found is None:
            return
        self._told = True
        text = f"rolled back from {found.from_release} to {found.to_release}: {found.reason}"
        self._publisher.note(COMPONENT, "degraded", text)
        if not found.told:
            log.error("rolled-back", release=found.from_release, runs=found.to_release, reason=found.reason)
            facts = {"from": found.from_release, "to": found.to_release, "reason": found.reason}
            self._publisher.event(EVENT, "error", text, **facts)
            with suppress(OSError):  # told twice is better than not at all
                replace_file(self._path, json.dumps({**found.model_dump(), "told": True}).encode())

    def look(self) -> None:
        """Now and then: an operator who installs what runs already ends it."""
        if self._told and not self._path.exists():
            self._told = False
            self._publisher.note(COMPONENT, "ok")


def read_rolled_back(path: Path) -> RolledBack | None:
    """None where there is none, or none that can be read: a damaged file must not keep the agent from starting."""
    try:
        return RolledBack.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        log.warning("rolled-back", reason=f"{path} cannot be read: {type(error).__name__}")
        return None
