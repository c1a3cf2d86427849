"""How a simulated device obeys commands: parsed by the agent's own code, answered as jobs, and nothing really done.

`doctor`, `snapshot`, `config` and `restart` succeed; `build` takes a few seconds and fails where the device's kind says
so; `bench` fails on a device that is not well; `reboot` is refused, as it is unless the device's file allows it. An id
has one effect: repeated, it gets the last answer again. Pure: time comes in, answers go out.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from edgeagent.fleet.envelope import MessageError
from edgeagent.fleet.inbound import Command, Scope, parse_command
from edgeagent.simulate.fleet_values import Character

OBEYS: Final = ("bench", "build", "config", "doctor", "restart", "snapshot")
BUILD_S: Final = 4.0
PHASES: Final = ("collecting frames", "calibrating", "choosing tactics", "verifying")
_REMEMBERED: Final = 100
Values = dict[str, Any]


@dataclass
class _Running:
    """A job that takes its time."""

    values: Values
    since_s: float
    seconds: float
    last: Values
    told: int = -1


@dataclass
class FleetJobs:
    """The commands of one simulated device. The methods return the values of `job/<id>` messages."""

    who: Character
    settings: Callable[[], Values]
    _answered: OrderedDict[str, Values] = field(default_factory=OrderedDict)
    _running: dict[str, _Running] = field(default_factory=dict)

    def hear(
        self, name: str, scope: Scope, payload: bytes, *, retained: bool, wall_ms: int, now_s: float
    ) -> list[Values]:
        try:
            command = parse_command(payload)
        except MessageError:
            return []  # it names no job that could be answered
        if command.id in self._answered:
            return [self._answered[command.id]]
        values: Values = {"id": command.id, "name": name, "scope": scope, "by": command.by, "accepted_ts": wall_ms}
        if command.deadline_ts is not None:
            values["deadline_ts"] = command.deadline_ts
        refusal = self._refusal(name, command, retained=retained, wall_ms=wall_ms)
        if refusal is not None:
            code, reason = refusal
            return [self._keep({**values, "state": "refused", "code": code, "reason": reason})]
        return self._begin(name, values, command, now_s)

    def _refusal(self, name: str, command: Command, *, retained: bool, wall_ms: int) -> tuple[str, str] | None:
        if retained:
            return "retained", "a command must not be retained"
        if command.deadline_ts is not None and command.deadline_ts < wall_ms:
            return "expired", "its deadline has passed"
        if name == "reboot":
            return "not_allowed", "remote.allow_reboot is false on this device"
        return None if name in OBEYS else ("unknown_command", f"known here: {', '.join(OBEYS)}")

    def _begin(self, name: str, values: Values, command: Command, now_s: float) -> list[Values]:
        accepted = self._keep({**values, "state": "accepted"})
        if name not in ("build", "bench", "restart"):
            return [accepted, self._keep({**values, "state": "succeeded", "result": self._result(name)})]
        seconds = BUILD_S if name == "build" else 1.0
        self._running[command.id] = _Running(values, now_s, seconds, self._last(name, values))
        return [accepted]

    def _result(self, name: str) -> Values:
        if name == "config":
            return {"settings": self.settings()}
        if name == "snapshot":
            return {"topic": f"snap/yard/{self.who.pipelines[0]}"}
        return {"ready": self.who.kind == "well", "lines": [f"board: {self.who.module.name}", "tensorrt: 10.3.0"]}

    def _last(self, name: str, values: Values) -> Values:
        if name == "build" and self.who.kind == "broken":
            reason = "the model has a layer that TensorRT refuses: GridSample"
            return {**values, "state": "failed", "code": "unsupported_layer", "reason": reason}
        if name == "bench" and self.who.kind != "well":
            return {**values, "state": "failed", "code": "not_well", "reason": "the device is not well: no figures"}
        return {**values, "state": "succeeded", "result": {"seconds": BUILD_S} if name == "build" else {}}

    def tick(self, now_s: float, wall_ms: int) -> list[Values]:
        """Progress, a tenth at a time, and ends."""
        told: list[Values] = []
        for job, running in list(self._running.items()):
            share = (now_s - running.since_s) / running.seconds
            if share >= 1.0:
                del self._running[job]
                told.append(self._keep({**running.last, "ended_ts": wall_ms}))
            elif int(10 * share) > running.told:
                running.told = int(10 * share)
                phase = PHASES[int(share * len(PHASES))] if running.values["name"] == "build" else ""
                told.append(
                    self._keep({**running.values, "state": "running", "percent": 10.0 * running.told, "phase": phase})
                )
        return told

    def _keep(self, values: Values) -> Values:
        self._answered[values["id"]] = values
        self._answered.move_to_end(values["id"])
        while len(self._answered) > _REMEMBERED:
            self._answered.popitem(last=False)
        return values
