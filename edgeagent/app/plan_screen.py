"""A placement plan as text and as JSON. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from edgeagent.app.plan_target import PlanTarget
from edgeagent.engine.dla.layer import sides
from edgeagent.engine.dla.plan import Placed, Plan, PlannedFrames, find_limits
from edgeagent.engine.dla.table import LOADABLES_A_CORE
from edgeagent.errors import EngineError

AUTHORITY = (
    "This is a prediction from NVIDIA's published limits. On the device TensorRT's can_run_on_DLA decides for each "
    "layer, and the engine's own account is what counts."
)


@dataclass(frozen=True)
class PlanReport:
    """`refusal` is why the plan is beyond the fallback budget, None where it is within or where there is no DLA;
    `changed` what a build does to the network beforehand, beside the grafts."""

    model: str
    grafted: bool
    changed: str
    target: PlanTarget
    plan: Plan
    batch: PlannedFrames
    max_gpu_layers: float
    max_gpu_macs: float
    refusal: EngineError | None


def plan_text(report: PlanReport, every: bool) -> str:
    """The table, the summary and what follows from it. `every`: also layers that run where they are wanted."""
    rows = [one for one in report.plan.placed if every or _is_fallback(one, report)]
    sources = list(dict.fromkeys(one.verdict.source for one in rows if one.verdict.source))
    sections = [_head(report), _table(rows, sources), _summary(report)]
    if sources:
        sections.append([f"[{index}] {source}" for index, source in enumerate(sources, 1)])
    sections.append([AUTHORITY])
    return "\n\n".join("\n".join(lines) for lines in sections if lines)


def plan_json(report: PlanReport) -> dict[str, object]:
    """Everything as plain values; all layers."""
    plan, target = report.plan, report.target
    return {
        "schema": "edgeagent/engine-plan/1",
        "model": report.model,
        "grafted": report.grafted,
        "changed": report.changed,
        "target": {
            "module": target.module.name,
            "soc": target.module.soc,
            "tensorrt": target.tensorrt,
            "precision": target.precision,
            "supposed": target.chosen,
        },
        "dla": {"answer": target.dla.answer, "cores": target.dla.cores, "reason": target.dla.reason},
        "batch": {"frames": report.batch.frames, "asked": report.batch.asked, "reason": report.batch.reason},
        "layers": [_layer_json(one) for one in plan.placed],
        "loadables": [
            {
                "name": piece.name,
                "layers": list(piece.layers),
                "batch": piece.batch,
                "macs": piece.macs,
                "weights_bytes": piece.weights_bytes,
                "inner_bytes": piece.inner_bytes,
            }
            for piece in plan.loadables
        ],
        "summary": {**plan.summary.model_dump(mode="json"), "macs": plan.macs},
        "budget": _budget_json(report),
        "limits": list(find_limits(plan)),
        "next": _next(report),
        "authority": AUTHORITY,
    }


def _layer_json(one: Placed) -> dict[str, object]:
    layer, verdict = one.layer, one.verdict
    return {
        "name": layer.name,
        "op": layer.op,
        "kind": layer.kind,
        "graft": layer.is_graft,
        "outputs": [list(tensor.shape) for tensor in layer.outputs],
        "runs_on": "dla" if verdict.on_dla else "gpu",
        "precision": verdict.precision or None,
        "loadable": one.loadable,
        "reason": verdict.reason,
        "source": verdict.source,
        "conditions": list(verdict.conditions),
        "macs": layer.macs,
    }


def _budget_json(report: PlanReport) -> dict[str, object]:
    refusal = report.refusal
    return {
        "max_gpu_layers": report.max_gpu_layers,
        "max_gpu_macs": report.max_gpu_macs,
        "within": None if report.target.target is None else refusal is None,
        "code": refusal.error_code if refusal else None,
        "reason": refusal.message if refusal else "",
    }


def _is_fallback(one: Placed, report: PlanReport) -> bool:
    """On the GPU although wanted on the DLA; without a DLA there is one reason for all, and it stands above."""
    return report.target.target is not None and not one.verdict.on_dla and not one.layer.is_graft


def _head(report: PlanReport) -> list[str]:
    plan, target = report.plan, report.target
    grafts = sum(one.layer.is_graft for one in plan.placed)
    with_grafts = f" and {grafts} of the grafts" if report.grafted else ", without the grafts of a build"
    a_frame = _giga(_macs_a_frame(report))
    return [
        f"model      {report.model}: {len(plan.placed) - grafts} layers{with_grafts}, {a_frame} a frame",
        *([f"           {report.changed}"] if report.changed else []),
        *_batch_line(report),
        f"target     {target.line}" + (f"  ({target.chosen})" if target.chosen else ""),
        f"DLA        {'' if target.dla.answer == 'yes' else target.dla.answer + ': '}{target.dla.reason}",
    ]


def _macs_a_frame(report: PlanReport) -> int:
    """On a DLA the network is planned for all frames of a batch."""
    return report.plan.macs // report.batch.frames if report.target.target else report.plan.macs


def _batch_line(report: PlanReport) -> Iterator[str]:
    batch = report.batch
    if batch.reason:
        yield f"batch      {batch.reason}"
    elif batch.frames > 1 and report.target.target is not None:
        yield f"batch      {batch.frames} frames at once: a DLA always computes all of them; shapes below are for all"
    elif batch.frames > 1:
        yield f"batch      1 to {batch.frames} frames at once: on the GPU one engine takes any number of them"


def _giga(macs: int) -> str:
    return f"{macs / 1e9:.3g} G multiply-adds" if macs >= 1e8 else f"{macs / 1e6:.3g} M multiply-adds"


def _table(rows: Sequence[Placed], sources: Sequence[str]) -> list[str]:
    if not rows:
        return []
    cells = [("LAYER", "OPERATOR", "OUTPUT", "RUNS ON", "WHY"), *(_cells(one, sources) for one in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(4)]
    return [
        "  ".join([*(text.ljust(width) for text, width in zip(row, widths, strict=False)), row[4]]).rstrip()
        for row in cells
    ]


def _cells(one: Placed, sources: Sequence[str]) -> tuple[str, ...]:
    layer, verdict = one.layer, one.verdict
    output = sides(layer.outputs[0].shape) if layer.outputs else ""
    if verdict.on_dla:
        return layer.name, layer.op, output, f"DLA {verdict.precision}", "; ".join(verdict.conditions)
    mark = f" [{sources.index(verdict.source) + 1}]" if verdict.source else ""
    return layer.name, layer.op, output, "GPU", verdict.reason + mark


def _summary(report: PlanReport) -> list[str]:
    plan, summary = report.plan, report.plan.summary
    macs = summary.macs_share_gpu
    on_gpu = "" if macs is None else f", {100 * macs:.1f} % of the multiply-adds"
    on_dla = "" if macs is None else f", {100 * (1 - macs):.1f} % of the multiply-adds"
    halves = sum(one.verdict.precision == "fp16" for one in plan.placed) if report.target.precision == "int8" else 0
    mixed = f", {halves} of them in FP16" if halves else ""
    count = summary.dla_loadables
    pieces = f", in {count} loadable{'' if count == 1 else 's'} (a core holds {LOADABLES_A_CORE})" if count else ""
    return [
        f"on the DLA {summary.on_dla} of {summary.layers} layers{on_dla}{pieces}{mixed}",
        f"on the GPU {summary.on_gpu} of {summary.layers} layers{on_gpu}",
        *_budget_lines(report),
        *(f"limit      {limit}" for limit in find_limits(plan)),
        *(f"if         {text}" for text in _granted(plan.placed)),
        f"next       {_next(report)}",
    ]


def _budget_lines(report: PlanReport) -> Iterator[str]:
    if report.target.target is None:
        return
    allowed = f"{100 * report.max_gpu_layers:g} % of the layers, {100 * report.max_gpu_macs:g} % of the multiply-adds"
    if report.refusal is None:
        yield f"budget     within: the GPU may have {allowed}"
    else:
        yield f"budget     beyond: {report.refusal.message}"


def _granted(placed: Iterable[Placed]) -> Iterator[str]:
    """What the plan takes for granted, and for how many layers."""
    counts = Counter(condition for one in placed for condition in one.verdict.conditions if one.verdict.on_dla)
    counts.pop("computed in FP16", None)
    for condition, count in counts.items():
        yield f"{condition} ({count} layer{'' if count == 1 else 's'})"


def _next(report: PlanReport) -> str:
    target = report.target
    if target.target is None:
        return 'everything runs on the GPU: engines.placement = "gpu", or "auto", which comes to the same'
    if target.precision == "fp32":
        return "plan with --precision int8 or fp16: a DLA computes nothing else"
    if report.refusal is not None:
        return report.refusal.mend
    if target.dla.answer == "unknown":
        return 'ask the device (edgeagent doctor) whether TensorRT sees a DLA; engines.placement = "dla" would use it'
    return 'engines.placement = "dla" (or "auto") builds it for the DLA'
