"""Debian's own Prometheus scrapes a real agent's endpoint with the shipped scrape config."""

from __future__ import annotations

import json
import select
import shutil
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from agent_kit import DEVICE, FLEET, WAIT_S, Family, agent, plant, virtual_board, watching, write_config
from test_link_kit import Ear, free_port, mosquitto, needs_mosquitto, program

from edgeagent.fleet.integrations import integration_text
from edgeagent.fleet.messages import Summary

pytestmark = [
    needs_mosquitto,
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(shutil.which("prometheus") is None, reason="prometheus is not installed (Debian: prometheus)"),
]


@contextmanager
def prometheus(folder: Path, target: int) -> Iterator[int]:
    """Scraping with the shipped config, but for the port and once a second."""
    port, folder = free_port(), folder / "prometheus"
    folder.mkdir()
    config = folder / "prometheus.yml"
    config.write_text(integration_text("prometheus").replace(":9464", f":{target}").replace("15s", "1s"))
    command = [
        "prometheus",
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    heard = Ear()
    with program(command, heard):
        heard.wait(lambda line: "Server is ready" in line)
        yield port


def ask(port: int, query: str) -> dict[str, float]:
    """Labels as JSON -> value."""
    url = f"http://127.0.0.1:{port}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
    with urllib.request.urlopen(url, timeout=10) as answer:
        found = json.load(answer)["data"]["result"]
    return {json.dumps(each["metric"], sort_keys=True): float(each["value"][1]) for each in found}


def ask_until(port: int, query: str) -> dict[str, float]:
    """The first answer that is not empty."""
    deadline = time.monotonic() + WAIT_S
    while not (found := ask(port, query)):
        assert time.monotonic() < deadline, f"no answer to {query}"
        select.select([], [], [], 0.2)  # it scrapes once a second, and has nothing that could be waited on
    return found


def test_prometheus_scrapes_a_real_agent(tmp_path: Path) -> None:
    broker, target, family = free_port(), free_port(), Family()
    board = virtual_board(tmp_path)
    state = tmp_path / "state"
    config = write_config(tmp_path / "config.toml", broker, state, board, metrics={"prometheus_port": target})
    with plant(board), mosquitto(tmp_path, broker), watching(broker) as watcher, agent(config, family):
        with prometheus(tmp_path, target) as port:
            watcher.ever(Summary, lambda summary: summary.fps > 0)
            assert ask_until(port, 'up{job="edgeagent"} == 1')
            (labels,) = ask_until(port, "edgeagent_info")
            assert {"fleet": FLEET, "device": DEVICE}.items() <= json.loads(labels).items()
            assert max(ask_until(port, "edgeagent_thermal_max_celsius").values()) > 10
            assert ask_until(port, 'edgeagent_pipeline_results_total{camera="belt",pipeline="parts"} > 0')
            assert ask_until(port, "rate(edgeagent_camera_frames_total[10s]) > 1")
            assert ask_until(port, 'edgeagent_component_health{component="metrics"} == 0')
            assert ask_until(port, 'edgeagent_status{state="ready"} == 1')
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"http://127.0.0.1:{target}/metrics", timeout=5)


def test_promtool_takes_the_shipped_config(tmp_path: Path) -> None:
    config = tmp_path / "prometheus.yml"
    config.write_text(integration_text("prometheus"))
    heard = Ear()
    with program(["promtool", "check", "config", str(config)], heard):
        heard.wait(lambda line: "SUCCESS" in line)
