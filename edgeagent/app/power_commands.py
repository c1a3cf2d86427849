"""What `edgeagent power ...` does: board and power meet here. Each command gives an exit code and the text to print."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edgeagent.app.power import board_facts
from edgeagent.board.evidence import read_identity
from edgeagent.clock import SystemClock
from edgeagent.power.apply import Result
from edgeagent.power.board_power import BoardPower, RebootRule
from edgeagent.power.client import PowerHelper, SocketHelper, private_helper
from edgeagent.power.memory import load_memory
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
MEMORY_FILE = "power.json"


@dataclass(frozen=True)
class PowerOptions:
    """Where the board and edgeagent's own things are. `state_dir` None: the board's own /var/lib/edgeagent."""

    root: Path = Path("/")
    profiles_dir: Path = Path("/etc/edgeagent/profiles")
    socket: Path = Path("/run/edgeagent-power.sock")
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
    memory, _ = load_memory(options.memory_path)
    values = power.conf(), power.look(), memory
    return OK, json.dumps(state_json(*values), indent=2) if options.as_json else render_state(*values)


def command_apply(options: PowerOptions, intent: str, *, dry_run: bool, allow_reboot: bool) -> tuple[int, str]:
    power = open_power(options)
    if dry_run:
        plan = power.plan(intent)
        return OK, json.dumps(plan_json(plan), indent=2) if options.as_json else render_plan(plan)
    if allow_reboot:
        power.forget_failure()
    with open_helper(options) as helper:
        return _ended(options, *power.apply(intent, helper, RebootRule(allow_reboot, per_day=10)))


def command_restore(options: PowerOptions, *, allow_reboot: bool) -> tuple[int, str]:
    power = open_power(options)
    with open_helper(options) as helper:
        ended = power.restore(helper, RebootRule(allow_reboot, per_day=10))
    if ended is None:
        text = "nothing to restore: edgeagent has not changed this board's power"
        return OK, json.dumps({"schema": "edgeagent/power-result/1", "state": "untouched"}) if options.as_json else text
    return _ended(options, *ended)


@contextmanager
def open_helper(options: PowerOptions) -> Iterator[PowerHelper]:
    """Root, and whoever owns a virtual board, runs the helper's program itself; everybody else asks the service."""
    if os.geteuid() == options.root.stat().st_uid:
        log = None if options.verbose else subprocess.DEVNULL
        with private_helper(options.root, state_dir=options.root / "run/edgeagent-power", log=log) as helper:
            yield helper
    else:
        yield SocketHelper(options.socket)


def _ended(options: PowerOptions, plan: Plan, result: Result) -> tuple[int, str]:
    code = OK if result.word in ("applied", "unverified", "rebooting") else FAILED
    return code, json.dumps(result_json(plan, result), indent=2) if options.as_json else render_result(plan, result)
