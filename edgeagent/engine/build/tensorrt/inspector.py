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

IN_METADATA = re.compile(r"\[ONNX Layer: ([^\]]+)\]")
FOREIGN = re.compile(r"ForeignNode\[(?P<first>.+?)\.\.\.(?P<last>.+?)\]")
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
    claimed = {part for layer in found for part in layer.parts}
    whole = [_with_inner(layer, nodes, order, claimed) for layer in found]
    return tuple(_with_macs(layer, macs) for layer in whole)


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


def _with_inner(layer: PlacedLayer, nodes: Sequence[str], order: Mapping[str, int], claimed: set[str]) -> PlacedLayer:
    """A subgraph names only its first and last node: what lies between and belongs to no other layer is its own."""
    ends = FOREIGN.search(layer.name)
    if ends is None or len(layer.parts) > 2:
        return layer
    first, last = (order.get(ends[end]) for end in ("first", "last"))
    if first is None or last is None:
        return layer
    low, high = sorted((first, last))
    own = [name for name in nodes[low : high + 1] if name in layer.parts or name not in claimed]
    return PlacedLayer(layer.name, layer.device, layer.kind, layer.precision, layer.macs, tuple(own))


def _with_macs(layer: PlacedLayer, macs: Mapping[str, int]) -> PlacedLayer:
    total = sum(macs.get(part, 0) for part in layer.parts) if layer.parts else None
    return PlacedLayer(layer.name, layer.device, layer.kind, layer.precision, total, layer.parts)
