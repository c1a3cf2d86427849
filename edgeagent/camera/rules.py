"""How one camera is watched, as its table of config.toml says. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CameraRules:
    """`frozen_after_s`: 0 never calls a picture frozen. `min_fps`: None goes by what the source promises.

    The last two bound what a capture may leak: it is started anew at that age (0: never), and when it holds that much
    memory of its own (MiB).
    """

    frozen_after_s: float = 10.0
    min_fps: float | None = None
    recycle_after_s: float = 0.0
    recycle_above_mb: int = 1024
