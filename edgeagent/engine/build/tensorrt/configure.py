"""Settings put into TensorRT's objects. Whatever a release lacks has been left out of the settings already."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from edgeagent.engine.build.tensorrt.callbacks import TrtObject
from edgeagent.engine.build.tensorrt.capabilities import Capabilities, Trt, members
from edgeagent.engine.build.tensorrt.journal import Journal
from edgeagent.engine.build.tensorrt.network import FRAMES, Parsed
from edgeagent.engine.build.tensorrt.settings import FOREIGN_SOURCES, Settings
from edgeagent.errors import EngineError

# "own": no kernels of cuBLAS and cuDNN, for a machine that has TensorRT without these libraries.
TACTICS_VARIABLE = "EDGEAGENT_TENSORRT_TACTICS"
SHARING = "PROFILE_SHARING_0806"  # one profile for the contexts of all numbers of frames
TimingUse = Literal["none", "used", "refused"]


def make_builder(trt: Trt, logger: TrtObject, settings: Settings, journal: Journal) -> TrtObject:
    """A builder. Raises EngineError `no_gpu` or `driver_error` where TensorRT cannot make one."""
    try:
        builder = trt.Builder(logger)
    except (TypeError, RuntimeError) as error:  # the bindings' words for a null pointer
        said = journal.errors()
        raise EngineError(
            f"TensorRT cannot start: {said[-1] if said else error}",
            mend="see `edgeagent doctor`: driver, CUDA and TensorRT must be of one JetPack",
            code="driver_error" if said else "no_gpu",
            retry=True,
        ) from error
    builder.max_threads = settings.threads
    return builder


def load_plugins(trt: Trt, logger: TrtObject, libraries: Sequence[Path]) -> None:
    """TensorRT's own plugins and those in `libraries`. Raises EngineError `unsupported_layer` for one that will not
    load: the layers in it are then what is missing."""
    for library in libraries:
        try:
            ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
        except OSError as error:
            raise EngineError(
                f"the plugin library {library} does not load: {error}",
                mend="correct engines.plugins",
                facts={"library": str(library)},
                code="unsupported_layer",
            ) from error
    trt.init_libnvinfer_plugins(logger, "")


def make_config(trt: Trt, capabilities: Capabilities, builder: TrtObject, settings: Settings) -> TrtObject:
    """A builder config with everything that `settings` says, for the GPU; `put_on_dla` adds the rest."""
    config = builder.create_builder_config()
    for name in settings.builder_flags:
        config.set_flag(getattr(trt.BuilderFlag, name))
    for name in settings.without_flags:
        config.clear_flag(getattr(trt.BuilderFlag, name))
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, settings.workspace_mb << 20)
    if settings.tactic_mb is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.TACTIC_DRAM, settings.tactic_mb << 20)
    if settings.level is not None:
        config.builder_optimization_level = settings.level
    if settings.timing_iterations is not None:
        config.avg_timing_iterations = settings.timing_iterations
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED  # so that the engine tells where its layers run
    if os.environ.get(TACTICS_VARIABLE) == "own":
        _use_own_tactics(trt, capabilities, config)
    return config


def give_profile(trt: Trt, builder: TrtObject, config: TrtObject, parsed: Parsed, *, calibrates: bool = False) -> None:
    """For a network that leaves open how many frames there are: any number up to `batch`, tuned for all of them.
    `calibrates`: the build is made for its scales, and is shown whole batches. Raises EngineError `build_refused`."""
    if not parsed.open:
        return
    profile = builder.create_optimization_profile()
    whole = parsed.frames(parsed.batch)
    profile.set_shape(FRAMES, parsed.frames(1), whole, whole)
    taken = config.add_optimization_profile(profile) >= 0
    if calibrates:
        taken = taken and config.set_calibration_profile(profile)
    if not taken:
        raise EngineError(
            f"TensorRT does not take 1 to {parsed.batch} frames for this network",
            mend="set max_batch = 1 for this model",
            code="batch_unsupported",
        )
    if SHARING in members(trt, "PreviewFeature"):
        feature = getattr(trt.PreviewFeature, SHARING)
        if not config.get_preview_feature(feature):  # off in 8.6; from 10 on nobody can change it
            config.set_preview_feature(feature, True)


def _use_own_tactics(trt: Trt, capabilities: Capabilities, config: TrtObject) -> None:
    mask = int(config.get_tactic_sources())
    for name in FOREIGN_SOURCES & capabilities.tactic_sources:
        mask &= ~(1 << int(getattr(trt.TacticSource, name)))
    config.set_tactic_sources(mask)


def give_timings(config: TrtObject, saved: bytes | None) -> TimingUse:
    """Give the config a timing cache, the saved one if it is accepted, else a new one: the build fills it."""
    use: TimingUse = "none"
    if saved:
        cache = config.create_timing_cache(saved)
        if cache is not None and config.set_timing_cache(cache, False):
            return "used"
        use = "refused"
    fresh = config.create_timing_cache(b"")
    if fresh is not None:
        config.set_timing_cache(fresh, False)
    return use


def take_timings(config: TrtObject) -> bytes | None:
    """What the build timed, to be given to the next one."""
    cache = config.get_timing_cache()
    return None if cache is None else bytes(cache.serialize())
