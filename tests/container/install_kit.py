"""A device to install on: a Debian with a systemd of its own, a virtual Orin Nano, a broker. No tests in here.

The machine has no network but its own loopback: what is installed comes from a bundle that was made outside.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from container_feed import RESULT, WAIT_S, Feed
from container_machine import ENVIRONMENT, Machine, booted
from container_root import UnavailableError, copy_tree, find_tools, kept_root

from edgeagent.install.source import write_sums

REPOSITORY = Path(__file__).parents[2]
BOARD, BUNDLE, CONFIG = "/srv/board", "/srv/bundle", "/srv/config.toml"
BOARD_SOCKET = "/run/edgeagent-board.sock"
COMMAND, STATE = "/opt/edgeagent/current/bin/edgeagent", "/var/lib/edgeagent"
INSTALLED = "/opt/edgeagent/installer/install.sh"
AGENT = "edgeagent.service"
INSTALL_S = 240.0
MEMORY, MEMORY_BYTES = Path("/dev/shm"), 8 << 30
HERE = ("--any-host", "--board-root", BOARD)
FIRST = (*HERE, "--config", CONFIG)
IMPORT_BOARD = "import pathlib, sys; sys.path.insert(0, sys.argv[1]); from edgeagent.simulate.board import *; "
SETTINGS = f"""
[device]
id = "dev-1"
fleet = "lab"
board_root = "{BOARD}"
[power]
intent = "max-performance"
helper_socket = "{BOARD_SOCKET}"
[cameras.belt]
source = {{ type = "synthetic", width = 320, height = 240, fps = 10 }}
[models.conveyor]
path = "sample:conveyor"
[pipelines.parts]
camera = "belt"
model = "conveyor"
[engines]
calibration_frames = 16
holdout_frames = 4
calibration_interval_s = 0.0
"""
KNOCK = """
import socket
try:
    print(socket.socket(socket.AF_UNIX).connect({!r}) or "connected")
except OSError as error:
    print(error.strerror)
"""

HELPER = "/opt/edgeagent/current/libexec/edgeagent-power --allow-group edgeagent --idle-exit 60"
DROP_INS = {
    "edgeagent-power.socket": f"[Socket]\nListenStream=\nListenStream={BOARD_SOCKET}\n",
    "edgeagent-power.service": f"[Service]\nExecStart=\nExecStart=/usr/bin/python3 -I {HELPER} --root {BOARD}\n",
}
"""The helper serves the virtual board, at another socket: nobody asks the machine's own for another board."""


class Device:
    """What the tests do with a machine that edgeagent is installed on."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def install(self, *options: str, program: str = f"{BUNDLE}/install.sh") -> subprocess.CompletedProcess[str]:
        """Run install.sh in the machine; its output and status."""
        return subprocess.run(
            self.machine.command(program, *options),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=INSTALL_S,
            env=ENVIRONMENT,
            check=False,
        )

    def cut_at(self, line: str, *options: str, program: str = f"{BUNDLE}/install.sh") -> list[str]:
        """Run install.sh, and cut the power when it says that it is about to do `line`. What it had said until then."""
        said: list[str] = []
        command = self.machine.command(program, *options)
        with subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            assert process.stdout is not None
            for text in process.stdout:
                said.append(text.strip())
                if line in text:
                    self.machine.cut_power()
                    return said
        raise AssertionError(f"never came to {line!r}: {said}")

    @contextmanager
    def listening(self) -> Iterator[Feed]:
        feed = Feed(self.machine)
        try:
            yield feed
        finally:
            feed.close()

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.machine.run("cat", "/run/edgeagent/status.json"))
        return found

    def current(self) -> str:
        return self.machine.path("/opt/edgeagent/current").readlink().name

    def pid(self) -> int:
        return int(self.machine.show(AGENT, "MainPID")["MainPID"])

    def board_mode(self) -> str:
        """The power mode of the board, by name."""
        said = self.machine.run(f"{BOARD}/bin/nvpmodel", "-q")
        return said.splitlines()[0].rpartition(":")[2].strip()

    def knock(self, user: str) -> str:
        """What becomes of a user who wants to speak to the power helper."""
        return self.machine.run("python3", "-Ic", KNOCK.format(BOARD_SOCKET), user=user)

    def outbox_holds(self, event: str) -> bool:
        """Whether the outbox's log has it on the disk. Only the agent may open the database itself."""
        log = self.machine.path(f"{STATE}/outbox.db-wal")
        return log.exists() and f"/e/{event}".encode() in log.read_bytes()

    def bad_engines(self) -> list[str]:
        """What is wrong with the engines in the store, each of which is read; there is at least one."""
        said = self.machine.run(COMMAND, "engine", "verify", "--json", "--state", STATE, check=False)
        engines = json.loads(said)["engines"]
        assert engines, "the store is empty"
        return [engine["problem"] for engine in engines if not engine["ok"]]

    def put_release(self, name: str, change: Callable[[Path], None], version: str) -> str:
        """A bundle of another release in the machine: this one, changed. The path of its install.sh."""
        place = self.machine.path(f"/srv/{name}")
        make_release(self.machine.path(BUNDLE), place, change, version)
        return f"/srv/{name}/install.sh"


@contextmanager
def furnished(directory: Path, bundle: Path, *, board: str = "orin-nano", settings: str = SETTINGS) -> Iterator[Path]:
    """A root with everything but edgeagent; gone at the end."""
    find_tools("nsenter", "systemd-nspawn", "unshare")
    place = memory_place() or directory
    root = place / "device"
    try:
        copy_tree(kept_root(), root)
        copy_tree(bundle, root / BUNDLE.lstrip("/"))
        (root / CONFIG.lstrip("/")).write_text(settings)
        for unit, text in DROP_INS.items():
            folder = root / f"usr/lib/systemd/system/{unit}.d"
            folder.mkdir()
            (folder / "board.conf").write_text(text)
        (root / "etc/mosquitto/conf.d/test.conf").write_text("listener 1883 127.0.0.1\nallow_anonymous true\n")
        make_board(root, board)
        yield root
    finally:
        shutil.rmtree(root if place == directory else place, ignore_errors=True)


def memory_place() -> Path | None:
    """A directory in memory: a device has some gigabytes of small files. None where there is little of it."""
    free = os.statvfs(MEMORY)
    available = re.search(r"MemAvailable: +(\d+) kB", Path("/proc/meminfo").read_text())
    if available is None or min(free.f_bavail * free.f_frsize, int(available[1]) * 1024) < MEMORY_BYTES:
        return None
    for old in MEMORY.glob("edgeagent-device-*"):  # of a run that was killed
        if not Path("/proc", old.name.split("-")[2]).exists():
            shutil.rmtree(old, ignore_errors=True)
    return Path(mkdtemp(prefix=f"edgeagent-device-{os.getpid()}-", dir=MEMORY))


def make_board(root: Path, name: str) -> None:
    """Made by the machine's own Python: the stand-in tools' wrappers hold its paths."""
    with_board(root, f"make_board({name!r}, pathlib.Path(sys.argv[2]), seed=7)")


def reboot_board(root: Path) -> None:
    """What becomes of the board when the machine is booted: the mode that its tool has noted is in force."""
    with_board(root, "reboot_board(pathlib.Path(sys.argv[2]))")


def with_board(root: Path, call: str) -> None:
    command = ["chroot", str(root), "python3", "-IB", "-c", f"{IMPORT_BOARD}{call}", BUNDLE, BOARD]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, env=ENVIRONMENT)


@contextmanager
def device(root: Path) -> Iterator[Device]:
    """The machine of that root, booted."""
    with booted(root) as machine:
        yield Device(machine)


@contextmanager
def installed(root: Path) -> Iterator[tuple[Device, Feed]]:
    """A machine with the release of this checkout, and results coming."""
    with device(root) as found, found.listening() as feed:
        done = found.install(*FIRST)
        assert done.returncode == 0, done.stdout + done.stderr
        feed.wait(RESULT)
        yield found, feed


def make_bundle(directory: Path) -> Path:
    """This checkout as a bundle for the machine's Python, unpacked. Raises UnavailableError where none can be made."""
    archive = directory / "bundle.tar"
    python = kept_root() / "usr/bin/python3"
    version = python.readlink().name.removeprefix("python")
    arch = os.uname().machine
    words = ["--bundle", str(archive), "--arch", arch, "--python", version, "--any-host"]
    made = subprocess.run(
        [str(REPOSITORY / "install.sh"), *words],
        env={**os.environ, "PYTHON": sys.executable},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=INSTALL_S,
        check=False,
    )
    if made.returncode != 0:
        raise UnavailableError(f"no bundle can be made here: {made.stderr.strip()[-300:]}")
    subprocess.run(["tar", "xf", str(archive), "-C", str(directory)], check=True)
    archive.unlink()
    return next(path for path in directory.iterdir() if path.name.startswith("edgeagent-"))


def make_release(bundle: Path, place: Path, change: Callable[[Path], None], version: str) -> None:
    """A copy of a bundle whose package was changed: its sources and the wheel that is installed."""
    shutil.copytree(bundle, place, copy_function=link_wheels)
    wheel = next((place / "wheels").glob("edgeagent-*.whl"))
    old = re.match(r"edgeagent-([^-]+)-", wheel.name)
    assert old is not None
    unpacked = place / "changed"
    shutil.unpack_archive(wheel, unpacked, "zip")
    for folder in (unpacked, place):
        init = folder / "edgeagent/__init__.py"
        init.write_text(init.read_text().replace(f'"{old.group(1)}"', f'"{version}"'))
        change(folder)
    info = unpacked / f"edgeagent-{old.group(1)}.dist-info"
    metadata = info / "METADATA"
    metadata.write_text(re.sub("^Version: .*$", f"Version: {version}", metadata.read_text(), flags=re.MULTILINE))
    (info / "RECORD").write_text("".join(f"{p.relative_to(unpacked)},,\n" for p in unpacked.rglob("*") if p.is_file()))
    info.rename(unpacked / f"edgeagent-{version}.dist-info")
    wheel.unlink()
    packed = shutil.make_archive(str(place / "wheels/own"), "zip", unpacked)
    Path(packed).rename(place / f"wheels/edgeagent-{version}-py3-none-any.whl")
    shutil.rmtree(unpacked)
    write_sums(place)


def link_wheels(source: str, target: str) -> None:
    """A copy of everything but of wheels, which nobody changes."""
    (os.link if source.endswith(".whl") else shutil.copy2)(source, target)


def look_until(is_so: Callable[[], object], what: str) -> None:
    """Until it is so: it lies in another process. Looks a thousand times a second, for moments that are short."""
    deadline = time.monotonic() + WAIT_S
    while not is_so():
        assert time.monotonic() < deadline, f"never so: {what}"
        time.sleep(0.001)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def tree(root: Path, *places: str) -> dict[str, str]:
    """What lies at these places: kind, mode, owner, and content or target. Not the times."""
    found = {}
    for place in places:
        top = root / place.lstrip("/")
        for path in [top, *top.rglob("*")] if top.is_dir() and not top.is_symlink() else [top]:
            if not os.path.lexists(path):
                continue
            state = path.lstat()
            what = str(path.readlink()) if path.is_symlink() else sha256(path) if path.is_file() else ""
            found[str(path.relative_to(root))] = f"{state.st_mode:o} {state.st_uid}:{state.st_gid} {what}"
    return found
