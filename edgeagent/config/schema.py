"""What can be set: one frozen model a table of config.toml, every key with its meaning, default and bounds.

Pure: pydantic only. The template, the reference page, the JSON schema and the mistakes' mends are all made from
what is written here, so a key is described once.

Invariant: a `Config` that exists is consistent: its pipelines name cameras and models that it has.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, JsonValue, model_validator
from pydantic_core import PydanticCustomError

from edgeagent.camera.rules import CameraRules
from edgeagent.camera.spec import SourceSpec
from edgeagent.config.cross import cross_mistakes
from edgeagent.config.dashboard_tables import HomeAssistantSettings, MetricsSettings
from edgeagent.config.engine_tables import EngineSettings, RegistrySettings
from edgeagent.config.kinds import AbsolutePath, Id, ModelPath, Table
from edgeagent.config.mqtt_table import MqttSettings
from edgeagent.config.outbox_table import OutboxSettings
from edgeagent.config.pipeline_table import PipelineSettings
from edgeagent.config.remote_table import RemoteSettings
from edgeagent.errors import ConfigError

ONLY_IDS: dict[str, JsonValue] = {"additionalProperties": False}


class DeviceSettings(Table):
    """Who this device is and where it keeps its things."""

    id: Id | None = Field(
        default=None,
        description="This device's name in MQTT topics; not set: made from the host name.",
        examples=["line-3"],
    )
    fleet: Id = Field(default="default", description="The fleet this device belongs to; a level of every MQTT topic.")
    groups: Annotated[tuple[Id, ...], Field(strict=False, max_length=16)] = Field(
        default=(),
        description="Groups this device belongs to: what is commanded to one of them over MQTT is for it, too.",
        examples=[["entrances"]],
    )
    state_dir: AbsolutePath = Field(
        default="/var/lib/edgeagent",
        description="Directory of what must survive a reboot: engines, calibration, models.",
    )
    run_dir: AbsolutePath = Field(
        default="/run/edgeagent", description="Directory of sockets and other short-lived files."
    )
    board_root: AbsolutePath = Field(
        default="/",
        description="Where the board's files (sys, proc, etc) are read from; other than / for a virtual Jetson.",
    )


class CameraSettings(Table):
    """One camera: where its frames come from, and how it is watched."""

    source: SourceSpec = Field(
        description="Where frames come from; its type decides which further keys it has.",
        examples=[{"type": "synthetic"}],
    )
    enabled: bool = Field(default=True, description="false keeps the camera in the file but does not open it.")
    frozen_after_s: float = Field(
        default=10.0,
        ge=0,
        le=3600,
        description="Seconds for which the picture may stay the same to the bit before the camera counts as frozen and "
        "is opened anew; 0: never. A picture that has never shown a sensor's noise is not judged.",
    )
    min_fps: float | None = Field(
        default=None,
        gt=0,
        le=240,
        description="Health is degraded below this many frames a second; not set: below 0.8 of what the source "
        "promises, or above 1.25 of it.",
        examples=[10.0],
    )
    recycle_after_h: float = Field(
        default=0.0,
        ge=0,
        le=8760,
        description="Hours after which the camera's process is started anew, against leaks in drivers; 0: never.",
    )
    recycle_above_mb: int = Field(
        default=1024,
        ge=64,
        le=1_048_576,
        description="MiB of its own memory above which the camera's process is started anew, once in ten minutes at "
        "most.",
    )

    @property
    def rules(self) -> CameraRules:
        return CameraRules(self.frozen_after_s, self.min_fps, self.recycle_after_h * 3600, self.recycle_above_mb)


class ModelSettings(Table):
    """One model: where its bundle lies."""

    path: ModelPath = Field(
        description=(
            "Directory that holds model.toml, or the path of a model.toml; sample:conveyor is the shipped one, and "
            "registry:DIGEST comes from a registry."
        ),
        examples=["sample:conveyor"],
    )
    max_batch: int | None = Field(
        default=None,
        ge=1,
        le=32,
        description="Frames that this model's engine takes at once, at most; not set: as engines.max_batch says.",
        examples=[1],
    )


class PowerSettings(Table):
    """The board's power mode, clocks and fan, and watching what it draws."""

    intent: Id | None = Field(
        default=None,
        description="What the board shall be set to: max-performance, balanced, low-power, or an intent of your own "
        "profile; not set: the board's power is left as it is.",
        examples=["balanced"],
    )
    allow_reboot: bool = Field(
        default=False, description="true lets edgeagent reboot the board when a power mode wants that."
    )
    max_reboots_per_day: int = Field(
        default=1, ge=1, le=10, description="Reboots for a power mode in 24 hours, at most."
    )
    max_repairs_per_hour: int = Field(
        default=6,
        ge=0,
        le=60,
        description="How often in an hour the intent is set again when something else has changed mode or clocks.",
    )
    restore_on_stop: bool = Field(
        default=True, description="When the agent stops, set the board back to what it was before the first start."
    )
    helper_socket: AbsolutePath = Field(
        default="/run/edgeagent-power.sock", description="Socket of the power helper, the part that runs as root."
    )
    profiles_dir: AbsolutePath = Field(
        default="/etc/edgeagent/profiles", description="Directory of your own power profiles, one TOML file each."
    )
    sample_interval_s: float = Field(
        default=2.0, ge=0.2, le=60, description="Seconds between two readings of the board."
    )
    warn_total_w: float | None = Field(
        default=None,
        gt=0,
        le=1000,
        description="Raise an alarm when the board draws more than this many watts; not set: no alarm.",
        examples=[25.0],
    )
    jtop: bool = Field(
        default=False,
        description="true also asks jtop's service for what only root can read: the memory's clock and load, the "
        "clocks of DLA and video engines, the GPU's load on Thor. Needs jetson-stats, and a process of its own.",
    )
    warn_oc3_per_s: float = Field(
        default=60.0,
        gt=0,
        le=100_000,
        description="Raise an alarm when instantaneous over-power events (oc3) come faster than this; some 30 a second "
        "are normal in an uncapped mode. Events of oc1 and oc2 always raise it.",
    )


class ThermalSettings(Table):
    """Watching how hot the board is, and steering builds and inference by it."""

    warn_headroom_c: float = Field(
        default=8.0,
        ge=0,
        le=60,
        description="Health is degraded when the hottest zone is nearer than this to its own throttle temperature.",
    )
    govern: bool = Field(
        default=True,
        description="true slows builds and inference down before heat, power or memory does; false only watches.",
    )
    set_point_below_c: float = Field(
        default=8.0,
        ge=3,
        le=40,
        description="The hottest zone is held this far below its own throttle temperature while an engine is built.",
    )
    pace: Literal["auto", "signals", "steps", "off"] = Field(
        default="auto",
        description="How a build is slowed: signals stops and continues its processes in slices; steps lets TensorRT "
        "wait between its own steps, where the release has them, which leaves kernel timings undisturbed; auto takes "
        "steps where there are any and signals elsewhere; off never slows a build, and only cancels one.",
    )
    memory_floor_mb: int | None = Field(
        default=None,
        ge=16,
        le=1_048_576,
        description="A build is cancelled before less memory than this is available; not set: chosen from the board's.",
        examples=[256],
    )
    restore_after_s: float = Field(
        default=60.0,
        ge=5,
        le=3600,
        description="Seconds of calm after which pipelines get back one step of what they gave up; longer, up to half "
        "an hour, after a step that did not hold.",
    )


class Config(Table):
    """All settings of one device."""

    device: DeviceSettings = Field(
        default_factory=DeviceSettings, description="Who this device is and where it keeps its things."
    )
    mqtt: MqttSettings = Field(default_factory=MqttSettings, description="The broker that results and health go to.")
    outbox: OutboxSettings = Field(
        default_factory=OutboxSettings, description="What is kept until the broker has it, and how much of it."
    )
    remote: RemoteSettings = Field(
        default_factory=RemoteSettings, description="What may be set and commanded over MQTT."
    )
    cameras: dict[Id, CameraSettings] = Field(
        default_factory=dict, description="Cameras by id.", json_schema_extra=ONLY_IDS
    )
    models: dict[Id, ModelSettings] = Field(
        default_factory=dict, description="Models by id.", json_schema_extra=ONLY_IDS
    )
    pipelines: dict[Id, PipelineSettings] = Field(
        default_factory=dict, description="Pipelines by id.", json_schema_extra=ONLY_IDS
    )
    power: PowerSettings = Field(
        default_factory=PowerSettings,
        description="The board's power mode, clocks and fan, and watching what it draws.",
    )
    thermal: ThermalSettings = Field(
        default_factory=ThermalSettings,
        description="Watching how hot the board is, and steering builds and inference by it.",
    )
    engines: EngineSettings = Field(default_factory=EngineSettings, description="How engines are built and accepted.")
    registry: RegistrySettings = Field(
        default_factory=RegistrySettings, description="Where finished engines and models come from, and may go to."
    )

    metrics: MetricsSettings = Field(
        default_factory=MetricsSettings, description="Numbers for Prometheus, on the device's own loopback."
    )
    home_assistant: HomeAssistantSettings = Field(
        default_factory=HomeAssistantSettings,
        description="Making the device known to Home Assistant over MQTT discovery.",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Config:
        mistakes = cross_mistakes(self.model_dump(mode="json"))
        if mistakes:
            raise PydanticCustomError("cross_check", "{lines}", {"lines": "; ".join(m.line() for m in mistakes)})
        return self

    @property
    def device_id(self) -> str:
        """The device's id. Raises ConfigError where neither the config nor the loader has set one."""
        if self.device.id is None:
            raise ConfigError("device.id is not set", mend='add id = "..." under [device]')
        return self.device.id
