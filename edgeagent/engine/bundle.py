"""A model bundle: a directory with `model.toml` and an ONNX file. Read by the agent, so nothing heavy in here.

    name = "conveyor"            version = "1"
    onnx = "conveyor.onnx"       task = "detect"
    family = "yolov8"            classes = ["bolt", "nut", ...]
    [input]
    width = 320  height = 320    color = "rgb"
    scale = 0.00392156862745098  mean = [0.0, 0.0, 0.0]  std = [1.0, 1.0, 1.0]

The network is fed `(pixel * scale - mean) / std`, channel by channel in the order `color` names.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edgeagent.errors import ModelError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Three = Annotated[list[float], Field(min_length=3, max_length=3)]
Side = Annotated[int, Field(ge=32, le=4096, multiple_of=8)]
SAMPLE_PREFIX = "sample:"


class InputSpec(BaseModel):
    """How a frame becomes the network's input. Width and height in pixels."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    width: Side
    height: Side
    color: Literal["rgb", "bgr"] = "rgb"
    scale: float = Field(default=1 / 255, gt=0)
    mean: Three = Field(default_factory=lambda: [0.0, 0.0, 0.0])
    std: Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=3, max_length=3)] = Field(
        default_factory=lambda: [1.0, 1.0, 1.0]
    )


class ModelSpec(BaseModel):
    """The content of model.toml."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str = Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?$")
    version: str
    onnx: str
    task: Literal["detect"]
    family: Literal["yolov8"]
    classes: list[str] = Field(min_length=1, max_length=10000)
    input: InputSpec


class ModelBundle(BaseModel):
    """A bundle on disk. `digest` is the SHA-256 of the ONNX file and of every file of external data beside it."""

    model_config = ConfigDict(frozen=True)
    spec: ModelSpec
    onnx_path: Path
    digest: str


def load_bundle(where: str) -> ModelBundle:
    """The bundle at `where`: a directory, a model.toml, or `sample:NAME`. Raises ModelError."""
    path = _toml_path(where)
    spec = _read_spec(path)
    onnx_path = (path.parent / spec.onnx).resolve()
    if onnx_path.parent != path.parent.resolve():
        raise ModelError(
            f"{path}: onnx = {spec.onnx!r} lies outside the bundle", mend="keep the ONNX beside model.toml"
        )
    if not onnx_path.is_file() or onnx_path.stat().st_size == 0:
        raise ModelError(f"{path}: {spec.onnx} is missing or empty", mend="copy the ONNX file beside model.toml")
    return ModelBundle(spec=spec, onnx_path=onnx_path, digest=digest_files([onnx_path, *_external_data(onnx_path)]))


def _toml_path(where: str) -> Path:
    if where.startswith(SAMPLE_PREFIX):
        return sample_directory(where.removeprefix(SAMPLE_PREFIX)) / "model.toml"
    path = Path(where)
    return path / "model.toml" if path.is_dir() else path


def sample_directory(name: str) -> Path:
    """Where the package keeps its sample model. Raises ModelError for any other name."""
    if name != "conveyor":
        raise ModelError(f"there is no sample model {name!r}", mend="the sample model is sample:conveyor")
    return Path(__file__).resolve().parent.parent / "simulate" / "sample_model"


def _read_spec(path: Path) -> ModelSpec:
    try:
        return ModelSpec.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise ModelError(
            f"there is no model bundle at {path}", mend="a bundle is a directory with model.toml"
        ) from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ModelError(f"{path} cannot be read as TOML: {error}", mend="see docs/models.md") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ModelError(f"{path}: {where}: {first['msg']}", mend="see docs/models.md") from error


def _external_data(onnx_path: Path) -> list[Path]:
    """Files that exporters write beside an ONNX with external weights, by name."""
    beside = (onnx_path.with_name(onnx_path.name + suffix) for suffix in (".data", "_data"))
    return [path for path in beside if path.is_file()]


def digest_files(paths: list[Path]) -> str:
    """SHA-256 over the files' bytes, each preceded by its length, so that no two lists collide."""
    whole = hashlib.sha256()
    for path in paths:
        whole.update(path.stat().st_size.to_bytes(8, "big"))
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                whole.update(chunk)
    return whole.hexdigest()
