"""The power helper as it is installed, on a virtual board, in a machine with a systemd of its own. No tests in here."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from container_machine import ENVIRONMENT, Machine, booted
from container_root import copy_tree, find_tools, kept_root

REPOSITORY = Path(__file__).parents[2]
INSIDE = Path(__file__).parent / "inside"
UNITS = ("edgeagent-power.socket", "edgeagent-power.service")
SOCKET, SERVICE = UNITS
BOARD, PRISTINE, SOURCE = "/srv/board", "/srv/pristine", "/opt/source"
MAKE_BOARD = "import pathlib, sys; sys.path.insert(0, sys.argv[1]); from edgeagent.simulate.board import make_board; "
USERS = (
    ("--system", "--user-group", "edgeagent"),
    ("--groups", "edgeagent", "member"),
    ("stranger",),
)
FAN_UNIT = "[Service]\nExecStart=/bin/sleep infinity\n"
Outcome = dict[str, Any]


@contextmanager
def power_machine(directory: Path) -> Iterator[PowerMachine]:
    """A booted machine with users, units, helper and board; `directory` is left as it was found."""
    find_tools("nsenter", "systemd-nspawn", "unshare")
    root = directory / "machine"
    try:
        copy_tree(kept_root(), root)
        _furnish(root)
        with booted(root) as machine:
            yield PowerMachine(machine)
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _furnish(root: Path) -> None:
    for words in USERS:
        _run_in(root, "useradd", *words)
    release = root / "opt/edgeagent/releases/1/libexec"
    release.mkdir(parents=True)
    (root / "opt/edgeagent/current").symlink_to("releases/1")
    shutil.copyfile(REPOSITORY / "edgeagent/power/helper.py", release / "edgeagent-power")
    (release / "edgeagent-power").chmod(0o755)
    for unit in UNITS:
        shutil.copyfile(REPOSITORY / "systemd" / unit, root / "etc/systemd/system" / unit)
    (root / "etc/systemd/system/nvfancontrol.service").write_text(FAN_UNIT)
    _run_in(root, "systemctl", "enable", "--quiet", SOCKET)
    _furnish_board(root)


def _furnish_board(root: Path) -> None:
    """Made by the machine's own Python: the stand-in tools' wrappers hold its paths."""
    source = root / SOURCE.lstrip("/")
    unneeded = shutil.ignore_patterns("__pycache__", "*.onnx")
    shutil.copytree(REPOSITORY / "edgeagent", source / "edgeagent", ignore=unneeded)
    shutil.copy(INSIDE / "call.py", source)
    make = f"{MAKE_BOARD}make_board('orin-nano', pathlib.Path(sys.argv[2]), seed=7)"
    _run_in(root, "python3", "-I", "-c", make, SOURCE, BOARD)
    copy_tree(root / BOARD.lstrip("/"), root / PRISTINE.lstrip("/"))


def _run_in(root: Path, *words: str) -> None:
    subprocess.run(["chroot", str(root), *words], check=True, stdin=subprocess.DEVNULL, env=ENVIRONMENT)


class PowerMachine:
    """What the tests do with the helper of a machine."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self._options: tuple[str, ...] = ()
        self.at_boot = self.service("ActiveState", "ExecMainStartTimestampMonotonic")

    def service(self, *properties: str) -> dict[str, str]:
        return self.machine.show(SERVICE, *properties)

    def serve(self, *options: str) -> None:
        """From now on the helper has these options besides those of the unit; none: the unit as it is."""
        if options == self._options:
            return
        drop_in = f"/run/systemd/system/{SERVICE}.d/test.conf"
        if options:
            shipped = (REPOSITORY / "systemd" / SERVICE).read_text().splitlines()
            start = next(line for line in shipped if line.startswith("ExecStart="))
            text = f"[Service]\nExecStart=\n{' '.join((start, *options))}\n"
            self.machine.run("install", "-D", "-m", "0644", "/dev/stdin", drop_in, text=text)
        else:
            self.machine.run("rm", "-f", drop_in)
        self.machine.run("systemctl", "daemon-reload")
        self._options = options

    def start_anew(self) -> None:
        """A service that does not run, has never failed and stored nothing, and a board as it was made."""
        self.machine.run("systemctl", "stop", SERVICE)
        self.machine.run("systemctl", "reset-failed")  # also forgets how often it was started
        self.machine.run("rm", "-rf", "/run/edgeagent-power", BOARD)
        self.machine.run("cp", "-a", PRISTINE, BOARD)

    def call(self, verb: str, *, user: str = "member", **arguments: str | int | bool) -> Outcome:
        found: Outcome = json.loads(self.machine.run(*_caller(verb, arguments), user=user))
        return found

    @contextmanager
    def calling(self, verb: str, **arguments: str | int | bool) -> Iterator[subprocess.Popen[str]]:
        """A member's call that goes on meanwhile; its answer is what it prints."""
        command = self.machine.command(*_caller(verb, arguments), user="member")
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as caller:
            try:
                yield caller
            finally:
                caller.kill()

    def board(self, path: str) -> str:
        return self.machine.path(f"{BOARD}/{path}").read_text().strip()

    def write_tool(self, name: str, body: str) -> None:
        """Put a tool of the test's own in the place of the board's."""
        path = self.machine.path(f"{BOARD}/bin/{name}")
        path.unlink(missing_ok=True)
        path.write_text(body)
        path.chmod(0o755)

    def misbehave(self, **words: list[str]) -> None:
        self.machine.path(f"{BOARD}/misbehave.json").write_text(json.dumps(words))

    def pid(self) -> int:
        """The helper's process, as the machine numbers it; 0 where none runs."""
        return int(self.service("MainPID")["MainPID"])

    def status_of(self, pid: int) -> dict[str, str]:
        """The fields of /proc/PID/status."""
        lines = self.machine.run("cat", f"/proc/{pid}/status").splitlines()
        return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}

    def namespaces(self, pid: int) -> dict[str, str]:
        names = ("mnt", "pid", "net", "ipc", "uts", "user")
        return {name: self.machine.run("readlink", f"/proc/{pid}/ns/{name}") for name in names}

    def journal(self) -> list[dict[str, Any]]:
        """What the journal holds of the service, oldest first."""
        self.machine.run("journalctl", "--sync")
        lines = self.machine.run("journalctl", "--unit", SERVICE, "--output", "json").splitlines()
        return [json.loads(line) for line in lines]


def _caller(verb: str, arguments: dict[str, str | int | bool]) -> list[str]:
    return ["/usr/bin/python3", "-I", f"{SOURCE}/call.py", verb, json.dumps(arguments)]
