"""A virtual board: a directory that holds the files of a real one in their real formats, and stand-in tools.

Pass the directory as the root of every path that edgeagent reads and put its `bin/` first in PATH; nothing else has
to know. Numbers of hwmon, thermal zones and cooling devices are shuffled by the seed, and anew at each reboot, as a
kernel shuffles them. Symbolic links are relative where the real ones are absolute, so that they stay inside the
directory. Zones that are powered down are FIFOs: with `plant_child` holding their other end, reading one gives EAGAIN
as on a device; without it the same read gives nothing. `plant_child` also keeps the changing files changing; without
it they stand still.

`.virtual-board.json` marks the directory: name, seed, number of boots, release and kind of board (for the tools), and
where the plant finds its files.
"""

from __future__ import annotations

import contextlib
import errno
import json
import random
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from edgeagent.durable import replace_file
from edgeagent.errors import OperatorError
from edgeagent.simulate.board_caps import read_caps
from edgeagent.simulate.board_list import ALIASES, SPECS, find_spec, virtual_boards
from edgeagent.simulate.board_spec import VirtualSpec
from edgeagent.simulate.board_tree import Tree
from edgeagent.simulate.board_tree_clocks import DEVICE_TREE, write_clocks
from edgeagent.simulate.board_tree_disk import write_disk
from edgeagent.simulate.board_tree_sensors import write_sensors
from edgeagent.simulate.plant import Caps, Load, PlantState, settle
from edgeagent.simulate.plant_files import plant_files
from edgeagent.simulate.tools import power_modes

__all__ = [
    "MARKER",
    "VirtualBoard",
    "first_state",
    "load_board",
    "make_board",
    "reboot_board",
    "virtual_boards",
    "write_content",
]

MARKER = ".virtual-board.json"
_BOOTED = ("sys", "proc", "run")
"""What a boot makes anew."""
_INSTALLED = (
    *("bin", ".dockerenv", "etc/hostname", "etc/nv_tegra_release", "etc/nv_boot_control.conf", "etc/nvpmodel"),
    *("etc/nvpmodel.conf", "etc/nvfancontrol.conf", "var/lib/dpkg", "var/lib/nvpmodel", "var/lib/nvfancontrol"),
)
"""What an installation makes anew, besides."""
_AMBIENT_C = 25.0
_IDLE = Load(cpu=0.03)
_REBOOTED_UPTIME_S = 600.0
_EEPROM_SIZE = 256
_PART_NUMBER_AT = 20


@dataclass(frozen=True)
class VirtualBoard:
    """A virtual board on disk. Paths by role, relative to `root`; see `board_tree.Tree` for what they are."""

    root: Path
    name: str
    seed: int
    boots: int
    files: Mapping[str, str]
    sleepers: Mapping[str, str]
    fifos: tuple[str, ...]

    @property
    def bin_dir(self) -> Path:
        """Stand-in tools, for the front of PATH."""
        return self.root / "bin"

    @property
    def spec(self) -> VirtualSpec:
        return SPECS[self.name]

    @property
    def pwm_path(self) -> Path | None:
        """The fan's value, where the board has a fan."""
        return self.path("pwm") if "pwm" in self.files else None

    def path(self, role: str) -> Path:
        """Where the file with this role lies, e.g. `zone:cpu-thermal`."""
        return self.root / self.files[role]


def make_board(name: str, root: Path, *, seed: int) -> VirtualBoard:
    """Write the virtual board `name` into `root`: a new or empty directory, or an earlier virtual board.

    Remaking keeps what is not the board's own, such as /var/lib/edgeagent. Raises OperatorError for a name that does
    not exist, for a directory with anything else in it, and for one that cannot be written.
    """
    spec = find_spec(name)
    if spec is None:
        raise OperatorError(
            f"there is no virtual board called {name!r}",
            mend=f"names: {', '.join(sorted([*SPECS, *ALIASES]))}",
            code="virtual-board-name",
            facts={"name": name},
        )
    root = root.absolute()
    with _writing(root):
        _claim(root)
        _remove((*(root / name for name in (*_BOOTED, *_INSTALLED)), *root.glob("usr/local/cuda*")))
        write_disk(Tree(root, random.Random(seed)), spec)  # noqa: S311 - numbers of devices, no secrets
        return _boot(root, spec, seed, 1)


def load_board(root: Path) -> VirtualBoard:
    """The virtual board that `make_board` wrote into `root`. Raises OperatorError where there is none."""
    try:
        made = json.loads((root / MARKER).read_text())
        keys = ("name", "seed", "boots", "files", "sleepers", "fifos")
        name, seed, boots, files, sleepers, fifos = (made[key] for key in keys)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise OperatorError(f"{root} is no virtual board", mend="make one first", code="virtual-board") from error
    return VirtualBoard(root.absolute(), name, seed, boots, files, sleepers, tuple(fifos))


def reboot_board(root: Path, uptime_s: float = _REBOOTED_UPTIME_S) -> VirtualBoard:
    """Boot the board anew: other numbers, another boot id, clocks free, the saved power mode in force.

    /sys, /proc and /run are made anew, everything else is kept. The board is left as it is `uptime_s` seconds after
    the boot: without a plant it stands still, and with an uptime of 0 the power helper, which allows no reboot in the
    first five minutes, would refuse every further one for ever. A plant that runs follows within a tick and counts its
    uptime from 0. Raises OperatorError where there is no virtual board, and where it cannot be written.
    """
    board = load_board(root)
    with _writing(board.root):
        _remove(board.root / name for name in _BOOTED)
        return _boot(board.root, board.spec, board.seed, board.boots + 1, uptime_s)


def first_state(
    spec: VirtualSpec, ambient_c: float = _AMBIENT_C, caps: Caps | None = None, load: Load = _IDLE
) -> PlantState:
    """A board that has been idling for half an hour, or doing something else."""
    return settle(spec.plant, load, ambient_c, caps)


def write_content(board: VirtualBoard, content: Mapping[str, bytes]) -> None:
    """Replace the content of files by role, in place: readers keep these files open. Sleepers are left alone."""
    for role, data in content.items():
        if role in board.files:
            board.path(role).write_bytes(data)


def _boot(root: Path, spec: VirtualSpec, seed: int, boots: int, uptime_s: float | None = None) -> VirtualBoard:
    """What the kernel and the services of a boot write. The marker comes last: a running plant watches it.

    `uptime_s` is how long ago the boot was; None for as long as `first_state` says.
    """
    tree = Tree(root, random.Random(f"{seed} {boots}"))  # noqa: S311 - numbers of devices, no secrets
    write_sensors(tree, spec)
    write_clocks(tree, spec)
    for path, text in spec.plain:
        tree.text(path, text)
    for path, target in spec.links:
        tree.link(path, target)
    _write_proc(tree, spec)
    _write_identity(tree, spec)
    board = VirtualBoard(root, spec.name, seed, boots, tree.files, tree.sleepers, tuple(tree.fifos))
    if spec.power_modes:
        _restore_mode(root)
    state = first_state(spec, caps=read_caps(root, spec, board.pwm_path))
    if uptime_s is not None:
        state = _booted_ago(state, uptime_s)
    write_content(board, plant_files(spec, state))
    replace_file(root / MARKER, json.dumps(_marker(board, spec)).encode())
    return board


def _booted_ago(state: PlantState, uptime_s: float) -> PlantState:
    """The same board a shorter or longer time after its boot: what counts from the boot fits that time."""
    share = uptime_s / state.uptime_s
    return replace(state, uptime_s=uptime_s, busy_s=state.busy_s * share, idle_s=state.idle_s * share, oc3_events=0.0)


def _marker(board: VirtualBoard, spec: VirtualSpec) -> dict[str, object]:
    return {
        "name": board.name,
        "seed": board.seed,
        "boots": board.boots,
        "release": spec.release,
        "kind": spec.kind,
        "files": board.files,
        "sleepers": board.sleepers,
        "fifos": board.fifos,
    }


def _write_proc(tree: Tree, spec: VirtualSpec) -> None:
    for name in ("meminfo", "stat", "uptime"):
        tree.role(name, f"proc/{name}")
    kernel = spec.software.kernel
    tree.text("proc/version", f"Linux version {kernel} (builder@example) (gcc 11.4.0) #1 SMP PREEMPT\n")
    tree.lines("proc/sys/kernel", osrelease=kernel, hostname=spec.hostname)
    tree.lines("proc/sys/kernel/random", boot_id=str(uuid.UUID(int=tree.rng.getrandbits(128), version=4)))
    tree.text("run/.keep", "")


def _write_identity(tree: Tree, spec: VirtualSpec) -> None:
    """Device tree properties, which end in NUL and not in a newline, and the module's EEPROM."""
    if spec.model:
        properties = (("model", spec.model), ("serial-number", spec.serial), *spec.device_tree)
        for name, text in properties:
            tree.data(f"{DEVICE_TREE}/{name}", text.encode() + b"\0")
        tree.data(f"{DEVICE_TREE}/compatible", b"".join(entry.encode() + b"\0" for entry in spec.compatible))
        _place_device_tree(tree, spec)
    device, part_number = spec.eeprom
    if device:
        content = bytes(_PART_NUMBER_AT) + part_number.encode()
        tree.data(f"{device}/eeprom", content.ljust(_EEPROM_SIZE, b"\0"))
        (tree.root / device / "eeprom").chmod(0o600)
        tree.link(f"sys/bus/i2c/devices/{device.rpartition('/')[2]}", device)


def _place_device_tree(tree: Tree, spec: VirtualSpec) -> None:
    """/proc/device-tree is a link to it; in a container /sys/firmware is empty and /proc holds a copy."""
    if spec.kind != "container":
        tree.link("proc/device-tree", DEVICE_TREE)
        return
    shutil.copytree(tree.root / DEVICE_TREE, tree.root / "proc/device-tree")
    shutil.rmtree(tree.root / "sys/firmware")
    (tree.root / "sys/firmware").mkdir()
    if spec.gpu:
        tree.link(f"{spec.gpu.device}/of_node", f"proc/device-tree/{spec.gpu.node}")


def _restore_mode(root: Path) -> None:
    """What nvpmodel.service does at boot: the mode of the status file; the default one where that is unknown.

    Where the table is broken the service fails, and the board runs without limits.
    """
    try:
        conf = power_modes.load_conf(root)
    except power_modes.ConfError:
        return
    saved = power_modes.current_mode(root, conf)
    number = saved if saved in conf.models else conf.default
    if number in conf.models:
        power_modes.apply_mode(root, conf, number)


@contextlib.contextmanager
def _writing(root: Path) -> Iterator[None]:
    """What the file system refuses is for the operator to mend."""
    try:
        yield
    except OSError as error:
        raise OperatorError(
            f"no virtual board can be written to {root}: {error.strerror or error}",
            mend="name a directory that you may write",
            code="virtual-board-directory",
        ) from error


def _claim(root: Path) -> None:
    if root.exists() and not root.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "it is a file", str(root))
    root.mkdir(parents=True, exist_ok=True)
    if not (root / MARKER).exists() and any(root.iterdir()):
        raise OperatorError(
            f"{root} is not empty and is no virtual board",
            mend="name a directory that does not exist yet",
            code="virtual-board-directory",
        )


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        if path.is_symlink() or path.is_file():
            path.unlink()
        else:
            shutil.rmtree(path, ignore_errors=True)
