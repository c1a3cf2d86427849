"""The tables [engines] and [registry]: how engines are made, and where finished ones come from. Pure."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from edgeagent.config.kinds import AbsolutePath, Placement, PublicKey, RegistryUrl, Table


class EngineSettings(Table):
    """How engines are built and accepted."""

    precision: Literal["int8", "fp16", "fp32"] = Field(default="int8", description="Number format of the engine.")
    precision_fallback: Annotated[tuple[Literal["fp16", "fp32"], ...], Field(strict=False)] = Field(
        default=(),
        description="Number formats to go on with, in this order, where the wanted one cannot be built or does not "
        "agree with the FP32 reference; empty: there is no engine then, and a message that says so.",
        examples=[["fp16"]],
    )
    backend: Literal["auto", "tensorrt", "onnxruntime"] = Field(
        default="auto",
        description="What builds and runs engines; auto is tensorrt where the device has it, else onnxruntime.",
    )
    placement: Placement = Field(
        default="auto",
        description="What computes the network: the GPU, a DLA (the core with the fewest pipelines, or the one named); "
        "auto is a DLA where the device has one that its TensorRT drives and that can take enough of the network, and "
        "the GPU elsewhere.",
    )
    dla_fallback: Literal["gpu", "refuse"] = Field(
        default="gpu",
        description="When a network wanted on a DLA cannot be built for it: build for the GPU and say so, or refuse.",
    )
    dla_max_gpu_layers: float = Field(
        default=0.5, ge=0, le=1, description="Share of a DLA engine's layers that may run on the GPU all the same."
    )
    dla_max_gpu_macs: float = Field(
        default=0.2, ge=0, le=1, description="Share of a DLA engine's multiply-adds that may run on the GPU."
    )
    quantisation: Literal["auto", "calibrator", "qdq"] = Field(
        default="auto",
        description="How INT8 scales are given: as a calibrator's (up to 10.x; what a DLA needs there), or as Q/DQ "
        "nodes put into the network (any release, the only way from 11 on); auto takes Q/DQ on the GPU, and on a DLA "
        "what the release needs.",
    )
    calibration_ranges: Literal["extremes", "entropy"] = Field(
        default="extremes",
        description="What the scales of a calibrated engine cover: extremes, all that the calibration frames gave; "
        "entropy, what TensorRT's calibrator leaves of it, which may be far too little.",
    )
    calibration_images: AbsolutePath | None = Field(
        default=None,
        description="Directory of pictures to calibrate with, in place of frames from the camera.",
        examples=["/var/lib/edgeagent/pictures"],
    )
    optimization_level: int | None = Field(
        default=None,
        ge=0,
        le=5,
        description="How hard TensorRT looks for fast kernels, 0 to 5; not set: TensorRT's own choice.",
        examples=[3],
    )
    workspace_mb: int | None = Field(
        default=None,
        ge=16,
        le=65_536,
        description="Scratch memory of a TensorRT build; not set: chosen from the memory that is free.",
        examples=[512],
    )
    timing_cache: bool = Field(
        default=True, description="Keep TensorRT's kernel timings, so that the next build on this device is shorter."
    )
    plugins: Annotated[tuple[AbsolutePath, ...], Field(strict=False)] = Field(
        default=(),
        description="Libraries of TensorRT plugins, which replace TensorRT's own layers. A network with operators that "
        "ONNX Runtime lacks is refused all the same: there would be nothing to compare its engine with.",
        examples=[["/usr/local/lib/libmyplugins.so"]],
    )
    store_max_mb: int = Field(
        default=4096,
        ge=64,
        le=1_048_576,
        description="Space for engines; beyond it those that nothing uses go, the least recently used first.",
    )
    min_disk_free_mb: int = Field(
        default=256, ge=0, le=1_048_576, description="A build waits while the disk has less than this free."
    )
    calibration_frames: int = Field(
        default=64, ge=16, le=4096, description="Frames that the INT8 ranges are measured on."
    )
    holdout_frames: int = Field(
        default=16, ge=4, le=1024, description="Frames kept apart to compare the INT8 engine with the FP32 reference."
    )
    calibration_interval_s: float = Field(
        default=0.1, ge=0, le=3600, description="Seconds between two frames that are looked at for the calibration."
    )
    calibration_looks: int = Field(
        default=4,
        ge=1,
        le=100,
        description="Frames looked at for each that is kept; ten times as many while all of them are alike.",
    )
    min_agreement: float = Field(
        default=0.9,
        ge=0,
        le=1,
        description="Share of the reference's detections that an engine must find to be accepted.",
    )
    build_threads: int | None = Field(
        default=None, ge=1, le=64, description="CPU threads of a build; not set: chosen for the board.", examples=[2]
    )
    infer_threads: int = Field(default=1, ge=1, le=64, description="CPU threads of inference where it runs on the CPU.")
    max_batch: int = Field(
        default=1,
        ge=1,
        le=32,
        description="Frames that an engine takes at once, at most: those of so many cameras go through together. More "
        "is faster for several cameras on one GPU, and costs memory and a longer build; a DLA always computes a whole "
        "batch. An engine of a network that takes one frame only is built for one, and its state says so.",
        examples=[4],
    )
    max_delay_ms: float = Field(
        default=0.0,
        ge=0,
        le=1000,
        description="For engines that take several frames at once: how long a frame may wait for those of other "
        "cameras; 0: not at all.",
    )
    canary_interval_s: float = Field(
        default=300.0,
        ge=0,
        le=86_400,
        description="Every so many seconds a running engine is asked what it was asked when it was first loaded; "
        "when it answers otherwise it is loaded anew. 0: never.",
    )
    build_timeout_s: float = Field(default=1800.0, ge=10, le=86_400, description="Seconds that one build may take.")
    max_attempts: int = Field(default=3, ge=1, le=10, description="Builds that are tried before an engine is given up.")

    def placed(self, placement: Placement | None) -> EngineSettings:
        """For a pipeline that says itself where its engine runs; None: it does not."""
        return self if placement is None else self.model_copy(update={"placement": placement})


class RegistrySettings(Table):
    """Where finished engines and models come from, and may go to."""

    urls: Annotated[tuple[RegistryUrl, ...], Field(strict=False)] = Field(
        default=(),
        description="Registries, tried in this order: file:///DIR, http(s)://HOST/PATH, or s3://BUCKET/PATH.",
        examples=[["https://engines.example.org/line"]],
    )
    trusted_keys: Annotated[tuple[PublicKey, ...], Field(strict=False)] = Field(
        default=(),
        description="Public keys whose signature on an engine counts; without one, nothing is taken from a registry.",
        examples=[["ed25519:11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="]],
    )
    publish: bool = Field(
        default=False, description="true puts engines built here into the first registry, for devices of the same kind."
    )
    signing_key_file: AbsolutePath | None = Field(
        default=None,
        description="Private key to sign published engines with; `edgeagent engine keygen` makes one.",
        examples=["/etc/edgeagent/registry-key"],
    )
    valid_days: int | None = Field(
        default=None,
        ge=1,
        le=36_500,
        description="Days for which published engines are valid; not set: without end.",
        examples=[365],
    )
    stall_s: float = Field(default=20.0, ge=1, le=600, description="Seconds of silence after which a mirror is left.")
    timeout_s: float = Field(
        default=1800.0, ge=5, le=86_400, description="Seconds that one mirror may take for one engine or model."
    )
    max_download_mb: int = Field(
        default=2048, ge=1, le=1_048_576, description="Nothing larger than this is taken from a registry."
    )
