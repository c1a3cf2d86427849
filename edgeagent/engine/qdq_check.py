"""Is a Q/DQ network in the form that TensorRT wants? Pure: reads the graph and says what is not.

The rules are those by which qdq_places.py chooses; here they are read from the finished graph, without knowing how it
came about. A user's own model may break some of them and still build: only our quantiser's must keep them all.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, numpy_helper

from edgeagent.engine.qdq_places import FREE_MOVERS, PAIRED_MOVERS, WEIGHTED

Q, DQ = "QuantizeLinear", "DequantizeLinear"
READERS = WEIGHTED | PAIRED_MOVERS | FREE_MOVERS | {"Add"}
DEFAULT_AXIS = 1  # of QuantizeLinear and DequantizeLinear
Array = npt.NDArray[np.float32]


def check_trt_qdq(model: onnx.ModelProto) -> list[str]:
    """Each breach as a line that begins with the node's name; empty for a network in TensorRT's form."""
    graph = _Pairs(model)
    return [line for node in model.graph.node for line in graph.breaches(node)]


class _Pairs:
    def __init__(self, model: onnx.ModelProto) -> None:
        nodes = model.graph.node
        self._constants = {tensor.name: tensor for tensor in model.graph.initializer}
        self._makers = {name: node for node in nodes for name in node.output}
        self._outputs = {value.name for value in model.graph.output}
        self._readers: dict[str, list[onnx.NodeProto]] = {}
        for node in nodes:
            for name in node.input:
                self._readers.setdefault(name, []).append(node)

    def breaches(self, node: onnx.NodeProto) -> Iterator[str]:
        if node.op_type == Q:
            yield from self._quantiser(node)
        elif node.op_type == DQ:
            yield from self._dequantiser(node)
        elif node.op_type in WEIGHTED:
            yield from self._weighted(node)
        elif node.op_type == "Add":
            yield from self._add(node)
        elif node.op_type == "Concat":
            yield from self._concat(node)

    def _quantiser(self, node: onnx.NodeProto) -> Iterator[str]:
        yield from self._numbers(node)
        readers = self._readers.get(node.output[0], [])
        if len(readers) != 1 or readers[0].op_type != DQ or node.output[0] in self._outputs:
            yield f"{node.name}: is not followed by a DequantizeLinear of its own"
        elif list(readers[0].input[1:]) != list(node.input[1:]) or _axis(readers[0]) != _axis(node):
            yield f"{node.name}: and the DequantizeLinear behind it have different scales"

    def _dequantiser(self, node: onnx.NodeProto) -> Iterator[str]:
        source = self._makers.get(node.input[0])
        if source is None or source.op_type != Q:
            tensor = self._constants.get(node.input[0])
            kind = TensorProto.DataType.Name(tensor.data_type) if tensor is not None else "a computed tensor"
            yield f"{node.name}: has no QuantizeLinear before it, but {kind}"
        readers = self._readers.get(node.output[0], [])
        if len(readers) != 1 or node.output[0] in self._outputs:
            yield f"{node.name}: is shared by {len(readers)} inputs"
        for reader in readers:
            if reader.op_type not in READERS:
                yield f"{node.name}: takes precision from {reader.op_type} {reader.name}"
            elif reader.op_type in WEIGHTED and node.output[0] in reader.input[2:]:
                yield f"{node.name}: quantises the bias of {reader.name}"

    def _numbers(self, node: onnx.NodeProto) -> Iterator[str]:
        zero = self._constants.get(node.input[2]) if len(node.input) > 2 else None
        if zero is None or zero.data_type != TensorProto.INT8:
            yield f"{node.name}: is not of signed INT8"
        elif numpy_helper.to_array(zero).any():
            yield f"{node.name}: has a zero point other than 0"
        scale = self._scale(node)
        if scale is None:
            yield f"{node.name}: has a scale that is no constant"
        elif not (np.isfinite(scale).all() and (scale > 0).all()):
            yield f"{node.name}: has a scale that is not positive and finite"
        elif scale.size > 1 and node.input[0] not in self._constants:
            yield f"{node.name}: has a scale a channel on an activation"

    def _scale(self, node: onnx.NodeProto) -> Array | None:
        tensor = self._constants.get(node.input[1])
        return None if tensor is None else np.asarray(numpy_helper.to_array(tensor), np.float32)

    def _weighted(self, node: onnx.NodeProto) -> Iterator[str]:
        paired = [self._pair_before(name) for name in node.input]
        if any(paired[:2]) and not all(paired[:2]):
            yield f"{node.name}: has a pair on one of its factors only"
        elif paired[1] is not None and paired[1].input[0] in self._constants:
            dims, axis = list(self._constants[paired[1].input[0]].dims), _weight_axis(node)
            scale = self._scale(paired[1])
            if scale is not None and (scale.size != dims[axis] or _axis(paired[1]) % len(dims) != axis):
                yield f"{node.name}: has no scale an output channel on its weights"

    def _add(self, node: onnx.NodeProto) -> Iterator[str]:
        paired = [self._pair_before(name) is not None for name in node.input]
        bare = [index for index, has in enumerate(paired) if not has]
        if any(paired) and any(not self._is_product(node.input[index]) for index in bare):
            yield f"{node.name}: adds what is quantised to what is not"

    def _concat(self, node: onnx.NodeProto) -> Iterator[str]:
        paired = [self._pair_before(name) for name in node.input]
        scales = [self._scale(pair) for pair in paired if pair is not None]
        known = [scale for scale in scales if scale is not None]
        if scales and (len(known) < len(paired) or any(not np.array_equal(scale, known[0]) for scale in known)):
            yield f"{node.name}: joins tensors of different scales"

    def _pair_before(self, name: str) -> onnx.NodeProto | None:
        """The Q of the pair that makes this tensor."""
        dequantiser = self._makers.get(name)
        if dequantiser is None or dequantiser.op_type != DQ:
            return None
        quantiser = self._makers.get(dequantiser.input[0])
        return quantiser if quantiser is not None and quantiser.op_type == Q else None

    def _is_product(self, name: str) -> bool:
        maker = self._makers.get(name)
        return maker is not None and maker.op_type in WEIGHTED


def _axis(node: onnx.NodeProto) -> int:
    return next((int(attribute.i) for attribute in node.attribute if attribute.name == "axis"), DEFAULT_AXIS)


def _weight_axis(node: onnx.NodeProto) -> int:
    """The axis of the weights that counts output channels."""
    turned = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
    return 0 if node.op_type == "Conv" or turned else 1
