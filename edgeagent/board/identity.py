"""Which board this is, decided from what was found. Pure: evidence in, an identity with its reasons out.

`witness` says who is believed first, `contradictions` who disagrees, `dla` whether a DLA can be used. An unknown board
stays unknown, with what can be read of it. Every decided fact names in `rests_on` the sources that agree on it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from edgeagent.board import dla, parse, surroundings, witness
from edgeagent.board.catalogue import COMPUTE_CAPABILITY, MODULES, Module
from edgeagent.board.contradictions import find_contradictions
from edgeagent.board.findings import Finding, list_findings
from edgeagent.board.surroundings import Surroundings, Virtual
from edgeagent.board.witness import Decision, Evidence, decide

__all__ = ["Evidence", "Finding", "Identity", "Kind", "decide_identity", "with_dla_probe"]

Kind = Literal["jetson", "unknown-jetson", "not-a-jetson"]
_LONGEST_MODEL, _LONGEST_SERIAL = 200, 64
_PROBED_BY = "num_DLA_cores of TensorRT"
_NO_ANSWER = dla.DlaAnswer("unknown", None, "not asked")


@dataclass(frozen=True)
class Identity:
    """A recognised board. "" and None mean unknown.

    `memory_mb` is what the kernel can use (MemTotal, MiB), less than the module's nominal size. `dla_cores` is the
    number declared for the module; `dla` says whether they can be used, and what TensorRT says of them. `virtual` is ""
    for real hardware, and nothing may behave differently because of it: it is shown. `rests_on` has for each decided
    fact the sources that agree.
    Where `same_machine` is false, `machine` and `onnxruntime` are of the machine that looks and not of the board.
    `contradiction_kinds` says of each of the `contradictions` what it is about.
    """

    kind: Kind
    module: str = ""
    module_id: str = ""
    carrier: str = ""
    model: str = ""
    soc: str = ""
    compute_capability: str = ""
    dla_cores: int | None = None
    dla: dla.DlaAnswer = _NO_ANSWER
    cpus: int | None = None
    memory_mb: int | None = None
    serial: str = ""
    l4t: str = ""
    jetpack: str = ""
    tensorrt: str = ""
    cuda: str = ""
    onnxruntime: str = ""
    gpu: str = ""
    machine: str = ""
    system: str = ""
    container: str = ""
    virtual: Virtual = ""
    same_machine: bool = True
    rests_on: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    evidence: tuple[Finding, ...] = ()
    contradictions: tuple[str, ...] = ()
    contradiction_kinds: tuple[str, ...] = ()

    @property
    def family_id(self) -> str:
        """A part number that stands for the module's kind: its own, or one of its record where only a kit is named."""
        record = next((module for module in MODULES if module.name == self.module), None)
        return self.module_id or (record.ids[0] if record else "")


@dataclass(frozen=True)
class _Decided:
    """What the facts rest on each other for: decided once, used by several."""

    module: Module | None
    module_sources: tuple[str, ...]
    module_id: Decision
    soc: Decision
    l4t: Decision
    jetpack: Decision
    tensorrt: Decision
    cuda: Decision
    container: Surroundings
    virtual: Virtual
    virtual_reason: str


def decide_identity(evidence: Evidence) -> Identity:
    """The board that `evidence` speaks of. Never raises, whatever the bytes are."""
    found = _decided(evidence)
    module, soc = found.module, found.soc.value or (found.module.soc if found.module else "")
    kind = _kind(evidence, found)
    software = dla.Software(found.tensorrt.value, found.jetpack.value, found.l4t.value)
    answer = dla.decide_dla(module, kind != "not-a-jetson", software)
    doubts = tuple(find_contradictions(evidence, module, found.module_id.value))
    memory_kb = parse.parse_meminfo(evidence.meminfo).get("MemTotal")
    return Identity(
        kind=kind,
        module=module.name if module else "",
        module_id=found.module_id.value or (module.ids[0] if module and len(module.ids) == 1 else ""),
        carrier=_carrier(evidence),
        model=parse.parse_text(evidence.model)[:_LONGEST_MODEL],
        soc=soc,
        compute_capability=COMPUTE_CAPABILITY.get(soc, ""),
        dla_cores=answer.cores,
        dla=answer,
        cpus=len(parse.parse_cpu_list(evidence.cpus_present)) or None,
        memory_mb=memory_kb // 1024 if memory_kb else None,
        serial=parse.parse_text(evidence.serial)[:_LONGEST_SERIAL],
        l4t=found.l4t.value,
        jetpack=found.jetpack.value,
        tensorrt=found.tensorrt.value,
        cuda=found.cuda.value,
        onnxruntime=witness.newest(evidence.libraries, "onnxruntime"),
        gpu=parse.parse_gpu_model(evidence.gpu_information),
        machine=evidence.machine,
        system=parse.parse_os_release(evidence.os_release),
        container=found.container.word,
        virtual=found.virtual,
        same_machine=evidence.same_machine,
        rests_on={fact: sources for fact, sources in _rests_on(evidence, found) if sources},
        evidence=(*list_findings(evidence), *_declared_dla(module)),
        contradictions=tuple(doubt.text for doubt in doubts),
        contradiction_kinds=tuple(doubt.kind for doubt in doubts),
    )


def with_dla_probe(identity: Identity, probe: dla.DlaProbe) -> Identity:
    """The board with TensorRT's word on the DLA: declared and probed stand in the evidence beside each other."""
    doubt, rests_on = dla.dla_contradiction(identity.dla, probe), dict(identity.rests_on)
    if probe.cores is not None:
        rests_on["dla"] = (*rests_on.get("dla", ()), _PROBED_BY)
    told = str(probe.cores) if probe.cores is not None else f"could not be probed: {probe.why_not}"
    return replace(
        identity,
        dla=dla.with_probe(identity.dla, probe),
        rests_on=rests_on,
        evidence=(*identity.evidence, Finding("DLA cores probed", told, _PROBED_BY)),
        contradictions=(*identity.contradictions, *([doubt] if doubt else [])),
        contradiction_kinds=(*identity.contradiction_kinds, *(["DLA"] if doubt else [])),
    )


def _declared_dla(module: Module | None) -> Iterator[Finding]:
    if module:
        yield Finding("DLA cores declared", str(module.dla_cores), witness.RECORD)


def _decided(evidence: Evidence) -> _Decided:
    module_id = decide(witness.module_id_claims(evidence))
    soc = decide(witness.soc_claims(evidence, module_id.value))
    module, module_sources = witness.decide_module(evidence, module_id, soc.value)
    virtual, virtual_reason = surroundings.decide_virtual(
        evidence.virtual_marker,
        evidence.dmi.decode("utf-8", "replace"),
        evidence.cpuinfo,
        parse.parse_text(evidence.hypervisor),
    )
    return _Decided(
        module=module,
        module_sources=module_sources,
        module_id=module_id,
        soc=soc,
        l4t=decide(witness.l4t_claims(evidence)),
        jetpack=decide(witness.jetpack_claims(evidence)),
        tensorrt=decide(witness.tensorrt_claims(evidence)),
        cuda=decide(witness.cuda_claims(evidence)),
        container=surroundings.decide_container(
            evidence.container,
            evidence.container_source or "container marker",
            evidence.cgroup.decode("utf-8", "replace"),
            evidence.mounts.decode("utf-8", "replace"),
        ),
        virtual=virtual,
        virtual_reason=virtual_reason,
    )


def _kind(evidence: Evidence, found: _Decided) -> Kind:
    """A Tegra that says no more than that is a Jetson that we do not know."""
    if found.module:
        return "jetson"
    tegra = parse.parse_text(evidence.soc_family) == "Tegra"
    unknown = tegra or found.soc.value or found.l4t.value or found.module_id.value
    return "unknown-jetson" if unknown else "not-a-jetson"


def _carrier(evidence: Evidence) -> str:
    """`p3768-0000 (jetson-orin-nano-devkit-super)`: the device tree's id, then the name the board was flashed under."""
    carrier_id = parse.parse_carrier_id(parse.parse_strings(evidence.compatible))
    board = parse.parse_spec_board(evidence.boot_control, "TNSPEC")
    board = board or parse.parse_spec_board(evidence.boot_control, "COMPATIBLE_SPEC")
    return f"{carrier_id} ({board})" if carrier_id and board else carrier_id or board


def _rests_on(evidence: Evidence, found: _Decided) -> Iterator[tuple[str, tuple[str, ...]]]:
    told = tuple(source for source in found.soc.sources if source != witness.RECORD)
    soc = told or ((witness.RECORD,) if found.module else ())
    yield "module", found.module_sources or found.module_id.sources
    yield "carrier", _carrier_sources(evidence)
    yield "soc", soc
    yield "compute_capability", ("the SoC's record",) if found.soc.value in COMPUTE_CAPABILITY else ()
    yield "dla", _dla_sources(found)
    yield "memory_mb", ("/proc/meminfo",) if b"MemTotal:" in evidence.meminfo else ()
    yield "serial", ("device tree (serial-number)",) if parse.parse_text(evidence.serial) else ()
    yield "l4t", found.l4t.sources
    yield "jetpack", found.jetpack.sources
    yield "tensorrt", found.tensorrt.sources
    yield "cuda", found.cuda.sources
    yield "machine", (witness.FOREIGN_UNAME,) if evidence.machine and not evidence.same_machine else ()
    yield "onnxruntime", (evidence.python,) if witness.newest(evidence.libraries, "onnxruntime") else ()
    yield "container", (found.container.source,) if found.container.word else ()
    yield "virtual", (found.virtual_reason,) if found.virtual else ()


def _carrier_sources(evidence: Evidence) -> tuple[str, ...]:
    by_tree = parse.parse_carrier_id(parse.parse_strings(evidence.compatible))
    by_flash = parse.parse_spec_board(evidence.boot_control, "TNSPEC")
    weak = parse.parse_spec_board(evidence.boot_control, "COMPATIBLE_SPEC") and not by_flash
    told = ((by_tree, witness.COMPATIBLE), (by_flash, witness.TNSPEC), (weak, witness.COMPATIBLE_SPEC))
    return tuple(source for says, source in told if says)


def _dla_sources(found: _Decided) -> tuple[str, ...]:
    if not found.module:
        return ()
    software = (("JetPack", found.jetpack), ("TensorRT", found.tensorrt)) if found.module.dla_cores else ()
    return (witness.RECORD, *(f"{name} {one.value}" for name, one in software if one.value))
