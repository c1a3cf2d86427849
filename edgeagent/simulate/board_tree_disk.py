"""What an installation brings to a virtual board: /etc, packages, /var, and the stand-in tools. Reboots keep it."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

from edgeagent.simulate.board_spec import VirtualSpec
from edgeagent.simulate.board_tree import Tree

_HERE = Path(__file__).parent
_TOOLS = _HERE / "tools"
CONFS = _HERE / "confs"
"""Tables of power modes, one file a kind of board."""
POWER_MODES = "etc/nvpmodel.conf"
POWER_STATUS = "var/lib/nvpmodel/status"
FAN_CONF = "etc/nvfancontrol.conf"
FAN_STATUS = "var/lib/nvfancontrol/status"
TOOLS = ("nvpmodel", "jetson_clocks", "nvfancontrol", "tegrastats", "systemctl")


def write_disk(tree: Tree, spec: VirtualSpec) -> None:
    tree.text("etc/hostname", f"{spec.hostname}\n")
    if spec.software.tegra_release:
        tree.text("etc/nv_tegra_release", spec.software.tegra_release)
    if spec.boot_control:
        tree.text("etc/nv_boot_control.conf", spec.boot_control)
    if spec.kind == "container":
        tree.text(".dockerenv", "")
    _write_packages(tree, spec)
    _write_power_modes(tree, spec)
    if spec.fan and spec.fan.form == "hwmon" and spec.fan.profile:
        tree.text(FAN_CONF, fan_conf(spec))
        tree.text(FAN_STATUS, fan_status(spec.fan.profile))
    _write_tools(tree, spec)


def _write_packages(tree: Tree, spec: VirtualSpec) -> None:
    architecture = "amd64" if spec.kind == "pc" else "arm64"
    paragraphs = [
        f"Package: {name}\nStatus: install ok installed\nPriority: standard\n"
        f"Architecture: {architecture}\nVersion: {version}\n"
        for name, version in spec.software.packages
    ]
    tree.text("var/lib/dpkg/status", "\n".join(paragraphs))
    if spec.software.cuda:
        _write_cuda(tree, spec.software.cuda)


def _write_cuda(tree: Tree, cuda: str) -> None:
    """Toolkits before 11 tell their version in a text file."""
    toolkit = f"usr/local/cuda-{'.'.join(cuda.split('.')[:2])}"
    if cuda.startswith("10."):
        tree.text(f"{toolkit}/version.txt", f"CUDA Version {cuda}\n")
    else:
        version = {"cuda": {"name": "CUDA SDK", "version": cuda}}
        tree.text(f"{toolkit}/version.json", json.dumps(version, indent=3))
    tree.link("usr/local/cuda", toolkit)


def _write_power_modes(tree: Tree, spec: VirtualSpec) -> None:
    """R39 keeps the tables in a directory of their own and links to one of them."""
    if not spec.power_modes:
        return
    table = (CONFS / spec.power_modes).read_text()
    if spec.release == "R39":
        tree.text(f"etc/nvpmodel/{spec.power_modes}", table)
        tree.link(POWER_MODES, f"etc/nvpmodel/{spec.power_modes}")
    else:
        tree.text(POWER_MODES, table)
    tree.text("var/lib/nvpmodel/conf_file_path", "/etc/nvpmodel.conf")


def fan_status(profile: str) -> str:
    """What nvfancontrol keeps of its settings; it is read before the configuration file."""
    return f"FAN1:FAN_PROFILE:{profile}\nFAN1:FAN_GOVERNOR:cont\nFAN1:FAN_CONTROL:close_loop\n"


def fan_conf(spec: VirtualSpec) -> str:
    """nvfancontrol.conf: the first column is headroom below GROUP_MAX_TEMP, as with TMARGIN ENABLED."""
    plant = spec.plant
    group = next(zone.name for zone in spec.zones if zone.part == "tj")
    profiles = "".join(_fan_profile(name, points, plant.fan_top_rpm) for name, points in plant.fan_profiles.items())
    return (
        "POLLING_INTERVAL 2\n\n<FAN 1>\n"
        "\tTMARGIN ENABLED\n"
        "\tFAN_GOVERNOR cont {\n\t\tSTEP_SIZE 10\n\t}\n"
        "\tFAN_GOVERNOR pid {\n\t\tSTEP_SIZE 10\n\t}\n"
        "\tFAN_CONTROL close_loop {\n\t\tRPM_TOLERANCE 100\n\t}\n"
        f"{profiles}"
        f"\tTHERMAL_GROUP 0 {{\n\t\tGROUP_MAX_TEMP {plant.hottest_c:.0f}\n"
        f"\t\t#Thermal-Zone Coeffs Max-Temp\n\t\t{group} {','.join(['20'] + ['0'] * 19)} 0\n\t}}\n"
        "\tFAN_DEFAULT_CONTROL close_loop\n"
        f"\tFAN_DEFAULT_PROFILE {spec.fan.profile if spec.fan else ''}\n"
        "\tFAN_DEFAULT_GOVERNOR cont\n"
        "\tKICKSTART_PWM 64\n"
    )


def _fan_profile(name: str, points: tuple[tuple[float, float], ...], top_rpm: float) -> str:
    rows = [f"\t\t{headroom:.0f}\t0\t{pwm:.0f}\t{top_rpm * pwm / 255:.0f}\n" for headroom, pwm in points]
    return f"\tFAN_PROFILE {name} {{\n\t\t#TEMP \tHYST\tPWM\tRPM\n{''.join(rows)}\t}}\n"


def _write_tools(tree: Tree, spec: VirtualSpec) -> None:
    """Wrappers of the stand-ins that the release installs: nvfancontrol only where it has a conf, none on a PC."""
    (tree.root / "bin").mkdir(parents=True, exist_ok=True)
    absent = {"nvfancontrol"} if not (tree.root / FAN_CONF).exists() else set()
    for tool in sorted(set(TOOLS) - absent) if spec.kind != "pc" else ():
        command = shlex.join([sys.executable, "-I", str(_TOOLS / f"{tool}.py"), str(tree.root)])
        tree.text(f"bin/{tool}", f'#!/bin/sh\nexec {command} "$@"\n')
        (tree.root / "bin" / tool).chmod(0o755)
