"""Why a builder came back with nothing: from what its log said. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from edgeagent.errors import EngineError, Fact

# With less than this even a small builder fails: its kernels alone take 750 MB on a large GPU (8.6.0). CUDA then says
# all kinds of things, "invalid resource handle" for one, and not that memory is out.
LITTLE_MB = 1024
MEMORY_MEND = "give the build more memory: stop other users of the GPU, or set a smaller engines.workspace_mb"


@dataclass(frozen=True)
class Said:
    """What the log holds against the build: counts of lines, and the layers that they named. `free_mb`: what the GPU
    had free when the build began."""

    no_memory: int = 0
    without_memory: tuple[str, ...] = ()
    skipped_for_memory: int = 0
    no_tactic: tuple[str, ...] = ()
    driver: int = 0
    free_mb: int | None = None
    errors: tuple[str, ...] = ()


def why_refused(said: Said, release: str, workspace_mb: int) -> EngineError:
    """The error for a builder that returned no engine. A want of memory comes first: it also makes a builder find no
    way to compute a layer, and then it names that layer."""
    last = said.errors[-1][:300] if said.errors else "the builder gave no reason"
    facts: dict[str, Fact] = {
        "workspace_mb": workspace_mb,
        "free_mb": said.free_mb,
        "skipped_tactics": said.skipped_for_memory,
        "said": " | ".join(said.errors)[-800:] or last,
    }
    starved = said.driver and said.free_mb is not None and said.free_mb < LITTLE_MB
    if said.no_memory or (said.no_tactic and said.skipped_for_memory) or starved:
        named = said.without_memory or said.no_tactic
        layer = f" at layer {named[-1]}" if named else ""
        return EngineError(
            f"the builder ran out of memory{layer}: {last}",
            mend=MEMORY_MEND,
            facts=facts,
            retry=True,
            code="out_of_memory",
        )
    if said.no_tactic:
        return EngineError(
            f"TensorRT {release} has no way to compute layer {said.no_tactic[-1]} here",
            mend="try another precision, or export the model without this layer",
            facts={**facts, "layer": said.no_tactic[-1]},
            code="unsupported_layer",
        )
    if said.driver:
        return EngineError(
            f"CUDA failed during the build: {last}",
            mend="restart the device; when it comes back, see that driver and TensorRT are of one JetPack",
            facts=facts,
            retry=True,
            code="driver_error",
        )
    return EngineError(
        f"TensorRT {release} built no engine: {last}",
        mend="see build.log; try another precision or a lower engines.optimization_level",
        facts=facts,
        code="build_refused",
    )
