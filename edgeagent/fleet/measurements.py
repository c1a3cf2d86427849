"""Messages of numbers, made for plotting: flat, one key a series, stable types. Pure; pydantic.

Dashboards turn top-level keys into series by themselves, so a measurement may carry keys that only its board knows (one
for each thermal zone, power rail or core). Such extra keys hold a finite number or a bool, and nothing else.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import ConfigDict, Field, StrictBool, StrictInt, StringConstraints, model_validator

from edgeagent.fleet.envelope import Count, Id, Message, Number, Positive, Share
from edgeagent.fleet.states import HealthWord

KEY_PATTERN: Final = "[a-z][a-z0-9_]*"
_KEY = re.compile(KEY_PATTERN)

ExtraNumber = StrictBool | StrictInt | Annotated[float, Field(strict=True, allow_inf_nan=False)]


def measurement_key(*parts: str) -> str:
    """A key from names that a board uses: ("power", "VDD_GPU_SOC", "w") -> "power_vdd_gpu_soc_w"."""
    return re.sub(r"[^a-z0-9]+", "_", "_".join(parts).lower()).strip("_")


def _strict_extras(schema: dict[str, Any]) -> None:
    schema["propertyNames"] = {"pattern": f"^{KEY_PATTERN}$"}
    schema["additionalProperties"] = {"type": ["number", "boolean"]}


class Numbers(Message):
    """Base of the messages of this module: named fields, and extra keys of numbers."""

    model_config = ConfigDict(extra="allow", json_schema_extra=_strict_extras)
    __pydantic_extra__: dict[str, ExtraNumber] = Field(init=False)

    group: ClassVar[str] = ""

    @model_validator(mode="after")
    def _keys_are_plain(self) -> Numbers:
        for key in self.__pydantic_extra__ or {}:
            if _KEY.fullmatch(key) is None:
                raise ValueError(f"measurement key {key!r} does not match {KEY_PATTERN}")
        return self


class Measurement(Numbers):
    """Any group of numbers that has no model of its own."""

    schema_: Literal["edgeagent.measurement/1"] = "edgeagent.measurement/1"


class ThermalMeasurement(Numbers):
    """Temperatures. Extra keys: `temp_<zone>_c`, `throttling`, `hot_surface`."""

    group = "thermal"
    schema_: Literal["edgeagent.measurement.thermal/1"] = "edgeagent.measurement.thermal/1"
    temp_max_c: Number = Field(description="The hottest zone")
    headroom_c: Number | None = Field(default=None, description="Least distance of a zone to its throttling point")


class PowerMeasurement(Numbers):
    """Electrical power. Extra keys: `power_<rail>_w`; for each over-current channel `oc<n>_events` since boot,
    `oc<n>_new` and `oc<n>_rate_per_s` since the message before."""

    group = "power"
    schema_: Literal["edgeagent.measurement.power/1"] = "edgeagent.measurement.power/1"
    power_total_w: Positive | None = Field(default=None, description="The module's input")


class CpuMeasurement(Numbers):
    """Processor cores. Extra keys: `core<n>_percent`, `core<n>_mhz`, `freq_limit_mhz`, and `clocks_locked`: whether all
    clocks of processor and GPU are held at one value."""

    group = "cpu"
    schema_: Literal["edgeagent.measurement.cpu/1"] = "edgeagent.measurement.cpu/1"
    percent: Share = Field(description="Busy share of all online cores")
    cores_online: Count | None = None
    freq_mhz: Positive | None = Field(default=None, description="The fastest online core's clock")


class GpuMeasurement(Numbers):
    """Graphics processor. Extra keys: `freq_limit_mhz`, `dla<n>_active`; with jtop `engine_<name>_mhz`."""

    group = "gpu"
    schema_: Literal["edgeagent.measurement.gpu/1"] = "edgeagent.measurement.gpu/1"
    percent: Share | None = Field(default=None, description="Busy share")
    freq_mhz: Positive | None = None


class MemoryMeasurement(Numbers):
    """Memory, which processor and GPU share on a Jetson. MiB. Extra keys: `oom_kills` since boot, `pressure_percent`,
    `emc_freq_mhz`, `emc_cap_mhz`, `emc_load_percent`, and of the disk with edgeagent's state `disk_free_mb` and
    `disk_total_mb`."""

    group = "memory"
    schema_: Literal["edgeagent.measurement.memory/1"] = "edgeagent.measurement.memory/1"
    total_mb: Positive
    available_mb: Positive
    swap_used_mb: Positive | None = None


class FanMeasurement(Numbers):
    """The fan, where there is one. Extra keys of a second one: `fan2_pwm_percent`, `fan2_rpm`."""

    group = "fan"
    schema_: Literal["edgeagent.measurement.fan/1"] = "edgeagent.measurement.fan/1"
    percent: Share | None = Field(default=None, description="How hard it is driven")
    rpm: Positive | None = None


class AgentMeasurement(Numbers):
    """The agent itself, without its children."""

    group = "agent"
    schema_: Literal["edgeagent.measurement.agent/1"] = "edgeagent.measurement.agent/1"
    rss_mb: Positive = Field(description="Resident memory, MiB")
    cpu_percent: Positive = Field(description="Of one core; above 100 with several threads busy")
    published: Count = Field(description="Messages handed to the broker since the session began")
    link_queue: Count = Field(description="Messages that wait for the broker")
    link_dropped: Count = Field(description="Messages lost since the session began, for whatever reason")
    restarts: Count = Field(description="Children restarted since the session began")
    outbox_waiting: Count = Field(default=0, description="Events, states and results that wait for the broker")
    outbox_bytes: Count = Field(default=0, description="What they take of the outbox's budget")
    outbox_dropped: Count = Field(default=0, description="Of those, given up since the session began")


class GovernorMeasurement(Numbers):
    """How hard the board is pressed, and what follows. `frames_kept` is of the worst of the running pipelines, against
    what it does while nothing is built."""

    group = "governor"
    schema_: Literal["edgeagent.measurement.governor/1"] = "edgeagent.measurement.governor/1"
    level: Count = Field(description="0 nominal, 1 warm, 2 hot, 3 critical")
    allowance: Number = Field(description="What inference may take of what it would, 0 to 1")
    build_duty: Number | None = Field(
        default=None, description="Share of the time that a build may work; absent: none runs"
    )
    headroom_c: Number | None = Field(default=None, description="Of the zone nearest to its throttle temperature")
    set_point_c: Number | None = Field(default=None, description="Where that zone is held while an engine is built")
    frames_kept: Number | None = Field(
        default=None, description="Share of their frames that pipelines got through lately"
    )


class CameraMeasurement(Numbers):
    """One camera over the last interval."""

    schema_: Literal["edgeagent.camera/1"] = "edgeagent.camera/1"
    camera: Id
    state: Annotated[str, StringConstraints(min_length=1)] = Field(description="What the camera is doing, one word")
    fps: Positive = Field(description="Frames captured a second")
    frames: Count = Field(description="Frames captured since the session began")
    dropped: Count = Field(
        description="Frames that were not looked at since the session began; where several "
        "accelerators look, of the one that missed most"
    )
    shed: Count = Field(default=0, description="Frames left out on purpose since the session began")
    restarts: Count = Field(description="Restarts of the capture since the session began")
    frame_age_ms: Positive | None = Field(default=None, description="Age of the newest frame; absent before the first")
    health: HealthWord = Field(default="ok", description="The word of its component camera/<camera> in `health`")
    code: str = Field(default="", description="What is wrong, such as source_frozen; empty while it is well")
    reason: str = Field(default="", description="The same for people")


class Summary(Numbers):
    """One pipeline on one camera over the last interval, normally a second."""

    schema_: Literal["edgeagent.summary/1"] = "edgeagent.summary/1"
    camera: Id
    pipeline: Id
    interval_s: Positive = Field(description="How long the interval was")
    fps: Positive = Field(description="Results a second")
    results: Count = Field(description="Results in the interval")
    detections: Count = Field(description="Detections in the interval")
    dropped: Count = Field(description="Frames skipped in the interval")
    failed: Count = Field(default=0, description="Frames lost in the interval because the engine failed; no drops")
    torn: Count = Field(
        default=0, description="Frames lost in the interval because the camera overwrote them meanwhile; no drops"
    )
    shed: Count = Field(default=0, description="Frames left out on purpose in the interval; no drops")
    share_percent: Share = Field(default=100.0, description="What the ladder leaves it of its frames")
    unchanged: Count = Field(default=0, description="Results left out in the interval: nothing was new; no drops")
    looked_fps: Positive | None = Field(
        default=None, description="Frames looked at a second, where results come on change only"
    )
    shed_s: Positive = Field(default=0.0, description="For how long it has given up anything; 0: nothing is given up")
    lat_p50_ms: Positive | None = Field(default=None, description="Capture to message; absent without results")
    lat_p95_ms: Positive | None = None
    lat_p99_ms: Positive | None = None
    engine_ms: Positive | None = Field(default=None, description="Mean time in the engine")


GROUPS: Final[dict[str, type[Numbers]]] = {
    model.group: model
    for model in (
        ThermalMeasurement,
        PowerMeasurement,
        CpuMeasurement,
        GpuMeasurement,
        MemoryMeasurement,
        FanMeasurement,
        AgentMeasurement,
        GovernorMeasurement,
    )
}
