"""One build from start to end, on a thread of its own: parse, measure, build, look at what came out.

The builder keeps its thread for minutes and lets go of the interpreter meanwhile. Everything of CUDA happens here.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from edgeagent.engine.build.backend import BackendJob, BackendOutcome, PlacedLayer
from edgeagent.engine.build.tensorrt.bench import Bench
from edgeagent.engine.build.tensorrt.board import Abandoned, Board
from edgeagent.engine.build.tensorrt.callbacks import (
    PictureFeed,
    TrtObject,
    make_calibrator,
    make_logger,
    make_monitor,
)
from edgeagent.engine.build.tensorrt.capabilities import Trt, read_capabilities
from edgeagent.engine.build.tensorrt.configure import (
    TimingUse,
    give_profile,
    give_timings,
    load_plugins,
    make_builder,
    make_config,
    take_timings,
)
from edgeagent.engine.build.tensorrt.dla import check_core, named, put_on_dla
from edgeagent.engine.build.tensorrt.inspector import read_layers
from edgeagent.engine.build.tensorrt.measure import measure_scales
from edgeagent.engine.build.tensorrt.network import Parsed, create_network, network_layers, parse_network
from edgeagent.engine.build.tensorrt.progress import PhaseProgress
from edgeagent.engine.build.tensorrt.scaled import scaled_tensors
from edgeagent.engine.build.tensorrt.scales import fitting_scales, unmeasured, with_measured
from edgeagent.engine.build.tensorrt.settings import FreeMemory, decide_settings
from edgeagent.errors import EngineError

if TYPE_CHECKING:
    import onnx

    from edgeagent.inference.cuda import Gpu


@dataclass
class _Found:
    """What a build has found out so far, for its outcome."""

    notes: list[str] = field(default_factory=list)
    measured: bytes | None = None
    timings: bytes | None = None
    timing_use: TimingUse = "none"
    layers: tuple[PlacedLayer, ...] = ()


def run_build(trt: Trt, gpu: Gpu, job: BackendJob, board: Board) -> BackendOutcome:
    """Build the job's plan. Raises EngineError, and `Abandoned` once the build is unwanted."""
    found = _Found()
    with gpu:
        bench, model = _set_up(trt, gpu, job, board, found)
        board.say("preparing", 50, "TensorRT reads the network")
        network = create_network(trt, bench.builder, bench.settings.network_flags)
        parsed = parse_network(trt, bench.can, network, bench.logger, model, job.batch)
        scales = _scales(bench, parsed, found) if bench.settings.calibrated else None
        plan = _built(bench, parsed, scales, found)
        job.plan.write_bytes(plan)
        found.layers = _layers_of(bench, plan, model, found)
    _judge(job, found.layers)
    return _outcome(bench, found)


def _set_up(trt: Trt, gpu: Gpu, job: BackendJob, board: Board, found: _Found) -> tuple[Bench, onnx.ModelProto]:
    import onnx

    can, free = read_capabilities(trt), gpu.memory()
    memory = FreeMemory(free.free_mb, free.total_mb, free.shared)
    settings = decide_settings(can, job.variant, job.options, memory)
    model = onnx.load(str(job.network))
    if settings.half_network:
        model = _halved(model, found)
    logger = make_logger(trt, board.journal)
    builder = make_builder(trt, logger, settings, board.journal)
    if settings.dla_core is not None:
        check_core(builder, settings.dla_core)
    load_plugins(trt, logger, job.plugins)
    return Bench(trt, can, gpu, job, board, settings, free.free_mb, logger, builder), model


def _halved(model: onnx.ModelProto, found: _Found) -> onnx.ModelProto:
    from edgeagent.engine.build.tensorrt.half import halve_body

    found.notes.append("the network's body was brought into FP16 beforehand: this release has no flag for it")
    return halve_body(model)


def _scales(bench: Bench, parsed: Parsed, found: _Found) -> bytes:
    """The scales to build with, measured first where that was not done before."""
    tensors = scaled_tensors(network_layers(bench.trt, parsed.network))
    cache = bench.job.calibration_cache
    if cache is None or (bench.job.pictures and unmeasured(cache, tensors)):
        _ask_dla(bench, parsed)
        cache = found.measured = with_measured(cache, measure_scales(bench, parsed), tensors)
        bench.job.keep_scales(cache)
    fitting, missing = fitting_scales(cache, tensors, on_dla=bench.settings.dla_core is not None)
    if missing:
        found.notes.append(f"{len(missing)} tensors have no scale and stay in FP16: {named(missing)}")
    return fitting


def _ask_dla(bench: Bench, parsed: Parsed) -> None:
    """Whether a DLA takes the network at all, before minutes are spent on its scales. Asked for FP16, which it computes
    in too: without scales the answer for INT8 may be another. Raises EngineError `dla_refused`."""
    settings = bench.settings
    if settings.dla_core is None:
        return
    flags = tuple(flag for flag in settings.builder_flags if flag != "INT8")
    config = make_config(bench.trt, bench.can, bench.builder, replace(settings, builder_flags=flags))
    put_on_dla(bench.trt, config, parsed.network, settings.dla_core)


def _built(bench: Bench, parsed: Parsed, scales: bytes | None, found: _Found) -> bytes:
    """The plan's bytes. Raises EngineError for the reason that the log tells, `Abandoned` where it was unwanted."""
    trt, board = bench.trt, bench.board
    config = make_config(trt, bench.can, bench.builder, bench.settings)
    give_profile(trt, bench.builder, config, parsed)
    calibrator = None
    if scales is not None:  # a calibrator that has all scales is asked for no picture
        calibrator = make_calibrator(trt, PictureFeed((), bench.job.batch, lambda pictures: 0, cache=scales))
        config.int8_calibrator = calibrator
    found.timing_use = give_timings(config, bench.job.timing_cache)
    if bench.settings.dla_core is not None:
        refused = put_on_dla(trt, config, parsed.network, bench.settings.dla_core)
        if refused:
            found.notes.append(f"{len(refused)} layers cannot run on a DLA by themselves: {named(refused)}")
    phases = PhaseProgress() if bench.can.monitor else None
    monitor = None if phases is None else make_monitor(trt, phases, board.unwanted, bench.job.rest)
    if monitor is not None:
        config.progress_monitor = monitor
    board.building(phases)
    bench.job.rest.active = monitor is not None
    try:
        built = bench.builder.build_serialized_network(parsed.network, config)
    finally:
        bench.job.rest.active = False
    if built is None:
        if not board.unwanted.is_set():
            raise bench.refusal()
        _keep_timings(bench, config)
        raise Abandoned
    found.timings = take_timings(config)
    _note_log(bench, found)
    return bytes(built)


def _keep_timings(bench: Bench, config: TrtObject) -> None:
    """What a build that was ended has timed: the next one need not time it again."""
    timings = take_timings(config)
    if timings:
        bench.job.keep_timings(timings)


def _note_log(bench: Bench, found: _Found) -> None:
    journal = bench.board.journal
    if journal.count("timing_refused") and found.timing_use == "used":
        found.timing_use = "refused"
        found.notes.append("TensorRT refused the saved timing cache and timed everything anew")
    skipped = journal.count("skipped_for_memory")
    if skipped:
        found.notes.append(
            f"{skipped} kernels were not tried for want of memory: the engine may be slower than it could"
        )
    fallen = journal.subjects("dla_fallback")
    if fallen:
        found.notes.append(f"the builder moved {len(fallen)} layers to the GPU: {named(fallen)}")


def _layers_of(bench: Bench, plan: bytes, model: onnx.ModelProto, found: _Found) -> tuple[PlacedLayer, ...]:
    """What the finished engine says of its layers. These are our own bytes, just made: nobody else had them."""
    from edgeagent.engine.build.tensorrt.macs import count_macs

    trt = bench.trt
    runtime = trt.Runtime(bench.logger)
    if bench.settings.dla_core is not None:
        runtime.DLA_core = bench.settings.dla_core
    engine = runtime.deserialize_cuda_engine(plan)
    if engine is None:
        raise EngineError("the engine just built does not load", mend="see build.log", retry=True, code="build_refused")
    text = engine.create_engine_inspector().get_engine_information(trt.LayerInformationFormat.JSON)
    layers = read_layers(text, [node.name for node in model.graph.node], count_macs(model))
    if not layers:
        found.notes.append("what the engine says of its layers cannot be read")
    return layers


def _judge(job: BackendJob, layers: tuple[PlacedLayer, ...]) -> None:
    if job.variant.placement != "dla":
        return
    from edgeagent.engine.dla.budget import judge_placement

    options = job.options
    judge_placement(layers, max_gpu_layers=options.dla_max_gpu_layers, max_gpu_macs=options.dla_max_gpu_macs)


def _outcome(bench: Bench, found: _Found) -> BackendOutcome:
    return BackendOutcome(
        layers=found.layers,
        calibration_cache=found.measured or bench.job.calibration_cache,
        timing_cache=found.timings,
        timing_cache_use=found.timing_use,
        workspace_mb=bench.settings.workspace_mb,
        optimization_level=bench.settings.level,
        sm_count=bench.gpu.sm_count(),
        log=bench.board.journal.log(),
        notes=tuple(found.notes),
    )
