"""Which parts of the GPU the power mode leaves on: an engine is tuned for their number, and slower on another.

The masks are those that nvpmodel writes; a bit that is set is a part that is gated off. On the releases that have
them they are readable by everybody; Thor has others, and a PC has none.
"""

from __future__ import annotations

from pathlib import Path

from edgeagent.board.files import Probe

MASKS = ("tpc_pg_mask", "gpc_pg_mask", "fbp_pg_mask", "gpu_pg_mask")
FOLDERS = ("sys/devices/platform/gpu.0", "sys/devices/gpu.0", "sys/devices/platform/17000000.gpu")
LONGEST = 20


def read_gpu_parts(root: Path) -> str:
    """The masks that are there, as text: `tpc_pg_mask=240 fbp_pg_mask=2`; "" where there is none. Never raises."""
    for folder in FOLDERS:
        found = [f"{name}={value}" for name in MASKS if (value := _number(root / folder / name))]
        if found:
            return " ".join(found)
    return ""


def _number(path: Path) -> str:
    probe = Probe(str(path))
    try:
        data, _ = probe.read(LONGEST + 1)
    finally:
        probe.close()
    text = data.decode("ascii", "replace").strip()
    return text if text.removeprefix("0x").isalnum() and len(text) <= LONGEST else ""
