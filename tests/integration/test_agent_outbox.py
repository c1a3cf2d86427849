"""The whole agent with its outbox: what it wanted to say without a broker is said by its next life."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from agent_kit import WAIT_S, Family, agent, plant, virtual_board, watching, write_config
from test_link_kit import free_port, mosquitto, needs_mosquitto

from edgeagent.fleet.measurements import AgentMeasurement
from edgeagent.fleet.results import Event
from edgeagent.fleet.states import Status


def wait_for(path: Path, text: bytes) -> None:
    deadline, pause = time.monotonic() + WAIT_S, threading.Event()
    while not (path.exists() and text in path.read_bytes()):
        assert time.monotonic() < deadline, f"{text!r} does not come into {path}"
        pause.wait(0.05)


@needs_mosquitto
def test_an_event_of_an_agent_that_was_killed_arrives_with_the_next_one(tmp_path: Path) -> None:
    state, port, family = tmp_path / "state", free_port(), Family()
    state.mkdir()
    (state / "outbox.db").write_bytes(b"no database at all" * 100)
    board = virtual_board(tmp_path)
    config = write_config(tmp_path / "config.toml", port, state, board)
    with plant(board):
        with agent(config, family):
            wait_for(state / "outbox.db-wal", b"outbox-damaged")  # SIGKILL follows
        assert len(list(state.glob("outbox.db.damaged-*"))) >= 1
        with mosquitto(tmp_path, port), watching(port) as watcher, agent(config, family):
            event = watcher.message(Event, lambda e: e.type == "outbox-damaged")
            status = watcher.ever(Status)
            watcher.ever(AgentMeasurement, lambda m: m.outbox_waiting == 0)
    assert event.session != status.session
    assert event.session.rpartition("-")[0] == status.session.rpartition("-")[0]
    assert event.id.startswith(f"bench-1.{event.session}.outbox-damaged.")
