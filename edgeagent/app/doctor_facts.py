"""Collecting what the doctor judges of the machine: users, device files, disk, clock, files. Thin, and never raises.

Nothing here opens a device or starts a program: a camera is somebody's, and systemd may not be there.
"""

from __future__ import annotations

import ctypes
import grp
import os
import pwd
import socket
import stat
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edgeagent.app.doctor_files import NVPMODEL_CONF, unreadable_files, why_unreadable
from edgeagent.board.evidence import under
from edgeagent.board.files import read_bytes
from edgeagent.board.jtop_child import SOCKET as JTOP_SOCKET
from edgeagent.board.parse import parse_text
from edgeagent.power.memory import MEMORY_FILE
from edgeagent.power.state import noted_mode

SERVICE_USER = "edgeagent"
_DEVICES = ("nvmap", "nvhost-*", "nvgpu/igpu0/*", "nvidia0", "nvidiactl", "dri/renderD*", "video*")
_MOST_DEVICES = 128
_CONF_LIMIT = 1024 * 1024
_SYNCHRONISED = "/run/systemd/timesync/synchronized"
_STA_UNSYNC = 0x40
_TIME_ERROR = 5


@dataclass(frozen=True)
class User:
    """Whose rights are judged: the service's user where root asks and there is one, else the one who asks."""

    name: str
    uid: int
    groups: frozenset[str]
    gids: frozenset[int] = frozenset()

    def is_in(self, group: str) -> bool:
        return self.uid == 0 or group in self.groups


@dataclass(frozen=True)
class DeviceFile:
    """A device file, the group it belongs to, and whether the user may read and write it."""

    path: str
    group: str
    mode: int
    openable: bool


@dataclass(frozen=True)
class DiskFacts:
    """The file system that the state directory is on, or will be. `writable` is for the user who asks."""

    directory: str
    exists: bool
    free_bytes: int
    total_bytes: int
    read_only: bool
    writable: bool


@dataclass(frozen=True)
class ClockFacts:
    """`synchronised` is None where the kernel does not tell; `of_host`: we are in a container, which has no own one."""

    year: int
    synchronised: bool | None
    by_timesyncd: bool
    of_host: bool = False


@dataclass(frozen=True)
class PowerFiles:
    """nvpmodel.conf, edgeagent's memory of its reboots (power.json) with its place, the boot that this is, and the id
    of the mode that nvpmodel has noted.

    b"" and "" for what is not there; `memory_unreadable` says why the memory cannot be read though it is there.
    """

    conf: bytes = b""
    memory: bytes = b""
    memory_path: str = ""
    memory_unreadable: str = ""
    boot_id: str = ""
    noted_mode: int | None = None


@dataclass(frozen=True)
class MachineFacts:
    """All of the above for one root. `devices` is None where the root has no /dev.

    `unreadable` has files that are there and cannot be read, with the reason; `has_apt`: Debian's packages are in use.
    """

    user: User
    devices: tuple[DeviceFile, ...] | None
    disk: DiskFacts | None
    clock: ClockFacts
    hostname: str
    jtop_socket: bool
    power: PowerFiles = PowerFiles()
    unreadable: Mapping[str, str] = field(default_factory=dict)
    has_apt: bool = True


def collect_machine(root: Path, state_dir: Path, hostname: str, *, contained: bool = False) -> MachineFacts:
    """The board's files are those under `root`; user, clock and jtop's service are this machine's. `state_dir` is taken
    as it is. `contained`: this process runs in a container."""
    user = judged_user()
    return MachineFacts(
        user=user,
        devices=_devices(root, user),
        disk=disk_facts(state_dir),
        clock=_clock(contained),
        hostname=hostname,
        jtop_socket=_is_there(Path(JTOP_SOCKET)),
        power=_power_files(root, state_dir),
        unreadable=unreadable_files(root),
        has_apt=has_apt(root),
    )


def has_apt(root: Path) -> bool:
    """Whether packages come by apt there; Yocto and others have their own ways."""
    return _is_there(under(root, "/var/lib/dpkg/status"))


def _power_files(root: Path, state_dir: Path) -> PowerFiles:
    """The memory is read as it lies: loading it as the agent does would put a damaged one aside."""
    memory = state_dir / MEMORY_FILE
    return PowerFiles(
        conf=read_bytes(under(root, NVPMODEL_CONF), _CONF_LIMIT),
        memory=read_bytes(memory),
        memory_path=str(memory),
        memory_unreadable=why_unreadable(memory),
        boot_id=parse_text(read_bytes(under(root, "/proc/sys/kernel/random/boot_id"), 64)),
        noted_mode=noted_mode(root),
    )


def judged_user() -> User:
    """The service's user when root asks: root may do everything, which tells nothing about the service."""
    uid = os.geteuid()
    if uid == 0:
        try:
            entry = pwd.getpwnam(SERVICE_USER)
        except KeyError:
            return User("root", 0, frozenset(("root",)))
        gids = frozenset(os.getgrouplist(SERVICE_USER, entry.pw_gid))
        return User(SERVICE_USER, entry.pw_uid, frozenset(map(_group_name, gids)), gids)
    gids = frozenset((os.getegid(), *os.getgroups()))
    return User(_user_name(uid), uid, frozenset(map(_group_name, gids)), gids)


def _is_there(path: Path) -> bool:
    """Path.exists raises where a directory above is closed to us."""
    return os.access(path, os.F_OK)


def _is_directory(path: Path) -> bool:
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except OSError:
        return False


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:  # containers run as numbers without a name
        return str(uid)


def _group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def _devices(root: Path, user: User) -> tuple[DeviceFile, ...] | None:
    directory = under(root, "/dev")
    if not _is_directory(directory):
        return None
    found = (path for pattern in _DEVICES for path in sorted(directory.glob(pattern)))
    return tuple(_device_files(found, root, user))[:_MOST_DEVICES]


def _device_files(paths: Iterator[Path], root: Path, user: User) -> Iterator[DeviceFile]:
    for path in paths:
        try:
            status = path.stat()
        except OSError:
            continue
        if not stat.S_ISDIR(status.st_mode):
            shown = f"/{path.relative_to(root)}"
            yield DeviceFile(shown, _group_name(status.st_gid), status.st_mode & 0o777, _openable(path, status, user))


def _openable(path: Path, status: os.stat_result, user: User) -> bool:
    """For ourselves the kernel says, access lists included; for another user the permission bits have to do."""
    if user.uid == os.geteuid():
        return os.access(path, os.R_OK | os.W_OK)
    return may_open(status.st_mode, status.st_uid, status.st_gid, user)


def may_open(mode: int, owner: int, group: int, user: User) -> bool:
    """Whether the permission bits let the user read and write."""
    if user.uid == owner:
        return mode & 0o600 == 0o600
    return mode & 0o060 == 0o060 if group in user.gids else mode & 0o006 == 0o006


def disk_facts(directory: Path) -> DiskFacts | None:
    """Of the directory, or of the nearest one above it that exists; None when nothing can be asked."""
    existing = next((path for path in (directory, *directory.parents) if _is_directory(path)), None)
    if existing is None:
        return None
    try:
        found = os.statvfs(existing)
    except OSError:
        return None
    return DiskFacts(
        directory=str(directory),
        exists=existing == directory,
        free_bytes=found.f_bavail * found.f_frsize,
        total_bytes=found.f_blocks * found.f_frsize,
        read_only=bool(found.f_flag & os.ST_RDONLY),
        writable=os.access(existing, os.W_OK | os.X_OK),
    )


class _Timex(ctypes.Structure):
    """The head of struct timex, see adjtimex(2); the rest is room for the kernel to write to."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_char * 512),
    )


def _clock(of_host: bool) -> ClockFacts:
    return ClockFacts(time.gmtime().tm_year, _kernel_synchronised(), _is_there(Path(_SYNCHRONISED)), of_host)


def _kernel_synchronised() -> bool | None:
    """What adjtimex(2) says: chrony, ntpd and timesyncd all tell the kernel. Asking changes nothing."""
    timex = _Timex(modes=0)
    try:
        state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(timex))
    except (OSError, AttributeError):
        return None
    if state < 0:
        return None
    return state != _TIME_ERROR and not timex.status & _STA_UNSYNC


def hostname_of(root: Path) -> str:
    """This machine's name, or the one in the files of another root; "" where there is none."""
    if root == Path("/"):
        return socket.gethostname()
    return parse_text(read_bytes(under(root, "/etc/hostname"), 256))
