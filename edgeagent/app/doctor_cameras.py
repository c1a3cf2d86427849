"""Are the USB cameras of the config named so that they are found again? Pure but for `find_cameras`.

The kernel numbers a camera when it is plugged in: /dev/video0 may be another one, or none, the next time. udev keeps
paths that stay (/dev/v4l/by-id, and by-path for cameras that look alike).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from edgeagent.app.doctor_report import Check, ok, warning
from edgeagent.board.evidence import under
from edgeagent.camera.spec import V4l2Spec
from edgeagent.config.schema import Config

LASTING = ("/dev/v4l/by-id", "/dev/v4l/by-path")
_NUMBERED = re.compile(r"/dev/video\d+")


@dataclass(frozen=True)
class CameraPaths:
    """`missing`: devices of the config that are not there. `lasting`: numbered device -> the path that stays."""

    missing: frozenset[str]
    lasting: Mapping[str, str]


def find_cameras(root: Path, config: Config) -> CameraPaths:
    devices = {source.device for _, source in _usb(config)}
    missing = frozenset(device for device in devices if not os.path.exists(under(root, device)))  # noqa: PTH110 - never raises
    lasting: dict[str, str] = {}
    for folder in LASTING:
        for name in sorted(_names(under(root, folder))):
            target = os.path.basename(os.path.realpath(under(root, f"{folder}/{name}")))  # noqa: PTH119
            lasting.setdefault(f"/dev/{target}", f"{folder}/{name}")
    return CameraPaths(missing, lasting)


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208 - names alone
    except OSError:
        return []


def _usb(config: Config) -> Iterator[tuple[str, V4l2Spec]]:
    for name, camera in config.cameras.items():
        if camera.enabled and isinstance(camera.source, V4l2Spec):
            yield name, camera.source


def check_cameras(config: Config, paths: CameraPaths) -> Iterator[Check]:
    """One line a USB camera of the config; none where it has no such camera."""
    for name, source in _usb(config):
        yield _check(f"camera {name}", source.device, paths)


def _check(what: str, device: str, paths: CameraPaths) -> Check:
    numbered = _NUMBERED.fullmatch(device) is not None
    if device in paths.missing:
        there = sorted(set(paths.lasting.values()))
        note = "; it may have another number now" if numbered and there else ""
        mend = f"plug it in, or write one of: {', '.join(there[:4])}" if there else "plug it in"
        return warning(what, f"there is no {device}{note}", mend)
    if numbered and device in paths.lasting:
        mend = f'write device = "{paths.lasting[device]}"'
        return warning(what, f"{device} is a number that the kernel gives anew when a camera is plugged in", mend)
    return ok(what, device)
