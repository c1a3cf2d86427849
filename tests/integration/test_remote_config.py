"""Configs over MQTT against a real agent, real children and a real mosquitto: tried, kept, taken back."""

from __future__ import annotations

from pathlib import Path

import pytest
from remote_kit import device
from test_link_kit import needs_mosquitto

pytestmark = [needs_mosquitto, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def state_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The engine is built once, by whichever test comes first."""
    return tmp_path_factory.mktemp("state")


def test_scratch(tmp_path: Path, state_dir: Path) -> None:
    import time

    with device(tmp_path, state_dir) as it:
        print(it.family.members())
        for config in (
            {"pipelines": {"parts": {"min_score": 0.5}}},
            {"pipelines": {"parts": {"min_score": 7}}},
            {"pipelines": {"parts": {"shed": ["rate 50%"]}}},
            {"cameras": {"belt": {"source": {"fps": 15.0}}}},
            {"engines": {"infer_threads": 2}},
            {
                "cameras": {"belt2": {"source": {"type": "synthetic", "seed": 5}}},
                "pipelines": {"p2": {"camera": "belt2", "model": "conveyor"}},
            },
            {"mqtt": {"keepalive_s": 20}},
            {"mqtt": {"url": "mqtt://127.0.0.1:1"}},
            {"cameras": {"belt": {"source": {"type": "rtsp", "url": "rtsp://127.0.0.1:1/x", "open_timeout_s": 1.0}}}},
            {},
        ):
            began = time.monotonic()
            report = it.wish(config)
            print(
                round(time.monotonic() - began, 2),
                config,
                report.state,
                report.reason,
                report.restarted,
                [e.path for e in report.errors],
            )
