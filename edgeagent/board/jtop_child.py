"""Asks jtop for what sysfs does not give to ordinary users, in a process of its own: a line of JSON a sample.

`import jtop` forces multiprocessing to fork, its client unpickles what the service sends, and it can wait for ever:
none of that may happen inside the agent. Only the standard library and jtop are imported here, so that any interpreter
that has jtop can run this file, and starting it is cheap. It changes nothing on the board.

    {"sample": {"emc_khz": 3199000, "emc_load_percent": 3, "gpu_load_percent": 12.5,
                "engines": [["NVENC", false, 435200], ...]}}
    {"end": "not-running", "detail": "one line"}        the last line, when it is jtop that ends it

It ends when its stdin does, so it never outlives the agent. jtop is AGPL-3.0 and is not a part of this program: it is
used where an operator installed it, over its public Python interface.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import signal
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

SOCKET = "/run/jtop.sock"
MAX_ENGINES = 64
_REASONS = (
    ("not active", "not-running"),
    ("Lost connection", "not-running"),
    ("can't access", "no-permission"),
    ("Mismatch version", "version-mismatch"),
    ("Mismatch of Python", "python-mismatch"),
)


def main(interval_s: float, socket: str) -> NoReturn:
    """Never returns: jtop's threads would hold an ordinary exit up."""
    out = _keep_stdout()
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole terminal; the agent decides
    _make_modest()
    try:
        reason, detail = _follow(interval_s, socket, out)
    except BrokenPipeError:
        os._exit(0)
    _say(out, {"end": reason, "detail": " ".join(detail.split())[:200]})
    os._exit(0)


def _make_modest() -> None:
    """The first to wait when processors are short, and the first to go when memory is."""
    os.nice(10)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500")


def _keep_stdout() -> int:
    """A descriptor for our lines alone; what libraries print goes nowhere."""
    out = os.dup(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    return out


def _end_with_stdin() -> None:
    while os.read(0, 4096):
        pass
    os._exit(0)


def _say(out: int, message: Mapping[str, object]) -> None:
    """A line shorter than a pipe's buffer is written whole."""
    os.write(out, json.dumps(message).encode() + b"\n")


def _follow(interval_s: float, socket: str, out: int) -> tuple[str, str]:
    """Samples until jtop ends; why it did."""
    if importlib.util.find_spec("jtop") is None:
        return "absent", "the Python package jetson-stats is not installed"
    if problem := _socket_problem(socket):
        return problem
    try:
        _samples(interval_s, out)
    except BrokenPipeError:
        raise
    except PermissionError as error:
        return "no-permission", str(error)
    except Exception as error:  # noqa: BLE001  the outermost function of a child; jtop raises all kinds
        return _reason_of(error), f"{type(error).__name__}: {error}"
    return "stalled", "jtop's service sends nothing"


def _socket_problem(socket: str) -> tuple[str, str] | None:
    """Told apart before jtop is imported: a look at the socket costs nothing, the import a third of a second."""
    if not Path(socket).is_socket():
        return "not-running", f"there is no socket {socket}"
    if not os.access(socket, os.R_OK | os.W_OK):
        return "no-permission", f"{socket} is closed to this user: it takes the group jtop"
    return None


def _reason_of(error: BaseException) -> str:
    if isinstance(error, EOFError):
        return "not-running"
    return next((reason for words, reason in _REASONS if words in str(error)), "failed")


def _samples(interval_s: float, out: int) -> None:
    from jtop import jtop

    client = jtop(interval_s)
    client.start()
    while client.ok():
        _say(out, {"sample": sample_of(client.memory, client.gpu, client.engine)})


def sample_of(memory: Mapping[str, Any], gpu: Mapping[str, Any], engine: Mapping[str, Any]) -> dict[str, object]:
    """jtop's own shapes: memory["EMC"], gpu[name]["status"]["load"], engine[group][name]. Missing parts are None."""
    emc = memory.get("EMC") or {}
    loads = [unit.get("status", {}).get("load") for unit in gpu.values()]
    engines = [
        [name, unit.get("online"), unit.get("cur")] for group in engine.values() for name, unit in group.items() if unit
    ]
    return {
        "emc_khz": emc.get("cur"),
        "emc_load_percent": emc.get("val"),
        "gpu_load_percent": next((load for load in loads if load is not None), None),
        "engines": engines[:MAX_ENGINES],
    }


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 2.0, sys.argv[2] if len(sys.argv) > 2 else SOCKET)
