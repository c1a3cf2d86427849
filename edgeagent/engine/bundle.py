"""A model bundle: a directory with `model.toml` and an ONNX file. Read by the agent, so nothing heavy in here.

    name = "conveyor"            version = "1"
    onnx = "conveyor.onnx"       task = "detect"
    family = "yolov8"            classes = ["bolt", "nut", ...]
    [input]
    width = 320  height = 320    color = "rgb"
    scale = 0.00392156862745098  mean = [0.0, 0.0, 0.0]  std = [1.0, 1.0, 1.0]
    [output]
    activation = "none"          boxes = "cxcywh"

The network is fed `(pixel * scale - mean) / std`, channel by channel in the order `color` names. `family` and all of
[output] may be left out: what the outputs' shapes tell is then recognised (edgeagent/engine/families/recognise.py).

External weights. Which files an ONNX keeps its weights in stands inside the ONNX, and the agent does not read that.
So their names are fixed: `<onnx>.data` or `<onnx>_data` beside the ONNX, as the exporters write them. The digest covers
both, and the build refuses an ONNX that names any other file (edgeagent/engine/network.py).
"""

from __future__ import annotations

import hashlib
import sys
from collections import Counter
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from edgeagent.errors import ModelError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Number = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Name = Annotated[str, Field(min_length=1)]
Side = Annotated[int, Field(ge=32, le=4096, multiple_of=8)]
Task = Literal["detect", "classify"]
Family = Literal["yolov8", "yolov5", "end2end", "rtdetr", "ssd", "classifier"]
Activation = Literal["none", "sigmoid", "softmax"]
BoxFormat = Literal["cxcywh", "xyxy", "yxyx", "xywh"]
Background = Literal["none", "first", "last"]
TASK_OF: dict[Family, Task] = {
    "yolov8": "detect",
    "yolov5": "detect",
    "end2end": "detect",
    "rtdetr": "detect",
    "ssd": "detect",
    "classifier": "classify",
}
SAMPLE_PREFIX = "sample:"
MAX_MODEL_BYTES = (1 << 31) - (1 << 20)  # Protobuf's limit, less what the grafts add
MAX_TOML_BYTES = 1 << 20


class InputSpec(BaseModel):
    """How a frame becomes the network's input. Width and height in pixels."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    width: Side
    height: Side
    color: Literal["rgb", "bgr"] = "rgb"
    scale: Positive = 1 / 255
    mean: list[Number] = Field(default=[0.0, 0.0, 0.0], min_length=3, max_length=3)
    std: list[Positive] = Field(default=[1.0, 1.0, 1.0], min_length=3, max_length=3)


class OutputSpec(BaseModel):
    """How the network's outputs are to be read; None is what the family, or the graph itself, says.

    `activation`: what still has to be done to the scores. `boxes`: the order of a box's four numbers, `normalised`:
    whether they are shares of the input's sides and not pixels. `background`: where the scores (or the labels' count)
    have a class for nothing. `use`: the outputs that count, by name, where the network has more.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    activation: Activation | None = None
    boxes: BoxFormat | None = None
    normalised: bool | None = None
    background: Background | None = None
    use: list[Name] | None = Field(default=None, min_length=1, max_length=3)


class ModelSpec(BaseModel):
    """The content of model.toml. Without `family` it is recognised from the outputs' shapes."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str = Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?$")
    version: Name
    onnx: Name
    task: Task
    family: Family | None = None
    classes: list[Name] = Field(min_length=1, max_length=10000)
    input: InputSpec
    output: OutputSpec = OutputSpec()

    @field_validator("classes")
    @classmethod
    def _each_once(cls, classes: list[str]) -> list[str]:
        twice = sorted(name for name, count in Counter(classes).items() if count > 1)[:3]
        if twice:
            raise ValueError(f"class names must differ, and {', '.join(twice)} stands there twice")
        return classes

    @model_validator(mode="after")
    def _family_of_the_task(self) -> ModelSpec:
        if self.family is not None and TASK_OF[self.family] != self.task:
            raise ValueError(f"family {self.family} goes with task {TASK_OF[self.family]}, and task is {self.task}")
        return self


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
    try:
        onnx_path = _onnx_path(path, spec.onnx)
        check_file_sizes(onnx_path)  # before the digest: a sparse file of a terabyte would take the agent an hour
        return ModelBundle(spec=spec, onnx_path=onnx_path, digest=digest_files([onnx_path, *data_files(onnx_path)]))
    except OSError as error:
        raise ModelError(
            f"{path}: {spec.onnx} cannot be read: {error.strerror or error}", mend="check the file's owner and the disk"
        ) from error


def check_file_sizes(onnx_path: Path) -> None:
    """Raises ModelError when the ONNX with its weights is larger than 2 GiB; OSError when it is gone."""
    if sum(file.stat().st_size for file in (onnx_path, *data_files(onnx_path))) > MAX_MODEL_BYTES:
        raise ModelError(
            f"{onnx_path.name} with its weights is larger than 2 GiB",
            mend="use a smaller network",
            code="model_too_large",
        )


def load_spec_alone(where: str) -> ModelBundle:
    """What a bundle says of itself, where its network cannot be read; without a digest. Raises ModelError."""
    path = _toml_path(where)
    spec = _read_spec(path)
    return ModelBundle(spec=spec, onnx_path=path.parent / spec.onnx, digest="")


def _onnx_path(toml: Path, name: str) -> Path:
    folder = toml.parent.resolve()
    path = folder / name
    if "\0" in name or path.resolve().parent != folder:
        raise ModelError(f"{toml}: onnx = {name!r} lies outside the bundle", mend="keep the ONNX beside model.toml")
    if not path.is_file() or path.stat().st_size == 0:
        raise ModelError(
            f"{toml}: {name} is missing or empty", mend="copy the ONNX file beside model.toml", code="model_missing"
        )
    return path.resolve()


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
        if path.stat().st_size > MAX_TOML_BYTES:
            raise ModelError(f"{path} is larger than 1 MiB, which no model.toml is", mend="see docs/models.md")
        return ModelSpec.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ModelError(
            f"there is no model bundle at {path}", mend="a bundle is a directory with model.toml"
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise ModelError(f"{path}: {where}: {first['msg']}", mend="see docs/models.md") from error
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ModelError(f"{path} cannot be read: {reason}", mend="check the file's owner and the disk") from error
    except (ValueError, RecursionError) as error:  # not UTF-8 and not TOML are ValueErrors
        raise ModelError(f"{path} cannot be read as TOML: {error}", mend="see docs/models.md") from error


def data_files(onnx_path: Path) -> list[Path]:
    """The files of external weights that the digest covers: those that are there of the two that may be."""
    return [path for path in (onnx_path.with_name(name) for name in data_names(onnx_path)) if path.is_file()]


def data_names(onnx_path: Path) -> list[str]:
    """The only names that external weights of this ONNX may have."""
    return [f"{onnx_path.name}.data", f"{onnx_path.name}_data"]


def digest_files(paths: list[Path]) -> str:
    """SHA-256 over the files' bytes, each preceded by its length, so that no two lists collide."""
    whole = hashlib.sha256()
    for path in paths:
        whole.update(path.stat().st_size.to_bytes(8, "big"))
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                whole.update(chunk)
    return whole.hexdigest()
