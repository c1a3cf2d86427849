"""One release in a real arm64 Debian, under user-mode emulation: made as the installer makes it, doctor, board, demo.

A command, not a test: emulation takes minutes. As root, with debootstrap and qemu-user-static:

    python tests/container/arm64_install.py [DIRECTORY]

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

SUITE, ARCH, PYTHON = "bookworm", "arm64", "3.11"
BINFMT = Path("/proc/sys/fs/binfmt_misc")
PACKAGES = "python3,python3-venv,ca-certificates"
DEMO_S = 20
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


def main() -> None:
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgeagent"
    place = Path(sys.argv[1]).absolute() if len(sys.argv) > 1 else home
    started = time.monotonic()
    register_emulator()
    kept = debian(place)
    with tempfile.TemporaryDirectory(prefix="edgeagent-arm64-", dir="/var/tmp") as folder, copied(kept, folder) as root:
        bundle(Path(folder), root)
        step("make the release", started)
        run(root, "python3", "-IB", "-c", MAKE)
        check(root, started)
    step("all done", started)


def check(root: Path, started: float) -> None:
    command = "/opt/edgeagent/current/bin/edgeagent"
    step("doctor", started)
    run(root, command, "doctor", ok=(0, 1))
    step("board, on a virtual Orin Nano", started)
    run(root, command, "simulate", "board", "orin-nano", "--root", "/srv/board")
    said = json.loads(run(root, command, "board", "--json", "--root", "/srv/board"))
    assert said["identity"]["soc"] == "t234", said["identity"]
    step(f"demo, {DEMO_S} s from the first result", started)
    pip = ("/opt/edgeagent/current/venv/bin/python", "-m", "pip", "install", "--quiet", "--no-index")
    run(root, *pip, "--find-links", "/srv/demo", "rich")
    port, report = free_port(), root / "srv/report.json"
    with tempfile.TemporaryDirectory() as logs, mosquitto(Path(logs), port):
        options = ("--headless", "--duration", str(DEMO_S), "--report", "/srv/report.json")
        run(root, command, "demo", "--broker", f"mqtt://127.0.0.1:{port}", "--state", "/srv/state", *options)
    print(report.read_text())


def register_emulator() -> None:
    """So that the kernel starts arm64 programs with qemu."""
    if platform.machine() == "aarch64":
        return
    if not (BINFMT / "register").exists():
        subprocess.run(["mount", "-t", "binfmt_misc", "binfmt_misc", str(BINFMT)], check=True)
    if not (BINFMT / "qemu-aarch64").exists():
        subprocess.run(["update-binfmts", "--enable", "qemu-aarch64"], check=True)


def debian(place: Path) -> Path:
    """Made once."""
    kept, unfinished = place / f"{SUITE}-{ARCH}", place / f"{SUITE}-{ARCH}.unfinished"
    if not kept.is_dir():
        shutil.rmtree(unfinished, ignore_errors=True)
        place.mkdir(parents=True, exist_ok=True)
        words = ["debootstrap", f"--arch={ARCH}", "--variant=minbase", f"--include={PACKAGES}", SUITE, str(unfinished)]
        own = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
        subprocess.run([*own, *words], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        unfinished.rename(kept)
    return kept


@contextmanager
def copied(kept: Path, folder: str) -> Iterator[Path]:
    root = Path(folder, "root")
    subprocess.run(["cp", "-a", "--reflink=auto", str(kept), str(root)], check=True)
    yield root


def bundle(folder: Path, root: Path) -> None:
    words = [str(REPOSITORY / "install.sh"), "--bundle", str(folder / "b.tar"), "--arch", "aarch64", "--any-host"]
    subprocess.run([*words, "--python", PYTHON], check=True, env={**os.environ, "PYTHON": sys.executable})
    subprocess.run(["tar", "xf", str(folder / "b.tar"), "-C", str(folder)], check=True)
    next(folder.glob("edgeagent-*")).rename(root / "srv/bundle")
    fetch = [sys.executable, "-m", "pip", "download", "--quiet", "--dest", str(root / "srv/demo"), "rich"]
    subprocess.run(fetch, check=True)  # the demo's own; wheels for any machine


def run(root: Path, *words: str, ok: tuple[int, ...] = (0,)) -> str:
    """In the Debian, with /proc, /dev/shm and the host's loopback; what it prints."""
    mounts = 'mount -t proc proc proc && mount --rbind /dev dev && mount --rbind /sys sys && exec chroot . "$@"'
    own = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-ec", mounts, "sh", *words]
    ended = subprocess.run(
        own, cwd=root, env=ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=False
    )
    print(ended.stdout[-3000:], flush=True)
    assert ended.returncode in ok, f"{words}: status {ended.returncode}"
    return ended.stdout


def step(text: str, started: float) -> None:
    print(f"== {text} ({time.monotonic() - started:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
