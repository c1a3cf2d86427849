"""The one place that changes anything on the machine: programs, files, links. On a dry run it says so and does not.

Every change is made only where it is one, so that doing everything again changes nothing.
"""

from __future__ import annotations

import grp
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from edgeagent.install.errors import InstallError

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
Completed = subprocess.CompletedProcess[str]
Runner = Callable[..., Completed]


def run_program(words: Sequence[str], *, stdin: str = "", extra: dict[str, str] | None = None) -> Completed:
    """A program with a clean environment. Its output is kept, not shown. It has the installer's lock too: one that goes
    on after we were killed keeps the next run waiting, and does not write into what that one makes."""
    kept = {name: os.environ[name] for name in _passed_on() if name in os.environ}
    return subprocess.run(
        list(words),
        input=stdin,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        close_fds=False,
        env={"PATH": PATH, "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive", **kept, **(extra or {})},
    )


def _passed_on() -> list[str]:
    """What a site sets for its proxies, its certificates and its package index."""
    proxies = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
    return [*proxies, "SSL_CERT_FILE", *(name for name in os.environ if name.startswith("PIP_"))]


class System:
    """`say` takes a line for the person; `run` and the rest are others in tests. `changes` counts what changed."""

    def __init__(
        self,
        *,
        dry_run: bool,
        say: Callable[[str], None],
        run: Runner = run_program,
        sleep: Callable[[float], None] = time.sleep,
        now: Callable[[], float] = time.monotonic,
        sync: Callable[[], None] = os.sync,
    ) -> None:
        self.dry_run = dry_run
        self.say = say
        self.sleep = sleep
        self.now = now
        self.sync = sync
        self._run = run
        self.changes = 0

    def ask(self, *words: str, stdin: str = "") -> Completed:
        """A program that changes nothing; also on a dry run. One that is not there fails with status 127."""
        try:
            return self._run(words, stdin=stdin)
        except OSError as error:
            return Completed(list(words), 127, "", f"{words[0]}: {(error.strerror or str(error)).lower()}")

    def do(self, *words: str, what: str, mend: str = "", extra: dict[str, str] | None = None) -> None:
        """A program that changes something. Raises InstallError with its last words where it fails."""
        if self._only_said(what):
            return
        try:
            ended = self._run(words, extra=extra)
        except OSError as error:
            raise InstallError(f"{what}: {words[0]}: {(error.strerror or str(error)).lower()}", mend=mend) from error
        if ended.returncode != 0:
            raise InstallError(f"{what}: {last_words(ended)}", mend=mend)

    def try_to(self, *words: str, what: str) -> bool:
        """The same where a failure is to be told and does not matter otherwise."""
        try:
            self.do(*words, what=what)
        except InstallError as error:
            self.say(f"not done: {error.message}")
            return False
        return True

    def act(self, what: str, call: Callable[[], Any]) -> None:
        """Some other change, in our own words. Raises InstallError for what the machine refuses."""
        if self._only_said(what):
            return
        try:
            call()
        except OSError as error:
            where = f" ({error.filename})" if error.filename else ""
            raise InstallError(f"{what}: {(error.strerror or str(error)).lower()}{where}") from error

    def write(self, path: Path, data: bytes, *, mode: int = 0o644, group: str = "", why: str = "") -> None:
        """Make `path` hold `data`, whole or not at all, where it does not already."""
        if _holds(path, data, mode):
            return
        self.act(f"write {path}{f': {why}' if why else ''}", lambda: replace_file(path, data, mode=mode, group=group))

    def link(self, path: Path, target: str) -> None:
        """Make `path` a link to `target` in one step: at every moment it leads to the old or to the new one."""
        if path.is_symlink() and str(path.readlink()) == target:
            return
        self.act(f"link {path} to {target}", lambda: _link(path, target))

    def remove(self, path: Path) -> None:
        """A file, a link or a directory with all that is in it; nothing where it is not there. Of a mount point only
        what is in it: the file system is not ours."""
        if path.is_symlink() or path.is_file() or path.is_socket():
            self.act(f"remove {path}", path.unlink)
        elif path.is_mount():
            for inside in contents(path):
                self.remove(inside)
        elif path.is_dir():
            self.act(f"remove {path}", lambda: shutil.rmtree(path))

    def _only_said(self, what: str) -> bool:
        self.changes += 1
        self.say(f"would {what}" if self.dry_run else what)
        return self.dry_run


@contextmanager
def undisturbed() -> Iterator[None]:
    """Ctrl-C, the end of a terminal and a plain kill wait until this is done, also for the programs that are run."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGHUP, signal.SIGTERM))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def contents(place: Path) -> list[Path]:
    """What lies in a directory, but for what every ext4 has; nothing where it is none."""
    return sorted(path for path in place.iterdir() if path.name != "lost+found") if place.is_dir() else []


def last_words(ended: Completed) -> str:
    """The end of what a program said, on one line; its errors where it names them; its status where it said nothing."""
    said = [line.strip() for line in (ended.stderr.strip() or ended.stdout.strip()).splitlines()]
    errors = [line for line in said if line.startswith("ERROR:")]
    told = errors[-2:] or [line for line in said if line][-4:]
    return "; ".join(told) or f"ended with status {ended.returncode}"


def replace_file(path: Path, data: bytes, *, mode: int = 0o644, group: str = "") -> None:
    """Written beside its place, synced, renamed into it; never through a link that somebody else has put there."""
    beside = path.with_name(f".{path.name}.install")
    path.parent.mkdir(parents=True, exist_ok=True)
    beside.unlink(missing_ok=True)
    try:
        fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            if group:
                os.fchown(fd, -1, grp.getgrnam(group).gr_gid)
            os.fchmod(fd, mode)
            file.flush()
            os.fsync(fd)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _holds(path: Path, data: bytes, mode: int) -> bool:
    with suppress(OSError):
        found = path.lstat()
        return not path.is_symlink() and found.st_mode & 0o7777 == mode and path.read_bytes() == data
    return False


def _link(path: Path, target: str) -> None:
    beside = path.with_name(f".{path.name}.install")
    path.parent.mkdir(parents=True, exist_ok=True)
    beside.unlink(missing_ok=True)
    beside.symlink_to(target)
    beside.replace(path)
    sync_directory(path.parent)


def say(line: str) -> None:
    """To whoever reads our output; where nobody does any more (`| head`, a terminal that is gone, a disk that is full),
    the work goes on in silence."""
    if sys.stdout is None:  # closed before we were started
        return
    try:
        sys.stdout.write(f"install.sh: {line}\n")
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
