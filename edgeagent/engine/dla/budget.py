"""How much of a network wanted on a DLA may end up on the GPU, and what an engine's layers amount to. Pure.

TensorRT melts layers together and names the result after its parts; a subgraph for a DLA is one layer, named after its
first and last. Counted are the network's own layers, so that melting changes no share, and not the grafts, which are
expected on the GPU, nor what TensorRT puts in between (reformats, copies, constants).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from edgeagent.engine.build.backend import PlacedLayer
from edgeagent.engine.dla.layer import GRAFT
from edgeagent.engine.dla.table import LOADABLES_A_CORE
from edgeagent.engine.manifest import LayerSummary
from edgeagent.errors import EngineError

SHOWN, KEPT = 3, 100
FOREIGN = re.compile(r"ForeignNode\[(?P<first>[^\[\]]+?)(?:\.\.\.(?P<last>[^\[\]]+))?\]")
OWN = re.compile(r"\(Unnamed Layer|\[(?:HostTo|DeviceTo)")


def parts_of(name: str, order: Sequence[str] = ()) -> tuple[str, ...]:
    """The network's layers that an engine's layer of this name holds.

    `a + b` holds a and b; `{ForeignNode[a...z]}` holds all from a to z in the network's `order`, or the two ends where
    the order is not known; `PWN(a, b)` and `PWN(PWN(a), b)` hold a and b. What TensorRT adds holds none.
    """
    if name.startswith("Reformatting CopyNode"):
        return ()
    foreign = FOREIGN.search(name)
    if foreign is not None:
        return _between(foreign["first"].strip(), (foreign["last"] or foreign["first"]).strip(), order)
    pieces = (piece.strip() for piece in name.split(" + "))
    return tuple(dict.fromkeys(part for piece in pieces if not OWN.match(piece) for part in _inside(piece) if part))


def _inside(piece: str) -> list[str]:
    """The names within `PWN(...)`, TensorRT's mark of number-by-number layers that it melted."""
    if not piece.startswith("PWN("):
        return [piece]
    return [part.strip().rstrip(")") for part in piece.replace("PWN(", "").split(", ")]


def _between(first: str, last: str, order: Sequence[str]) -> tuple[str, ...]:
    places = {name: index for index, name in enumerate(order)}
    if first in places and last in places:
        low, high = sorted((places[first], places[last]))
        return tuple(order[low : high + 1])
    return (first,) if first == last else (first, last)


def judge_placement(
    layers: Sequence[PlacedLayer],
    *,
    max_gpu_layers: float,
    max_gpu_macs: float,
    loadable_limit: int = LOADABLES_A_CORE,
    order: Sequence[str] = (),
) -> LayerSummary:
    """What runs where, of an engine that was wanted on a DLA.

    Shares are 0..1. Raises EngineError `dla_refused` where nothing is on the DLA, where a share on the GPU is beyond
    its limit, or where one core cannot hold the loadables.
    """
    summary = summarise(layers, order)
    if summary.layers and not summary.on_dla:
        raise _refused(summary, "nothing of the network would run on the DLA", 1.0, max_gpu_layers, _GPU)
    if summary.share_gpu > max_gpu_layers:
        text = f"{summary.on_gpu} of {summary.layers} layers ({_percent(summary.share_gpu)}) would run on the GPU"
        raise _refused(summary, text, summary.share_gpu, max_gpu_layers, "dla_max_gpu_layers")
    macs = summary.macs_share_gpu
    if macs is not None and macs > max_gpu_macs:
        text = f"{_percent(macs)} of the multiply-adds would run on the GPU"
        raise _refused(summary, text, macs, max_gpu_macs, "dla_max_gpu_macs")
    if summary.dla_loadables > loadable_limit:
        raise EngineError(
            f"the network falls into {summary.dla_loadables} pieces for the DLA, and a core holds {loadable_limit}",
            mend='set placement = "gpu" (engines, or the pipeline), or replace the layers between the pieces',
            facts={"loadables": summary.dla_loadables, "limit": loadable_limit},
            code="dla_refused",
        )
    return summary


def summarise(layers: Sequence[PlacedLayer], order: Sequence[str] = ()) -> LayerSummary:
    """The counts alone. A layer of the network that is in several of the engine's is on the DLA if all of them are."""
    named = any(layer.parts for layer in layers)
    device: dict[str, bool] = {}
    macs = {True: 0, False: 0}
    loadables = 0
    for layer in layers:
        on_dla = layer.device == "dla"
        loadables += on_dla
        parts = [part for part in _own_parts(layer, named, order) if not part.startswith(GRAFT)]
        macs[on_dla] += (layer.macs or 0) if parts else 0
        for part in parts:
            device[part] = on_dla and device.get(part, True)
    fallback = tuple(part for part, on_dla in device.items() if not on_dla)
    total = sum(macs.values())
    return LayerSummary(
        layers=len(device),
        on_dla=len(device) - len(fallback),
        on_gpu=len(fallback),
        dla_loadables=loadables,
        share_gpu=len(fallback) / len(device) if device else 0.0,
        macs_share_gpu=macs[False] / total if total else None,
        fallback=fallback[:KEPT],
    )


def _own_parts(layer: PlacedLayer, named: bool, order: Sequence[str]) -> Iterable[str]:
    """Where the engine names parts at all, a layer without any is TensorRT's own."""
    return layer.parts if named else parts_of(layer.name, order)


_GPU = ""


def _refused(summary: LayerSummary, text: str, share: float, limit: float, setting: str) -> EngineError:
    shown = ", ".join(summary.fallback[:SHOWN])
    more = f" and {summary.on_gpu - SHOWN} more" if summary.on_gpu > SHOWN else ""
    allowed = f", and engines.{setting} allows {_percent(limit)}" if setting else ""
    raise_it = f"raise engines.{setting}, or " if setting else ""
    return EngineError(
        f"{text}{allowed}: {shown}{more}",
        mend=f'{raise_it}set placement = "gpu" (engines, or the pipeline)',
        facts={"share": round(share, 4), "limit": limit, "layers_on_gpu": summary.on_gpu, "first": shown},
        code="dla_refused",
    )


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
