"""What the engine itself says of its layers: the inspector's JSON, read into one record a layer. Pure.

Built with ProfilingVerbosity.DETAILED each layer is an object with `Name`, `LayerType`, `Inputs`, `Outputs` (each with
`Format/Datatype`) and `Metadata` with the ONNX nodes that it holds: `[ONNX Layer: name]`, separated by a bare U+001E,
which is no valid JSON (8.6.0). A subgraph that was compiled as one, by Myelin or for a DLA, has no metadata and is
named `{ForeignNode[first...last]}`; on a DLA its type is `DLA`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from edgeagent.engine.build.backend import PlacedLayer
from edgeagent.engine.build.tensorrt.scaled import GRAFT

IN_METADATA = re.compile(r"\[ONNX Layer: ([^\]]+)\]")
FOREIGN = re.compile(r"ForeignNode\[(.+?)\]")
REFORMAT = "Reformatting CopyNode"
BETWEEN = re.compile(r"\s\+\s|[\s,(){}\[\]]+|\.\.\.")
FORMATS = (
    ("int8", "int8"),
    ("fp16", "fp16"),
    ("half", "fp16"),
    ("fp32", "fp32"),
    ("float", "fp32"),
    ("int32", "int32"),
)


def read_layers(text: str, nodes: Sequence[str], macs: Mapping[str, int]) -> tuple[PlacedLayer, ...]:
    """The engine's layers from the inspector's `text`; () where it says nothing.

    `nodes` are the names of the ONNX nodes in the graph's order; `macs` their multiply-adds.
    """
    try:
        # not strict: names of parts are separated by a control character as it is
        layers = json.loads(text, strict=False).get("Layers", [])
    except (ValueError, AttributeError):
        return ()
    order = {name: index for index, name in enumerate(nodes)}
    found = [_layer(layer if isinstance(layer, dict) else {"Name": str(layer)}, order) for layer in layers]
    inner = _share_out(found, nodes, order)
    return tuple(_finished(layer, inner.get(index, layer.parts), macs) for index, layer in enumerate(found))


def _layer(layer: Mapping[str, Any], order: Mapping[str, int]) -> PlacedLayer:
    name, kind = str(layer.get("Name", "")), str(layer.get("LayerType", ""))
    return PlacedLayer(
        name=name,
        device="dla" if kind.upper() == "DLA" else "gpu",
        kind=kind,
        precision=_precision(layer),
        parts=_parts(name, str(layer.get("Metadata", "")), order),
    )


def _precision(layer: Mapping[str, Any]) -> str:
    """The number format that the layer reads first: a convolution in INT8 may well write FP16."""
    tensors = [tensor for key in ("Inputs", "Outputs") for tensor in layer.get(key) or () if isinstance(tensor, dict)]
    text = str(tensors[0].get("Format/Datatype", "")).lower() if tensors else ""
    return next((short for word, short in FORMATS if word in text), "")


def _parts(name: str, metadata: str, order: Mapping[str, int]) -> tuple[str, ...]:
    if name.startswith(REFORMAT):  # named after the layer that it serves, and no part of the network
        return ()
    named = IN_METADATA.findall(metadata) or [name, *BETWEEN.split(name)]
    known = {part for part in named if part in order}
    return tuple(sorted(known, key=order.__getitem__))


def _share_out(
    layers: Sequence[PlacedLayer], nodes: Sequence[str], order: Mapping[str, int]
) -> dict[int, tuple[str, ...]]:
    """The nodes in each subgraph, by the layer's index. A subgraph names two of its nodes and not always the outermost:
    it holds those two, and each node that no other layer names goes to the subgraph whose two are nearest. The grafts
    are kept off a DLA."""
    ends = {index: found for index, layer in enumerate(layers) if (found := _ends(layer, order)) is not None}
    if not ends:
        return {}
    claimed = {part for layer in layers for part in layer.parts}
    held: dict[int, set[str]] = {index: set(layers[index].parts) for index in ends}
    for place, name in enumerate(nodes):
        near = [index for index in ends if layers[index].device != "dla" or not name.startswith(GRAFT)]
        if name not in claimed and near:
            held[min(near, key=lambda index: max(ends[index][0] - place, place - ends[index][1], 0))].add(name)
    return {index: tuple(sorted(names, key=order.__getitem__)) for index, names in held.items()}


def _ends(layer: PlacedLayer, order: Mapping[str, int]) -> tuple[int, int] | None:
    """Where in the graph a subgraph's two named nodes lie; None for any other layer."""
    found = None if layer.name.startswith(REFORMAT) else FOREIGN.search(layer.name)
    if found is None:
        return None
    places = sorted(order[name] for name in found.group(1).split("...") if name in order)
    return (places[0], places[-1]) if places else None


def _finished(layer: PlacedLayer, parts: tuple[str, ...], macs: Mapping[str, int]) -> PlacedLayer:
    total = sum(macs.get(part, 0) for part in parts) if parts else None
    return PlacedLayer(layer.name, layer.device, layer.kind, layer.precision, total, parts)
