"""What a camera source is asked to be: one frozen model a kind of source, told apart by `type`.

Pure: nothing here opens a device or a file. The capture child turns a spec into frames; the config holds specs; a
command line SPEC becomes one through `parse_source`.

Invariant: a secret (the user part of a URL, a password in a pipeline) never shows in a repr, an error or
`describe_source`. `model_dump` keeps it, because the capture child needs it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal, TypeAlias, get_args
from urllib.parse import parse_qsl, urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from edgeagent.errors import ConfigError

STRICT = ConfigDict(
    frozen=True,
    extra="forbid",
    strict=True,
    allow_inf_nan=False,
    hide_input_in_errors=True,
)

FORMS = {
    "synthetic": "synthetic[:WIDTHxHEIGHT[@FPS]][?seed=N]",
    "file": "PATH[?mode=loop|once&pace=native|fastest] (or file:PATH...)",
    "rtsp": "rtsp://HOST/PATH (or rtsps://)",
    "v4l2": "/dev/videoN[?width=W&height=H&fps=F] (or v4l2:/dev/...)",
    "csi": "csi:N[?width=W&height=H&fps=F]",
    "gstreamer": "gst:PIPELINE ! appsink",
}
ALL_FORMS = "write one of: " + "; ".join(FORMS.values())

_USERINFO = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,15}://)[^\s\"'<>]*@")
_SECRET_PAIR = re.compile(
    r"(?i)\b([\w-]{0,32}(?:pass|password|passwd|passphrase|pwd|pw|token|secret|auth|key|sig|signature|credentials?)\s*=\s*)(\"[^\"]*\"|[^&\s!]+)"
)
_SYNTHETIC = re.compile(r"synthetic(?::(?P<width>\d+)x(?P<height>\d+)(?:@(?P<fps>\d+(?:\.\d+)?))?)?")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+-]*:")


def refuse(message: str, mend: str) -> PydanticCustomError:
    """A validator's refusal that carries its mend: `raise refuse(...)`. Neither text may hold a secret."""
    return PydanticCustomError("refused", "{message}", {"message": message, "mend": mend})


def redact_url(text: str) -> str:
    """`text` with the user part of every URL in it, and every password or token written as `key=value`, hidden.

    Everything before a URL's last @ counts as its user part: a badly quoted password must not leak its tail.
    """
    return _SECRET_PAIR.sub(r"\1***", _USERINFO.sub(r"\1***@", text))


def _checked_rtsp_url(url: str) -> str:
    mend = 'write url = "rtsp://HOST:554/PATH"; percent-encode special characters in a user name or password'
    try:
        parts = urlsplit(url)
        complete = bool(parts.hostname) and parts.port != 0
    except ValueError as error:
        raise refuse("the URL's host or port cannot be read", mend) from error
    if not url.startswith(("rtsp://", "rtsps://")):
        raise refuse("wants a URL that starts with rtsp:// or rtsps://", mend)
    if not complete or re.search(r"[\s\x00-\x1f]", url):
        raise refuse("the URL names no host, or holds a space", mend)
    return url


def _checked_device(device: str) -> str:
    if not re.fullmatch(r"/dev/[^\s\x00]+", device):
        raise refuse("wants a path under /dev", 'for example device = "/dev/video0"')
    return device


def _checked_pipeline(pipeline: str) -> str:
    last = pipeline.rsplit("!", 1)[-1].split()
    if "!" not in pipeline or not last or last[0] != "appsink":
        raise refuse("the pipeline's last element must be appsink", 'end it with "! appsink drop=true max-buffers=1"')
    return pipeline


def _checked_path(path: str) -> str:
    if not path.strip() or "\x00" in path:
        raise refuse("wants the path of a file", 'for example path = "/data/belt.mp4"')
    return path


Pixels = Annotated[int, Field(ge=16, le=8192)]
FramesPerSecond = Annotated[float, Field(gt=0, le=240)]
FilePath = Annotated[str, Field(max_length=4096), AfterValidator(_checked_path)]
Pipeline = Annotated[str, Field(max_length=8192), AfterValidator(_checked_pipeline)]
RtspUrl = Annotated[
    str, Field(max_length=2048, json_schema_extra={"pattern": "^rtsps?://"}), AfterValidator(_checked_rtsp_url)
]
Device = Annotated[str, Field(max_length=256, json_schema_extra={"pattern": "^/dev/"}), AfterValidator(_checked_device)]


def _amend_schema(schema: dict[str, Any]) -> None:
    """Makes the JSON schema say what the union does, that a type is required, and puts what all kinds share last."""
    schema["required"] = ["type", *schema.get("required", [])]
    for shared in _Source.model_fields:
        schema["properties"][shared] = schema["properties"].pop(shared)


class _Source(BaseModel):
    """What every kind of source has."""

    model_config = ConfigDict(**STRICT, json_schema_extra=_amend_schema)

    open_timeout_s: float = Field(default=10.0, gt=0, le=120, description="Seconds that opening the source may take.")
    stall_timeout_s: float = Field(default=5.0, gt=0, le=300, description="Seconds without a frame before a reopen.")

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        for name, value in super().__repr_args__():
            yield name, redact_url(value) if isinstance(value, str) else value


class SyntheticSpec(_Source):
    """Frames drawn by edgeagent itself: needs no camera."""

    type: Literal["synthetic"] = Field(default="synthetic", description="Frames that edgeagent draws itself.")
    width: Pixels = Field(default=640, description="Width of a frame in pixels.")
    height: Pixels = Field(default=480, description="Height of a frame in pixels.")
    fps: FramesPerSecond = Field(default=30.0, description="Frames a second.")
    seed: int = Field(default=1, ge=0, le=2**31 - 1, description="The same seed draws the same frames.")


class FileSpec(_Source):
    """A video file."""

    type: Literal["file"] = Field(default="file", description="A video file.")
    path: FilePath = Field(
        description="The file to play; a relative path starts at the service's working directory.",
        examples=["/data/belt.mp4"],
    )
    mode: Literal["loop", "once"] = Field(default="loop", description="Start again at the end, or play once and stop.")
    pace: Literal["native", "fastest"] = Field(
        default="native", description="Play at the file's own rate, or as fast as frames can be decoded."
    )


class V4l2Spec(_Source):
    """A USB or other Video4Linux camera."""

    type: Literal["v4l2"] = Field(default="v4l2", description="A USB or other Video4Linux camera.")
    device: Device = Field(
        description="The camera's device; a path under /dev/v4l/by-id stays the same when cameras are replugged.",
        examples=["/dev/video0"],
    )
    width: Pixels | None = Field(
        default=None, description="Width in pixels; not set: the camera's own.", examples=[1280]
    )
    height: Pixels | None = Field(
        default=None, description="Height in pixels; not set: the camera's own.", examples=[720]
    )
    fps: FramesPerSecond | None = Field(
        default=None, description="Frames a second; not set: the camera's own.", examples=[30.0]
    )

    @model_validator(mode="after")
    def _both_or_neither(self) -> V4l2Spec:
        if (self.width is None) != (self.height is None):
            raise refuse("width and height go together", "give both or neither")
        return self


class RtspSpec(_Source):
    """A network camera."""

    type: Literal["rtsp"] = Field(default="rtsp", description="A network camera that speaks RTSP.")
    url: RtspUrl = Field(
        description="The stream's address, rtsp:// or rtsps://. A user name and password in it are never shown.",
        examples=["rtsp://192.168.1.20:554/stream1"],
    )
    transport: Literal["tcp", "udp"] = Field(
        default="tcp", description="How the stream travels; tcp loses no packets, udp may have less delay."
    )


class GStreamerSpec(_Source):
    """Any GStreamer pipeline that ends in an appsink."""

    type: Literal["gstreamer"] = Field(default="gstreamer", description="Any GStreamer pipeline.")
    pipeline: Pipeline = Field(
        description="A pipeline in gst-launch syntax that ends in appsink.",
        examples=["videotestsrc ! videoconvert ! video/x-raw,format=BGR ! appsink drop=true max-buffers=1"],
    )


class CsiSpec(_Source):
    """A MIPI CSI camera on the module's own connector."""

    type: Literal["csi"] = Field(default="csi", description="A MIPI CSI camera on the board's own connector.")
    sensor_id: int = Field(ge=0, le=15, description="The sensor's number as the camera driver counts.", examples=[0])
    width: Pixels = Field(default=1920, description="Width of a frame in pixels.")
    height: Pixels = Field(default=1080, description="Height of a frame in pixels.")
    fps: FramesPerSecond = Field(default=30.0, description="Frames a second.")


SourceSpec: TypeAlias = Annotated[
    SyntheticSpec | FileSpec | V4l2Spec | RtspSpec | GStreamerSpec | CsiSpec,
    Field(discriminator="type"),
]
LIVE_KINDS = (V4l2Spec, RtspSpec, GStreamerSpec, CsiSpec)
"""Sources with a driver or a device behind them: they can freeze, slow down and lie about themselves."""
SOURCE_KINDS: dict[str, type[BaseModel]] = {
    kind.model_fields["type"].default: kind for kind in get_args(get_args(SourceSpec)[0])
}

_ANY_SOURCE: TypeAdapter[SourceSpec] = TypeAdapter(SourceSpec)


def uses_argus(source: SourceSpec) -> bool:
    """Whether its frames come from nvargus-daemon."""
    return isinstance(source, CsiSpec) or (isinstance(source, GStreamerSpec) and "nvarguscamerasrc" in source.pipeline)


def parse_source(text: str) -> SourceSpec:
    """The spec that a command line SPEC names; FORMS lists what it may look like. A file plays once by default.

    Raises ConfigError for an unknown form or a value out of range.
    """
    values = _spec_values(text.strip())
    try:
        return _ANY_SOURCE.validate_strings(values, strict=False)
    except ValidationError as error:
        raise _spec_refused(values["type"], error) from error


def _spec_values(text: str) -> dict[str, str]:
    if text.lower().startswith(("rtsp://", "rtsps://")):
        scheme, _, rest = text.partition(":")
        return {"type": "rtsp", "url": f"{scheme.lower()}:{rest}"}
    if text.startswith("gst:"):
        return {"type": "gstreamer", "pipeline": text.removeprefix("gst:").strip()}
    body, options = _split_options(text)
    return {**_body_values(body), **options}


def _body_values(body: str) -> dict[str, str]:
    if match := _SYNTHETIC.fullmatch(body):
        return {"type": "synthetic", **{key: value for key, value in match.groupdict().items() if value}}
    if body.startswith(("/dev/", "v4l2:")):
        return {"type": "v4l2", "device": body.removeprefix("v4l2:")}
    if body.startswith("csi:"):
        return {"type": "csi", "sensor_id": body.removeprefix("csi:")}
    if body.startswith("file:") or _looks_like_path(body):
        return {"type": "file", "path": body.removeprefix("file:"), "mode": "once"}
    raise ConfigError(f"cannot tell what source {redact_url(body)!r} is", mend=ALL_FORMS)


def _split_options(text: str) -> tuple[str, dict[str, str]]:
    """`body?key=value&...` apart. A ? without a key=value behind it belongs to the body."""
    body, mark, tail = text.rpartition("?")
    if not mark or "=" not in tail:
        return text, {}
    options = dict(parse_qsl(tail, keep_blank_values=True))
    if "type" in options:
        raise ConfigError("a source's type is not an option", mend=ALL_FORMS)
    return body, options


def _looks_like_path(body: str) -> bool:
    return not _SCHEME.match(body) and ("/" in body or "." in body)


def _spec_refused(kind: str, error: ValidationError) -> ConfigError:
    """The first of pydantic's complaints about a SPEC as one plain error, without the input: it may hold a secret."""
    first = error.errors(include_url=False, include_input=False)[0]
    key = ".".join(str(part) for part in first["loc"][1:]) or "source"
    if first["type"] == "extra_forbidden":
        known = ", ".join(sorted(SOURCE_KINDS[kind].model_fields.keys() - {"type"}))
        return ConfigError(f"a {kind} source has no option {key!r}", mend=f"it has: {known}")
    mend = str(first.get("ctx", {}).get("mend", "")) or f"write {FORMS[kind]}"
    return ConfigError(f"{kind} source: {key}: {first['msg'][:1].lower()}{first['msg'][1:]}", mend=mend)


def describe_source(spec: SourceSpec) -> str:
    """The source in one line, secrets hidden."""
    return " ".join(redact_url(_description(spec)).split())


def _description(spec: SourceSpec) -> str:
    match spec:
        case SyntheticSpec():
            return f"synthetic {_size(spec.width, spec.height, spec.fps)}, seed {spec.seed}"
        case FileSpec():
            return f"file {spec.path}, {spec.mode}, {spec.pace} pace"
        case V4l2Spec():
            return f"v4l2 {spec.device} {_size(spec.width, spec.height, spec.fps)}"
        case RtspSpec():
            return f"rtsp {spec.url} over {spec.transport}"
        case GStreamerSpec():
            return f"gstreamer {spec.pipeline}"
        case CsiSpec():
            return f"csi sensor {spec.sensor_id} {_size(spec.width, spec.height, spec.fps)}"


def _size(width: int | None, height: int | None, fps: float | None) -> str:
    size = f"{width}x{height}" if width and height else "own size"
    return f"{size} at {fps:g} fps" if fps else size
