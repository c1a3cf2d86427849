"""What `edgeagent power ...` does: board and power meet here. Each command gives an exit code and the text to print."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edgeagent.app.power import SYSTEM_SOCKET, board_facts
from edgeagent.board.evidence import read_identity
from edgeagent.clock import SystemClock
from edgeagent.errors import OperatorError
from edgeagent.power.apply import Result
from edgeagent.power.board_power import BoardPower, RebootRule
from edgeagent.power.client import PowerHelper, SocketHelper, private_helper
from edgeagent.power.memory import MEMORY_FILE, PowerMemory, PowerMemoryError
from edgeagent.power.plan import Plan
from edgeagent.power.profile_files import load_profiles, shipped_profiles_dir
from edgeagent.power.report import (
    choices_json,
    plan_json,
    render_choices,
    render_plan,
    render_result,
    render_state,
    result_json,
    state_json,
)

OK, FAILED = 0, 1


@dataclass(frozen=True)
class PowerOptions:
    """Where the board and edgeagent's own things are.

    `state_dir` None: the board's own /var/lib/edgeagent. `socket` None: the machine's own helper, for "/" only.
    """

    root: Path = Path("/")
    profiles_dir: Path = Path("/etc/edgeagent/profiles")
    socket: Path | None = None
    state_dir: Path | None = None
    as_json: bool = False
    verbose: bool = False

    @property
    def memory_path(self) -> Path:
        return (self.state_dir or self.root / "var/lib/edgeagent") / MEMORY_FILE


def open_power(options: PowerOptions) -> BoardPower:
    """The board's power as the options say. Raises for profiles that are wrong."""
    profiles = load_profiles(shipped_profiles_dir(), options.profiles_dir)
    facts = board_facts(read_identity(options.root))
    return BoardPower(options.root, facts, profiles, options.memory_path, SystemClock())


def command_list(options: PowerOptions) -> tuple[int, str]:
    power = open_power(options)
    values = power.profile, power.choices(), power.conf(), power.look()
    return OK, json.dumps(choices_json(*values), indent=2) if options.as_json else render_choices(*values)


def command_show(options: PowerOptions) -> tuple[int, str]:
    power = open_power(options)
    values = power.conf(), power.look(), _memory_if_readable(power)
    return OK, json.dumps(state_json(*values), indent=2) if options.as_json else render_state(*values)


def _memory_if_readable(power: BoardPower) -> PowerMemory:
    """Whoever may not read edgeagent's state still gets the board's."""
    try:
        return power.memory()
    except PowerMemoryError:
        return PowerMemory()


def command_apply(options: PowerOptions, intent: str, *, dry_run: bool, allow_reboot: bool) -> tuple[int, str]:
    power = open_power(options)
    plan = power.plan(intent)  # what can be refused is refused before anything is started or written
    if dry_run:
        return OK, json.dumps(plan_json(plan), indent=2) if options.as_json else render_plan(plan)
    if allow_reboot:
        power.forget_failure()
    with open_helper(options) as helper:
        return _ended(options, *power.apply(intent, helper, _rule(allow_reboot)))


def command_restore(options: PowerOptions, *, allow_reboot: bool) -> tuple[int, str]:
    power = open_power(options)
    power.look()
    with open_helper(options) as helper:
        ended = power.restore(helper, _rule(allow_reboot), insist=True)
    if ended is None:
        text = "nothing to restore: edgeagent has not changed this board's power"
        return OK, json.dumps({"schema": "edgeagent/power-result/1", "state": "untouched"}) if options.as_json else text
    return _ended(options, *ended)


def _rule(allow_reboot: bool) -> RebootRule:
    return RebootRule(allow_reboot, per_day=10, why_not="allow it with --allow-reboot, or reboot by hand")


@contextmanager
def open_helper(options: PowerOptions) -> Iterator[PowerHelper]:
    """Root, and whoever owns a virtual board, runs the helper's program itself; everybody else asks the service."""
    if os.geteuid() == options.root.stat().st_uid:
        log = None if options.verbose else subprocess.DEVNULL
        with private_helper(options.root, state_dir=options.root / "run/edgeagent-power", log=log) as helper:
            yield helper
    elif options.socket is not None or options.root == Path("/"):
        yield SocketHelper(options.socket or Path(SYSTEM_SOCKET))
    else:
        raise OperatorError(
            f"{options.root} belongs to another user, and this machine's power helper is not for it",
            mend="run as its owner, or name the socket of a helper for it with --socket",
        )


def _ended(options: PowerOptions, plan: Plan, result: Result) -> tuple[int, str]:
    code = OK if result.word in ("applied", "unverified", "rebooting") else FAILED
    if options.as_json:
        return code, json.dumps(result_json(plan, result), indent=2)
    text = render_result(plan, result)
    if result.word == "rebooting":
        text += "\nafter the reboot: run this once more for the rest, or let the agent do it"
    if options.root == Path("/") and agent_runs():
        text += "\nnote: the agent is running; where its config names an intent, it will set that again"
    return code, text


def agent_runs(lock: Path = Path("/run/edgeagent/agent.lock")) -> bool:
    """Whether an agent holds this machine's run directory."""
    try:
        fd = os.open(lock, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(fd)
    return False
