"""From an ONNX file to a parsed network, and what the network looks like to those who decide about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgeagent.engine.build.tensorrt.callbacks import TrtObject
from edgeagent.engine.build.tensorrt.capabilities import Capabilities, Trt
from edgeagent.engine.build.tensorrt.scaled import NetworkLayer
from edgeagent.errors import EngineError

if TYPE_CHECKING:
    import onnx

FRAMES = "frames"
OPEN = -1  # TensorRT's word for a side that is not fixed
# From opset 18 on these take their axes as an input, which the parser of 8.6 leaves unread: it reduces over all axes
# and says nothing (seen with 8.6.0). ReduceSum has had them as an input since 13, and is read.
AXES_UNREAD = frozenset(
    f"Reduce{kind}" for kind in ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "SumSquare")
)
AXES_READ_FROM = (10,)


@dataclass(frozen=True)
class Parsed:
    """A parsed network. The parser holds the weights, so it lives as long as the network. `open`: it takes any number
    of frames up to `batch`."""

    network: TrtObject
    parser: TrtObject
    batch: int
    height: int
    width: int
    open: bool = False

    def frames(self, count: int) -> tuple[int, int, int, int]:
        """The shape of so many frames."""
        return count, self.height, self.width, 3


def create_network(trt: Trt, builder: TrtObject, flags: Sequence[str]) -> TrtObject:
    """An empty network with creation flags given by name."""
    mask = 0
    for name in flags:
        mask |= 1 << int(getattr(trt.NetworkDefinitionCreationFlag, name))
    return builder.create_network(mask)


def parse_network(
    trt: Trt,
    capabilities: Capabilities,
    network: TrtObject,
    logger: TrtObject,
    model: onnx.ModelProto,
    batch: int,
) -> Parsed:
    """Parse `model` into `network`. Raises EngineError `unsupported_layer`, which names the layer, and
    `build_refused` where the network does not take `batch` uint8 frames of a fixed size, or any number of them."""
    _check_axes(capabilities, model)
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(model.SerializeToString()):
        raise _not_parsed(capabilities, parser, model)
    frames = network.get_input(0) if network.num_inputs == 1 else None
    shape = () if frames is None else tuple(int(side) for side in frames.shape)
    fits = frames is not None and frames.dtype == trt.DataType.UINT8 and len(shape) == 4 and min(shape[1:]) > 0
    if not fits or shape[0] not in (batch, OPEN) or shape[3] != 3:
        raise EngineError(
            f"the network does not take uint8 frames ({batch}, height, width, 3) of a fixed size",
            mend="this is a fault of ours; report it with the model",
            code="build_refused",
        )
    return Parsed(network, parser, batch, height=shape[1], width=shape[2], open=shape[0] == OPEN)


def _check_axes(capabilities: Capabilities, model: onnx.ModelProto) -> None:
    if capabilities.version >= AXES_READ_FROM:
        return
    for node in model.graph.node:
        if node.op_type in AXES_UNREAD and len(node.input) > 1 and node.input[1]:
            name = node.name or node.output[0]
            raise EngineError(
                f"TensorRT {capabilities.release} misreads layer {name} ({node.op_type}): it reduces over all axes",
                mend="export the model with opset 17, or use a later JetPack",
                facts={"layer": name, "operator": node.op_type},
                code="unsupported_layer",
            )


def _not_parsed(capabilities: Capabilities, parser: TrtObject, model: onnx.ModelProto) -> EngineError:
    count = parser.num_errors
    error = parser.get_error(count - 1) if count else None
    name, operator = ("", "") if error is None else _node_of(capabilities, error, model)
    said = "it says nothing" if error is None else " ".join(str(error.desc()).split())[:300]
    which = f"layer {name} ({operator})" if name else "the network"
    return EngineError(
        f"TensorRT {capabilities.release} cannot take {which}: {said}",
        mend="export the model without this operator, name a plugin in engines.plugins, or use a later JetPack",
        facts={"layer": name, "operator": operator, "errors": count},
        code="unsupported_layer",
    )


def _node_of(capabilities: Capabilities, error: TrtObject, model: onnx.ModelProto) -> tuple[str, str]:
    """The name and operator of the node an error is about, "" where it is about none."""
    if capabilities.node_names and error.node_name():
        return str(error.node_name()), str(error.node_operator())
    index = int(error.node())
    if not 0 <= index < len(model.graph.node):
        return "", ""
    node = model.graph.node[index]
    return node.name or node.output[0], node.op_type


def network_layers(trt: Trt, network: TrtObject) -> list[NetworkLayer]:
    """Every layer as parsed, in topological order."""
    floating = {trt.DataType.FLOAT, trt.DataType.HALF}
    return [_layer(network.get_layer(index), floating) for index in range(network.num_layers)]


def _layer(layer: TrtObject, floating: set[TrtObject]) -> NetworkLayer:
    inputs = [layer.get_input(index) for index in range(layer.num_inputs)]
    outputs = [layer.get_output(index) for index in range(layer.num_outputs)]
    floats = {tensor.name for tensor in outputs if tensor.dtype in floating and not tensor.is_shape_tensor}
    return NetworkLayer(
        name=str(layer.name),
        kind=str(layer.type.name),
        inputs=tuple(str(tensor.name) for tensor in inputs if tensor is not None),
        outputs=tuple(str(tensor.name) for tensor in outputs),
        floats=frozenset(floats),
    )
