"""What the manifest says of a build: how it was made, and how it was held within the board's limits."""

from __future__ import annotations

from edgeagent.engine.build.backend import BackendOutcome
from edgeagent.engine.build.messages import BuildStart
from edgeagent.engine.build.report import BuildReport
from edgeagent.engine.manifest import BuildRecord, Steering


def build_record(start: BuildStart, report: BuildReport, outcome: BackendOutcome, wall_s: float) -> BuildRecord:
    """The record of a build that has taken `wall_s` seconds so far."""
    paused_s = min(wall_s, report.paused_s)
    return BuildRecord(
        seconds=round(wall_s, 2),
        attempt=start.attempt,
        agent_version=start.agent_version,
        optimization_level=outcome.optimization_level,
        workspace_mb=outcome.workspace_mb,
        memory_free_start_mb=report.memory_start_mb,
        memory_free_least_mb=report.memory_least_mb,
        throttled=report.throttled,
        paused_s=round(paused_s, 2),
        steering=steering_of(start, report, wall_s, paused_s),
        sm_count=outcome.sm_count,
        timing_cache=outcome.timing_cache_use,
        notes=outcome.notes,
        steps=start.steps,
    )


def steering_of(start: BuildStart, report: BuildReport, wall_s: float, paused_s: float) -> Steering | None:
    """None where nobody looked at the board and nothing was done to it."""
    if report.headroom_least_c is None and not report.paced_by and not start.prepared:
        return None
    return Steering(
        running_s=round(wall_s - paused_s, 2),
        mean_duty=round(1.0 - paused_s / wall_s, 4) if wall_s > 0 else 1.0,
        least_headroom_c=report.headroom_least_c,
        paced_by=tuple(sorted(report.paced_by)),
        timings_kept=not report.disturbed,
        before=start.prepared,
        cancels=start.cancels,
    )
