"""What a simulated device is like and what it measures: made up, but plausible, and the same for the same number. Pure.

No model of a board: temperatures and powers swing around what such a module shows under load. `thermal.py` has the
model of a board that gets hot.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["well", "degraded", "building", "hot", "broken", "lost"]


@dataclass(frozen=True)
class ModuleSpec:
    """`idle_w` and `load_w` bound its power; `fps` is what one of its pipelines gives."""

    name: str
    id: str
    soc: str
    memory_mb: int
    idle_w: float
    load_w: float
    fps: float
    dla_cores: int


MODULES: Final = (
    ModuleSpec("Jetson Orin Nano 8GB", "p3767-0003", "t234", 7620, 4.5, 14.0, 29.9, 0),
    ModuleSpec("Jetson Orin NX 16GB", "p3767-0000", "t234", 15656, 6.0, 22.0, 29.9, 2),
    ModuleSpec("Jetson AGX Orin 64GB", "p3701-0005", "t234", 62840, 11.0, 46.0, 59.7, 2),
    ModuleSpec("Jetson AGX Thor T5000", "p3834-0008", "t264", 125_771, 28.0, 96.0, 59.7, 0),
)
_MODULE_OF_TEN: Final = (0, 0, 0, 0, 0, 1, 1, 1, 2, 3)
_KINDS: Final[tuple[tuple[Kind, int], ...]] = (
    ("lost", 30),
    ("broken", 5),
    ("degraded", 50),
    ("building", 40),
    ("hot", 25),
)
"""Of a thousand; the others are well."""
CAMERA: Final = "yard"
PIPELINES: Final = ("people", "vehicles")


@dataclass(frozen=True)
class Character:
    """One simulated device."""

    name: str
    kind: Kind
    module: ModuleSpec
    pipelines: tuple[str, ...]
    groups: tuple[str, ...]
    phase: float


def character(number: int) -> Character:
    """The device of that number: sim-0000, sim-0001, ... Every thousand of them is alike."""
    spread = number * 617 % 1000  # a permutation: the kinds lie scattered
    module = MODULES[_MODULE_OF_TEN[number % 10]]
    return Character(
        name=f"sim-{number:04d}",
        kind=_kind(spread),
        module=module,
        pipelines=PIPELINES[: 1 + number % 3 // 2],
        groups=("entrances",) if number % 4 == 0 else ("yard",),
        phase=spread / 1000 * math.tau,
    )


def _kind(spread: int) -> Kind:
    for kind, share in _KINDS:
        if spread < share:
            return kind
        spread -= share
    return "well"


def _wave(who: Character, now_s: float, period_s: float) -> float:
    """From -1 to 1, two sines on top of each other."""
    angle = now_s / period_s * math.tau + who.phase
    return 0.7 * math.sin(angle) + 0.3 * math.sin(3.7 * angle)


def load(who: Character, now_s: float) -> float:
    """How busy it is, 0 to 1."""
    base = {"building": 0.92, "hot": 0.97, "degraded": 0.35, "broken": 0.08}.get(who.kind, 0.6)
    return min(1.0, max(0.02, base + 0.07 * _wave(who, now_s, 47.0)))


def thermal(who: Character, now_s: float) -> dict[str, float]:
    hottest = 41.0 + 38.0 * load(who, now_s) + (16.0 if who.kind == "hot" else 0.0) + 2.0 * _wave(who, now_s, 211.0)
    return {
        "temp_max_c": round(hottest, 2),
        "headroom_c": round(97.0 - hottest, 2),
        "temp_cpu_c": round(hottest - 1.2, 2),
        "temp_gpu_c": round(hottest, 2),
    }


def power(who: Character, now_s: float) -> dict[str, float]:
    watts = who.module.idle_w + (who.module.load_w - who.module.idle_w) * load(who, now_s)
    return {"power_total_w": round(watts, 3), "power_vdd_in_w": round(watts, 3)}


def cpu(who: Character, now_s: float) -> dict[str, float]:
    return {"percent": round(70.0 * load(who, now_s), 1), "cores_online": 6, "freq_mhz": 1510.4}


def gpu(who: Character, now_s: float) -> dict[str, float]:
    return {"percent": round(96.0 * load(who, now_s), 1), "freq_mhz": 624.75}


def memory(who: Character, now_s: float) -> dict[str, float]:
    total_mb = float(who.module.memory_mb)
    return {"total_mb": total_mb, "available_mb": round(total_mb * (0.62 - 0.2 * load(who, now_s)), 1)}


def agent(who: Character, now_s: float) -> dict[str, float]:
    return {
        "rss_mb": 71.3,
        "cpu_percent": round(4.0 + _wave(who, now_s, 31.0), 2),
        "published": int(now_s * 9),
        "link_queue": 0,
        "link_dropped": 0,
        "restarts": 0,
    }


def summary(who: Character, now_s: float) -> dict[str, float]:
    """One pipeline's last second."""
    share = {"broken": 0.0, "degraded": 0.4}.get(who.kind, 1.0)
    fps = max(0.0, who.module.fps * share * (1.0 + 0.01 * _wave(who, now_s, 13.0)))
    values = {
        "interval_s": 1.0,
        "fps": round(fps, 2),
        "results": round(fps),
        "detections": round(2.4 * fps),
        "dropped": 0,
    }
    return {**values, "lat_p50_ms": 35.0, "lat_p95_ms": 44.9, "lat_p99_ms": 51.2, "engine_ms": 6.3} if fps else values


def component(who: Character) -> tuple[str, str, str]:
    """What its health rests on: a component, its word, and why."""
    told: Mapping[Kind, tuple[str, str, str]] = {
        "degraded": (f"camera/{CAMERA}", "degraded", "11.9 frames a second, not 30"),
        "broken": ("engine/people", "failed", "the model has a layer that TensorRT refuses: GridSample"),
        "hot": ("board/thermal", "degraded", "1.4 C below throttling"),
    }
    return told.get(who.kind, (f"camera/{CAMERA}", "ok", ""))
