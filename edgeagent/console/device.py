"""What the console knows of one device, and the few words that a row of the table makes of it. Pure.

Invariant: whatever a device sends, its record stays small: at most so many alarms, pipelines and components, and of
every text only its beginning.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from edgeagent.fleet.answers import ConfigReported
from edgeagent.fleet.measurements import PowerMeasurement, Summary, ThermalMeasurement
from edgeagent.fleet.states import Alarm, EngineState, Health, Info, Status

STALE_S: Final = 20.0
"""A number older than this is not shown: the slowest device that is well measures every few seconds."""
MOST_PARTS: Final = 64
TEXT: Final = 200

STATE_RANK: Final = ("lost", "degraded", "?", "init", "updating", "stopping", "stopped", "ready")
"""Worst first: the order of the column."""
ENGINE_RANK: Final = ("failed", "building", "verifying", "collecting", "waiting", "wanted", "ready")
SEVERITY_RANK: Final = ("error", "warning", "info")
_WORKING: Final = ("building", "verifying", "collecting")
_CONFIG_TROUBLE: Final = ("rejected", "rolled_back")


@dataclass(frozen=True)
class Sum:
    """A pipeline's last summary, and when it came."""

    at_s: float
    fps: float
    lat_p95_ms: float | None


@dataclass
class Device:
    """The latest of everything. `at_s` and `heard_s` are on the console's monotonic clock."""

    fleet: str
    name: str
    session: str = ""
    status: Status | None = None
    info: Info | None = None
    health: Health | None = None
    config: ConfigReported | None = None
    thermal: ThermalMeasurement | None = None
    power: PowerMeasurement | None = None
    thermal_s: float = 0.0
    power_s: float = 0.0
    heard_s: float | None = None
    engines: dict[str, EngineState] = field(default_factory=dict)
    alarms: dict[str, Alarm] = field(default_factory=dict)
    summaries: dict[tuple[str, str], Sum] = field(default_factory=dict)

    @property
    def key(self) -> str:
        return f"{self.fleet}/{self.name}"

    @property
    def state(self) -> str:
        """`?` until a status that counts has come."""
        return "?" if self.status is None else self.status.state

    @property
    def present(self) -> bool:
        return self.state not in ("?", "lost", "stopped")

    @property
    def reason(self) -> str:
        """Why it is not well: the status's own words, else the worst component's."""
        if self.status is not None and self.status.reason:
            return clip(self.status.reason)
        parts = self.health.components if self.health is not None and self.present else ()
        for word in ("failed", "degraded"):
            for part in parts:
                if part.health == word:
                    return clip(f"{part.name}: {part.reason}" if part.reason else f"{part.name} {word}")
        return ""

    @property
    def module(self) -> str:
        return "" if self.info is None else clip(self.info.module.name).removeprefix("Jetson ")

    @property
    def version(self) -> str:
        return "" if self.info is None else clip(self.info.agent_version)

    def temp_c(self, now_s: float) -> float | None:
        return None if self.thermal is None or now_s - self.thermal_s > STALE_S else self.thermal.temp_max_c

    def headroom_c(self, now_s: float) -> float | None:
        return None if self.thermal is None or now_s - self.thermal_s > STALE_S else self.thermal.headroom_c

    def power_w(self, now_s: float) -> float | None:
        return None if self.power is None or now_s - self.power_s > STALE_S else self.power.power_total_w

    def fps(self, now_s: float) -> float | None:
        """Results a second of all its pipelines; None when none has said anything lately."""
        fresh = [each.fps for each in self.summaries.values() if now_s - each.at_s <= STALE_S]
        return sum(fresh) if fresh else None

    def age_s(self, now_s: float) -> float | None:
        """Since its last live message; None when there was none since the console looks."""
        return None if self.heard_s is None else max(0.0, now_s - self.heard_s)

    @property
    def engine(self) -> str:
        """The worst of its engines: `ready`, `building 41%`, `failed (1 of 3)`."""
        if not self.engines:
            return ""
        worst = min(self.engines.values(), key=lambda each: ENGINE_RANK.index(each.state))
        text = f"{worst.state} {worst.percent:.0f}%" if worst.state in _WORKING else worst.state
        alike = sum(each.state == worst.state for each in self.engines.values())
        return text if alike == len(self.engines) else f"{text} ({alike} of {len(self.engines)})"

    @property
    def alarm(self) -> str:
        """The types, the worst first."""
        ordered = sorted(self.alarms.values(), key=lambda each: (SEVERITY_RANK.index(each.severity), each.type))
        return ", ".join(each.type for each in ordered)

    @property
    def config_word(self) -> str:
        """`v8`, `v9 trial`, `v9 rejected`; `file` where no wish has come."""
        if self.config is None:
            return ""
        if self.config.state == "none" or self.config.version == 0:
            return "file"
        word = self.config.state.replace("_", " ")
        return f"v{self.config.version}" + ("" if word == "committed" else f" {word}")

    @property
    def trouble(self) -> bool:
        """Whether a person has to look at it."""
        engine_failed = any(each.state == "failed" for each in self.engines.values())
        config_failed = self.config is not None and self.config.state in _CONFIG_TROUBLE
        return self.state in ("lost", "degraded") or bool(self.alarms) or engine_failed or config_failed

    def text(self) -> str:
        """What a filter looks into."""
        words = (self.key, self.state, self.module, self.version, self.engine, self.alarm, self.config_word)
        return " ".join((*words, self.reason)).lower()

    def take_summary(self, summary: Summary, now_s: float) -> None:
        where = (summary.camera, summary.pipeline)
        if where in self.summaries or len(self.summaries) < MOST_PARTS:
            self.summaries[where] = Sum(now_s, summary.fps, summary.lat_p95_ms)


def clip(text: str) -> str:
    """One line of at most TEXT characters that any terminal can show."""
    flat = " ".join(text[: 2 * TEXT].split())
    plain = "".join(c if c.isprintable() else "?" for c in flat)
    return plain if len(plain) <= TEXT else plain[: TEXT - 1] + "…"
