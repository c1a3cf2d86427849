"""Collecting what tells one board from another. Thin: reads files under a root and asks uname, decides nothing.

Versions of TensorRT and ONNX Runtime come from package metadata and file names: importing either costs seconds and,
for TensorRT, a CUDA context's worth of memory. EEPROMs are read only where the kernel's at24 driver offers them as a
file, which is for root: talking to the I2C bus ourselves could disturb whoever else does.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from edgeagent.board.files import list_names, read_bytes
from edgeagent.board.identity import Evidence, Identity, decide_identity
from edgeagent.board.parse import parse_dpkg_status
from edgeagent.board.part_numbers import EEPROM_BYTES

_PACKAGES = re.compile(r"nvidia-l4t-core|nvidia-jetpack|libnvinfer[0-9]{1,2}|cuda-cudart-[0-9]{1,2}-[0-9]{1,2}")
_PYTHON_DISTRIBUTIONS = (
    "tensorrt",
    "tensorrt-cu12",
    "tensorrt-cu13",
    "onnxruntime",
    "onnxruntime-gpu",
    "nvidia-cuda-runtime-cu12",
    "nvidia-cuda-runtime",
)
_LIBRARY = re.compile(r"lib(?:nvinfer|cudart)\.so\.[0-9.]+")
_LIBRARY_DIRECTORIES = (
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/cuda/lib64",
    "/usr/local/cuda/targets/aarch64-linux/lib",
    "/usr/local/tensorrt/lib",
    "/opt/tensorrt/lib",
)
_HEADERS = (
    "/usr/include/aarch64-linux-gnu/NvInferVersion.h",
    "/usr/include/x86_64-linux-gnu/NvInferVersion.h",
    "/usr/include/NvInferVersion.h",
)
_EEPROMS = tuple(f"/sys/bus/i2c/devices/{bus}-0050/eeprom" for bus in (0, 1, 2, 7))
_CONTAINER_MARKERS = (("/.dockerenv", "docker"), ("/run/.containerenv", "podman"))
_KUBERNETES = "/run/secrets/kubernetes.io"
_VIRTUAL_MARKER = "/.virtual-board.json"
_DPKG_STATUS_LIMIT = 32 * 1024 * 1024
_MOUNTS_LIMIT = 256 * 1024


def read_identity(root: Path) -> Identity:
    """The board under `root` ("/" on a device)."""
    return decide_identity(read_evidence(root))


def read_evidence(root: Path) -> Evidence:
    """Everything that `decide_identity` looks at. Never raises; what is missing is b"" or not listed.

    Architecture and Python packages are those of this process: where the root is not "/" they are marked as such.
    """
    dpkg_status = _read(root, "/var/lib/dpkg/status", _DPKG_STATUS_LIMIT)
    container, container_source = _container(root)
    return Evidence(
        compatible=_device_tree(root, "compatible"),
        model=_device_tree(root, "model") or _read(root, "/sys/devices/soc0/machine"),
        serial=_device_tree(root, "serial-number"),
        dts_filename=_device_tree(root, "nvidia,dtsfilename"),
        board_ids=_device_tree(root, "nvidia,boardids"),
        plugin_ids=_plugin_ids(root),
        eeproms=tuple((path, raw) for path in _EEPROMS if (raw := _read(root, path, EEPROM_BYTES))),
        soc_family=_read(root, "/sys/devices/soc0/family"),
        soc_id=_read(root, "/sys/devices/soc0/soc_id"),
        tegra_release=_read(root, "/etc/nv_tegra_release"),
        boot_control=_read(root, "/etc/nv_boot_control.conf"),
        meminfo=_read(root, "/proc/meminfo"),
        cpus_present=_read(root, "/sys/devices/system/cpu/present"),
        cuda_json=_read(root, "/usr/local/cuda/version.json"),
        cuda_text=_read(root, "/usr/local/cuda/version.txt"),
        tensorrt_header=next((raw for path in _HEADERS if (raw := _read(root, path))), b""),
        library_files=tuple(_library_files(root)),
        gpu_information=_gpu_information(root),
        os_release=_read(root, "/etc/os-release") or _read(root, "/usr/lib/os-release"),
        cgroup=_read(root, "/proc/1/cgroup") + _read(root, "/proc/self/cgroup"),
        mounts=_read(root, "/proc/self/mountinfo", _MOUNTS_LIMIT),
        dmi=b" ".join(_read(root, f"/sys/class/dmi/id/{name}") for name in ("sys_vendor", "product_name")),
        cpuinfo=_read(root, "/proc/cpuinfo"),
        hypervisor=_read(root, "/sys/hypervisor/type"),
        packages=parse_dpkg_status(dpkg_status, _PACKAGES),
        libraries=_libraries(),
        machine=os.uname().machine,
        same_machine=os.path.abspath(root) == "/",  # noqa: PTH100 - `..` taken out, no link followed
        container=container,
        container_source=container_source,
        virtual_marker=os.path.isfile(under(root, _VIRTUAL_MARKER)),  # noqa: PTH113 - never raises
    )


def under(root: Path, path: str) -> Path:
    """The absolute `path` of the board as a path of this machine."""
    return root / path.lstrip("/")


def _read(root: Path, path: str, limit: int = 65536) -> bytes:
    return read_bytes(under(root, path), limit)


def _exists(root: Path, path: str) -> bool:
    """Whether something lies there, dangling links included; a directory closed to us hides it."""
    return os.path.lexists(under(root, path))


def _device_tree(root: Path, name: str) -> bytes:
    """Container runtimes hide /sys/firmware; some mount /proc/device-tree instead."""
    return _read(root, f"/sys/firmware/devicetree/base/{name}") or _read(root, f"/proc/device-tree/{name}")


def _plugin_ids(root: Path) -> tuple[str, ...]:
    """The boot loader of R32 and R35 names module and carrier as properties of this node."""
    below = "chosen/plugin-manager/ids"
    found = list_names(under(root, f"/sys/firmware/devicetree/base/{below}"))
    return (found or list_names(under(root, f"/proc/device-tree/{below}")))[:32]


def _library_files(root: Path) -> Iterator[str]:
    """Paths of TensorRT's and CUDA's shared libraries where JetPack, containers and other distributions put them."""
    for directory in _LIBRARY_DIRECTORIES:
        for name in list_names(under(root, directory)):
            if _LIBRARY.fullmatch(name):
                yield f"{directory}/{name}"


def _gpu_information(root: Path) -> bytes:
    """The first GPU that NVIDIA's PC driver lists; its directory is named after the bus address."""
    gpus = under(root, "/proc/driver/nvidia/gpus")
    return next((read_bytes(gpus / bus / "information") for bus in list_names(gpus)), b"")


def _libraries() -> dict[str, str]:
    """Installed Python distributions of this interpreter: what an import here would load, under any root."""
    return {name: version for name in _PYTHON_DISTRIBUTIONS if (version := _library_version(name))}


def _library_version(name: str) -> str:
    try:
        return str(metadata.version(name) or "")
    except metadata.PackageNotFoundError:
        return ""


def _container(root: Path) -> tuple[str, str]:
    """What the container runtime left for the processes inside, and where; ("", "") on a host."""
    if _exists(root, _KUBERNETES):
        return "kubernetes", _KUBERNETES
    for path, name in _CONTAINER_MARKERS:
        if _exists(root, path):
            return name, path
    word = _read(root, "/run/systemd/container", 64).decode("ascii", "replace").strip()
    return (word, "/run/systemd/container") if word.isprintable() and word else ("", "")
