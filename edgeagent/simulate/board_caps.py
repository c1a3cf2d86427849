"""What the power mode and the tools have set on a virtual board, read back from its files for the plant.

These files are rewritten while they are read; caught between two writes they are empty for a moment, and then what
the board does without any setting counts.
"""

from __future__ import annotations

import re
from pathlib import Path

from edgeagent.simulate.board_spec import VirtualSpec
from edgeagent.simulate.board_tree_clocks import DEBUG
from edgeagent.simulate.board_tree_disk import FAN_CONF, FAN_STATUS, POWER_STATUS
from edgeagent.simulate.plant import Caps

_CPUS = "sys/devices/system/cpu"
_R32_FAN = "sys/devices/pwm-fan"
FAN_STOPPED = "run/nvfancontrol.stopped"
"""Made by the tools that stop the fan's service: the fan then stays where it was put."""
_FAN_PROFILES = (
    (FAN_STATUS, r"FAN_PROFILE:(\w+)"),
    (FAN_CONF, r"FAN_DEFAULT_PROFILE\s+(\w+)"),
    (POWER_STATUS, r"fmode:fan_mode_(\w+)"),
)
_LOCKED_EMC = (f"{DEBUG}/bpmp/debug/clk/emc/mrq_rate_locked", f"{DEBUG}/clk/override.emc/clk_state")


def read_caps(root: Path, spec: VirtualSpec, pwm_path: Path | None = None) -> Caps:
    """What is allowed now. `pwm_path` is the fan's file, where the board has one."""
    free = spec.plant.free
    cpu = root / _CPUS / "cpufreq" / f"policy{spec.cpu.policies[0][0]}"
    gpu = root / spec.gpu.device / "devfreq" / spec.gpu.devfreq if spec.gpu else None
    online = tuple(core for core in range(spec.cpu.count) if number(root / _CPUS / f"cpu{core}/online", 1))
    return Caps(
        cpu_khz=number(cpu / "scaling_max_freq", free.cpu_khz),
        gpu_hz=number(gpu / "max_freq", free.gpu_hz) if gpu else 0,
        online=online or (0,),
        cpu_min_khz=number(cpu / "scaling_min_freq", free.cpu_min_khz),
        gpu_min_hz=number(gpu / "min_freq", free.gpu_min_hz) if gpu else 0,
        fan=fan_profile(root),
        pwm=_held_pwm(root, pwm_path) if pwm_path else None,
        emc_hz=number(root / spec.emc.cap_file, 0) if spec.emc else 0,
    )


def fan_profile(root: Path) -> str:
    """The profile in force: what nvfancontrol or, on R32, nvpmodel noted; else the default; "" where none is named."""
    for path, pattern in _FAN_PROFILES:
        if found := re.search(pattern, _text(root / path)):
            return found.group(1)
    return ""


def _held_pwm(root: Path, pwm_path: Path) -> float | None:
    """The fan's value where nobody regulates it; None where somebody does. pwm1_enable 0 switches the fan off."""
    if number(pwm_path.parent / "pwm1_enable", 1) == 0:
        return 0.0
    by_hand = (root / FAN_STOPPED).exists() or number(root / _R32_FAN / "temp_control", 1) == 0
    return float(number(pwm_path, 0)) if by_hand else None


def emc_is_locked(root: Path) -> bool:
    """Whether somebody holds the memory's clock, so that its rate is no longer the plant's."""
    return any(number(root / path, 0) == 1 for path in _LOCKED_EMC)


def number(path: Path, fallback: int) -> int:
    try:
        return int(path.read_bytes())
    except (OSError, ValueError):
        return fallback


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
