"""The demo's report: figures of one run, from MQTT and from the kernel's account of the agent's process."""

from __future__ import annotations

import json
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from edgeagent.errors import OperatorError
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
        "dropped": state.dropped,
        "shed": state.shed,
        "agent_rss_mb": round(at_end.rss_mb, 1) if at_end else None,
        "agent_cpu_percent": cpu_percent,
        "first_result_s": None if tally.first_s is None else round(tally.first_s - started_s, 2),
        "health": state.health.overall if state.health else None,
    }


def summary_text(report: dict[str, object]) -> str:
    """The report's main figures as two lines."""
    engine, latency = report["engine"], report["latency_ms"]
    assert isinstance(engine, dict)  # noqa: S101  made by make_report
    assert isinstance(latency, dict)  # noqa: S101
    origin = "from the store" if engine["from_store"] else f"built in {engine['build_s']} s"
    return (
        f"{report['results_published']} results at {report['fps']} a second, {report['dropped']} frames dropped"
        f"{f', {shed} left out on purpose' if (shed := report['shed']) else ''}, "
        f"latency p50 {latency['p50']} ms, p99 {latency['p99']} ms, first result after {report['first_result_s']} s\n"
        f"engine {str(engine['key'])[:12]} {origin}, agreement with FP32 {engine['agreement']}; "
        f"agent {report['agent_rss_mb']} MB, {report['agent_cpu_percent']} % of a core; health {report['health']}"
        f"{_slowed_text(report)}"
    )


def _slowed_text(report: dict[str, object]) -> str:
    least, hottest_c = report["least_duty"], report["hottest_c"]
    if not isinstance(least, float) or least >= 1.0:
        return ""
    return f"\nthe build was slowed down to {100 * least:.0f} % of its pace; the board's hottest was {hottest_c} C"


def write_report(path: Path, report: dict[str, object]) -> None:
    """Write the report whole or not at all."""
    name = ""
    try:
        fd, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            json.dump(report, file, indent=2)
            file.write("\n")
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except OSError as error:
        if name:
            Path(name).unlink(missing_ok=True)
        raise OperatorError(f"cannot write the report {path}: {(error.strerror or str(error)).lower()}") from error
