"""How an engine is to be built: flags, limits and devices, from what is wanted, what there is and what is free. Pure.

Everything that can be refused without asking TensorRT is refused here, with the way to mend it.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgeagent.engine.build.backend import BuilderOptions
from edgeagent.engine.build.tensorrt.capabilities import Capabilities
from edgeagent.engine.variant import Variant
from edgeagent.errors import EngineError

DEFAULT_LEVEL = 3  # TensorRT's own default
# Calibration runs the float network; which kernels compute it matters little, and nothing else of that pass is kept.
CALIBRATION_LEVEL = 0
LEAST_MB, MOST_WORKSPACE_MB = 64, 4096
WORKSPACE_SHARE, TACTIC_SHARE = 0.4, 0.75
FOREIGN_SOURCES = frozenset({"CUBLAS", "CUBLAS_LT", "CUDNN"})  # libraries that TensorRT brings not itself


@dataclass(frozen=True)
class FreeMemory:
    """What the GPU can still take, in MB. `shared`: CPU and GPU use one memory, as on every Jetson."""

    free_mb: int
    total_mb: int
    shared: bool


@dataclass(frozen=True)
class Settings:
    """One build's settings, by the names of the enum members.

    `half_network`: the network itself has to be brought into FP16, because no flag does it. `dla_core`: None for the
    GPU. `tactic_mb`: None where the release has no such limit.
    """

    network_flags: tuple[str, ...]
    builder_flags: tuple[str, ...]
    without_flags: tuple[str, ...]
    workspace_mb: int
    tactic_mb: int | None
    level: int | None
    timing_iterations: int | None
    threads: int
    half_network: bool
    calibrated: bool
    dla_core: int | None


def decide_settings(
    capabilities: Capabilities, variant: Variant, options: BuilderOptions, memory: FreeMemory
) -> Settings:
    """The settings for `variant`. Raises EngineError `precision_unsupported` or `dla_refused`."""
    _check_placement(capabilities, variant)
    _check_quantisation(capabilities, variant)
    wanted = _builder_flags(capabilities, variant)
    workspace, tactic = memory_limits(options, memory)
    return Settings(
        network_flags=tuple(sorted({"EXPLICIT_BATCH"} & capabilities.network_flags)) + _typed(capabilities),
        builder_flags=tuple(sorted(wanted)),
        without_flags=tuple(sorted({"TF32"} & capabilities.builder_flags)) if variant.precision == "fp32" else (),
        workspace_mb=workspace,
        tactic_mb=tactic if "TACTIC_DRAM" in capabilities.memory_pools else None,
        level=_level(capabilities, options),
        timing_iterations=options.avg_timing_iterations,
        threads=max(1, options.threads),
        half_network=variant.precision == "fp16" and capabilities.always_typed,
        calibrated=variant.quantisation == "calibrator",
        dla_core=options.dla_core if variant.placement == "dla" else None,
    )


def memory_limits(options: BuilderOptions, memory: FreeMemory) -> tuple[int, int]:
    """Workspace and tactic memory in MB: what the options say, else a share of what is free.

    The workspace is scratch memory of one kernel; TensorRT's own default is all memory of the device. Tactic memory
    is what timing kernels may use; the default on a Jetson is three quarters of all memory, used or not. 8.6 takes only
    powers of two for it, and says so in an error line and nowhere else.
    """
    workspace = options.workspace_mb or min(MOST_WORKSPACE_MB, int(memory.free_mb * WORKSPACE_SHARE))
    tactic = options.tactic_memory_mb or int(memory.free_mb * TACTIC_SHARE)
    workspace = workspace if options.workspace_mb else max(LEAST_MB, workspace)
    return max(1, workspace), 1 << (max(LEAST_MB, tactic).bit_length() - 1)


def _check_placement(capabilities: Capabilities, variant: Variant) -> None:
    if variant.placement == "cpu":
        raise EngineError(
            "TensorRT does not compute on the CPU", mend="build it with onnxruntime", code="build_refused"
        )
    if variant.placement != "dla":
        return
    if capabilities.no_dla():
        raise EngineError(
            capabilities.no_dla(), mend='set placement = "gpu" (engines, or the pipeline)', code="dla_refused"
        )
    if variant.precision == "fp32":
        raise _unsupported("a DLA computes in INT8 and FP16 only", 'set engines.precision to "int8" or "fp16"')


def _check_quantisation(capabilities: Capabilities, variant: Variant) -> None:
    release = f"TensorRT {capabilities.release}"
    explicit = variant.quantisation in ("qdq", "model")
    if variant.quantisation == "calibrator" and not capabilities.calibrator:
        raise _unsupported(f"{release} has no calibrator", 'set engines.quantisation = "qdq"')
    if explicit and variant.placement == "dla" and not capabilities.qdq_on_dla:
        raise _unsupported(
            f"a DLA under {release} refuses Q/DQ nodes", 'set engines.quantisation = "calibrator", or placement = "gpu"'
        )
    if (variant.precision == "int8") != (variant.quantisation != "none"):
        raise _unsupported(f"{variant.line()} is no form of an engine", "INT8 needs scales, and only INT8 has them")


def _unsupported(message: str, mend: str) -> EngineError:
    return EngineError(message, mend=mend, code="precision_unsupported")


def _typed(capabilities: Capabilities) -> tuple[str, ...]:
    """Where flags say nothing of precision any more, the network is typed; the flag is said as long as it exists."""
    return ("STRONGLY_TYPED",) if capabilities.always_typed and "STRONGLY_TYPED" in capabilities.network_flags else ()


def _builder_flags(capabilities: Capabilities, variant: Variant) -> set[str]:
    """INT8 goes with FP16: what has no scale, the decoding above all, is then computed in half precision."""
    flags: set[str] = set()
    if capabilities.precision_flags:
        flags |= {"int8": {"INT8", "FP16"}, "fp16": {"FP16"}, "fp32": set()}[variant.precision]
    if variant.placement == "dla":
        flags.add("GPU_FALLBACK")
    return flags


def _level(capabilities: Capabilities, options: BuilderOptions) -> int | None:
    if not capabilities.optimization_level:
        return None
    return DEFAULT_LEVEL if options.optimization_level is None else options.optimization_level
