"""edgeagent-power: the only part of edgeagent that runs as root. One file, standard library only, no shell.

It does what an ordinary user may not: set a power mode, lock, free or cap clocks, choose a fan profile, restart the
daemon of CSI cameras, reboot. A peer sends one JSON object in one line and gets one line back; VERBS, near the end, is
all there is. What keeps root safe:

* Who: the kernel says who the peer is (SO_PEERCRED, SO_PEERGROUPS); anybody not allowed is answered and left unread.
* What: verbs, argument names and types are fixed; a value must also be in the board's own tables (the ids in
  nvpmodel.conf, the clocks the kernel lists, the profiles in nvfancontrol.conf). The rest is refused before anything
  happens. No text of a peer becomes part of a command or of a path.
* Where: sysfs paths come from nvpmodel.conf only, and must lie in /sys after every link is followed. The one file
  that is rewritten, nvfancontrol.conf, must lie in /etc and is replaced whole.
* How long: reading, writing, every tool and waiting for the lock have limits. Tools get no stdin and no terminal, a
  fixed environment and a process group of their own, which is killed at the limit.
* One at a time: a single thread, and a lock that a second helper on this board would wait for.

A reply says what was run and what the tool said. Whether the board obeyed is for the caller to verify: tools lie.
Formats: public captures of nvpmodel, jetson_clocks and nvfancontrol on L4T R32 to R39; sd_listen_fds(3), sd-daemon(3).
"""

from __future__ import annotations

import argparse
import fcntl
import grp
import json
import os
import pwd
import re
import select
import selectors
import signal
import socket
import stat
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import NoReturn

VERSION = 1
MAX_REQUEST = 4096
MAX_OUTPUT = 4096
READ_S = 5.0  # from the first byte of a request to its newline
WRITE_S = 5.0
FIRST_S = 2.0  # from the connection to the first byte: clients write at once
LOCK_S = 70.0  # two tools of another helper, each at its limit
ARGUS_EVERY_S = 600.0  # every CSI camera loses its pictures meanwhile
FAN_STARTS, FAN_WINDOW_S = 4, 10.5  # systemd lets a service start five times in ten seconds, and then no more
STUCK_CLOSE_S = 3.0  # how long a descriptor that a peer sent may linger in its close
KILL_S = 2.0  # how long a tool may take to die of SIGKILL before it is left behind
LOOK_S = 0.02  # how often a running tool is looked at
MIN_UPTIME_S = 300  # a board that boots into its own reboot must stay reachable for a person
SYSTEM_DIRECTORIES = ("/usr/sbin", "/usr/bin", "/sbin", "/bin")
TOOL_ENVIRONMENT = {"PATH": ":".join(SYSTEM_DIRECTORIES), "LC_ALL": "C"}
TOOLS = ("nvpmodel", "jetson_clocks", "systemctl")
NVPMODEL_CONF, NVPMODEL_STATUS = "/etc/nvpmodel.conf", "/var/lib/nvpmodel/status"
FAN_CONF, FAN_STATUS = "/etc/nvfancontrol.conf", "/var/lib/nvfancontrol/status"
MAX_FILE = 1 << 20
SO_PEERGROUPS = 59
WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", re.ASCII)
HEADING = re.compile(r"<\s*(\w+)\s+(.*?)\s*>")
REBOOT_QUESTION = re.compile(r"reboot required|DO YOU WANT TO REBOOT", re.IGNORECASE)
REBOOTING = re.compile(r"^NVPM WARN: rebooting|^Automatically rebooting", re.IGNORECASE | re.MULTILINE)
MODE_SHOWN = re.compile(r"NV Power Mode:[ \t]*(\S+)[ \t\r]*\n\s*([0-9]{1,6})\s*$", re.MULTILINE | re.ASCII)
IN_CHROOT = re.compile(r"running in chroot", re.IGNORECASE)
CHROOT_MEND = (
    "nvpmodel ignored the request: it runs outside the mount namespace of PID 1, in a container or in a unit with "
    "ProtectSystem=, PrivateTmp= or the like; run the helper on the host, from its own unit"
)

Argument = str | int | bool
Facts = dict[str, Argument]


# --- what is said ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Reply:
    """One answer. `exit_status` and `output` are those of the last tool that ran, 128 + n for death by signal n."""

    result: str
    detail: str
    exit_status: int | None = None
    output: str = ""
    facts: Facts = field(default_factory=dict)

    def line(self) -> bytes:
        return json.dumps(vars(self)).encode() + b"\n"


class EndError(Exception):
    """Ends a verb with this reply."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.detail)
        self.reply = reply


def refuse(detail: str, reason: str) -> NoReturn:
    """`reason`: request (malformed), argument (not in the board's tables), board (not possible here), too-soon."""
    raise EndError(Reply("refused", detail, facts={"reason": reason}))


def fail(detail: str) -> NoReturn:
    raise EndError(Reply("failed", detail))


def log(priority: int, text: str) -> None:
    """One line on stderr, with the priority that journald understands: 3 error, 4 warning, 6 information."""
    line = f"<{priority}>edgeagent-power: {text}\n".encode("ascii", "backslashreplace")
    with suppress(OSError):  # a log that is gone must not stop the one who mends the board
        os.write(2, line)


class Quota:
    """Lets `limit` log lines a minute through and counts the rest: nobody fills the journal."""

    def __init__(self, limit: int = 20) -> None:
        self._limit, self._used, self._dropped, self._since = limit, 0, 0, time.monotonic()

    def log(self, text: str, priority: int = 4) -> None:
        now = time.monotonic()
        if now - self._since > 60:
            if self._dropped:
                log(4, f"{self._dropped} more lines of this kind in the last minutes")
            self._used, self._dropped, self._since = 0, 0, now
        self._used += 1
        if self._used <= self._limit:
            log(priority, text)
        else:
            self._dropped += 1


# --- requests -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Request:
    verb: str
    arguments: Facts


def parse_request(line: bytes) -> Request:
    """The request in one line, its shape checked completely. Raises EndError (refused) for everything else."""
    fields = _parse_flat_object(line)
    verb = fields.pop("verb", None)
    if not isinstance(verb, str) or verb not in VERBS:
        refuse(f"there is no verb {_show(verb)}; verbs: {', '.join(VERBS)}", "request")
    wanted = VERBS[verb].arguments
    if fields.keys() != wanted.keys():
        refuse(f"{verb} takes exactly: {', '.join(wanted) or 'no arguments'}", "request")
    for name, kind in wanted.items():
        _check_argument(name, fields[name], kind)
    return Request(verb, fields)


def _parse_flat_object(line: bytes) -> Facts:
    """One JSON object without anything nested in it, so that no depth can hurt the parser."""
    if line.count(b"{") != 1 or b"[" in line or b"\0" in line:
        refuse("a request is one flat JSON object in one line", "request")
    try:
        fields = json.loads(
            line.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_int=_small_int,
            parse_float=_no_number,
            parse_constant=_no_number,
        )
    except ValueError as error:
        refuse(f"the request is not acceptable JSON: {_show(str(error))}", "request")
    if not isinstance(fields, dict):
        refuse("a request is one flat JSON object in one line", "request")
    return fields


def _unique(pairs: list[tuple[str, Argument]]) -> Facts:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a key is there twice")
    return fields


def _small_int(digits: str) -> int:
    if len(digits) > 10:
        raise ValueError("a number is too large")
    return int(digits)


def _no_number(text: str) -> NoReturn:
    raise ValueError("numbers are whole numbers here")


def _check_argument(name: str, value: Argument, kind: type) -> None:
    if type(value) is not kind:  # not isinstance: a bool is an int there
        refuse(f"{name} must be a {kind.__name__}", "request")
    if isinstance(value, str) and not WORD.fullmatch(value):
        refuse(f"{name} must be one word of letters, digits, '_', '.' and '-'", "request")
    if isinstance(value, int) and value < 0:
        refuse(f"{name} must not be negative", "request")


def _show(value: object) -> str:
    """Any value, short and in plain ASCII."""
    text = ascii(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


# --- tools ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ran:
    """A tool's run. `status` is None where it was killed at the time limit. `stuck`: it did not even die of that."""

    command: str
    status: int | None
    stdout: str
    stderr: str
    stuck: bool = False

    def reply(self, result: str, detail: str, **facts: Argument) -> Reply:
        return Reply(result, detail, self.status, shorten(self.text), {"ran": self.command, **facts})

    @property
    def text(self) -> str:
        return "\n".join(part for part in (self.stdout.strip(), self.stderr.strip()) if part)


def shorten(text: str) -> str:
    """At most MAX_OUTPUT characters: the beginning and, as errors come last, a longer end. No control characters."""
    plain = "".join(character if character.isprintable() or character == "\n" else "?" for character in text)
    if len(plain) <= MAX_OUTPUT:
        return plain
    return plain[:1024] + "\n[...]\n" + plain[-(MAX_OUTPUT - 1024 - 7) :]


class Streams:
    """stdout and stderr of a process, read side by side without ever waiting; the first 64 KiB of each are kept."""

    KEPT = 65536

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.kept = {name: bytearray() for name in ("stdout", "stderr")}
        self._selector = selectors.DefaultSelector()
        self._files = [file for file in (process.stdout, process.stderr) if file]
        for name, file in zip(self.kept, self._files, strict=True):
            os.set_blocking(file.fileno(), False)
            self._selector.register(file, selectors.EVENT_READ, name)

    def read(self, timeout_s: float) -> bool:
        """Take what comes within the time; False when nothing did."""
        ready = self._selector.select(timeout_s)
        for key, _ in ready:
            try:
                data = os.read(key.fd, 65536)
            except BlockingIOError:
                continue
            if not data:
                self._selector.unregister(key.fileobj)
            kept = self.kept[key.data]
            kept += data[: self.KEPT - len(kept)]
        return bool(ready)

    def close(self) -> None:
        self._selector.close()
        for file in self._files:
            file.close()

    def text(self, name: str) -> str:
        return self.kept[name].decode("utf-8", "replace")


class Toolbox:
    """Finds and runs the few tools, each within `limit_s` seconds."""

    def __init__(self, directories: tuple[str, ...], limit_s: float, home: Path) -> None:
        """`home`: jetson_clocks keeps a note on the fan in $HOME, and without one in the root directory."""
        self._directories = directories
        self._limit_s = limit_s
        self._environment = {**TOOL_ENVIRONMENT, "HOME": str(home)}
        self.stuck: list[subprocess.Popen[bytes]] = []

    def find(self, name: str) -> str | None:
        paths = (f"{directory}/{name}" for directory in self._directories)
        return next((path for path in paths if Path(path).is_file() and os.access(path, os.X_OK)), None)

    def run(self, name: str, *arguments: str) -> Ran:
        """Run a tool to its end or to the limit. Raises EndError (failed) where it is missing or cannot be started."""
        command = " ".join((name, *arguments))
        if self.still_stuck():
            fail(f"{command} was not started: an earlier tool does not die, and two must not work at once")
        path = self.find(name)
        if path is None:
            fail(f"this board has no {name}")
        try:
            process = subprocess.Popen(
                [path, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=self._environment,
                cwd="/",
                start_new_session=True,  # a group to kill, and no terminal to ask questions on
            )
        except OSError as error:
            fail(f"{command} cannot be started: {error.strerror}")
        return self._attend(command, process)

    def _attend(self, command: str, process: subprocess.Popen[bytes]) -> Ran:
        streams = Streams(process)
        try:
            in_time = self._wait(process, streams, self._limit_s)
            _kill_group(process.pid)  # also what a tool left behind: its pid is not reused before it is reaped
            ended = in_time or self._wait(process, streams, KILL_S)
            for _ in range(16):  # bounded: something that escaped the group may still write
                if not streams.read(0):
                    break
            texts = streams.text("stdout"), streams.text("stderr")
        finally:
            streams.close()
        if not ended:
            self.stuck.append(process)
            log(3, f"{command} (pid {process.pid}) does not die of SIGKILL and is left behind")
            return Ran(command, None, *texts, stuck=True)
        status = process.wait()
        return Ran(command, (status if status >= 0 else 128 - status) if in_time else None, *texts)

    @staticmethod
    def _wait(process: subprocess.Popen[bytes], streams: Streams, limit_s: float) -> bool:
        """Read until the process has ended, which leaves it unreaped, or the time is over: False."""
        deadline = time.monotonic() + limit_s
        while os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            if time.monotonic() >= deadline:
                return False
            streams.read(LOOK_S)
        return True

    def still_stuck(self) -> int:
        self.stuck = [process for process in self.stuck if process.poll() is None]
        return len(self.stuck)


def _kill_group(pid: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def must_succeed(ran: Ran) -> None:
    """Raises EndError (timed-out, failed) unless the tool ended by itself with status 0."""
    if ran.status is None:
        how = "and does not even die of SIGKILL" if ran.stuck else "and was killed"
        raise EndError(ran.reply("timed-out", f"{ran.command} did not end in time {how}"))
    if ran.status > 128 and (name := _signal_name(ran.status - 128)):
        raise EndError(ran.reply("failed", f"{ran.command} was killed by {name} (status {ran.status})"))
    if ran.status:
        raise EndError(ran.reply("failed", f"{ran.command} ended with status {ran.status}: {_last_line(ran.text)}"))


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return ""


def _last_line(text: str) -> str:
    lines = text.splitlines()
    return shorten(lines[-1].strip())[:200] if lines else "it said nothing"


# --- the board's files ----------------------------------------------------------------------------------------------


class Board:
    """The files under `root`, read and written with care. Paths are absolute paths on the board."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()

    def locate(self, path: str, below: str) -> Path:
        """Where `path` really lies. Raises EndError (refused) unless that is below `below` with all links followed."""
        if not path.startswith(f"{below}/") or ".." in path.split("/") or not path.isprintable():
            refuse(f"{_show(path)} is not a file below {below}", "board")
        real = Path(os.path.realpath(self.root / path.lstrip("/")))
        if (self.root / below.lstrip("/")).resolve() not in real.parents:
            refuse(f"{path} leads out of {below}", "board")
        return real

    def read(self, path: str, below: str) -> str:
        """The text of a plain file, "" where there is none. Bytes survive: latin-1 there and back."""
        return _read_plain(self.locate(path, below))

    def read_int(self, path: str) -> int | None:
        try:
            return int(self.read(path, "/sys"))
        except (ValueError, OSError):
            return None  # the file of a core that is switched off answers EBUSY

    def write_sysfs(self, path: str, value: int) -> None:
        """Raises EndError (failed) where the kernel does not take the value."""
        real = self.locate(path, "/sys")
        try:
            fd = os.open(real, os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            with os.fdopen(fd, "wb", buffering=0) as file:
                if not stat.S_ISREG(os.fstat(fd).st_mode):
                    fail(f"{path} is not a plain file")
                file.write(f"{value}\n".encode())
        except OSError as error:
            fail(f"{path} did not take {value}: {error.strerror}")

    def has(self, path: str) -> bool:
        return self.locate(path, "/sys").is_file()

    def uptime_s(self) -> int:
        """Whole seconds; 0 where that cannot be read, which is the careful answer."""
        words = _read_plain(self.root / "proc/uptime").split()
        return int(float(words[0])) if words and re.fullmatch(r"[0-9]{1,12}(\.[0-9]*)?", words[0]) else 0

    def boot_id(self) -> str:
        return _read_plain(self.root / "proc/sys/kernel/random/boot_id").strip()

    def must_be_up_for_long(self) -> None:
        uptime_s = self.uptime_s()
        if uptime_s < MIN_UPTIME_S:
            refuse(f"the board is up for {uptime_s} s; no reboot before {MIN_UPTIME_S} s", "too-soon")


def _read_plain(path: Path) -> str:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return ""
    with os.fdopen(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            fail(f"{path} is not a plain file")
        data = file.read(MAX_FILE + 1)
    if len(data) > MAX_FILE:
        fail(f"{path} is longer than {MAX_FILE} bytes")
    return data.decode("latin-1")


def replace_file(path: Path, text: str) -> None:
    """Exchange a file's content whole: after a power cut the old or the new one is there. Mode and owner stay."""
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    name = f".{path.name}.edgeagent-power"
    try:
        old = os.stat(path.name, dir_fd=directory, follow_symlinks=False)
        _write_new(name, text.encode("latin-1"), old, directory)
        os.replace(name, path.name, src_dir_fd=directory, dst_dir_fd=directory)
        os.fsync(directory)
    finally:
        os.close(directory)


def _write_new(name: str, data: bytes, like: os.stat_result, directory: int) -> None:
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=directory)  # what a power cut left; nobody but root writes here
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(name, flags, 0o600, dir_fd=directory)
    with os.fdopen(fd, "wb") as file:
        file.write(data)
        file.flush()
        os.fchown(fd, like.st_uid, like.st_gid)
        os.fchmod(fd, stat.S_IMODE(like.st_mode))
        os.fsync(fd)


# --- nvpmodel.conf --------------------------------------------------------------------------------------------------


@dataclass
class Mode:
    name: str
    values: dict[tuple[str, str], int] = field(default_factory=dict)


@dataclass
class Conf:
    """What the helper needs of nvpmodel.conf. `clocks`: parameter -> argument (MAX_FREQ...) -> path."""

    clocks: dict[str, dict[str, str]] = field(default_factory=dict)
    modes: dict[int, Mode] = field(default_factory=dict)
    default: int | None = None


def load_conf(board: Board) -> Conf:
    """The board's table of power modes. Raises EndError (refused) where it has none or an id is there twice.

    What it does not need or understand it skips: nvpmodel is the judge of its own file.
    """
    conf, section = Conf(), None
    for raw in board.read(NVPMODEL_CONF, "/etc").splitlines():
        line = raw.partition("#")[0].strip()
        if heading := HEADING.fullmatch(line):
            names = dict(word.split("=", 1) for word in heading.group(2).split() if "=" in word)
            section = _open_section(conf, heading.group(1), names)
        elif line:
            _add_line(section, line.split())
    if not conf.modes:
        refuse(f"this board has no power modes in {NVPMODEL_CONF}", "board")
    return conf


def _open_section(conf: Conf, kind: str, names: dict[str, str]) -> Mode | dict[str, str] | None:
    """What the lines of the section go into; None for a section that does not matter here."""
    if kind == "POWER_MODEL" and (number := _int(names.get("ID", ""))) is not None:
        if number in conf.modes:
            refuse(f"{NVPMODEL_CONF} has two modes with the id {number}", "board")
        return conf.modes.setdefault(number, Mode(names.get("NAME", "")))
    if kind == "PARAM" and names.get("TYPE") == "CLOCK":
        return conf.clocks.setdefault(names.get("NAME", ""), {})
    if kind == "PM_CONFIG":
        conf.default = _int(names.get("DEFAULT", ""))
    return None


def _add_line(section: Mode | dict[str, str] | None, words: list[str]) -> None:
    if isinstance(section, Mode) and len(words) == 3 and (value := _int(words[2])) is not None:
        section.values[words[0], words[1]] = value
    elif isinstance(section, dict) and len(words) == 2:
        section[words[0]] = words[1]


def _int(text: str) -> int | None:
    return int(text) if re.fullmatch(r"-?[0-9]{1,19}", text, re.ASCII) else None


def mode_in_force(board: Board, conf: Conf) -> Mode:
    """The mode that nvpmodel noted, else the default. Raises EndError (refused) where the table has no such mode."""
    noted = re.match(r"pmode:([0-9]{1,6})", board.read(NVPMODEL_STATUS, "/var/lib"), re.ASCII)
    number = int(noted.group(1)) if noted else conf.default
    if number is None or number not in conf.modes:
        refuse(f"the power mode in force, {number}, is not in {NVPMODEL_CONF}", "board")
    return conf.modes[number]


# --- clocks ---------------------------------------------------------------------------------------------------------

CPU_CLOCK = re.compile(r"/cpu[0-9]+/cpufreq/|/cpufreq/policy[0-9]+/")
GPU_CLOCK = re.compile(r"gpu|gv11b|gp10b|ga10b|gb10b", re.IGNORECASE)
DOMAINS = {"cpu": 1, "gpu": 1000}  # units of the files in a kHz: CPU files hold kHz, GPU files Hz


@dataclass(frozen=True)
class Clock:
    """A clock of the board, in the unit of its files: CPU kHz, GPU Hz.

    `table` rises, and is empty where the driver lists none; `top` and `low` are what the mode in force allows.
    """

    max_file: str
    min_file: str
    table: tuple[int, ...]
    top: int
    low: int

    @property
    def bottom(self) -> int:
        return self.table[0] if self.table else self.low

    @property
    def highest(self) -> int:
        """What the kernel may show for `top`: itself, or the entry above it."""
        return min((entry for entry in self.table if entry >= self.top), default=self.top)

    def value(self, khz: int, unit: int) -> int:
        """`khz` in the unit of the files: the entry that begins with it, where there is one."""
        return next((known for known in (*self.table, self.low, self.top) if known // unit == khz), khz * unit)


def clocks_of(board: Board, *domains: str) -> list[Clock]:
    """The clocks of "cpu", "gpu" or both that are there now. Raises EndError (refused) where there is none."""
    if unknown := set(domains) - DOMAINS.keys():
        refuse(f"there is no domain {_show(*unknown)}; domains: {', '.join(DOMAINS)}", "argument")
    conf = load_conf(board)
    mode = mode_in_force(board, conf)
    found = [_clock(board, name, files, mode) for name, files in conf.clocks.items() if _domain(files) in domains]
    clocks = {clock.max_file: clock for clock in found if clock}
    if not clocks:
        refuse(f"{NVPMODEL_CONF} names no {' or '.join(domains)} clock that is there", "board")
    return list(clocks.values())


def clocks_by_name(board: Board) -> dict[str, tuple[str, Clock]]:
    """Name in the table -> domain and clock, of the processor's and the GPU's clocks that are there now."""
    conf = load_conf(board)
    mode = mode_in_force(board, conf)
    known = {name: (_domain(files), _clock(board, name, files, mode)) for name, files in conf.clocks.items()}
    return {name: (domain, clock) for name, (domain, clock) in known.items() if domain and clock}


def _domain(files: dict[str, str]) -> str:
    path = files.get("MAX_FREQ", files.get("MAX_FREQ_KNEXT", ""))
    if CPU_CLOCK.search(path):
        return "cpu"
    return "gpu" if "devfreq" in path and GPU_CLOCK.search(path) else ""


def _clock(board: Board, name: str, files: dict[str, str], mode: Mode) -> Clock | None:
    """None for a clock that is not there now, as that of a cluster whose cores are all switched off."""
    if _is_offline(board, files):
        return None
    max_file, min_file = _existing(board, files, "MAX_FREQ"), _existing(board, files, "MIN_FREQ")
    table = _table(board, _existing(board, files, "FREQ_TABLE"))
    ends = table or _ends_without_table(board, max_file)
    if not (max_file and min_file and ends):
        return None
    top, low = mode.values.get((name, "MAX_FREQ"), -1), mode.values.get((name, "MIN_FREQ"), 0)
    top = ends[-1] if top <= 0 or top >= ends[-1] else top
    return Clock(max_file, min_file, table, top, min(max(low, ends[0]), top))


def _is_offline(board: Board, files: dict[str, str]) -> bool:
    """The files of a core that is switched off may still be there; they take no value."""
    core = re.search(r"/(?:cpu|policy)([0-9]+)/", files.get("MAX_FREQ", files.get("MAX_FREQ_KNEXT", "")))
    return core is not None and board.read_int(f"/sys/devices/system/cpu/cpu{core.group(1)}/online") == 0


def _table(board: Board, path: str) -> tuple[int, ...]:
    try:
        words = board.read(path, "/sys").split() if path else []
    except OSError:
        words = []  # a cluster that is switched off answers EBUSY on newer kernels
    return tuple(sorted(number for word in words if (number := _int(word)) is not None and number > 0))


def _ends_without_table(board: Board, max_file: str) -> tuple[int, ...]:
    """Some processor drivers list no frequencies, only the two ends."""
    directory = max_file.rpartition("/")[0]
    ends = [board.read_int(f"{directory}/cpuinfo_{end}_freq") for end in ("min", "max")] if max_file else []
    return tuple(sorted(end for end in ends if end))


def _existing(board: Board, files: dict[str, str], key: str) -> str:
    """The path under this key, or under the name that newer kernels have; "" where there is no such file."""
    paths = (files[name] for name in (key, f"{key}_KNEXT") if name in files)
    return next((path for path in paths if board.has(path)), "")


def set_span(board: Board, clock: Clock, top: int, low: int | None) -> None:
    """Write a clock's upper end, and its lower end where it is above that or `low` asks for it."""
    current = board.read_int(clock.min_file)
    if current is not None and current > top:
        board.write_sysfs(clock.min_file, top)  # first: kernels refuse an upper end below the lower one
    board.write_sysfs(clock.max_file, top)
    if low is not None and current is not None and current < low:
        board.write_sysfs(clock.min_file, low)


# --- the fan --------------------------------------------------------------------------------------------------------

FAN_BLOCK = re.compile(r"^[ \t]*<[ \t]*FAN\b", re.MULTILINE)
FAN_PROFILE = re.compile(r"^[ \t]*FAN_PROFILE[ \t]+(\S+)[ \t]*\{", re.MULTILINE)
FAN_DEFAULT = re.compile(r"^([ \t]*FAN_DEFAULT_PROFILE[ \t]+)(\S+)", re.MULTILINE)


def choose_fan_profile(text: str, profile: str) -> str:
    """nvfancontrol.conf with `profile` as the default of every fan. Raises EndError (refused) where a fan lacks it."""
    starts = [match.start() for match in FAN_BLOCK.finditer(text)] or [0]
    blocks = [text[: starts[0]]]
    for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
        known = FAN_PROFILE.findall(text[start:end])
        if profile not in known:
            refuse(f"{FAN_CONF} has no profile {profile!a}; profiles: {_show(' '.join(known))}", "argument")
        if not FAN_DEFAULT.search(text[start:end]):
            refuse(f"{FAN_CONF} names no default profile", "board")
        blocks.append(FAN_DEFAULT.sub(lambda match: match.group(1) + profile, text[start:end]))
    return "".join(blocks)


# --- verbs ----------------------------------------------------------------------------------------------------------


class Helper:
    """The verbs. Each method returns a reply, or raises EndError with one, or OSError where a file cannot be had."""

    def __init__(self, board: Board, tools: Toolbox, state_dir: Path, *, may_reboot: bool) -> None:
        self._board = board
        self._tools = tools
        self._store = state_dir / "clocks.store"
        self._store_boot = state_dir / "clocks.boot"
        self._lock = state_dir / "lock"
        self._may_reboot = may_reboot
        self._fan_starts = state_dir / "fan.starts"
        self._argus_start = state_dir / "argus.start"

    def status(self) -> Reply:
        facts: Facts = {name: self._tools.find(name) is not None for name in TOOLS}
        facts |= {"version": VERSION, "uid": os.geteuid(), "uptime_s": self._board.uptime_s()}
        facts |= {"clock_store": self._has_store(), "stuck_tools": self._tools.still_stuck()}
        if self._board.root == Path("/"):
            facts |= _namespace()
        return Reply("done", "the helper is ready", facts=facts)

    def query_mode(self) -> Reply:
        ran = self._tools.run("nvpmodel", "-q")
        must_succeed(ran)
        found = MODE_SHOWN.search(ran.stdout)
        if found is None:
            return ran.reply("failed", "nvpmodel -q named no power mode")
        name, number = shorten(found.group(1))[:64], int(found.group(2))
        return ran.reply("done", f"nvpmodel says {name} ({number})", mode_id=number, mode_name=name)

    def set_mode(self, id: int, reboot: bool) -> Reply:
        conf = load_conf(self._board)
        if id not in conf.modes:
            known = ", ".join(f"{number} {mode.name}" for number, mode in conf.modes.items())
            refuse(f"there is no power mode {id}; modes: {shorten(known)}", "argument")
        if reboot:
            self._check_reboot()
        freed = self._free_before_mode()
        ran = self._tools.run("nvpmodel", "-m", str(id), *(["--force"] if reboot else []))
        return self._judge_set_mode(replace(ran, command=freed + ran.command), conf.modes[id].name)

    def _free_before_mode(self) -> str:
        """A mode change frees the clocks, but not the memory's clock and the idle states that a lock holds as well.

        What was run, with a separator. A restore that fails must not bar the mode: the store is gone then, too.
        """
        if not self._has_store():
            return ""
        ran = self._tools.run("jetson_clocks", "--restore", str(self._store))
        self._drop_store()
        return f"{ran.command}{'' if ran.status == 0 else ' (which failed)'}; "

    def _judge_set_mode(self, ran: Ran, name: str) -> Reply:
        if IN_CHROOT.search(ran.text):
            return ran.reply("ignored", CHROOT_MEND)
        if REBOOTING.search(ran.text):
            self._drop_store()
            return ran.reply("rebooting", f"nvpmodel reboots the board into {name}")
        if REBOOT_QUESTION.search(ran.text):
            kept = "the clocks were freed, nothing else was changed" if ";" in ran.command else "nothing was changed"
            return ran.reply("reboot-required", f"nvpmodel wants a reboot for {name}; {kept}")
        must_succeed(ran)
        self._drop_store()  # nvpmodel undoes the clock locks: what was stored belongs to another mode
        return ran.reply("done", f"nvpmodel reports no fault with {name}")

    def lock_clocks(self) -> Reply:
        before = ""
        if not self._has_store():
            self._drop_store()  # one of an earlier boot; jetson_clocks would ask before overwriting it
            before = self._store_clocks().command + "; "
        ran = self._tools.run("jetson_clocks")
        must_succeed(ran)
        return ran.reply("done", "jetson_clocks locked the clocks", ran=before + ran.command)

    def _store_clocks(self) -> Ran:
        """Beside its place first: what a power cut or a kill left half written must not be restored one day.

        Lines that switch cores are left out: by the time of a restore another power mode may want other cores.
        """
        fresh = self._store.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        ran = self._tools.run("jetson_clocks", "--store", str(fresh))
        must_succeed(ran)
        lines = _read_plain(fresh).splitlines(keepends=True)
        if not lines:
            raise EndError(ran.reply("failed", "jetson_clocks --store stored nothing; the clocks were not locked"))
        fresh.write_text("".join(line for line in lines if "/online:" not in line), encoding="latin-1")
        fresh.replace(self._store)
        self._store_boot.write_text(self._board.boot_id())
        return ran

    def release_clocks(self) -> Reply:
        if not self._has_store():
            return self._lower_clocks()
        ran = self._tools.run("jetson_clocks", "--restore", str(self._store))
        must_succeed(ran)
        self._drop_store()
        return ran.reply("done", "jetson_clocks restored the clocks as they were before the lock")

    def _lower_clocks(self) -> Reply:
        """Without a store: give the clocks back their range. What else the lock did lasts until the next boot."""
        clocks = clocks_of(self._board, *DOMAINS)
        for clock in clocks:
            self._board.write_sysfs(clock.min_file, clock.low)
        return Reply(
            "done", f"{len(clocks)} clocks may go down again; there was no store", facts={"files": len(clocks)}
        )

    def cap(self, domain: str, khz: int) -> Reply:
        clocks, unit = clocks_of(self._board, domain), DOMAINS[domain]
        clocks = [clock for clock in clocks if clock.table]
        known = sorted({entry // unit for clock in clocks for entry in clock.table})
        if khz not in known:
            there = f"{len(known)} from {known[0]} to {known[-1]}" if known else "the driver lists none"
            refuse(f"{khz} kHz is no clock of the {domain}: {there}", "argument")
        allowed = max(clock.top for clock in clocks) // unit
        if khz > allowed:
            refuse(f"the power mode in force allows the {domain} {allowed} kHz at most", "argument")
        for clock in clocks:
            bound = min(khz * unit + unit - 1, clock.top)
            set_span(self._board, clock, max((e for e in clock.table if e <= bound), default=clock.table[0]), None)
        return Reply("done", f"{domain} capped at {khz} kHz", facts={"files": len(clocks), "khz": khz})

    def uncap(self, domain: str) -> Reply:
        clocks = clocks_of(self._board, domain)
        for clock in clocks:
            set_span(self._board, clock, clock.top, clock.low)
        khz = max(clock.top for clock in clocks) // DOMAINS[domain]
        return Reply("done", f"{domain} may use what its power mode allows", facts={"files": len(clocks), "khz": khz})

    def ends(self, clock: str, low_khz: int, high_khz: int) -> Reply:
        """Both ends of one clock of the table; `low_khz` 0: the mode's own.

        Any value within the clock's range: the kernel also keeps one between two entries, and that may be what was
        found. Upwards the power mode is the limit, or the entry above it where it lies between two.
        """
        names = clocks_by_name(self._board)
        found = names.get(clock)
        if found is None:
            refuse(f"there is no clock {clock!a} here; clocks: {_show(', '.join(names))}", "argument")
        domain, there = found
        unit = DOMAINS[domain]
        high = there.value(high_khz, unit)
        low = min(there.low, high) if low_khz == 0 else there.value(low_khz, unit)
        if not there.bottom <= low <= high <= there.highest:
            refuse(f"{clock} may have {there.bottom // unit} to {there.highest // unit} kHz here", "argument")
        set_span(self._board, there, high, None)
        self._board.write_sysfs(there.min_file, low)
        return Reply("done", f"{clock} has {low // unit} to {high // unit} kHz", facts={"files": 1})

    def fan(self, profile: str) -> Reply:
        text = self._board.read(FAN_CONF, "/etc")
        if not text:
            refuse(f"this board has no {FAN_CONF}", "board")
        chosen = choose_fan_profile(text, profile)
        conf = self._board.locate(FAN_CONF, "/etc")
        if chosen != text:
            replace_file(conf, chosen)
        try:
            return self._restart_fan(profile)
        except (EndError, OSError):
            replace_file(conf, text)
            self._tools.run("systemctl", "reset-failed", "nvfancontrol")  # a fan that nobody controls is the worst end
            self._tools.run("systemctl", "restart", "nvfancontrol")
            raise

    def _restart_fan(self, profile: str) -> Reply:
        """Also where the file is right already: whoever wrote it may have been killed before the restart."""
        self._wait_for_fan()
        self._board.locate(FAN_STATUS, "/var/lib").unlink(missing_ok=True)  # it outweighs the file
        ran = self._tools.run("systemctl", "restart", "nvfancontrol")
        must_succeed(ran)
        return ran.reply("done", f"the fan profile is {profile}")

    def _wait_for_fan(self) -> None:
        """Until one more restart is within what systemd allows; the starts are noted for the helpers to come."""
        now = time.monotonic()
        words = _read_plain(self._fan_starts).split()
        starts = [float(word) for word in words if re.fullmatch(r"[0-9]{1,12}\.[0-9]{1,3}", word)]
        recent = [at for at in starts if 0 <= now - at < FAN_WINDOW_S]
        if len(recent) >= FAN_STARTS:
            time.sleep(FAN_WINDOW_S - (now - recent[-FAN_STARTS]))
        self._fan_starts.write_text(" ".join(f"{at:.3f}" for at in [*recent[-FAN_STARTS:], time.monotonic()]))

    def restart_argus(self) -> Reply:
        """Seldom: a session that one camera's client left behind is cleared, and every other camera's with it."""
        now, word = time.monotonic(), _read_plain(self._argus_start).strip()
        ago = now - float(word) if re.fullmatch(r"[0-9]{1,12}\.[0-9]{1,3}", word) else ARGUS_EVERY_S
        if 0 <= ago < ARGUS_EVERY_S:
            refuse(f"nvargus-daemon was restarted {ago:.0f} s ago; not again before {ARGUS_EVERY_S:.0f} s", "too-soon")
        self._argus_start.write_text(f"{now:.3f}")  # before it: one that hangs is not restarted all the time
        ran = self._tools.run("systemctl", "restart", "nvargus-daemon")
        must_succeed(ran)
        return ran.reply("done", "nvargus-daemon was restarted")

    def _check_reboot(self) -> None:
        if not self._may_reboot:
            refuse("this helper was started with --no-reboot", "board")
        self._board.must_be_up_for_long()

    def reboot(self) -> Reply:
        self._check_reboot()
        ran = self._tools.run("systemctl", "reboot")
        must_succeed(ran)
        return ran.reply("rebooting", "the board reboots")

    def _has_store(self) -> bool:
        """Whether the clocks of this boot are stored."""
        stored = self._store.is_file() and self._store.stat().st_size > 0
        return stored and _read_plain(self._store_boot) == self._board.boot_id()

    def _drop_store(self) -> None:
        self._store.unlink(missing_ok=True)
        self._store_boot.unlink(missing_ok=True)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Wait for another helper on this board, for a while. Raises EndError (failed) when it does not end."""
        fd = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            deadline = time.monotonic() + LOCK_S
            while not _try_lock(fd):
                if time.monotonic() > deadline:
                    fail("another edgeagent-power is at work on this board")
                time.sleep(LOOK_S)
            yield
        finally:
            os.close(fd)

    def carry_out(self, request: Request) -> Reply:
        """Never raises for what a tool, a file or another helper does."""
        try:
            verb = VERBS[request.verb]
            with self.alone() if verb.alone else nullcontext():
                return verb.act(self, **request.arguments)
        except EndError as end:
            return end.reply
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            return Reply("failed", f"{request.verb}: {where}{error.strerror}", facts={"errno": error.errno or 0})


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _namespace() -> Facts:
    """Whether nvpmodel will find itself where PID 1 is; nothing where that cannot be seen."""
    try:
        return {"host_namespace": Path("/proc/self/ns/mnt").readlink() == Path("/proc/1/ns/mnt").readlink()}
    except OSError:
        return {}


@dataclass(frozen=True)
class Verb:
    act: Callable[..., Reply]
    arguments: dict[str, type] = field(default_factory=dict)
    alone: bool = True


VERBS = {
    "status": Verb(Helper.status, alone=False),
    "query-mode": Verb(Helper.query_mode),
    "set-mode": Verb(Helper.set_mode, {"id": int, "reboot": bool}),
    "lock-clocks": Verb(Helper.lock_clocks),
    "release-clocks": Verb(Helper.release_clocks),
    "cap": Verb(Helper.cap, {"domain": str, "khz": int}),
    "uncap": Verb(Helper.uncap, {"domain": str}),
    "ends": Verb(Helper.ends, {"clock": str, "low_khz": int, "high_khz": int}),
    "fan": Verb(Helper.fan, {"profile": str}),
    "restart-argus": Verb(Helper.restart_argus),
    "reboot": Verb(Helper.reboot),
}
QUESTIONS = ("status", "query-mode")


# --- peers ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Peer:
    pid: int
    uid: int
    groups: frozenset[int]

    def __str__(self) -> str:
        return f"pid {self.pid} uid {self.uid}"


@dataclass(frozen=True)
class Allowed:
    uids: frozenset[int]
    groups: frozenset[int]

    def admits(self, peer: Peer) -> bool:
        return peer.uid in self.uids or not self.groups.isdisjoint(peer.groups)


def identify(sock: socket.socket) -> Peer:
    """Who connected, as the kernel noted it then."""
    pid, uid, gid = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    try:
        raw = sock.getsockopt(socket.SOL_SOCKET, SO_PEERGROUPS, 1024)
    except OSError:  # a kernel before 4.13, or a peer in more than 256 groups: its first group counts alone
        raw = b""
    return Peer(pid, uid, frozenset((gid, *struct.unpack(f"{len(raw) // 4}I", raw))))


class GoneError(Exception):
    """The peer has gone, or the helper is to end: nothing more to do on this connection."""


class Stopper:
    """Turns SIGTERM into a wish that is looked at between two requests: a tool that runs is not disturbed.

    SIGALRM does nothing but wake: a peer may send a descriptor whose close lingers in the kernel, as long as it likes.
    """

    def __init__(self) -> None:
        self.asked = False
        self._pipe, self._wakeup = os.pipe()
        os.set_blocking(self._wakeup, False)
        signal.set_wakeup_fd(self._wakeup, warn_on_full_buffer=False)
        os.set_blocking(self._pipe, False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)
        signal.signal(signal.SIGALRM, lambda number, frame: None)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # one that is ignored is inherited, and hides how tools end

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True

    def wait(self, sock: socket.socket, timeout_s: float | None) -> bool:
        """True when the socket is readable; False when the time is over or the helper is to end."""
        poller = select.poll()
        poller.register(sock, select.POLLIN)
        poller.register(self._pipe, select.POLLIN)
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while not self.asked:
            left_ms = None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000
            ready = {fd for fd, _ in poller.poll(left_ms)}
            if self._pipe in ready:
                os.read(self._pipe, 4096)
            if sock.fileno() in ready:
                return not self.asked
            if not ready and deadline is not None and time.monotonic() >= deadline:
                return False
        return False


class Conversation:
    """Lines from one peer and replies to it, all with time limits."""

    def __init__(self, sock: socket.socket, stopper: Stopper) -> None:
        sock.settimeout(WRITE_S)
        self._sock, self._stopper, self._buffer = sock, stopper, b""

    def read_line(self, wait_s: float | None) -> bytes:
        """The next line, at most MAX_REQUEST bytes; a longer one is read to its end and refused.

        Raises GoneError where nothing (more) comes within `wait_s`, EndError for a line that is too long, late or cut.
        """
        if not self._buffer:
            self._buffer = self._receive(wait_s)
            if not self._buffer:
                raise GoneError
        too_long, deadline = False, time.monotonic() + READ_S
        while b"\n" not in self._buffer:
            if len(self._buffer) > MAX_REQUEST:
                too_long, self._buffer = True, b"..."
            data = self._receive(deadline - time.monotonic())
            if not data:
                self._give_up()
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        if too_long or len(line) > MAX_REQUEST:
            refuse(f"a request has at most {MAX_REQUEST} bytes", "request")
        return line

    def _receive(self, wait_s: float | None) -> bytes:
        """b"" at the end of the stream and where nothing comes in time."""
        if (wait_s is not None and wait_s <= 0) or not self._stopper.wait(self._sock, wait_s):
            return b""
        try:
            return self._sock.recv(65536)
        except OSError as error:
            raise GoneError from error

    def _give_up(self) -> NoReturn:
        """Half a request: where the next one begins cannot be told any more."""
        if not self._stopper.asked:
            why = f"the request has no newline at its end, or it did not come within {READ_S:.0f} s"
            self.say(Reply("refused", why, facts={"reason": "request"}))
        raise GoneError

    def say(self, reply: Reply) -> None:
        """Raises GoneError where the peer does not take the reply."""
        try:
            self._sock.sendall(reply.line())
        except OSError as error:  # includes the time-out
            raise GoneError from error

    def has_more(self) -> bool:
        return bool(self._buffer)

    def must_be_there(self) -> None:
        """Raises GoneError where the peer has hung up: nobody waits any more for what it asked for.

        One that has only closed its writing half still listens.
        """
        poller = select.poll()
        poller.register(self._sock, 0)
        if any(events & select.POLLHUP for _, events in poller.poll(0)):
            raise GoneError


class Server:
    """Serves requests one after the other, from a listening socket or from one connected peer."""

    def __init__(self, helper: Helper, allowed: Allowed, stopper: Stopper, idle_s: float | None) -> None:
        self._helper, self._allowed, self._stopper, self._idle_s = helper, allowed, stopper, idle_s
        self._strangers, self._malformed, self._actions = Quota(), Quota(), Quota(60)

    def listen(self, listener: socket.socket) -> None:
        """One request a connection, until SIGTERM or nobody came for the idle time."""
        listener.setblocking(False)
        while self._stopper.wait(listener, self._idle_s):
            try:
                sock, _ = listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                continue  # the peer has thought better of it
            signal.setitimer(signal.ITIMER_REAL, STUCK_CLOSE_S, STUCK_CLOSE_S)
            with sock:
                self._serve(sock, many=False)
            signal.setitimer(signal.ITIMER_REAL, 0)

    def serve_one_peer(self, sock: socket.socket) -> None:
        """Many requests of one peer, until it closes its end."""
        with sock:
            self._serve(sock, many=True)

    def _serve(self, sock: socket.socket, *, many: bool) -> None:
        peer = identify(sock)
        conversation = Conversation(sock, self._stopper)
        try:
            if not self._allowed.admits(peer):
                self._strangers.log(f"{peer} is not allowed here")
                conversation.say(Reply("refused", f"uid {peer.uid} may not use this helper", facts={"reason": "peer"}))
                return
            self._answer(conversation, peer, self._idle_s if many else FIRST_S, alone=not many)
            while many and not self._stopper.asked:
                self._answer(conversation, peer, self._idle_s, alone=False)
        except GoneError:
            return

    def _answer(self, conversation: Conversation, peer: Peer, wait_s: float | None, *, alone: bool) -> None:
        started = time.monotonic()
        try:
            line = conversation.read_line(wait_s)
            if alone and conversation.has_more():
                refuse("one request a connection: there is more than one line", "request")
            request = parse_request(line)
        except EndError as end:
            self._malformed.log(f"{peer}: refused: {end.reply.detail}")
            conversation.say(end.reply)
            return
        conversation.must_be_there()
        reply = self._helper.carry_out(request)
        self._note(peer, request, reply, time.monotonic() - started)
        conversation.say(reply)

    def _note(self, peer: Peer, request: Request, reply: Reply, seconds: float) -> None:
        arguments = "".join(f" {name}={value!a}" for name, value in request.arguments.items())
        ran = f"; ran: {reply.facts['ran']}" if "ran" in reply.facts else ""
        text = f"{peer}: {request.verb}{arguments}: {reply.result} in {seconds:.2f} s: {reply.detail}{ran}"
        if reply.result == "refused":
            self._malformed.log(text)
        elif reply.result not in ("done", "rebooting", "reboot-required"):
            self._actions.log(text, 3)
        elif request.verb not in QUESTIONS:
            self._actions.log(text, 6)


# --- start ----------------------------------------------------------------------------------------------------------


class StartError(Exception):
    """The helper cannot start as asked: one line for the person who starts it."""


def activated_socket() -> socket.socket | None:
    """The socket that systemd passed, sd_listen_fds(3); None where it passed none to this very process."""
    pid, count = os.environ.pop("LISTEN_PID", ""), os.environ.pop("LISTEN_FDS", "")
    os.environ.pop("LISTEN_FDNAMES", None)
    if pid != str(os.getpid()):
        return None
    if count != "1":
        raise StartError(f"LISTEN_FDS is {count!a}: one socket is wanted")
    sock = _unix_stream(3)
    if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        raise StartError("the socket that was passed does not listen (Accept=no is wanted in the socket unit)")
    return sock


def _unix_stream(fd: int) -> socket.socket:
    try:
        os.set_inheritable(fd, False)
        sock = socket.socket(fileno=fd)
    except OSError as error:
        raise StartError(f"file descriptor {fd} is no socket: {error.strerror}") from error
    if sock.family != socket.AF_UNIX or sock.type != socket.SOCK_STREAM:
        raise StartError(f"file descriptor {fd} is no UNIX stream socket")
    return sock


@contextmanager
def short_name(path: str) -> Iterator[str]:
    """A name of at most the 107 bytes that a socket's address holds: a longer one goes through its directory's fd."""
    directory = os.open(Path(path).parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield path if len(os.fsencode(path)) < 108 else f"/proc/self/fd/{directory}/{Path(path).name}"
    finally:
        os.close(directory)


@contextmanager
def own_socket(path: str, groups: frozenset[int]) -> Iterator[socket.socket]:
    """A listening socket at `path`, mode 0660, for the first of the allowed groups; removed at the end."""
    _remove_stale(path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        previous = os.umask(0o117)
        try:
            with short_name(path) as name:
                sock.bind(name)
        except OSError as error:
            raise StartError(f"cannot listen at {path}: {error.strerror}") from error
        finally:
            os.umask(previous)
        mine = os.lstat(path).st_ino
        try:
            for group in sorted(groups)[:1]:
                os.chown(path, -1, group, follow_symlinks=False)
            sock.listen(16)
            log(6, f"listens at {path}")
            yield sock
        finally:
            if Path(path).exists() and os.lstat(path).st_ino == mine:
                Path(path).unlink()


def _remove_stale(path: str) -> None:
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise StartError(f"{path} exists and is no socket")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            with short_name(path) as name:
                probe.connect(name)
        except ConnectionRefusedError:
            Path(path).unlink()
            return
        except OSError as error:
            raise StartError(f"{path} is in use: {error}") from error
    raise StartError(f"somebody listens at {path} already")


def prepare_state_dir(path: Path) -> Path:
    """Our own directory, open to nobody else: jetson_clocks writes as root what the store in it says."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise StartError(f"the state directory {path} cannot be had: {error.strerror}") from error
    try:
        if os.fstat(fd).st_uid != os.geteuid():
            raise StartError(f"the state directory {path} belongs to somebody else")
        os.fchmod(fd, 0o700)
    finally:
        os.close(fd)
    return path.resolve()


def who_may(options: argparse.Namespace) -> Allowed:
    try:
        uids = {pwd.getpwnam(name).pw_uid for name in options.allow_user}
        groups = {grp.getgrnam(name).gr_gid for name in options.allow_group}
    except KeyError as error:
        raise StartError(str(error.args[0])) from error
    return Allowed(frozenset({0, os.geteuid(), *options.allow_uid, *uids}), frozenset(groups))


def parse_options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "edgeagent-power", allow_abbrev=False, description="Root's part of edgeagent: sets power modes, clocks and fan."
    )
    add = parser.add_argument
    add("--root", type=Path, default=Path("/"), help="the board's files (default /)")
    add("--tools", type=Path, help="where the tools are (default: the system's directories, or ROOT/bin)")
    add("--state-dir", type=Path, default=Path("/run/edgeagent-power"), help="default /run/edgeagent-power")
    add("--allow-uid", type=int, action="append", default=[], metavar="N")
    add("--allow-user", action="append", default=[], metavar="NAME")
    add("--allow-group", action="append", default=[], metavar="NAME")
    add("--socket", metavar="PATH", help="listen here; without it, the socket that systemd passes")
    add("--serve-fd", type=int, metavar="N", help="serve one connected peer on this file descriptor")
    add("--idle-exit", type=float, metavar="SECONDS", help="end when nobody came for so long")
    add("--no-reboot", action="store_true", help="refuse every reboot, whoever asks")
    add("--tool-timeout", type=float, default=30.0, metavar="SECONDS", help="limit for a tool (default 30)")
    options = parser.parse_args(arguments)
    if not 0 < options.tool_timeout <= 600 or (options.idle_exit is not None and options.idle_exit <= 0):
        parser.error("time limits are seconds above 0; a tool gets at most 600")
    if options.socket and options.serve_fd is not None:
        parser.error("--socket and --serve-fd exclude each other")
    return options


def make_helper(options: argparse.Namespace) -> Helper:
    root: Path = options.root.resolve()
    if not root.is_dir() or root.stat().st_uid != os.geteuid():
        raise StartError(f"{root} does not belong to this user: run as root (on a virtual board, as its owner)")
    default = SYSTEM_DIRECTORIES if root == Path("/") else (str(root / "bin"),)
    directories = (str(options.tools.resolve()),) if options.tools else default
    state_dir = prepare_state_dir(options.state_dir)
    tools = Toolbox(directories, options.tool_timeout, state_dir)
    return Helper(Board(root), tools, state_dir, may_reboot=not options.no_reboot)


def run(options: argparse.Namespace) -> None:
    os.umask(0o022)  # what the tools write under /var/lib is read by ordinary users
    passed = activated_socket()
    allowed = who_may(options)
    server = Server(make_helper(options), allowed, Stopper(), options.idle_exit)
    if options.serve_fd is not None:
        server.serve_one_peer(_unix_stream(options.serve_fd))
    elif options.socket:
        with own_socket(options.socket, allowed.groups) as listener:
            server.listen(listener)
    elif passed:
        with passed:
            server.listen(passed)
    else:
        raise StartError("nothing to listen at: start edgeagent-power.socket, or give --socket PATH")


def main(arguments: list[str]) -> int:
    try:
        run(parse_options(arguments))
    except StartError as error:
        log(3, str(error))
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
