"""The signed record of a model bundle in a registry: its digest and every file of it, model.toml among them. Pure."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from edgeagent.engine.manifest import FileRecord, Published, Sha256

MODEL_TOML = "model.toml"
# Plain names of one folder: no separators, nothing hidden, nothing that a terminal would act on.
BundleFile = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9 ._+()-]{0,199}$")]


class ModelManifest(BaseModel):
    """`digest` is the bundle's (bundle.py): of the ONNX and its external data. `files` covers model.toml as well."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    schema_: Literal["edgeagent.model/1"] = Field(default="edgeagent.model/1", alias="schema")
    digest: Sha256
    name: str
    version: str
    files: dict[BundleFile, FileRecord]
    published: Published
