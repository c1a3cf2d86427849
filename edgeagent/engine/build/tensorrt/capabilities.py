"""What a TensorRT module can do, asked of the module itself. Pure over the module that is given.

The Python API moved between 8.6, 10 and 11: calibrators and precision flags went, the progress monitor came, enum
values were renumbered. So nothing asks for the release to know whether a symbol exists, and numbers of enum members
are never written down. The release counts only where the symbols stay and the behaviour goes: from 10.8 to 11.4.0
there is no DLA although all its symbols are there, and before 10.8 a DLA refuses Q/DQ nodes (NVIDIA's release notes).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

Trt = Any  # the module `tensorrt`: it has no types, and differs from release to release

DLA_GONE, DLA_BACK = (10, 8), (11, 4, 1)


@dataclass(frozen=True)
class Capabilities:
    """What one release has. Sets hold the names of enum members.

    `precision_flags`: networks without types, told by flags what to compute in; where they are gone every network is
    strongly typed. `node_names`: the parser names the node that it cannot read, and not only its index.
    """

    release: str
    version: tuple[int, ...]
    precision_flags: bool
    calibrator: bool
    monitor: bool
    optimization_level: bool
    node_names: bool
    network_flags: frozenset[str]
    builder_flags: frozenset[str]
    memory_pools: frozenset[str]
    tactic_sources: frozenset[str]

    @property
    def always_typed(self) -> bool:
        return not self.precision_flags

    @property
    def qdq_on_dla(self) -> bool:
        return self.version >= DLA_BACK

    def no_dla(self) -> str:
        """Why this release has no DLA, "" where it may have one."""
        if DLA_GONE <= self.version < DLA_BACK:
            return f"TensorRT {self.release} supports no DLA: it was dropped in 10.8 and came back in 11.4.1"
        return ""


def read_capabilities(trt: Trt) -> Capabilities:
    """Ask the module. Never fails: what is not there is not there."""
    builder_flags = members(trt, "BuilderFlag")
    release = str(getattr(trt, "__version__", "0"))
    return Capabilities(
        release=release,
        version=parse_version(release),
        precision_flags={"FP16", "INT8"} <= builder_flags,
        calibrator=hasattr(trt, "IInt8EntropyCalibrator2"),
        monitor=hasattr(trt, "IProgressMonitor"),
        optimization_level=hasattr(trt.IBuilderConfig, "builder_optimization_level"),
        node_names=hasattr(trt.ParserError, "node_name"),
        network_flags=members(trt, "NetworkDefinitionCreationFlag"),
        builder_flags=builder_flags,
        memory_pools=members(trt, "MemoryPoolType"),
        tactic_sources=members(trt, "TacticSource"),
    )


def members(trt: Trt, enum: str) -> frozenset[str]:
    """The names of an enum's members; empty where there is no such enum."""
    return frozenset(getattr(getattr(trt, enum, None), "__members__", {}))


def parse_version(text: str) -> tuple[int, ...]:
    """`10.13.3.9` as numbers; what follows the numbers does not count."""
    found = re.match(r"\d+(?:\.\d+)*", text)
    return tuple(int(part) for part in found.group().split(".")) if found else (0,)
