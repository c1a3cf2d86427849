"""The real jtop service in its own test mode, on a stage of our own: a private mount namespace with a throw-away root.

Run as root in a new mount and PID namespace; prints one JSON object, each key a scene. The root is an overlay of the
machine's own, so whatever the service writes is gone with the namespace. jtop's test mode reads /fake_sys; its files
are made here, in the formats of the kernel.

usage: jtop_stage.py WORK_DIRECTORY PYTHON_WITH_JTOP
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from edgeagent.board.jtop import JtopSource, JtopState
from edgeagent.clock import Clock, ManualClock, SystemClock

GROUP, NOBODY = 64990, 65534
SOCKET, LOG = Path("/run/jtop.sock"), Path("/run/jtop.log")
PATIENCE_S = 30.0
INTERVAL_S = 0.5

FILES = {
    "kernel/debug/bpmp/debug/clk/emc/rate": "2133000000",
    "kernel/debug/bpmp/debug/clk/emc/min_rate": "204000000",
    "kernel/debug/bpmp/debug/clk/emc/max_rate": "3199000000",
    "kernel/debug/cactmon/mc_all": "25596000",
    "devices/gpu/of_node/name": "gpu\0",
    "devices/gpu/load": "421",
    "devices/gpu/devfreq/cur_freq": "612000000",
    "devices/gpu/devfreq/min_freq": "306000000",
    "devices/gpu/devfreq/max_freq": "918000000",
    "devices/gpu/devfreq/governor": "nvhost_podgov",
    **{
        f"kernel/debug/clk/{engine}/{file}": str(value)
        for engine, enabled, rate in (
            ("nvenc", 1, 435_200_000),
            ("nvdec", 0, 0),
            ("dla0_core", 1, 614_400_000),
            ("dla0_falcon", 1, 300_000_000),
        )
        for file, value in (
            ("clk_enable_count", enabled),
            ("clk_rate", rate),
            ("clk_max_rate", 998_400_000),
            ("clk_min_rate", 0),
        )
    },
}


def main() -> None:
    work, python = Path(sys.argv[1]), sys.argv[2]
    try:
        build_stage(work, python)
    except subprocess.CalledProcessError as error:
        print(json.dumps({"refused": f"{' '.join(error.cmd[:3])}: {error.stderr.strip()}"}))
        return
    print(json.dumps(dict(play(python))))


def play(python: str) -> Iterator[tuple[str, object]]:
    yield "without_socket", first_answer(python)
    with stale_socket():
        yield "stale_socket", first_answer(python)
    with service(python) as process:
        yield "as_root", first_answer(python)
        yield "as_member", as_user([GROUP], lambda: first_answer(python))
        yield "as_stranger", as_user([], lambda: first_answer(python))
        yield "frozen", frozen(python, process)
        with other_version(python):
            yield "other_version", first_answer(python)
        yield "service_killed", service_killed(python, process)
    yield (
        "own_process",
        {
            "start_method": multiprocessing.get_start_method(allow_none=True),
            "jtop_imported": "jtop" in sys.modules,
            "jtop_found_here": importlib.util.find_spec("jtop") is not None,
        },
    )


def first_answer(python: str, clock: Clock | None = None) -> dict[str, object]:
    """The state after the first that is not `starting`."""
    with JtopSource(clock or SystemClock(), python=python, interval_s=INTERVAL_S) as source:
        return told(until(source, lambda state: state.why != "starting"))


def frozen(python: str, process: subprocess.Popen[bytes]) -> dict[str, object]:
    """The service stops in the middle of everything; the agent's clock goes on."""
    clock = ManualClock()
    with JtopSource(clock, python=python, interval_s=INTERVAL_S) as source:
        before = told(until(source, lambda state: state.sample is not None))
        pid = source.pid or 0
        os.killpg(process.pid, signal.SIGSTOP)
        clock.advance(9.0)
        source.poll()
        clock.advance(60.0)
        after = told(until(source, lambda state: state.sample is None))
    os.killpg(process.pid, signal.SIGCONT)
    return {"before": before, "after": after, "child_is_gone": not Path(f"/proc/{pid}").exists()}


def service_killed(python: str, process: subprocess.Popen[bytes]) -> dict[str, object]:
    with JtopSource(SystemClock(), python=python, interval_s=INTERVAL_S) as source:
        until(source, lambda state: state.sample is not None)
        os.killpg(process.pid, signal.SIGKILL)
        return told(until(source, lambda state: state.sample is None))


def until(source: JtopSource, done: Callable[[JtopState], bool]) -> JtopState:
    deadline_s = time.monotonic() + PATIENCE_S
    while not done(state := source.poll()) and time.monotonic() < deadline_s:
        time.sleep(0.05)
    return state


def told(state: JtopState) -> dict[str, object]:
    sample = state.sample
    return {
        "why": state.why,
        "detail": state.detail,
        "given_up": state.given_up,
        "emc_khz": sample.emc_khz if sample else None,
        "emc_load_percent": sample.emc_load_percent if sample else None,
        "gpu_load_percent": sample.gpu_load_percent if sample else None,
        "engines": {engine.name: [engine.online, engine.freq_khz] for engine in sample.engines} if sample else {},
    }


def as_user(groups: list[int], play_scene: Callable[[], dict[str, object]]) -> object:
    """The scene in a process of an ordinary user with these groups."""
    mine, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.setgroups(groups)
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        os.write(theirs, json.dumps(play_scene()).encode())
        os._exit(0)
    os.close(theirs)
    with os.fdopen(mine, "rb") as pipe:
        text = pipe.read()
    os.waitpid(pid, 0)
    return json.loads(text or b"{}")


@contextlib.contextmanager
def stale_socket() -> Iterator[None]:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(SOCKET))
    yield
    SOCKET.unlink()


@contextlib.contextmanager
def other_version(python: str) -> Iterator[None]:
    """The client's package says another version than the running service read at its start."""
    code = "import importlib.util; print(importlib.util.find_spec('jtop').origin)"
    path = Path(subprocess.run([python, "-I", "-c", code], capture_output=True, check=True, text=True).stdout.strip())
    before = path.read_text()
    path.write_text(before.replace('__version__ = "', '__version__ = "99.'))
    yield
    path.write_text(before)


@contextlib.contextmanager
def service(python: str) -> Iterator[subprocess.Popen[bytes]]:
    environment = {**os.environ, "JTOP_SERVICE": "True", "JTOP_TESTING": "true"}
    command = [python, "-I", "-m", "jtop", "--force"]
    with (
        LOG.open("wb") as log,
        subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True) as process,
    ):
        try:
            deadline_s = time.monotonic() + PATIENCE_S
            while not is_open(SOCKET):
                if process.poll() is not None or time.monotonic() > deadline_s:
                    sys.exit(f"jtop's service did not start: {LOG.read_text()[-2000:]}")
                time.sleep(0.05)
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def is_open(path: Path) -> bool:
    """The service makes the socket first and opens it to its group then."""
    return path.is_socket() and path.stat().st_gid == GROUP


def build_stage(work: Path, python: str) -> None:
    mount("-t", "tmpfs", "tmpfs", str(work))
    root = work / "root"
    for name in ("upper", "scratch", "root"):
        (work / name).mkdir()
    options = f"lowerdir=/,upperdir={work}/upper,workdir={work}/scratch"
    mounts = mount_points()
    mount("-t", "overlay", "overlay", "-o", options, str(root))
    for path in mounts:
        if (root / path[1:]).is_dir() and not path.startswith(("/proc", "/sys", "/run", "/dev", str(work))):
            mount("-o", "bind,ro", path, f"{root}{path}")  # outside the overlay, so nothing may be written there
    mount("-t", "proc", "proc", f"{root}/proc")
    mount("--rbind", "/dev", f"{root}/dev")
    mount("-t", "tmpfs", "tmpfs", f"{root}/run")
    os.chroot(root)
    os.chdir("/")
    furnish()
    for program in (python, sys.executable, str(Path(python).resolve()), str(Path(sys.executable).resolve())):
        open_to_all(Path(program))


def open_to_all(program: Path) -> None:
    """An ordinary user must reach the interpreters. Only the overlay is changed, never what lies on other disks."""
    stage = Path("/").stat().st_dev
    for directory in program.parents:
        if directory.stat().st_dev == stage:
            directory.chmod(directory.stat().st_mode | 0o055)


def mount_points() -> list[str]:
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [path for line in lines if (path := line.split()[4]) != "/"]


def mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True, capture_output=True, text=True)


def furnish() -> None:
    """What jtop looks for: its group, a PC's DMI, CPUs, and the board's files for its test mode."""
    with Path("/etc/group").open("a") as file:
        file.write(f"jtop:x:{GROUP}:\n")
    write("/sys/devices/virtual/dmi/id/product_name", "Stage")
    write("/sys/devices/virtual/thermal/thermal_zone0/type", "cpu-thermal")
    write("/sys/devices/virtual/thermal/thermal_zone0/temp", "45000")
    Path("/sys/devices/system/cpu").mkdir(parents=True, exist_ok=True)
    lines = ["cpu  200 0 100 1000 0 0 0 0 0 0", "cpu0 100 0 50 500 0 0 0 0 0 0", "cpu1 100 0 50 500 0 0 0 0 0 0"]
    write("/fake_sys/stat", "\n".join(lines))
    for core in (0, 1):
        write(f"/fake_sys/devices/system/cpu/cpu{core}/online", "1")
    for directory in ("class/hwmon", "class/power_supply", "bus/i2c/devices"):
        Path("/fake_sys", directory).mkdir(parents=True)
    for name, content in FILES.items():
        write(f"/fake_sys/{name}", content)
    Path("/fake_sys/devices/gpu/devfreq/device").symlink_to("..")
    Path("/fake_sys/class/devfreq").mkdir()
    Path("/fake_sys/class/devfreq/17000000.gpu").symlink_to("../../devices/gpu/devfreq")


def write(path: str, content: str) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(f"{content}\n" if not content.endswith("\0") else content)


if __name__ == "__main__":
    main()
