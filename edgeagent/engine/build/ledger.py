"""What is remembered of engines that could not be made yet: attempts, the course, and failures for good.

    engines/.ledger/<subject>.json

The subject is the engine key without its calibration data, so that it is known before any frame was collected. What
cannot succeed unchanged is remembered with the calibration data it was tried on and the agent's version: other data,
or another version, may try again. `mark` stands for the settings under which all of it happened: with others, the page
counts for nothing. No clock is kept: devices boot in 1970. A file that cannot be read counts as none.
"""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edgeagent.durable import replace_file
from edgeagent.engine.build.policy import Course
from edgeagent.engine.store import store_error

SUBJECT = re.compile(r"[0-9a-f]{32}")


class Stopped(BaseModel):
    """A failure for good."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    code: str
    reason: str
    calibration_digest: str = ""
    agent_version: str = ""


class Page(BaseModel):
    """One engine's page."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    candidate: int = Field(default=0, ge=0)
    attempts: int = Field(default=0, ge=0)
    tries: int = Field(default=0, ge=0)
    workspace_divisor: int = Field(default=1, ge=1)
    level: int | None = Field(default=None, ge=0)
    ceiling: float = Field(default=1.0, gt=0, le=1)
    cancels: int = Field(default=0, ge=0)
    steps: tuple[str, ...] = ()
    stopped: Stopped | None = None
    mark: str = ""

    @property
    def course(self) -> Course:
        return Course(**{name: getattr(self, name) for name in Course.__dataclass_fields__})


class Ledger:
    """The pages under `root` (the store's directory)."""

    def __init__(self, root: Path) -> None:
        self._folder = root / ".ledger"

    def read(self, subject: str) -> Page:
        """The page of a subject, an empty one where there is none or it cannot be read."""
        try:
            return Page.model_validate_json(self._path(subject).read_bytes())
        except (OSError, ValidationError):
            return Page()

    def write(self, subject: str, course: Course, stopped: Stopped | None = None, mark: str = "") -> None:
        """Remember. Raises StoreError when the disk does not take it."""
        page = Page(**{name: getattr(course, name) for name in course.__dataclass_fields__}, stopped=stopped, mark=mark)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            replace_file(self._path(subject), page.model_dump_json(exclude_none=True).encode())
        except OSError as error:
            raise store_error("write", self._path(subject), error) from error

    def forget(self, subject: str) -> None:
        """The engine was made, or an operator wants it tried anew."""
        try:
            self._path(subject).unlink(missing_ok=True)
        except OSError as error:
            raise store_error("remove", self._path(subject), error) from error

    def _path(self, subject: str) -> Path:
        if SUBJECT.fullmatch(subject) is None:
            raise ValueError(f"{subject!r} is no subject")
        return self._folder / f"{subject}.json"
