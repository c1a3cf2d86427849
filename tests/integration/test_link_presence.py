"""Presence: what the retained status says through kills, restarts, late wills and brokers that come back."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from test_link_kit import STATUS, Ear, free_port, mosquitto, needs_mosquitto, program, running, settings, subscriber

from edgeagent.fleet.link_types import Published

pytestmark = needs_mosquitto
CHILD = Path(__file__).parents[1] / "children" / "present.py"
BOTH = pytest.mark.parametrize("protocol", ["5", "3.1.1"])
MANY = 3600


@contextmanager
def device(port: int, protocol: str, session: str, delay_s: int = MANY) -> Iterator[subprocess.Popen[str]]:
    with program([sys.executable, str(CHILD), str(port), protocol, session, str(delay_s)], Ear()) as child:
        yield child


def is_status(line: str, state: str, session: str) -> bool:
    topic, _, rest = line.partition(" ")
    if topic != STATUS or not rest[4:]:
        return False
    said = json.loads(rest[4:])
    return bool(said["state"] == state and said["session"] == session)


def states(seen: Ear) -> list[str]:
    """The states in their order, each once for as long as it lasted."""
    heard = [json.loads(line[len(STATUS) + 5 :])["state"] for line in seen.items if line.startswith(STATUS)]
    return [state for place, state in enumerate(heard) if not place or heard[place - 1] != state]


def retained(port: int) -> str:
    with subscriber(port, STATUS) as late:
        line = late.wait(lambda line: line.startswith(STATUS))
    state: str = json.loads(line[len(STATUS) + 5 :])["state"]
    return state


@BOTH
def test_a_clean_stop_says_stopped_and_nothing_after_it(tmp_path: Path, protocol: str) -> None:
    port = free_port()
    with mosquitto(tmp_path, port) as log, subscriber(port, STATUS) as seen:
        with device(port, protocol, "boot-1", delay_s=0):
            seen.wait(lambda line: is_status(line, "ready", "boot-1"))
        seen.wait(lambda line: is_status(line, "stopped", "boot-1"))
        log.wait(lambda line: "Client bench disconnected" in line)
        assert retained(port) == "stopped"
        assert states(seen) == ["ready", "stopped"]


def test_killed_and_soon_back_nobody_was_told_of_a_loss(tmp_path: Path) -> None:
    """MQTT 5: the will waits. With 3.1.1 it speaks at once, and `ready` follows."""
    port = free_port()
    with mosquitto(tmp_path, port), subscriber(port, STATUS) as seen:
        with device(port, "5", "boot-1") as child:
            seen.wait(lambda line: is_status(line, "ready", "boot-1"))
            child.send_signal(signal.SIGKILL)
            child.wait(20)
        with device(port, "5", "boot-2"):
            seen.wait(lambda line: is_status(line, "ready", "boot-2"))
            assert retained(port) == "ready"
            assert states(seen) == ["ready"]


def test_killed_and_soon_back_with_3_1_1_ends_with_ready(tmp_path: Path) -> None:
    port = free_port()
    with mosquitto(tmp_path, port), subscriber(port, STATUS) as seen:
        with device(port, "3.1.1", "boot-1") as child:
            seen.wait(lambda line: is_status(line, "ready", "boot-1"))
            child.send_signal(signal.SIGKILL)
            child.wait(20)
        with device(port, "3.1.1", "boot-2"):
            seen.wait(lambda line: is_status(line, "ready", "boot-2"))
            assert retained(port) == "ready"
            assert states(seen) in (["ready"], ["ready", "lost", "ready"])


@BOTH
def test_a_connection_that_is_taken_over_leaves_the_newer_word(tmp_path: Path, protocol: str) -> None:
    """The process before hangs and still holds its connection: the broker ends that one, and its will may speak."""
    port = free_port()
    with mosquitto(tmp_path, port), subscriber(port, STATUS) as seen:
        with device(port, protocol, "boot-1", delay_s=0) as hanging:
            seen.wait(lambda line: is_status(line, "ready", "boot-1"))
            hanging.send_signal(signal.SIGSTOP)
            try:
                with device(port, protocol, "boot-2", delay_s=0):
                    seen.wait(lambda line: is_status(line, "ready", "boot-2"))
                    with running(settings(port, client_id="fence", will=None)) as (fence, heard):
                        fence.publish("fence", b"", qos=1, retain=False, tag=1)
                        heard.event(Published)
                    assert retained(port) == "ready"
            finally:
                hanging.send_signal(signal.SIGKILL)


@BOTH
@pytest.mark.parametrize("session", ["boot-1", "boot-2"])
def test_a_will_that_speaks_late_is_answered(tmp_path: Path, protocol: str, session: str) -> None:
    """Of an earlier run, or of this one: the device is there, so `ready` follows at once."""
    port = free_port()
    words = {"schema": "edgeagent.status/1", "session": session, "seq": 1, "ts": 1, "state": "lost", "reason": ""}
    with mosquitto(tmp_path, port), subscriber(port, STATUS) as seen:
        with device(port, protocol, "boot-2"):
            seen.wait(lambda line: is_status(line, "ready", "boot-2"))
            ghost = settings(port, client_id="ghost", will=None)
            with running(ghost) as (link, _):
                link.publish(STATUS, json.dumps(words).encode(), qos=1, retain=True)
                seen.wait(lambda line: is_status(line, "lost", session))
                seen.wait(lambda line: is_status(line, "ready", "boot-2"))


@BOTH
def test_a_status_that_is_taken_away_comes_back(tmp_path: Path, protocol: str) -> None:
    port = free_port()
    with mosquitto(tmp_path, port), subscriber(port, STATUS) as seen:
        with device(port, protocol, "boot-1"), running(settings(port, client_id="x", will=None)) as (link, _):
            seen.wait(lambda line: is_status(line, "ready", "boot-1"))
            link.publish(STATUS, b"", qos=1, retain=True)
            seen.wait(lambda line: line == f"{STATUS} 1 0 ")
            seen.wait(lambda line: is_status(line, "ready", "boot-1"))


@BOTH
def test_a_broker_that_comes_back_with_its_memory_says_ready(tmp_path: Path, protocol: str) -> None:
    port = free_port()
    options = ("persistence true", f"persistence_location {tmp_path}/", "autosave_interval 1", "user root")
    with device(port, protocol, "boot-1", delay_s=0):
        for _ in range(2):
            with mosquitto(tmp_path, port, *options), subscriber(port, STATUS) as seen:
                seen.wait(lambda line: is_status(line, "ready", "boot-1"))
                assert retained(port) == "ready"
                assert states(seen) in (["ready"], ["lost", "ready"])
