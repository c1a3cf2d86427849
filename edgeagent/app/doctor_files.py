"""Files that are there and cannot be read, told apart from those that are not there. Thin, opens nothing."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from edgeagent.board.evidence import under

L4T_RELEASE, NVPMODEL_CONF = "/etc/nv_tegra_release", "/etc/nvpmodel.conf"
BOARD_FILES = (
    "/sys/firmware/devicetree/base/compatible",
    L4T_RELEASE,
    "/etc/nv_boot_control.conf",
    NVPMODEL_CONF,
    "/proc/meminfo",
    "/sys/devices/system/cpu/present",
    "/var/lib/dpkg/status",
)
CLOSED = "closed to this user"


def unreadable_files(root: Path) -> dict[str, str]:
    """Those of BOARD_FILES that exist under `root` and cannot be read, with the reason."""
    return {path: why for path in BOARD_FILES if (why := why_unreadable(under(root, path)))}


def why_unreadable(path: Path) -> str:
    """`closed to this user`, `a directory`, ...; "" for a file that can be read, and for one that is not there."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except PermissionError:  # a directory above is closed, or a link leads through one
        return CLOSED
    except OSError as error:
        return (error.strerror or str(error)).lower()
    if stat.S_ISDIR(mode):
        return "a directory"
    if not stat.S_ISREG(mode):
        return "no ordinary file"
    return "" if os.access(path, os.R_OK) else CLOSED


def mend_of(path: str, why: str) -> str:
    if why == CLOSED:
        return f"sudo chmod a+r {path}, and a+x for every directory above it"
    return f"put the release's own {path} back"
