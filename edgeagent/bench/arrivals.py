"""Results as a subscriber hears them: how many, from when to when, what is missing, and how long they took. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from edgeagent.health.latency import percentile

SHARES = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}


@dataclass
class Arrivals:
    """What has come since the measurement began. A frame that no result came for, between two that did, is lost."""

    results: int = 0
    detections: int = 0
    spans: list[tuple[int, float]] = field(default_factory=list)
    """Of each result: when its frame was captured, milliseconds since 1970, and how long it took from there."""
    _frames: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    _times: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def add(self, result: Mapping[str, Any]) -> None:
        """A result as it came, parsed."""
        self.results += 1
        self.detections += len(result["detections"])
        self._frames[result["pipeline"]].append(result["frame"])
        self.spans.append((result["capture_ts"], float(result["lat_ms"])))
        for name, value in latencies(result):
            self._times[name].append(value)

    @property
    def lost(self) -> int:
        return sum(max(numbers) - min(numbers) + 1 - len(numbers) for numbers in self._frames.values())

    @property
    def pipelines(self) -> int:
        return len(self._frames)

    def latency_ms(self) -> dict[str, dict[str, float]]:
        """By the part's name, without its unit: percentiles and the largest."""
        return {
            name: {label: round(percentile(ordered, share), 3) for label, share in SHARES.items()}
            for name, ordered in ((name, sorted(times)) for name, times in self._times.items())
        }


def latencies(result: Mapping[str, Any]) -> list[tuple[str, float]]:
    """Every time that a result tells in milliseconds; `lat_ms` is the whole, from capture to message."""
    told = [(key.removesuffix("_ms"), value) for key, value in result.items() if key.endswith("_ms")]
    return [("whole" if name == "lat" else name.removesuffix("_lat"), float(value)) for name, value in told]
