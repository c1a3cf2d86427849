"""What the machine is, as far as an installation depends on it. Reads and asks; decides and changes nothing."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from edgeagent.install.places import Places
from edgeagent.install.system import System

PROBE_CV2 = """
import cv2
print(cv2.__version__)
print(next((l.split(":")[1].strip() for l in cv2.getBuildInformation().splitlines() if "GStreamer:" in l), "NO"))
"""
L4T_FILE = "etc/nv_tegra_release"
NVCC = ("usr/local/cuda/bin/nvcc", "usr/bin/nvcc")


@dataclass(frozen=True)
class Facts:
    """Of the system's own Python and of the machine. Empty text: not there, or not known.

    `l4t`: "36.4.7" on a Jetson. `jetson`: by its device tree, also where the release file is missing.
    `links`: of the directories that systemd makes for the service, those that are links.
    """

    root: bool
    python: tuple[int, int]
    arch: str
    jetson: bool
    l4t: str
    free_mb: int
    systemd: int
    venv: bool
    journal: bool
    tensorrt: str
    cv2: str
    cv2_gstreamer: bool
    numpy: str
    nvcc: str
    year: int
    links: tuple[str, ...] = ()

    @property
    def l4t_major(self) -> int:
        return int(self.l4t.split(".")[0]) if self.l4t else 0

    @property
    def python_text(self) -> str:
        return f"{self.python[0]}.{self.python[1]}"


def read_facts(system: System, places: Places, board_root: Path) -> Facts:
    cv2, gstreamer = _cv2(system)
    return Facts(
        root=os.geteuid() == 0,
        python=(sys.version_info[0], sys.version_info[1]),
        arch=platform.machine(),
        jetson=_is_jetson(board_root),
        l4t=read_l4t(system, board_root),
        free_mb=_free_mb(places.home),
        systemd=_systemd(system),
        venv=find_spec("venv") is not None and find_spec("ensurepip") is not None,
        journal=find_spec("systemd") is not None,
        tensorrt=_version(system, "tensorrt"),
        cv2=cv2,
        cv2_gstreamer=gstreamer,
        numpy=_version(system, "numpy"),
        nvcc=next((str(path) for path in (Path("/") / name for name in NVCC) if path.is_file()), ""),
        year=time.gmtime().tm_year,
        links=tuple(str(path) for path in (places.state_dir, places.cache_dir) if path.is_symlink()),
    )


def read_l4t(system: System, board_root: Path) -> str:
    """The release file, else the package that stands for it; some JetPack installations have the package only."""
    try:
        text = (board_root / L4T_FILE).read_text(errors="replace")
    except OSError:
        text = ""
    if found := parse_l4t(text):
        return found
    if board_root != Path("/"):
        return ""
    package = system.ask("dpkg-query", "--show", "--showformat=${Version}", "nvidia-l4t-core")
    match = re.match(r"(\d+)\.(\d+)\.(\d+)", package.stdout) if package.returncode == 0 else None
    return ".".join(match.groups()) if match else ""


def parse_l4t(text: str) -> str:
    """`# R36 (release), REVISION: 4.7, ...` -> "36.4.7"; "" for anything else."""
    match = re.match(r"#\s*R(\d+)\s*\(release\),\s*REVISION:\s*([\d.]+)", text)
    return f"{match[1]}.{match[2]}" if match else ""


def _is_jetson(board_root: Path) -> bool:
    for name in ("proc/device-tree/compatible", "sys/firmware/devicetree/base/compatible"):
        try:
            if b"nvidia,tegra" in (board_root / name).read_bytes():
                return True
        except OSError:
            continue
    return False


def _free_mb(place: Path) -> int:
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free // (1024 * 1024)


def _systemd(system: System) -> int:
    """The release of the systemd that runs this machine; 0 where it does not."""
    if not Path("/run/systemd/system").is_dir():
        return 0
    match = re.match(r"systemd (\d+)", system.ask("systemctl", "--version").stdout)
    return int(match[1]) if match else 0


def _version(system: System, module: str) -> str:
    """Of a package that the system's own Python imports; from its metadata, so that nothing heavy is loaded."""
    code = f"from importlib.metadata import version; print(version({module!r}))"
    ended = system.ask(sys.executable, "-I", "-c", code)
    if ended.returncode == 0:
        return ended.stdout.strip()
    return "unknown" if find_spec(module) is not None else ""


def _cv2(system: System) -> tuple[str, bool]:
    """The system's OpenCV and whether it was built with GStreamer. Imported in a process of its own: it may crash."""
    ended = system.ask(sys.executable, "-I", "-c", PROBE_CV2)
    lines = ended.stdout.split("\n")
    if ended.returncode != 0 or len(lines) < 2:
        return "", False
    return lines[0].strip(), lines[1].startswith("YES")
