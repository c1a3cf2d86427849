"""The next wish for a device: its version, and what it is built upon. Pure.

A wish is sent whole unless a patch is asked for: what the broker keeps is then all that a device needs, even one whose
state was lost. A device reports no secrets, so a layer that has some is built upon the wish that the broker still keeps
or, where that is another one, changed by a patch: the device knows what it hides. Two operators at once do not mix
their wishes up: both choose the same version, and the device ignores the one that comes second.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgeagent.desired_layer import MOST_VERSION, has_hidden, merge_patch
from edgeagent.errors import OperatorError
from edgeagent.fleet.answers import ConfigReported
from edgeagent.fleet.inbound import Desired


@dataclass(frozen=True)
class Known:
    """What the broker has of a device: its newest answer, the wish that waits for it, and its status."""

    reported: ConfigReported | None = None
    wish: Desired | None = None
    state: str = ""

    @property
    def version(self) -> int:
        """The newest that anybody has used and that counts."""
        said = self.reported
        newest = 0 if said is None else max(said.version if said.answered is None else said.answered, said.in_force)
        return max(newest, 0 if self.wish is None or self._ignored else self.wish.version)

    @property
    def _ignored(self) -> bool:
        """Whether the device has heard the wish that waits there, and does not count it."""
        said = self.reported
        return (
            said is not None and self.wish is not None and (said.state, said.version) == ("ignored", self.wish.version)
        )

    @property
    def pending(self) -> Desired | None:
        """The wish that the device has not answered yet."""
        answered = 0 if self.reported is None else self.reported.version
        return self.wish if self.wish is not None and self.wish.version > answered else None

    @property
    def layer(self) -> dict[str, Any]:
        """The desired layer as it is, or will be once the pending wish is committed."""
        committed = self._committed
        if self.pending is None:
            return committed
        if self.pending.patch is not None:
            return merge_patch(committed, self.pending.patch)
        return dict(self.pending.config or {})

    @property
    def _committed(self) -> dict[str, Any]:
        """As the device tells it; where that hides something, as the broker keeps it, if it has that very wish."""
        if self.reported is None:
            return {}
        kept, told = self.wish, dict(self.reported.desired)
        same = kept is not None and kept.version == self.reported.in_force
        return dict(kept.config) if kept and kept.config is not None and same and has_hidden(told) else told


@dataclass(frozen=True)
class Change:
    """What the operator wants: exactly one of the two. `on_device`: the device merges the patch, not we."""

    whole: Mapping[str, Any] | None = None
    patch: Mapping[str, Any] | None = None
    on_device: bool = False
    trial_s: float | None = None
    by: str = ""


def next_wish(known: Known, change: Change) -> Desired:
    """Raises OperatorError where there is no higher version."""
    if known.version >= MOST_VERSION:
        raise OperatorError(
            f"version {known.version} is the highest that a wish can have, and it has been used",
            mend="stop the agent, and remove the directory config of its state directory",
        )
    common: dict[str, Any] = {"version": known.version + 1, "trial_s": change.trial_s, "by": change.by}
    on_device = change.on_device or has_hidden(known.layer)
    if change.patch is not None and on_device:
        base = 0 if known.reported is None else known.reported.in_force
        return Desired(**common, base=base, patch=dict(change.patch))
    whole = change.whole if change.patch is None else merge_patch(known.layer, change.patch)
    return Desired(**common, config=dict(whole or {}))
