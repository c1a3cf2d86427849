"""Witnesses that do not agree, each in one sentence. Pure. A contradiction stops nothing: it is there to be read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

from edgeagent.board import parse, versions, witness
from edgeagent.board.catalogue import L4t, Module, fits_memory
from edgeagent.board.witness import Claim, Evidence

Kind = Literal["module", "SoC", "L4T", "JetPack", "TensorRT", "model text", "release", "memory", "cores", "DLA"]


class Contradiction(NamedTuple):
    """What it is about, and the sentence."""

    kind: Kind
    text: str


_BOARD = 5  # `p3767`: the part number without its SKU


def find_contradictions(evidence: Evidence, module: Module | None, module_id: str) -> Iterator[Contradiction]:
    """Every disagreement between witnesses, and of witnesses with the module's record."""
    yield from _unlike(_module_ids(evidence), "module")
    yield from _unlike(witness.soc_claims(evidence, module_id), "SoC")
    yield from _unlike(witness.l4t_claims(evidence), "L4T")
    yield from _jetpack(evidence)
    yield from _tensorrt(evidence)
    if module:
        yield from _against_record(evidence, module)


def _module_ids(evidence: Evidence) -> Iterator[Claim]:
    """COMPATIBLE_SPEC may name a sister SKU that takes the same boot loader: only its board number has to agree."""
    first = witness.decide(witness.module_id_claims(evidence)).value
    for claim in witness.module_id_claims(evidence):
        sister = claim.source == witness.COMPATIBLE_SPEC and claim.value[:_BOARD] == first[:_BOARD]
        yield Claim(first, claim.source) if sister else claim


def _unlike(claims: Iterable[Claim], what: Kind) -> Iterator[Contradiction]:
    """The first claim against each that says something else."""
    told = [claim for claim in claims if claim.value]
    for claim in told[1:]:
        if claim.value != told[0].value:
            yield Contradiction(what, f"{what}: {told[0].value} by {told[0].source}, {claim.value} by {claim.source}")


def _jetpack(evidence: Evidence) -> Iterator[Contradiction]:
    """`6.x` agrees with every 6."""
    yield from _unlike((one for one in witness.jetpack_claims(evidence) if not one.value.endswith(".x")), "JetPack")


def _tensorrt(evidence: Evidence) -> Iterator[Contradiction]:
    """An engine built through one TensorRT does not load in another, so two of them are worth a sentence."""
    told = [claim for claim in witness.system_tensorrt_claims(evidence) if claim.value]
    for claim in told[1:]:
        if not versions.same_release(told[0].value, claim.value):
            text = f"TensorRT: {told[0].value} by {told[0].source}, {claim.value} by {claim.source}"
            yield Contradiction("TensorRT", text)
    package = witness.newest(evidence.libraries, "tensorrt") if evidence.same_machine else ""
    if told and package and not versions.same_release(told[0].value, package):
        text = f"the system has TensorRT {told[0].value}, this Python would import {package}"
        yield Contradiction("TensorRT", text)


def _against_record(evidence: Evidence, module: Module) -> Iterator[Contradiction]:
    named = witness.family_in(parse.parse_text(evidence.model))
    if named and named != module.family:
        yield Contradiction("model text", f"the model text says {named}, the ids say {module.name}")
    l4t = witness.release_l4t(evidence) or witness.package_l4t(evidence)
    yield from _never_released(l4t, module)
    yield from _memory(parse.parse_meminfo(evidence.meminfo).get("MemTotal"), module)
    yield from _cores(len(parse.parse_cpu_list(evidence.cpus_present)), module)


def _never_released(l4t: L4t | None, module: Module) -> Iterator[Contradiction]:
    if l4t and l4t.major not in module.l4t_majors:
        yield Contradiction("release", f"L4T {l4t} was never released for {module.name}")


def _memory(total_kb: int | None, module: Module) -> Iterator[Contradiction]:
    if total_kb is not None and not fits_memory(module, total_kb):
        sizes = " or ".join(str(size) for size in module.memory_gb)
        text = f"the kernel has {total_kb / 1024**2:.1f} GiB, {module.name} comes with {sizes} GB"
        yield Contradiction("memory", text)


def _cores(present: int, module: Module) -> Iterator[Contradiction]:
    """Those present, whatever a power mode took offline; 0 is a list that could not be read."""
    if present and present != module.cpus:
        yield Contradiction("cores", f"the kernel has {present} CPU cores, {module.name} has {module.cpus}")
