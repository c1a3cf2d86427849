"""How a simulated device takes a wish for settings: parsed and checked by the agent's own code, tried, kept or undone.

Nothing runs with these settings, so the trial has one condition: a wish that names another broker cannot reach it.
Pure: time comes in, answers go out.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from edgeagent.config.check import find_mistakes
from edgeagent.config.layers import leaves, merge
from edgeagent.config.toml_text import dotted
from edgeagent.desired_layer import highest_after
from edgeagent.fleet.envelope import MessageError
from edgeagent.fleet.inbound import Desired, parse_desired
from edgeagent.simulate.fleet_values import CAMERA, Character

TRIAL_S: Final = 1.0
Values = dict[str, Any]


def file_layer(who: Character, fleet: str) -> dict[str, Any]:
    """What stands in the device's own file."""
    return {
        "device": {"id": who.name, "fleet": fleet, "groups": list(who.groups)},
        "cameras": {CAMERA: {"source": {"type": "synthetic"}}},
        "models": {"yolo11n": {"path": "sample:conveyor"}},
        "pipelines": {name: {"camera": CAMERA, "model": "yolo11n"} for name in who.pipelines},
    }


@dataclass
class FleetSettings:
    """The settings of one simulated device. Every method returns the values of a `config/reported`, or None."""

    file: dict[str, Any]
    version: int = 0
    in_force: int = 0
    desired: dict[str, Any] = field(default_factory=dict)
    _trial: tuple[Desired, dict[str, Any], float] | None = None

    @property
    def effective(self) -> dict[str, Any]:
        return merge(self.file, self.desired)

    def by_layer(self) -> dict[str, Any]:
        """Each setting's value with the layer that it comes from, as the command `config` tells it."""
        wished = {dotted(path) for path, _ in leaves(self.desired)}
        return {
            (name := dotted(path)): {"value": value, "layer": "desired" if name in wished else "file"}
            for path, value in leaves(self.effective)
        }

    def first(self) -> Values:
        """What is said before any wish has come."""
        return self._values("none" if self.version == 0 else "committed", 0 if self.version == 0 else 200, "")

    def hear(self, payload: bytes, now_s: float) -> Values | None:
        try:
            wish = parse_desired(payload)
        except MessageError as error:
            return self._values("rejected", 400, "it cannot be read", errors=[_mistake("", error.message, "")])
        if wish is None or (wish.version == self.version and wish.version == self.in_force):
            return None  # no wish, or the one that is in force: the broker repeats it at every connection
        if wish.version <= self.version:
            why = f"version {self.version} has been answered already"
            return {**self._values("ignored", 409, why), "version": wish.version, "by": wish.by}
        if wish.version > (highest := highest_after(self.version)):
            why = f"after version {self.version} a wish may have {highest} at most"
            return {**self._values("ignored", 409, why), "version": wish.version, "by": wish.by}
        self.version = wish.version
        return self._try(wish, now_s)

    def _try(self, wish: Desired, now_s: float) -> Values:
        if wish.patch is not None and wish.base != self.in_force:
            why = f"the patch is for version {wish.base}; version {self.in_force} is in force"
            return self._values(
                "rejected", 409, why, errors=[_mistake("", why, "get the newest and wish again")], by=wish.by
            )
        layer = merge(self.desired, wish.patch) if wish.patch is not None else dict(wish.config or {})
        mistakes = find_mistakes(merge(self.file, layer))
        if mistakes:
            why = f"{len(mistakes)} mistake{'s' if len(mistakes) > 1 else ''}; version {self.in_force} stays in force"
            errors = [_mistake(each.path, each.message, each.mend) for each in mistakes]
            return self._values("rejected", 400, why, errors=errors, by=wish.by)
        trial_s = wish.trial_s or TRIAL_S
        self._trial = (wish, layer, now_s + trial_s)
        return self._values("trial", 202, "", by=wish.by, trial_left_s=round(trial_s), layer=layer)

    def tick(self, now_s: float) -> Values | None:
        """The end of a trial, when its time has come."""
        if self._trial is None or now_s < self._trial[2]:
            return None
        (wish, layer, _), self._trial = self._trial, None
        if layer.get("mqtt", {}).get("url") is not None:
            return self._values("rolled_back", 500, "the link was not up with the new settings", by=wish.by)
        self.desired, self.in_force = layer, wish.version
        return self._values("committed", 200, "", by=wish.by)

    def _values(self, state: str, ack: int, reason: str, *, layer: dict[str, Any] | None = None, **more: Any) -> Values:  # noqa: ANN401
        effective = self.effective if layer is None else merge(self.file, layer)
        return {
            "version": self.version,
            "state": state,
            "ack": ack,
            "reason": reason,
            "in_force": self.in_force,
            "hash": _digest(effective),
            "desired": self.desired,
            **more,
        }


def _mistake(path: str, message: str, mend: str) -> dict[str, str]:
    return {"path": path, "message": message, "mend": mend}


def _digest(settings: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(settings, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
