"""Which board this is, decided from what was found. Pure: evidence in, an identity with its reasons out.

The model text is the weakest witness: third-party carriers report the developer kit's. The order of trust for the
module is the device tree's `compatible`, then the TNSPEC of /etc/nv_boot_control.conf, then nothing: an unknown board
stays unknown. Witnesses that disagree are listed in `contradictions`; none of them stops the decision.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from edgeagent.board import parse
from edgeagent.board.catalogue import COMPUTE_CAPABILITY, FAMILIES, L4t, Module, find_module, jetpack_of

Kind = Literal["jetson", "unknown-jetson", "not-a-jetson"]


class Finding(NamedTuple):
    """One fact, its value as found, and the file or package that says so."""

    fact: str
    value: str
    source: str


@dataclass(frozen=True)
class Evidence:
    """What `evidence.read_evidence` found, unread: b"" for a file that is missing or closed to us.

    `packages` are installed Debian packages, `libraries` Python distributions that this interpreter would import.
    `machine` is the processor architecture of this process; `container` is the runtime's name, "" on a host.
    """

    compatible: bytes = b""
    model: bytes = b""
    serial: bytes = b""
    tegra_release: bytes = b""
    boot_control: bytes = b""
    meminfo: bytes = b""
    cpus_present: bytes = b""
    cuda_json: bytes = b""
    gpu_information: bytes = b""
    packages: dict[str, str] = field(default_factory=dict)
    libraries: dict[str, str] = field(default_factory=dict)
    machine: str = ""
    container: str = ""


@dataclass(frozen=True)
class Identity:
    """A recognised board. "" and None mean unknown.

    `memory_mb` is what the kernel can use (MemTotal, MiB), less than the module's nominal size. `dla_cores` is the
    number declared for the module, and `dla_reason` says why; TensorRT's `num_DLA_cores` decides what can be used.
    """

    kind: Kind
    module: str = ""
    module_id: str = ""
    carrier: str = ""
    model: str = ""
    soc: str = ""
    compute_capability: str = ""
    dla_cores: int | None = None
    dla_reason: str = ""
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
    container: str = ""
    evidence: tuple[Finding, ...] = ()
    contradictions: tuple[str, ...] = ()


def decide_identity(evidence: Evidence) -> Identity:
    """The board that `evidence` speaks of. Never raises, whatever the bytes are."""
    compatible = parse.parse_strings(evidence.compatible)
    tnspec = parse.parse_tnspec(evidence.boot_control)
    module_id = parse.parse_module_id(compatible) or (tnspec.module_id if tnspec else "")
    module = find_module(module_id) or _module_of_kit(compatible)
    soc = parse.parse_soc(compatible) or (module.soc if module else "")
    l4t = _l4t(evidence)
    dla_cores, dla_reason = _declared_dla(module, soc, evidence.gpu_information)
    memory_kb = parse.parse_meminfo(evidence.meminfo).get("MemTotal")
    return Identity(
        kind=_kind(module, soc, l4t),
        module=module.name if module else "",
        module_id=module_id or (module.ids[0] if module and len(module.ids) == 1 else ""),
        carrier=_carrier(compatible, tnspec),
        model=parse.parse_text(evidence.model),
        soc=soc,
        compute_capability=COMPUTE_CAPABILITY.get(soc, ""),
        dla_cores=dla_cores,
        dla_reason=dla_reason,
        cpus=len(parse.parse_cpu_list(evidence.cpus_present)) or None,
        memory_mb=memory_kb // 1024 if memory_kb else None,
        serial=parse.parse_text(evidence.serial),
        l4t=str(l4t) if l4t else "",
        jetpack=jetpack_of(l4t) if l4t else "",
        tensorrt=_tensorrt(evidence),
        cuda=_cuda(evidence),
        onnxruntime=_first(evidence.libraries, "onnxruntime"),
        gpu=parse.parse_gpu_model(evidence.gpu_information),
        machine=evidence.machine,
        container=evidence.container,
        evidence=tuple(_findings(evidence)),
        contradictions=tuple(_contradictions(evidence, module, module_id)),
    )


def _module_of_kit(compatible: Iterable[str]) -> Module | None:
    """Older releases name the kit, not the module: `nvidia,p2972-0000`, `nvidia,jetson-nano`."""
    names = [entry.partition(",")[2] for entry in compatible if entry.startswith("nvidia,")]
    return next((module for name in names if (module := find_module(name))), None)


def _kind(module: Module | None, soc: str, l4t: L4t | None) -> Kind:
    if module:
        return "jetson"
    return "unknown-jetson" if soc or l4t else "not-a-jetson"


def _carrier(compatible: Iterable[str], tnspec: parse.TnSpec | None) -> str:
    """`p3768-0000 (jetson-orin-nano-devkit-super)`: the device tree's id, then the name the board was flashed under."""
    carrier_id = parse.parse_carrier_id(compatible)
    board = tnspec.board if tnspec else ""
    return f"{carrier_id} ({board})" if carrier_id and board else carrier_id or board


def _declared_dla(module: Module | None, soc: str, gpu_information: bytes) -> tuple[int | None, str]:
    if module:
        has = f"{module.dla_cores} by its data sheet" if module.dla_cores else "none by its data sheet"
        return module.dla_cores, f"{module.name} has {has}"
    if soc:
        return None, f"a module with {soc} that this release does not know: ask TensorRT"
    where = "a PC's GPU has no DLA" if gpu_information else "only Jetson modules have a DLA"
    return 0, where


def _l4t(evidence: Evidence) -> L4t | None:
    return parse.parse_tegra_release(evidence.tegra_release) or _package_l4t(evidence)


def _package_l4t(evidence: Evidence) -> L4t | None:
    return parse.parse_l4t_package(evidence.packages.get("nvidia-l4t-core", ""))


def _tensorrt(evidence: Evidence) -> str:
    """The version that `import tensorrt` would give; without it, that of the installed library."""
    return _first(evidence.libraries, "tensorrt") or _first(evidence.packages, "libnvinfer")


def _cuda(evidence: Evidence) -> str:
    toolkit = parse.parse_cuda_json(evidence.cuda_json)
    runtime = _first(evidence.packages, "cuda-cudart") or _first(evidence.libraries, "nvidia-cuda-runtime")
    return toolkit or runtime


def _first(versions: dict[str, str], prefix: str) -> str:
    """The version of the first name that starts with `prefix`; the newest when there are several."""
    found = [parse.parse_version(value) for name, value in versions.items() if name.startswith(prefix)]
    return max(found, key=_version_key, default="")


def _version_key(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit() and len(part) < 10)


_FILES = (
    ("compatible", "compatible", "device tree"),
    ("model", "model", "device tree"),
    ("serial", "serial", "device tree"),
    ("L4T", "tegra_release", "/etc/nv_tegra_release"),
    ("TNSPEC", "boot_control", "/etc/nv_boot_control.conf"),
    ("CPUs present", "cpus_present", "/sys/devices/system/cpu/present"),
    ("CUDA toolkit", "cuda_json", "/usr/local/cuda/version.json"),
    ("GPU", "gpu_information", "/proc/driver/nvidia"),
)


def _findings(evidence: Evidence) -> Iterable[Finding]:
    for fact, attribute, source in _FILES:
        raw: bytes = getattr(evidence, attribute)
        if value := _shown(attribute, raw):
            yield Finding(fact, value, source)
    if total := parse.parse_meminfo(evidence.meminfo).get("MemTotal"):
        yield Finding("MemTotal", f"{total} kB", "/proc/meminfo")
    for name, version in sorted(evidence.packages.items()):
        yield Finding(name, version, "/var/lib/dpkg/status")
    for name, version in sorted(evidence.libraries.items()):
        yield Finding(name, version, "Python package")
    if evidence.machine:
        yield Finding("architecture", evidence.machine, "uname")
    if evidence.container:
        yield Finding("container", evidence.container, "container marker")


def _shown(attribute: str, raw: bytes) -> str:
    """The part of a file that goes into the evidence, as one line."""
    match attribute:
        case "compatible":
            return " ".join(parse.parse_strings(raw))[:200]
        case "cuda_json":
            return parse.parse_cuda_json(raw)
        case "gpu_information":
            return parse.parse_gpu_model(raw)
        case "boot_control":
            spec = parse.parse_tnspec(raw)
            return f"{spec.module_id} fab {spec.fab} {spec.board}" if spec else ""
        case _:
            return parse.parse_text(raw)[:200]


def _contradictions(evidence: Evidence, module: Module | None, module_id: str) -> Iterable[str]:
    tnspec = parse.parse_tnspec(evidence.boot_control)
    if tnspec and module_id and tnspec.module_id != module_id:
        yield f"the device tree says {module_id}, the boot control file {tnspec.module_id}"
    release, package = parse.parse_tegra_release(evidence.tegra_release), _package_l4t(evidence)
    if release and package and release != package:
        yield f"/etc/nv_tegra_release says L4T {release}, the package nvidia-l4t-core {package}"
    yield from _tensorrt_contradiction(evidence)
    if module:
        yield from _module_contradictions(evidence, module, release or package)


def _tensorrt_contradiction(evidence: Evidence) -> Iterable[str]:
    """An engine built through one TensorRT does not load in another, so two of them are worth a sentence."""
    library, package = _first(evidence.packages, "libnvinfer"), _first(evidence.libraries, "tensorrt")
    if library and package and library.split(".")[:3] != package.split(".")[:3]:
        yield f"the system has TensorRT {library}, this Python would import {package}"


def _module_contradictions(evidence: Evidence, module: Module, l4t: L4t | None) -> Iterable[str]:
    model = parse.parse_text(evidence.model)
    named = max((family for family in FAMILIES if f" {family} " in f" {model} "), key=len, default="")
    if named and named != module.family:
        yield f"the model text says {named}, the ids say {module.name}"
    if l4t and l4t.major not in module.l4t_majors:
        yield f"L4T {l4t} was never released for {module.name}"
    yield from _memory_contradiction(parse.parse_meminfo(evidence.meminfo).get("MemTotal"), module)


def _memory_contradiction(total_kb: int | None, module: Module) -> Iterable[str]:
    """The kernel keeps a part for itself and for the firmware: 85 to 100 percent of a nominal size is plausible."""
    if total_kb is None:
        return
    total_gb = total_kb / 1024**2
    if not any(0.85 * size <= total_gb <= size for size in module.memory_gb):
        sizes = " or ".join(str(size) for size in module.memory_gb)
        yield f"the kernel has {total_gb:.1f} GiB, {module.name} comes with {sizes} GB"
