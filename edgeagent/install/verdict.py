"""Whether a release on trial is healthy. Pure: what was seen and the time go in, the verdict comes out.

Healthy: the service runs, has been the same process for a while, says that it is ready or degraded, and everything
that was well before the change is not failed now; where results flowed before, they flow again. A device that was
degraded before (a camera is unplugged) may be degraded after.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

STEADY_S = 5.0
"""For so long a process must have run: one that dies at its first frame is not healthy."""
CRASHES = 3
"""So many restarts within the trial are a crash loop, and need not be watched until the time is up."""
WELL = ("ready", "degraded")

Word = Literal["wait", "healthy", "sick"]


@dataclass(frozen=True)
class Baseline:
    """How the release before was, when it was left: its components' health, and whether it had results."""

    components: Mapping[str, str] = field(default_factory=dict)
    results: bool = False
    connected: bool = False


@dataclass(frozen=True)
class Seen:
    """One look. `status`: what the agent's status file says, None without one that is this process's own."""

    active: str
    pid: int
    restarts: int
    status: Mapping[str, Any] | None


@dataclass(frozen=True)
class Watch:
    """What is remembered between looks. `since_s`: when this process was first seen."""

    pid: int = 0
    since_s: float = 0.0


@dataclass(frozen=True)
class Verdict:
    word: Word
    reason: str = ""


def judge(baseline: Baseline, watch: Watch, seen: Seen, now_s: float, deadline_s: float) -> tuple[Watch, Verdict]:
    """One look at a release on trial, at `now_s` on a monotonic clock. `deadline_s`: when its time is up."""
    if seen.pid != watch.pid:
        watch = Watch(seen.pid, now_s)
    lacking = _lacking(baseline, seen)
    if seen.active == "failed" or seen.restarts >= CRASHES:
        return watch, Verdict("sick", f"it crashed {max(seen.restarts, 1)} times within its trial")
    if not lacking and now_s - watch.since_s >= STEADY_S:
        return watch, Verdict("healthy")
    if now_s >= deadline_s:
        return watch, Verdict("sick", lacking or "it has not stayed up")
    return watch, Verdict("wait", lacking)


def _lacking(baseline: Baseline, seen: Seen) -> str:
    """What is still missing, in words; empty when nothing is."""
    if seen.pid == 0 or seen.active != "active":
        return f"the service is {seen.active}" + (", and was started again" if seen.restarts else "")
    if seen.status is None:
        return "it says nothing of its state"
    if seen.status.get("state") not in WELL:
        return f"it says {seen.status.get('state')}, and not that it is ready"
    return _worse(baseline, seen.status)


def _worse(baseline: Baseline, status: Mapping[str, Any]) -> str:
    components: Mapping[str, Any] = status.get("components", {})
    for name, entry in sorted(components.items()):
        if entry.get("health") == "failed" and baseline.components.get(name, "failed") != "failed":
            return f"{name} has failed: {entry.get('reason')}"
    if baseline.connected and not status.get("connected"):
        return "the broker was reached before, and is not any more"
    if baseline.results and not status.get("results"):
        return "there were results before, and there are none any more"
    return ""
