"""The demo's report: figures of one run, from MQTT and from the kernel's account of the agent's process."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from edgeagent.simulate.demo_state import DemoState

TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Cost:
    """A process at one moment: CPU seconds so far, resident MiB, and the moment itself (monotonic seconds)."""

    cpu_s: float
    rss_mb: float
    at_s: float


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the third on (proc(5)): the name before them may hold anything."""
    return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()


def agent_cost(pid: int) -> Cost | None:
    """What the process has cost so far; None when it is gone."""
    try:
        fields = _stat(pid)
        statm = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()
    except (OSError, IndexError):
        return None
    cpu_s = (int(fields[11]) + int(fields[12])) / TICKS
    return Cost(cpu_s, int(statm[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20, time.monotonic())


def make_report(state: DemoState, started_s: float, at_first: Cost | None, at_end: Cost | None) -> dict[str, object]:
    """The report as JSON-ready values; `started_s` is when the demo was started, on the monotonic clock.

    Figures that could not be had are None.
    """
    engine, tally, agent = state.engine, state.tally, state.agent
    cpu_percent = None
    if at_first and at_end and at_end.at_s > at_first.at_s:
        cpu_percent = round(100 * (at_end.cpu_s - at_first.cpu_s) / (at_end.at_s - at_first.at_s), 2)
    published = (agent.model_extra or {}).get("results_published") if agent else None
    return {
        "module": state.info.module.name if state.info else None,
        "engine": {
            "key": engine.key if engine else None,
            "precision": engine.precision if engine else None,
            "backend": engine.backend if engine else None,
            "build_s": engine.build_s if engine else None,
            "from_store": engine.from_store if engine else None,
            "agreement": engine.agreement if engine else None,
        },
        "hottest_c": state.hottest_c,
        "least_duty": state.least_duty,
        "slowed_because": state.slowed_because,
        "frames": tally.frames,
        "fps": round(tally.fps, 2),
        "results_published": published if published is not None else tally.results,
        "results_received": tally.results,
        "latency_ms": tally.percentiles(),
        "dropped": tally.frames - tally.results,
        "agent_rss_mb": round(at_end.rss_mb, 1) if at_end else None,
        "agent_cpu_percent": cpu_percent,
        "first_result_s": None if tally.first_s is None else round(tally.first_s - started_s, 2),
        "health": state.health.overall if state.health else None,
    }
