"""The evidence as a list for people and programs: what was found, and where. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from edgeagent.board import parse, part_numbers, versions, witness
from edgeagent.board.witness import Evidence


class Finding(NamedTuple):
    """One fact, its value as found, and the file or package that says so."""

    fact: str
    value: str
    source: str


_FILES = (
    ("compatible", "compatible", "device tree"),
    ("model", "model", "device tree"),
    ("serial", "serial", "device tree"),
    ("dtsfilename", "dts_filename", "device tree"),
    ("boardids", "board_ids", "device tree"),
    ("L4T", "tegra_release", "/etc/nv_tegra_release"),
    ("TNSPEC", "boot_control", "/etc/nv_boot_control.conf"),
    ("CPUs present", "cpus_present", "/sys/devices/system/cpu/present"),
    ("CUDA toolkit", "cuda_json", "/usr/local/cuda/version.json"),
    ("CUDA toolkit", "cuda_text", "/usr/local/cuda/version.txt"),
    ("TensorRT header", "tensorrt_header", "NvInferVersion.h"),
    ("chip id", "soc_id", "/sys/devices/soc0/soc_id"),
    ("GPU", "gpu_information", "/proc/driver/nvidia"),
    ("system", "os_release", "/etc/os-release"),
)


def list_findings(evidence: Evidence) -> Iterator[Finding]:
    """Everything that was found, in the order of the files; what is missing has no finding."""
    for fact, attribute, source in _FILES:
        raw: bytes = getattr(evidence, attribute)
        if value := _shown(attribute, raw):
            yield Finding(fact, value, source)
    for name in evidence.plugin_ids:
        yield Finding("plugin id", name, "device tree (plugin-manager/ids)")
    for path, raw in evidence.eeproms:
        if module_id := part_numbers.parse_eeprom(raw):
            yield Finding("EEPROM", module_id, path)
    if total := parse.parse_meminfo(evidence.meminfo).get("MemTotal"):
        yield Finding("MemTotal", f"{total} kB", "/proc/meminfo")
    for name, version in sorted(evidence.packages.items()):
        yield Finding(name, version, "/var/lib/dpkg/status")
    for path in evidence.library_files:
        yield Finding("library", path.rpartition("/")[2], path)
    for name, version in sorted(evidence.libraries.items()):
        yield Finding(name, version, evidence.python)
    if evidence.machine:
        source = "uname" if evidence.same_machine else witness.FOREIGN_UNAME
        yield Finding("architecture", evidence.machine, source)
    if evidence.container:
        yield Finding("container", evidence.container, evidence.container_source or "container marker")


def _shown(attribute: str, raw: bytes) -> str:
    """The part of a file that goes into the evidence, as one line."""
    return _READERS.get(attribute, parse.parse_text)(raw)[:200]


def _tnspec(raw: bytes) -> str:
    spec = parse.parse_tnspec(raw)
    return f"{spec.module_id} fab {spec.fab} {spec.board}" if spec else ""


_READERS: dict[str, Callable[[bytes], str]] = {
    "compatible": lambda raw: " ".join(parse.parse_strings(raw)),
    "boot_control": _tnspec,
    "cuda_json": parse.parse_cuda_json,
    "cuda_text": versions.parse_cuda_text,
    "tensorrt_header": versions.parse_tensorrt_header,
    "gpu_information": parse.parse_gpu_model,
    "os_release": parse.parse_os_release,
}
