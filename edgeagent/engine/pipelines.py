"""Which engine serves each pipeline and which one did before: for going back, and so that neither is pruned.

<folder>/<pipeline>.json     {"active": KEY, "previous": KEY}
"""

from __future__ import annotations

import re
from pathlib import Path

from edgeagent.engine.record import Roles
from edgeagent.engine.store_files import Pages
from edgeagent.errors import StoreError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class PipelineBook:
    """The pages of all pipelines. Raises StoreError."""

    def __init__(self, folder: Path, locks: Path) -> None:
        self._pages: Pages[Roles] = Pages(folder, locks, "pipeline", Roles())

    def roles(self, pipeline: str) -> Roles:
        """The pipeline's engines; empty where nothing is known."""
        return self._pages.read(_checked(pipeline))

    def set_active(self, pipeline: str, key: str) -> None:
        name = _checked(pipeline)
        with self._pages.alone(name):
            before = self._pages.read(name)
            after = before.with_active(key)
            if after != before:
                self._pages.write(name, after)

    def forget(self, but: set[str]) -> list[str]:
        """Drop every pipeline that is not among these; the names dropped."""
        dropped = [name for name in self._pages.names() if name not in but]
        for name in dropped:
            with self._pages.alone(name):
                self._pages.remove(name)
        return dropped

    def by_key(self) -> dict[str, list[str]]:
        """What each engine is to pipelines: `active on line-1`, `previous on line-2`."""
        found: dict[str, list[str]] = {}
        every = {name: self._pages.read(name) for name in self._pages.names()}
        for role in ("active", "previous"):
            for name, roles in every.items():
                if key := getattr(roles, role):
                    found.setdefault(key, []).append(f"{role} on {name}")
        return found

    def sweep(self) -> None:
        self._pages.sweep()


def _checked(pipeline: str) -> str:
    if NAME.fullmatch(pipeline) is None:
        raise StoreError(f"{pipeline!r} is no pipeline's name", mend="letters, digits and . _ - make one")
    return pipeline
