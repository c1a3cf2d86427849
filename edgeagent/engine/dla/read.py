"""The network that a plan is made of: a model bundle with its grafts, or a plain ONNX file. Reads files.

A plan wants less than a build: a plain ONNX needs no model.toml, and what its outputs mean does not matter. But shapes
must be static, which a DLA asks for, and the same suspicion is kept up (bombs.py, shapes.py).
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import onnx
from onnx import external_data_helper, inliner

from edgeagent.engine.bombs import check_claims
from edgeagent.engine.bundle import SAMPLE_PREFIX, check_file_sizes, load_bundle
from edgeagent.engine.graft import graft_bundle
from edgeagent.engine.network import FLOW, OPSETS, first_line, opset_of
from edgeagent.engine.own_qdq import has_qdq, translate_qdq
from edgeagent.engine.shapes import settle_shapes
from edgeagent.errors import ModelError


class Subject(NamedTuple):
    """`grafted`: whether normalisation and selection are in `model`, as they will be in the engine; `changed`: what
    else a build for this target does to the network beforehand, "" where nothing."""

    name: str
    grafted: bool
    model: onnx.ModelProto
    changed: str = ""


def read_subject(where: str) -> Subject:
    """What `where` names: a bundle's directory or model.toml, `sample:NAME`, or an ONNX file. Raises ModelError."""
    path = Path(where)
    if where.startswith(SAMPLE_PREFIX) or path.is_dir() or path.suffix == ".toml":
        bundle = load_bundle(where)
        check_static(_read(bundle.onnx_path))
        return Subject(f"{bundle.spec.name} {bundle.spec.version}", True, graft_bundle(bundle))
    return Subject(path.name, False, read_plain(path))


def without_own_qdq(subject: Subject, reason: str) -> Subject:
    """A bundle whose own Q/DQ nodes are taken out, as a build does it. A plain ONNX file is planned as it is.

    Raises ModelError `model_qdq` for nodes that no build would take.
    """
    if not subject.grafted or not has_qdq(subject.model):
        return subject
    plain, _ = translate_qdq(subject.model)
    settle_shapes(plain)
    return subject._replace(model=plain, changed=f"its own Q/DQ nodes are taken out: {reason}")


def read_plain(path: Path) -> onnx.ModelProto:
    """An ONNX file with every tensor's shape. Raises ModelError."""
    _check_there(path)
    model = _read(path)
    _check_operators(model)
    check_static(model)
    try:
        settle_shapes(model)
    except ModelError:
        raise
    except Exception as error:
        raise _not_onnx(path, error) from error
    return model


def check_static(model: onnx.ModelProto) -> None:
    """Raises ModelError `model_dynamic` for an input with a side that the file leaves open."""
    initial = {tensor.name for tensor in model.graph.initializer}
    for value in model.graph.input:
        if value.name in initial:
            continue
        dims = [
            str(dim.dim_value) if dim.dim_value > 0 else (dim.dim_param or "?")
            for dim in value.type.tensor_type.shape.dim
        ]
        if not all(dim.isdecimal() for dim in dims):
            raise ModelError(
                f"the shape of input {value.name} is open ({', '.join(dims)}), and a DLA needs static shapes",
                mend="export with a fixed size and a batch of 1",
                code="model_dynamic",
            )


def _check_there(path: Path) -> None:
    try:
        size = path.stat().st_size
    except OSError as error:
        raise ModelError(
            f"{path} cannot be read: {(error.strerror or str(error)).lower()}",
            mend="name a model's directory, an ONNX file, or sample:conveyor",
            code="model_missing",
        ) from error
    if size == 0:
        raise ModelError(f"{path} is empty", mend="copy the ONNX file again", code="model_missing")


def _read(path: Path) -> onnx.ModelProto:
    try:
        check_file_sizes(path)
        model = onnx.load(str(path), format="protobuf", load_external_data=False)
        check_claims(model, path)
        external_data_helper.load_external_data_for_model(model, str(path.parent))
        model = inliner.inline_local_functions(model)
        _check_foreign(model)
        onnx.checker.check_model(model)
        return model
    except ModelError:
        raise
    except Exception as error:
        raise _not_onnx(path, error) from error


def _not_onnx(path: Path, error: Exception) -> ModelError:
    return ModelError(
        f"{path.name} is no valid ONNX model: {first_line(error)}",
        mend="export the network again",
        code="model_not_onnx",
    )


def _check_foreign(model: onnx.ModelProto) -> None:
    foreign = sorted(
        {f"{node.domain}.{node.op_type}" for node in model.graph.node if node.domain not in ("", "ai.onnx")}
    )
    if foreign:
        raise ModelError(
            f"the network uses operators that are not ONNX's own: {', '.join(foreign[:3])}",
            mend="export it with standard operators only",
            code="model_operators",
        )


def _check_operators(model: onnx.ModelProto) -> None:
    flow = sorted({node.op_type for node in model.graph.node if node.op_type in FLOW})
    if flow:
        raise ModelError(
            f"the network branches or loops ({', '.join(flow)}), so its layers are not known ahead",
            mend="export it traced, with fixed shapes and without NMS",
            code="model_operators",
        )
    if opset_of(model) not in OPSETS:
        raise ModelError(
            f"the network uses ONNX opset {opset_of(model)}, and edgeagent takes {OPSETS[0]} to {OPSETS[-1]}",
            mend="export it with opset 17",
            code="model_opset",
        )
