"""One example of every message: for the documentation, the contract tests and whoever writes a consumer. Pure."""

from __future__ import annotations

from functools import cache
from typing import Final

from edgeagent.fleet.answers import ConfigMistake, ConfigReported, Job
from edgeagent.fleet.envelope import Header, Message
from edgeagent.fleet.measurements import (
    AgentMeasurement,
    CameraMeasurement,
    CpuMeasurement,
    FanMeasurement,
    GovernorMeasurement,
    GpuMeasurement,
    Measurement,
    MemoryMeasurement,
    Numbers,
    PowerMeasurement,
    Summary,
    ThermalMeasurement,
)
from edgeagent.fleet.messages import schema_names
from edgeagent.fleet.results import Detection, Event, Result
from edgeagent.fleet.snapshots import Snapshot
from edgeagent.fleet.states import (
    Alarm,
    CameraInfo,
    ComponentHealth,
    EngineState,
    Health,
    Info,
    Module,
    PipelineInfo,
    PowerInfo,
    Shedding,
    Status,
)
from edgeagent.fleet.topics import Topics

_NOW: Final = 1_760_000_000_000
_HEADER: Final[Header] = {"session": "3f2a9c1e-4", "seq": 17, "ts": _NOW}
_KEY: Final = "5b1f0c7a9d3e"
TOPICS: Final = Topics("plant-2", "gate-07")


@cache
def examples() -> dict[str, Message]:
    """Topic -> a message that may be published there, at least one of every schema."""
    return {**_states(), **_answers(), **_results(), **_measurements()}


def _states() -> dict[str, Message]:
    return {
        TOPICS.status: Status(**_HEADER, state="degraded", reason="camera/yard: no frames for 12 s"),
        TOPICS.info: _info(),
        TOPICS.health: Health(
            **_HEADER,
            overall="degraded",
            components=(
                ComponentHealth(name="engine/people", health="ok", since_ts=_NOW - 900_000),
                ComponentHealth(
                    name="camera/yard", health="degraded", reason="no frames for 12 s", since_ts=_NOW - 12_000
                ),
            ),
        ),
        TOPICS.engine("people"): EngineState(
            **_HEADER,
            pipeline="people",
            state="building",
            key=_KEY,
            phase="choosing tactics · at 62 % pace: cpu-thermal is 0.4 C below its set point of 91 C",
            percent=41.5,
            reason="cpu-thermal is 0.4 C below its set point of 91 C",
            duty=0.62,
            level="warm",
            eta_s=310.0,
            attempt=1,
            precision="int8",
            backend="tensorrt",
            quantisation="calibrator",
            placement="gpu",
            accelerator="gpu",
            form_reason="instead of INT8 on a DLA, calibrated",
            steps=("INT8 on a DLA, calibrated: dla refused; goes on with INT8 on the GPU, calibrated",),
            serving="9c03d27fa81b",
        ),
        TOPICS.shedding("people"): Shedding(
            **_HEADER,
            pipeline="people",
            state="shed",
            share_percent=50.0,
            steps=("rate 50%",),
            code="heat",
            reason="tj-thermal is 1.2 C above its set point of 91 C",
            since_ts=_NOW - 95_000,
            unavailable=("placement dla: Jetson Orin Nano 8GB has no DLA",),
        ),
        TOPICS.alarm("hot"): Alarm(
            **_HEADER,
            type="hot",
            severity="warning",
            first_ts=_NOW - 60_000,
            count=1,
            text="the board is less than 8 C below throttling",
        ),
    }


def _answers() -> dict[str, Message]:
    return {
        TOPICS.config_reported: ConfigReported(
            **_HEADER,
            version=8,
            state="rejected",
            ack=400,
            reason="1 mistake; version 7 stays in force",
            errors=(
                ConfigMistake(
                    path="pipelines.people.min_score",
                    message="1.4 is out of range",
                    mend="wants a number, 0 to 1; for example min_score = 0.35",
                ),
            ),
            in_force=7,
            hash="5d41402abc4b2a76b9719d911017c5925d41402abc4b2a76b9719d911017c592",
            by="ops@plant-2",
            since_ts=_NOW - 1_000,
            desired={"pipelines": {"people": {"min_score": 0.4}}},
        ),
        TOPICS.job("0f6c2d1e-build"): Job(
            **_HEADER,
            id="0f6c2d1e-build",
            name="build",
            state="running",
            percent=41.5,
            phase="choosing tactics",
            by="ops@plant-2",
            accepted_ts=_NOW - 95_000,
            deadline_ts=_NOW + 3_505_000,
        ),
    }


def _info() -> Info:
    return Info(
        **_HEADER,
        agent_version="0.1.0",
        module=Module(
            name="Jetson Orin Nano 8GB",
            id="p3767-0003",
            soc="t234",
            compute_capability="8.7",
            dla_cores=0,
            dla="no",
            dla_reason="Jetson Orin Nano 8GB has no DLA",
            memory_mb=7620,
            carrier="p3768-0000 (jetson-orin-nano-devkit-super)",
        ),
        power=PowerInfo(
            state="applied",
            intent="balanced",
            mode="25W",
            clocks="release",
            fan="quiet",
            reason="25W is in force",
        ),
        serial="1421023000123",
        l4t="36.4.3",
        jetpack="6.2",
        tensorrt="10.3.0",
        cuda="12.6",
        cameras=(CameraInfo(id="yard", source="rtsp", width=1920, height=1080, fps=25.0),),
        pipelines=(PipelineInfo(id="people", camera="yard", model="yolo11n", engine=_KEY),),
        schemas=schema_names(),
        commands=("build", "cancel", "doctor", "restart"),
        groups=("entrances",),
        uptime_s=86_412.5,
    )


def _results() -> dict[str, Message]:
    return {
        TOPICS.result("yard", "people"): Result(
            **_HEADER,
            camera="yard",
            pipeline="people",
            frame=48_211,
            capture_ts=_NOW - 38,
            lat_ms=37.6,
            ring_ms=1.7,
            wait_ms=22.4,
            engine_ms=11.8,
            post_ms=0.9,
            publish_ms=0.8,
            width=1920,
            height=1080,
            model="yolo11n",
            engine=_KEY,
            detections=(
                Detection.rounded("person", 0, 0.91342, (812.04, 300.26, 901.5, 655.0), 17, ("gate",)),
                Detection.rounded("bicycle", 1, 0.5507, (640.0, 410.3, 760.81, 590.2), 0, ()),
            ),
        ),
        TOPICS.snapshot("yard", "people"): Snapshot(
            **_HEADER,
            camera="yard",
            pipeline="people",
            frame=48_211,
            capture_ts=_NOW - 38,
            drawn=True,
            found=2,
            jpeg="/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAMC",
        ),
        TOPICS.event("engine-failed"): Event(
            **_HEADER,
            id="gate-07.3f2a9c1e-4.engine-failed.17",
            type="engine-failed",
            severity="error",
            text="the builder ran out of memory",
            facts={
                "pipeline": "people",
                "code": "out_of_memory",
                "attempt": 1,
                "final": False,
                "outcome": "out_of_memory",
                "next": "again with 1/2 of the workspace",
            },
        ),
    }


def _measurements() -> dict[str, Message]:
    return {
        TOPICS.summary("yard", "people"): Summary(
            **_HEADER,
            camera="yard",
            pipeline="people",
            interval_s=1.0,
            fps=24.8,
            results=25,
            detections=61,
            dropped=0,
            lat_p50_ms=35.1,
            lat_p95_ms=44.9,
            lat_p99_ms=51.2,
            engine_ms=6.3,
        ),
        TOPICS.camera_measurement("yard"): CameraMeasurement(
            **_HEADER,
            camera="yard",
            state="running",
            fps=25.0,
            frames=48_211,
            dropped=12,
            restarts=1,
            frame_age_ms=21.0,
            health="degraded",
            code="source_rate",
            reason="it gives 12.4 frames a second, not 25",
        ),
        TOPICS.measurement("thermal"): _with_extras(
            ThermalMeasurement, temp_max_c=61.5, headroom_c=37.5, temp_cpu_c=60.0, temp_gpu_c=61.5
        ),
        TOPICS.measurement("power"): _with_extras(
            PowerMeasurement, power_total_w=11.42, power_vdd_in_w=11.42, power_vdd_cpu_gpu_cv_w=5.1
        ),
        TOPICS.measurement("cpu"): _with_extras(
            CpuMeasurement, percent=34.0, cores_online=6, freq_mhz=1510.4, core0_percent=41.0
        ),
        TOPICS.measurement("gpu"): GpuMeasurement(**_HEADER, percent=58.0, freq_mhz=624.75),
        TOPICS.measurement("memory"): MemoryMeasurement(
            **_HEADER, total_mb=7620.0, available_mb=3411.0, swap_used_mb=12.0
        ),
        TOPICS.measurement("fan"): FanMeasurement(**_HEADER, percent=40.0, rpm=2650.0),
        TOPICS.measurement("agent"): AgentMeasurement(
            **_HEADER,
            rss_mb=71.3,
            cpu_percent=4.2,
            published=182_311,
            link_queue=0,
            link_dropped=0,
            restarts=1,
            outbox_waiting=2,
            outbox_bytes=904,
            outbox_dropped=0,
        ),
        TOPICS.measurement("governor"): GovernorMeasurement(
            **_HEADER, level=1, allowance=1.0, build_duty=0.62, headroom_c=8.4, set_point_c=91.0, frames_kept=0.99
        ),
        TOPICS.measurement("disk"): _with_extras(Measurement, free_mb=51_200.0, used_percent=37.5, worn=False),
    }


def _with_extras(model: type[Numbers], **values: float | bool) -> Numbers:
    return model.model_validate({**_HEADER, **values})
