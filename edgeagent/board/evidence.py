"""Collecting what tells one board from another. Thin: reads files under a root and asks uname, decides nothing.

Versions of TensorRT and ONNX Runtime come from package metadata: importing either costs seconds and, for TensorRT,
a CUDA context's worth of memory.
"""

from __future__ import annotations

import os
from importlib import metadata
from pathlib import Path

from edgeagent.board.files import list_names, read_bytes
from edgeagent.board.identity import Evidence, Identity, decide_identity
from edgeagent.board.parse import parse_dpkg_status

_PACKAGES = (
    "nvidia-l4t-core",
    "nvidia-jetpack",
    "libnvinfer8",
    "libnvinfer10",
    "libnvinfer11",
    "cuda-cudart-11-4",
    *(f"cuda-cudart-12-{minor}" for minor in range(10)),
    *(f"cuda-cudart-13-{minor}" for minor in range(6)),
)
_LIBRARIES = (
    "tensorrt",
    "onnxruntime",
    "onnxruntime-gpu",
    "nvidia-cuda-runtime-cu12",
    "nvidia-cuda-runtime",
)
_CONTAINER_MARKERS = (("/.dockerenv", "docker"), ("/run/.containerenv", "podman"))
_DPKG_STATUS_LIMIT = 32 * 1024 * 1024


def read_identity(root: Path) -> Identity:
    """The board under `root` ("/" on a device)."""
    return decide_identity(read_evidence(root))


def read_evidence(root: Path) -> Evidence:
    """Everything that `decide_identity` looks at. Never raises; what is missing is b"" or not listed."""
    dpkg_status = read_bytes(under(root, "/var/lib/dpkg/status"), _DPKG_STATUS_LIMIT)
    return Evidence(
        compatible=_device_tree(root, "compatible"),
        model=_device_tree(root, "model"),
        serial=_device_tree(root, "serial-number"),
        tegra_release=read_bytes(under(root, "/etc/nv_tegra_release")),
        boot_control=read_bytes(under(root, "/etc/nv_boot_control.conf")),
        meminfo=read_bytes(under(root, "/proc/meminfo")),
        cpus_present=read_bytes(under(root, "/sys/devices/system/cpu/present")),
        cuda_json=read_bytes(under(root, "/usr/local/cuda/version.json")),
        gpu_information=_gpu_information(root),
        packages=parse_dpkg_status(dpkg_status, _PACKAGES),
        libraries=_libraries(),
        machine=os.uname().machine,
        container=_container(root),
    )


def under(root: Path, path: str) -> Path:
    """The absolute `path` of the board as a path of this machine."""
    return root / path.lstrip("/")


def _device_tree(root: Path, name: str) -> bytes:
    """Container runtimes hide /sys/firmware; some mount /proc/device-tree instead."""
    return read_bytes(under(root, f"/sys/firmware/devicetree/base/{name}")) or read_bytes(
        under(root, f"/proc/device-tree/{name}")
    )


def _gpu_information(root: Path) -> bytes:
    """The first GPU that NVIDIA's PC driver lists; its directory is named after the bus address."""
    gpus = under(root, "/proc/driver/nvidia/gpus")
    return next((read_bytes(gpus / bus / "information") for bus in list_names(gpus)), b"")


def _libraries() -> dict[str, str]:
    """Installed Python distributions of this interpreter: what an import here would load, under any root."""
    return {name: version for name in _LIBRARIES if (version := _library_version(name))}


def _library_version(name: str) -> str:
    try:
        return str(metadata.version(name) or "")
    except metadata.PackageNotFoundError:
        return ""


def _container(root: Path) -> str:
    marked = (name for path, name in _CONTAINER_MARKERS if under(root, path).exists())
    return next(marked, "") or read_bytes(under(root, "/run/systemd/container"), 64).decode("ascii", "replace").strip()
