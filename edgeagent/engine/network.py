"""The user's network, read with suspicion: what this module lets through, the graft can be put on.

Whatever is wrong with the file ends here in a ModelError of one line. Its `error_code` is one of

    model_missing  model_too_large  model_data  model_nodes  model_not_onnx  model_opset  model_operators
    model_input  model_shapes  model_memory  model_family  model_classes  model_output

and later, in families/front.py and ranges.py, model_scaling, model_does_not_run or model_not_finite. Nothing of the
network is run in here, and nothing that the file only claims is allocated.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import onnx
from onnx import TensorProto, external_data_helper, inliner

from edgeagent.engine.bombs import check_claims
from edgeagent.engine.bundle import MAX_MODEL_BYTES, Family, ModelBundle, ModelSpec, check_file_sizes
from edgeagent.engine.families.choose import choose_head
from edgeagent.engine.families.head import Head, Kind, OutputFact
from edgeagent.engine.families.recognise import Guess
from edgeagent.engine.half import lift_to_float32
from edgeagent.engine.shapes import settle_shapes
from edgeagent.errors import ModelError

__all__ = ["MAX_MODEL_BYTES", "LoadedNetwork", "first_line", "load_network", "opset_of"]

OPSETS = range(13, 22)  # per-channel Q/DQ begins at 13; ONNX Runtime 1.20 ends at 21
IR_VERSIONS = (8, 10)  # what ONNX Runtime 1.20 reads; older files are lifted to it
FLOW = ("If", "Loop", "Scan", "SequenceMap")  # their insides have no sizes that are known ahead
KINDS: dict[int, Kind] = {TensorProto.FLOAT: "float", TensorProto.INT32: "int", TensorProto.INT64: "int"}
MOVES = frozenset(  # operators that leave a score what it is
    {
        "Cast", "Concat", "DequantizeLinear", "Dropout", "Flatten", "Gather", "Identity", "QuantizeLinear", "Reshape",
        "Slice", "Split", "Squeeze", "Transpose", "Unsqueeze",
    }
)  # fmt: skip
FAR = 200  # operators, looked at backwards from an output
Result = TypeVar("Result")


@dataclass(frozen=True)
class LoadedNetwork:
    """A network that was checked, with all shapes. `guess` is set where model.toml names no family."""

    model: onnx.ModelProto
    spec: ModelSpec
    head: Head
    guess: Guess | None

    @property
    def family(self) -> Family:
        return self.head.family

    @property
    def count(self) -> int:
        """How many rows (boxes, classes) the network gives."""
        return self.head.rows

    @property
    def nms(self) -> bool:
        """Whether overlapping detections are still to be suppressed."""
        return self.head.nms

    @property
    def recognised(self) -> str:
        """What was guessed and why, for a person; empty where the family was declared."""
        return self.guess.line() if self.guess else ""


def load_network(bundle: ModelBundle) -> LoadedNetwork:
    """The bundle's network, whole, checked and with shapes, and how to read its outputs. Raises ModelError."""
    model = _read(bundle.onnx_path)
    names = _class_names(model)
    _check_opset(model)
    _check_operators(model)
    _normalise(model)
    _check_input(model, bundle.spec)
    lift_to_float32(model)
    _guarded(lambda: settle_shapes(model), bundle.onnx_path)
    head, guess = choose_head(_facts(model), bundle.spec)
    if names and head.layout in ("found", "labelled"):
        _check_names(names, bundle.spec)
    _keep_outputs(model, head)
    return LoadedNetwork(model, bundle.spec, head, guess)


def _read(path: Path) -> onnx.ModelProto:
    return _guarded(lambda: _read_file(path), path)


def _read_file(path: Path) -> onnx.ModelProto:
    check_file_sizes(path)
    model = onnx.load(str(path), load_external_data=False)
    check_claims(model, path)
    _spell_header(model)
    external_data_helper.load_external_data_for_model(model, str(path.parent))
    model = inliner.inline_local_functions(model)
    onnx.checker.check_model(model)
    return model


def _spell_header(model: onnx.ModelProto) -> None:
    """What an older ONNX library would stumble over before anything is looked at: the format's number, a domain's."""
    model.ir_version = max(IR_VERSIONS[0], min(int(model.ir_version), IR_VERSIONS[1]))
    for entry in model.opset_import:
        if entry.domain == "ai.onnx":
            entry.domain = ""


def _guarded(work: Callable[[], Result], path: Path) -> Result:
    """The work's result; whatever the libraries raise is said in one line."""
    try:
        return work()
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(
            f"{path.name} is no valid ONNX model: {first_line(error)}",
            mend="export the network again",
            code="model_not_onnx",
        ) from error


def first_line(error: Exception) -> str:
    """What a library's error says, as far as a person wants to read it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:200]


def _check_opset(model: onnx.ModelProto) -> None:
    version = opset_of(model)
    if version not in OPSETS:
        raise ModelError(
            f"the network uses ONNX opset {version}, and edgeagent takes {OPSETS[0]} to {OPSETS[-1]}",
            mend="export it with opset 17",
            code="model_opset",
        )


def opset_of(model: onnx.ModelProto) -> int:
    return max((int(entry.version) for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=0)


def _check_operators(model: onnx.ModelProto) -> None:
    nodes = model.graph.node
    foreign = sorted({f"{node.domain}.{node.op_type}" for node in nodes if node.domain not in ("", "ai.onnx")})
    if foreign:
        raise ModelError(
            f"the network uses operators that are not ONNX's own: {', '.join(foreign[:3])}",
            mend="export it with standard operators only",
            code="model_operators",
        )
    flow = sorted({node.op_type for node in nodes if node.op_type in FLOW})
    if flow:
        raise ModelError(
            f"the network branches or loops ({', '.join(flow)}), and edgeagent takes straight ones only",
            mend="export it traced, with fixed shapes and without NMS",
            code="model_operators",
        )


def _normalise(model: onnx.ModelProto) -> None:
    """One spelling for what ONNX lets one say in several ways, so that the graft meets one form only."""
    opset = opset_of(model)
    del model.opset_import[:]
    model.opset_import.append(onnx.helper.make_opsetid("", opset))
    del model.training_info[:]
    initial = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in initial]  # before IR 4 weights were inputs too
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    _name_nodes(model)


def _name_nodes(model: onnx.ModelProto) -> None:
    """Give every node a name of its own, its first user keeping it: the quantiser chooses nodes by name."""
    wished = {node.name for node in model.graph.node}
    taken: set[str] = set()
    for index, node in enumerate(model.graph.node):
        if not node.name or node.name in taken:
            name = f"node_{index}"
            while name in wished or name in taken:
                name += "_"
            node.name = name
        taken.add(node.name)


def _shape(value: onnx.ValueInfoProto) -> list[int | str]:
    dims = value.type.tensor_type.shape.dim
    return [dim.dim_value if dim.HasField("dim_value") else (dim.dim_param or "?") for dim in dims]


def _listed(values: list[onnx.ValueInfoProto]) -> str:
    return ", ".join(f"{value.name} {_shape(value)}" for value in values) or "nothing"


def _check_input(model: onnx.ModelProto, spec: ModelSpec) -> None:
    inputs = list(model.graph.input)
    _close_batch(inputs)
    wanted: list[int | str] = [1, 3, spec.input.height, spec.input.width]
    if len(inputs) != 1 or _shape(inputs[0]) != wanted:
        raise ModelError(
            f"the network takes {_listed(inputs)}, and model.toml says one input {wanted}",
            mend="export with the size that model.toml gives, and a batch of 1 or an open one",
            code="model_input",
        )
    if inputs[0].type.tensor_type.elem_type not in (TensorProto.FLOAT, TensorProto.FLOAT16):
        raise ModelError(
            "the network's input is neither float32 nor float16", mend="export it in float32", code="model_input"
        )


def _close_batch(inputs: list[onnx.ValueInfoProto]) -> None:
    """A network for any number of frames is looked at as one for a single frame; batching.py opens it again."""
    for value in inputs:
        sides = value.type.tensor_type.shape.dim
        if len(sides) == 4 and not sides[0].HasField("dim_value"):
            sides[0].dim_value = 1


def _facts(model: onnx.ModelProto) -> list[OutputFact]:
    makers = {name: node for node in model.graph.node for name in node.output}
    return [
        OutputFact(
            name=value.name,
            shape=tuple(side if isinstance(side, int) else None for side in _shape(value)),
            kind=KINDS.get(value.type.tensor_type.elem_type, "other"),
            made_by=_origin(value.name, makers),
        )
        for value in model.graph.output
    ]


def _origin(name: str, makers: dict[str, onnx.NodeProto]) -> str:
    """The operator that computed the tensor, behind all that only moves numbers; "" where they are several."""
    origins: set[str] = set()
    waiting, seen = [name], {name}
    while waiting and len(seen) < FAR:
        maker = makers.get(waiting.pop())
        if maker is None or maker.op_type not in MOVES:
            origins.add("" if maker is None else maker.op_type)
            continue
        sources = maker.input if maker.op_type == "Concat" else maker.input[:1]
        waiting += [source for source in sources if source not in seen]
        seen.update(sources)
    return origins.pop() if len(origins) == 1 and not waiting else ""


def _class_names(model: onnx.ModelProto) -> int:
    """How many class names the exporter has left in the file, as Ultralytics writes them; 0 where it has not."""
    text = next((entry.value for entry in model.metadata_props if entry.key == "names"), "")
    try:
        names = ast.literal_eval(text) if 0 < len(text) < 1 << 20 else None
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return 0
    return len(names) if isinstance(names, dict | list) else 0


def _check_names(names: int, spec: ModelSpec) -> None:
    if names != len(spec.classes):
        raise ModelError(
            f"the network has {names} classes, as its file says, and model.toml lists {len(spec.classes)}",
            mend="check the class list",
            code="model_classes",
        )


def _keep_outputs(model: onnx.ModelProto, head: Head) -> None:
    """Drop the outputs that the head does not read, and the nodes that lead nowhere then."""
    if len(model.graph.output) == len(head.names):
        return
    kept = [output for output in model.graph.output if output.name in head.names]
    del model.graph.output[:]
    model.graph.output.extend(kept)
    wanted = set(head.names)
    nodes: list[onnx.NodeProto] = []
    for node in reversed(model.graph.node):
        if wanted & set(node.output):
            wanted.update(node.input)
            nodes.append(node)
    nodes.reverse()
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del model.graph.node[:]
    model.graph.node.extend(copies)
