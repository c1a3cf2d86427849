"""A network put on a DLA: is there one, what would it refuse, and what stays on the GPU on purpose."""

from __future__ import annotations

from edgeagent.engine.build.tensorrt.callbacks import TrtObject
from edgeagent.engine.build.tensorrt.capabilities import Trt
from edgeagent.engine.build.tensorrt.scaled import GRAFT, HEAVY
from edgeagent.errors import EngineError

TOLD = 5
MEND = 'set placement = "gpu" (engines, or the pipeline), or engines.dla_fallback = "gpu"'


def check_core(builder: TrtObject, core: int) -> None:
    """Raises EngineError `dla_refused` where the machine has no such core."""
    cores = int(builder.num_DLA_cores)
    if core < cores:
        return
    there = "no DLA" if cores == 0 else f"only {cores} DLA core{'s' if cores > 1 else ''}"
    raise EngineError(
        f"core {core} of the DLA is wanted, and TensorRT finds {there} here",
        mend=MEND,
        facts={"dla_cores": cores},
        code="dla_refused",
    )


def put_on_dla(trt: Trt, config: TrtObject, network: TrtObject, core: int) -> tuple[str, ...]:
    """Everything on the DLA but both grafts; the names of further layers that it refuses.

    Asked for each layer by itself: a DLA may still refuse some together, which the finished engine tells. Raises
    EngineError `dla_refused` where not one of the heavy layers can run there.
    """
    config.default_device_type = trt.DeviceType.DLA
    config.DLA_core = core
    refused, heavy, heavy_there = [], 0, 0
    for index in range(network.num_layers):
        layer = network.get_layer(index)
        if str(layer.name).startswith(GRAFT):
            config.set_device_type(layer, trt.DeviceType.GPU)
            continue
        fits = bool(config.can_run_on_DLA(layer))
        if layer.type.name in HEAVY:
            heavy, heavy_there = heavy + 1, heavy_there + fits
        if not fits:
            refused.append(str(layer.name))
    if heavy and not heavy_there:
        raise EngineError(
            f"a DLA takes none of the network's {heavy} convolutions: {named(refused)}",
            mend=MEND,
            facts={"refused": len(refused)},
            code="dla_refused",
        )
    return tuple(refused)


def named(names: list[str] | tuple[str, ...]) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - TOLD} more" if len(names) > TOLD else ""
    return ", ".join(names[:TOLD]) + more
