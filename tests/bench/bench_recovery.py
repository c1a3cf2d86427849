"""How long the agent takes to recover from a killed child, to stop, and to be gone when it is killed itself.

    .venv/bin/python tests/bench/bench_recovery.py [--json]

Real children, a virtual Orin Nano, a real mosquitto. Seconds from the signal to the message (or the end) that counts.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "integration"))

from agent_kit import Family, Watcher, agent, plant, virtual_board, watching, write_config
from test_link_kit import free_port, mosquitto

from edgeagent.fleet.results import Result
from edgeagent.fleet.states import EngineState, Health, Status


def seconds_of(action: Callable[[], object]) -> float:
    started = time.monotonic()
    action()
    return round(time.monotonic() - started, 2)


def recover(watcher: Watcher, family: Family, program: str) -> float:
    """From SIGKILL to a health of ok and a new result."""

    def act() -> None:
        os.kill(family.pid_of(program), signal.SIGKILL)
        watcher.message(Health, lambda h: h.overall != "ok")
        watcher.message(Health, lambda h: h.overall == "ok")
        watcher.message(Result)

    return seconds_of(act)


def measure(folder: Path) -> dict[str, float]:
    port, family, figures = free_port(), Family(), {}
    board = virtual_board(folder)
    config = write_config(folder / "config.toml", port, folder / "state", board)
    with plant(board), mosquitto(folder, port), watching(port) as watcher:
        with agent(config, family) as process:
            watcher.message(EngineState, lambda e: e.state == "ready")
            watcher.message(Status, lambda s: s.state == "ready")
            for program in ("infer_child", "capture_child"):
                figures[f"{program}_killed_to_results_s"] = recover(watcher, family, program)
            figures["sigterm_to_all_gone_s"] = seconds_of(lambda: (process.terminate(), family.wait_gone()))
        with agent(config, family) as process:
            watcher.message(Result)
            figures["agent_killed_to_all_gone_s"] = seconds_of(lambda: (process.kill(), family.wait_gone()))
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    as_json = parser.parse_args().json
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Path(folder))
    print(json.dumps(figures) if as_json else "\n".join(f"{name:<34} {value}" for name, value in figures.items()))


if __name__ == "__main__":
    main()
