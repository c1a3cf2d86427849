"""One release in a real arm64 Debian, under user-mode emulation: made from a bundle as the installer makes it, with no
network in there, then doctor, board, demo.

A command, not a test: emulation takes minutes. As root, with debootstrap and qemu-user-static:

    python tests/container/arm64_install.py [bookworm|trixie] [DIRECTORY]

It registers the emulator with the kernel (binfmt_misc) for as long as the machine is up. The Debian is kept in
DIRECTORY (default: the tests' cache). No systemd runs in it: units and the trial are what the other tests are for.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "tests/integration")]

from test_link_kit import free_port, mosquitto  # noqa: E402  the path comes first

ARCH = "arm64"
PYTHONS = {"bookworm": "3.11", "trixie": "3.13"}
"""Debian's; JetPack's 3.10 and 3.12 are in neither."""
BINFMT = Path("/proc/sys/fs/binfmt_misc")
PACKAGES = "python3,python3-venv,ca-certificates"
DEMO_S = 20
LIMIT_S = 1800
"""For each step in there: a time to end at, not to be met."""
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/root"}
MAKE = """
import dataclasses, sys
from pathlib import Path
sys.path.insert(0, "/srv/bundle")
from edgeagent.install.facts import read_facts
from edgeagent.install.places import Places
from edgeagent.install.release import make_release
from edgeagent.install.source import opened
from edgeagent.install.system import System, say
system, places = System(dry_run=False, say=say), Places()
facts = read_facts(system, places, Path("/"))
say(f"{facts.arch}, Python {facts.python_text}")
with opened(Path("/srv/bundle"), Path("/srv/bundle")) as source:
    name = make_release(system, places, source, facts)
system.link(places.current, f"releases/{name}")
"""


DEMO = """
import signal, subprocess, sys
with subprocess.Popen(sys.argv[2:], stdout=subprocess.PIPE, text=True) as demo:
    for line in demo.stdout:
        print(line, end="", flush=True)
        if line.startswith("running for ") and int(line.split()[2]) >= int(sys.argv[1]):
            demo.send_signal(signal.SIGINT)
sys.exit(demo.returncode)
"""
"""Stops it that long after the first result, whenever that comes: emulated, the engine takes minutes to make."""
COMMAND = "/opt/edgeagent/current/bin/edgeagent"
VENV_PYTHON = "/opt/edgeagent/current/venv/bin/python"


def main() -> None:
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgeagent"
    suite = sys.argv[1] if len(sys.argv) > 1 else "bookworm"
    place = Path(sys.argv[2]).absolute() if len(sys.argv) > 2 else home
    register_emulator()
    steps = Steps()
    with steps.timed(f"Debian {suite}, {ARCH}"):
        kept = debian(place, suite)
    with tempfile.TemporaryDirectory(prefix="edgeagent-arm64-", dir="/var/tmp") as folder, copied(kept, folder) as root:
        with steps.timed("bundle, on this machine"):
            bundle(Path(folder), root, PYTHONS[suite])
        with steps.timed("release from it, no network"):
            run(root, "python3", "-IB", "-c", MAKE)
        check(root, steps)
    print(steps.summary())


def check(root: Path, steps: Steps) -> None:
    with steps.timed("doctor, no network"):
        run(root, COMMAND, "doctor", ok=(0, 1))
    with steps.timed("board, on a virtual Orin Nano"):
        run(root, COMMAND, "simulate", "board", "orin-nano", "--root", "/srv/board")
        said = json.loads(run(root, COMMAND, "board", "--json", "--root", "/srv/board", show=False))
        assert said["identity"]["soc"] == "t234", said["identity"]
    with steps.timed(f"headless demo, {DEMO_S} s from the first result"):
        pip = (VENV_PYTHON, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-index")
        run(root, *pip, "--find-links", "/srv/demo", "rich")
        demo(root)


def demo(root: Path) -> None:
    port = free_port()
    with tempfile.TemporaryDirectory() as logs, mosquitto(Path(logs), port):
        words = ("demo", "--headless", "--broker", f"mqtt://127.0.0.1:{port}", "--state", "/srv/state")
        stopped = ("python3", "-c", DEMO, str(DEMO_S), COMMAND, *words, "--report", "/srv/report.json")
        run(root, *stopped, network=True)
    report = json.loads((root / "srv/report.json").read_text())
    print(json.dumps(report), flush=True)
    assert report["frames"] > 0 and report["engine"]["key"], report


class Steps:
    """What was done, and how long each took."""

    def __init__(self) -> None:
        self._took: list[tuple[str, float]] = []

    @contextmanager
    def timed(self, text: str) -> Iterator[None]:
        print(f"== {text}", flush=True)
        started = time.monotonic()
        yield
        self._took.append((text, time.monotonic() - started))

    def summary(self) -> str:
        return "\n".join(["== all passed", *(f"{seconds:6.0f} s  {text}" for text, seconds in self._took)])


def register_emulator() -> None:
    """So that the kernel starts arm64 programs with qemu."""
    if platform.machine() == "aarch64":
        return
    if not (BINFMT / "register").exists():
        subprocess.run(["mount", "-t", "binfmt_misc", "binfmt_misc", str(BINFMT)], check=True)
    if not (BINFMT / "qemu-aarch64").exists():
        subprocess.run(["update-binfmts", "--enable", "qemu-aarch64"], check=True)


def debian(place: Path, suite: str) -> Path:
    """Made once."""
    kept, unfinished = place / f"{suite}-{ARCH}", place / f"{suite}-{ARCH}.unfinished"
    if not kept.is_dir():
        shutil.rmtree(unfinished, ignore_errors=True)
        place.mkdir(parents=True, exist_ok=True)
        words = ["debootstrap", f"--arch={ARCH}", "--variant=minbase", f"--include={PACKAGES}", suite, str(unfinished)]
        own = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
        subprocess.run([*own, *words], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        unfinished.rename(kept)
    return kept


@contextmanager
def copied(kept: Path, folder: str) -> Iterator[Path]:
    root = Path(folder, "root")
    subprocess.run(["cp", "-a", "--reflink=auto", str(kept), str(root)], check=True)
    yield root


def bundle(folder: Path, root: Path, python: str) -> None:
    words = [str(REPOSITORY / "install.sh"), "--bundle", str(folder / "b.tar"), "--arch", "aarch64", "--any-host"]
    subprocess.run([*words, "--python", python], check=True, env={**os.environ, "PYTHON": sys.executable})
    subprocess.run(["tar", "xf", str(folder / "b.tar"), "-C", str(folder)], check=True)
    next(folder.glob("edgeagent-*")).rename(root / "srv/bundle")
    fetch = [sys.executable, "-m", "pip", "download", "--quiet", "--dest", str(root / "srv/demo"), "rich"]
    subprocess.run(fetch, check=True)  # the demo's own; wheels for any machine


def run(root: Path, *words: str, ok: tuple[int, ...] = (0,), network: bool = False, show: bool = True) -> str:
    """In the Debian, with /proc and /dev; what it prints. `network`: this machine's, else there is none.

    Not with this machine's /sys: it describes a processor of another make, and ONNX Runtime dies of that. The program
    is not the namespace's first process, which would survive its own crash and hang.
    """
    mounts = 'mount -t proc proc proc && mount --rbind /dev dev && chroot . "$@"'
    own = ["unshare", "--mount", "--pid", *([] if network else ["--net"]), "--fork", "--kill-child"]
    ended = subprocess.run(
        [*own, "sh", "-ec", mounts, "sh", *words],
        cwd=root,
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        timeout=LIMIT_S,
    )
    if show:
        print(ended.stdout[-3000:], flush=True)
    assert ended.returncode in ok, f"{words}: status {ended.returncode}"
    return ended.stdout


if __name__ == "__main__":
    main()
