"""When a capture is started anew although nothing is wrong with it: drivers and decoders leak. Pure."""

from __future__ import annotations

from edgeagent.camera.rules import CameraRules

LEAST_AGE_S = 600.0  # one that needs much memory from the start is not started anew all the time


def recycle_reason(rules: CameraRules, age_s: float, held_mb: float) -> str:
    """Why it is due; empty when it is not. `held_mb`: memory that belongs to the capture alone."""
    if 0 < rules.recycle_after_s <= age_s:
        return f"it is {age_s / 3600:.1f} h old"
    if held_mb > rules.recycle_above_mb and age_s >= LEAST_AGE_S:
        return f"it holds {held_mb:.0f} MiB"
    return ""
