"""What the tests of the desired config share: a device to set over MQTT, and who looks at its processes. No tests in
here."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from agent_kit import DEVICE, EVERYTHING, FLEET, Family, Watcher, agent, virtual_board, write_config
from test_link_kit import free_port, mosquitto, settings

from edgeagent.fleet.answers import ConfigReported
from edgeagent.fleet.link import MqttLink
from edgeagent.fleet.link_types import LinkEvent, Message
from edgeagent.fleet.results import Result
from edgeagent.fleet.states import EngineState
from edgeagent.simulate.scenes import draw_scene

DESIRED = f"edgeagent/v1/{FLEET}/{DEVICE}/config/desired"
STARTED = re.compile(r"child=(\S+) state=starting pid=(\d+)")
ENDED = ("committed", "rolled_back", "rejected", "ignored")
ENGINES: dict[str, Any] = {"calibration_frames": 16, "holdout_frames": 4, "calibration_interval_s": 0.0}
QUICK: dict[str, Any] = {"trial_s": 2.0, "trial_limit_s": 60.0}


@dataclass
class Device:
    """An agent that runs, as an operator sees it: what is wished goes out, what is reported comes in."""

    watcher: Watcher
    family: Family
    link: MqttLink
    config: Path
    port: int
    state_dir: Path
    version: int = 0
    reports: list[ConfigReported] = field(default_factory=list)

    def publish(self, message: Mapping[str, Any] | bytes, *, retain: bool = True) -> None:
        payload = message if isinstance(message, bytes) else json.dumps(message).encode()
        self.link.publish(DESIRED, payload, qos=1, retain=retain)

    def wish(self, config: Mapping[str, Any] | None = None, **more: Any) -> ConfigReported:
        """A wish of the next version; the report of how it ended."""
        self.version += 1
        body = {"config": config} if config is not None else {}
        self.publish({"version": self.version, **body, **more})
        return self.ended(self.version)

    def ended(self, version: int) -> ConfigReported:
        found: ConfigReported = self.watcher.message(
            ConfigReported, lambda report: report.version == version and report.state in ENDED
        )
        self.reports.append(found)
        return found

    def reported(self, state: str, version: int | None = None) -> ConfigReported:
        found: ConfigReported = self.watcher.message(
            ConfigReported, lambda report: report.state == state and version in (None, report.version)
        )
        return found

    def pids(self) -> dict[str, int]:
        """The device's processes by name: `agent`, `infer-cpu`, `capture-belt`; only those that live."""
        log = (self.config.parent / "agent.log").read_text()
        started = {name: int(pid) for name, pid in STARTED.findall(log)}
        alive = self.family.members()
        agents = {pid for pid, command in alive.items() if " run --config" in command}
        # a child that is not yet what it is started as has the agent's command line, too
        found = [("agent", pid) for pid in agents if (parent := parent_of(pid)) and parent not in agents]
        return dict(found) | {name: pid for name, pid in started.items() if pid in alive}


@contextmanager
def device(
    tmp_path: Path,
    state_dir: Path,
    *options: str,
    login: Mapping[str, str] | None = None,
    serves: bool = True,
    **tables: Mapping[str, Any],
) -> Iterator[Device]:
    """A broker, a device that serves (or is only there), and an operator (with that login)."""
    port, family = free_port(), Family()
    tmp_path.mkdir(exist_ok=True)
    board = virtual_board(tmp_path)
    standard = {"remote": QUICK, "thermal": {"govern": False}, "engines": {**ENGINES, **pictures(state_dir)}}
    if "mqtt" in tables:
        tables = {**tables, "mqtt": {"url": f"mqtt://127.0.0.1:{port}", **tables["mqtt"]}}
    config = write_config(tmp_path / "config.toml", port, state_dir, board, **{**standard, **tables})
    with mosquitto(tmp_path, port, *options), operator(port, **login or {}) as (watcher, link), agent(config, family):
        if serves:
            watcher.message(EngineState, lambda engine: engine.state == "ready")
            watcher.message(Result)
        made = Device(watcher, family, link, config, port, state_dir)
        yield made


def pictures(state_dir: Path) -> dict[str, str]:
    """Pictures to calibrate with: the engine is the same one for every camera, and built once."""
    place = state_dir.parent / "pictures"
    if not place.is_dir():
        place.mkdir()
        rng = np.random.default_rng(1)
        for number in range(24):
            cv2.imwrite(str(place / f"{number:02}.png"), draw_scene(rng, 640, 480)[0])
    return {"calibration_images": str(place)}


def parent_of(pid: int) -> int | None:
    """Whose child it is; None where it has ended."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return None


class Reader(Watcher):
    """Reads what the device says; what it is told is on its branch, too."""

    def take(self, event: LinkEvent) -> None:
        if not (isinstance(event, Message) and (event.topic == DESIRED or not event.payload)):
            super().take(event)


@contextmanager
def operator(port: int, **changes: Any) -> Iterator[tuple[Watcher, MqttLink]]:
    watcher = Reader()
    link = MqttLink(settings(port, client_id="operator", will=None, **changes), watcher.take)
    link.subscribe({EVERYTHING: 0})
    link.start()
    try:
        yield watcher, link
    finally:
        link.stop()


def until(fits: Any, what: str, patience_s: float = 20.0) -> Any:
    """What `fits()` gives once it gives something; looked at ten times a second."""
    deadline = time.monotonic() + patience_s
    while not (found := fits()):
        assert time.monotonic() < deadline, f"not within {patience_s} s: {what}"
        time.sleep(0.1)
    return found
