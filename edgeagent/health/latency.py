"""Figures over an interval: counts and percentiles of what was seen since they were last asked for. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


def percentile(ordered: Sequence[float], share: float) -> float:
    """The nearest-rank percentile of values in ascending order: the smallest that `share` of them do not exceed."""
    if not ordered:
        raise ValueError("there is no percentile of nothing")
    rank = max(1, -(-len(ordered) * round(share * 1000) // 1000))
    return ordered[min(rank, len(ordered)) - 1]


@dataclass(frozen=True)
class Window:
    """What one interval held. Latencies in milliseconds; None without results."""

    results: int
    detections: int
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    engine_ms: float | None = None


@dataclass
class Gauge:
    """Collects results; `take` hands out the interval and starts the next."""

    latencies: list[float] = field(default_factory=list)
    engine: float = 0.0
    detections: int = 0

    def add(self, latency_ms: float, engine_ms: float, detections: int) -> None:
        self.latencies.append(latency_ms)
        self.engine += engine_ms
        self.detections += detections

    def take(self) -> Window:
        ordered, engine, detections = sorted(self.latencies), self.engine, self.detections
        self.latencies, self.engine, self.detections = [], 0.0, 0
        if not ordered:
            return Window(0, 0)
        p50, p95, p99 = (round(percentile(ordered, share), 3) for share in (0.5, 0.95, 0.99))
        return Window(len(ordered), detections, p50, p95, p99, round(engine / len(ordered), 3))
