"""The endpoint for Prometheus: what it gives, for how long, and what stands in its way."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from wire_kit import Remembering, publisher_over

from edgeagent.app.prometheus import Metrics, open_endpoint
from edgeagent.clock import ManualClock
from edgeagent.config.schema import Config
from edgeagent.fleet.examples import TOPICS, examples

STALE_S = 15.0


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def metrics(clock: ManualClock) -> Metrics:
    return Metrics(clock, STALE_S)


def text(metrics: Metrics) -> str:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(metrics)
    return generate_latest(registry).decode()


def told_everything(metrics: Metrics) -> str:
    for topic, message in examples().items():
        metrics.take(topic, message)
    return text(metrics)


def test_every_example_is_exposed(metrics: Metrics) -> None:
    exposed = told_everything(metrics)
    assert 'edgeagent_thermal_zone_celsius{zone="gpu"} 61.5' in exposed
    assert 'edgeagent_camera_frames_total{camera="yard"} 48211.0' in exposed
    assert 'edgeagent_pipeline_detections_total{camera="yard",pipeline="people"} 61.0' in exposed
    assert 'edgeagent_status{state="degraded"} 1.0' in exposed


def test_promtool_finds_nothing_to_say(metrics: Metrics) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian: prometheus)")
    command = [promtool, "check", "metrics"]
    done = subprocess.run(command, input=told_everything(metrics), text=True, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_counts_of_intervals_are_added_up(metrics: Metrics) -> None:
    topic = TOPICS.summary("yard", "people")
    for _ in range(3):
        metrics.take(topic, examples()[topic])
    assert 'edgeagent_pipeline_results_total{camera="yard",pipeline="people"} 75.0' in text(metrics)


def test_a_value_that_is_not_said_again_ends_and_a_counter_waits(metrics: Metrics, clock: ManualClock) -> None:
    told_everything(metrics)
    clock.advance(STALE_S + 1)
    exposed = text(metrics)
    assert "edgeagent_camera_fps" not in exposed
    assert 'edgeagent_camera_frames_total{camera="yard"} 48211.0' in exposed
    assert 'edgeagent_status{state="degraded"} 1.0' in exposed
    clock.advance(3600)
    exposed = text(metrics)
    assert "edgeagent_camera_frames_total" not in exposed
    assert 'edgeagent_alarm{severity="warning",type="hot"} 1.0' in exposed


def test_a_cleared_alarm_is_gone(metrics: Metrics) -> None:
    told_everything(metrics)
    metrics.take(TOPICS.alarm("hot"), None)
    assert "edgeagent_alarm{" not in text(metrics)


def test_words_that_are_labels_are_escaped(metrics: Metrics) -> None:
    info = examples()[TOPICS.info]
    metrics.take(TOPICS.info, info.model_copy(update={"agent_version": 'a"b\\c\nd'}))
    assert r'version="a\"b\\c\nd"' in text(metrics)


# The port


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def settings(port: int | None) -> Config:
    return Config.model_validate({"device": {"id": "gate-07"}, "metrics": {"prometheus_port": port}})


@contextmanager
def held() -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield int(taken.getsockname()[1])


def test_it_answers_on_loopback_and_ends(clock: ManualClock) -> None:
    publisher = publisher_over(Remembering(), TOPICS, clock)
    publisher.status("ready")
    port = free_port()
    endpoint = open_endpoint(settings(port), publisher, clock)
    assert endpoint is not None
    publisher.measurement("thermal", {"temp_max_c": 50.5})
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        body = answer.read().decode()
    assert "edgeagent_thermal_max_celsius 50.5" in body
    assert 'edgeagent_status{state="ready"} 1.0' in body
    assert publisher.component("metrics") == "ok"
    endpoint.close()
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", port), timeout=10)
    again = open_endpoint(settings(port), publisher, clock)
    assert again is not None
    again.close()


def test_it_is_off_by_default(clock: ManualClock) -> None:
    publisher = publisher_over(Remembering(), TOPICS, clock)
    assert open_endpoint(settings(None), publisher, clock) is None
    assert publisher.component("metrics") is None


def test_a_taken_port_costs_the_numbers_and_is_told(clock: ManualClock) -> None:
    link = Remembering()
    publisher = publisher_over(link, TOPICS, clock)
    with held() as port:
        assert open_endpoint(settings(port), publisher, clock) is None
    assert publisher.component("metrics") == "degraded"
    assert b"address already in use" in link.on(TOPICS.health)[-1]


def test_a_missing_library_is_told_with_how_to_install_it(clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    link = Remembering()
    publisher = publisher_over(link, TOPICS, clock)
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    assert open_endpoint(settings(free_port()), publisher, clock) is None
    assert b"edgeagent[metrics]" in link.on(TOPICS.health)[-1]
