"""Does every pipeline find what it is placed on: the config against the board, as the agent will decide. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from edgeagent.app.backends import Backend
from edgeagent.app.doctor_report import Check, ok, problem, warning
from edgeagent.board.dla import DlaAnswer
from edgeagent.config.schema import Config
from edgeagent.engine.choice import Ground, why_no_dla


@dataclass(frozen=True)
class Places:
    """What engines can run on. `missing`: that engines.backend cannot be had and why, else ""; `note` follows
    every word about a place: whose it is, where that is not plain."""

    backend: Backend
    dla: DlaAnswer
    missing: str = ""
    note: str = ""


def check_placement(config: Config, places: Places) -> Iterator[Check]:
    """One line for a backend that is not there, else one for each enabled pipeline that is placed by name; none for
    `auto`, which takes what there is."""
    wanted = {name: pipeline for name, pipeline in config.pipelines.items() if pipeline.enabled}
    if places.missing and wanted:
        mend = 'set engines.backend = "auto", or mend what is said of tensorrt, pycuda and the GPU'
        yield problem("backend", f"{places.missing}: no pipeline runs", mend, backend=config.engines.backend)
        return
    for name, pipeline in wanted.items():
        placement = config.engines.placed(pipeline.placement).placement
        if placement != "auto":
            key = "engines.placement" if pipeline.placement is None else f"pipelines.{name}.placement"
            yield _check(f"pipeline {name}", key, placement, places, config.engines.dla_fallback == "refuse")


def _check(what: str, key: str, placement: str, places: Places, refuse: bool) -> Check:
    wish, facts = f"{key} is {placement!r}", {"placement": placement, "dla_cores": places.dla.cores}
    if places.backend == "onnxruntime":
        text = f"{wish}, and ONNX Runtime computes on the CPU: the pipeline gets no engine{places.note}"
        return problem(what, text, f'set {key} = "auto", or install TensorRT', **facts)
    if placement == "gpu":
        return ok(what, f"placed on the GPU{places.note}", **facts)
    ground = Ground("tensorrt", dla=places.dla.answer, dla_reason=places.dla.reason, dla_cores=places.dla.cores)
    why = why_no_dla(placement, ground)
    if why and refuse:
        mend = f'set {key} to {_others(placement, places.dla)}, or engines.dla_fallback = "gpu"'
        return problem(what, f"{wish}: {why}; the pipeline gets no engine{places.note}", mend, **facts)
    if why:
        mend = f"set {key} to {_others(placement, places.dla)}"
        return warning(what, f"{wish}: {why}; it runs on the GPU instead{places.note}", mend, **facts)
    unsure = f", if there is one: {places.dla.reason}" if places.dla.answer == "unknown" else ""
    return ok(what, f"placed on {'a DLA' if placement == 'dla' else placement}{unsure}{places.note}", **facts)


def _others(placement: str, dla: DlaAnswer) -> str:
    """What to write in its place."""
    return '"dla", "gpu" or "auto"' if placement != "dla" and dla.answer != "no" else '"gpu" or "auto"'
