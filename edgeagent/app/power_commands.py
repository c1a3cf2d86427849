"""What `edgeagent power ...` does: board and power meet here. Each command gives an exit code and the text to print."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from edgeagent.app.power import SYSTEM_SOCKET, board_facts
from edgeagent.board.evidence import read_identity
from edgeagent.clock import SystemClock
from edgeagent.errors import EdgeAgentError, OperatorError
from edgeagent.power.apply import Result
from edgeagent.power.board_power import BoardPower, RebootRule
from edgeagent.power.client import PowerHelper, SocketHelper, private_helper
from edgeagent.power.memory import MEMORY_FILE, PowerMemory, PowerMemoryError
from edgeagent.power.plan import Plan
from edgeagent.power.profile_files import load_profiles, shipped_profiles_dir
from edgeagent.power.report import (
    DAMAGED,
    choices_json,
    plan_json,
    reboot_lines,
    reboot_mend,
    render_choices,
    render_plan,
    render_result,
    render_state,
    required_now,
    result_json,
    state_json,
)

OK, FAILED = 0, 1


@dataclass(frozen=True)
class PowerOptions:
    """Where the board and edgeagent's own things are.

    `state_dir` None: the board's own /var/lib/edgeagent. `socket` None: the machine's own helper, for "/" only.
    `config` None: the board's own /etc/edgeagent/config.toml.
    """

    root: Path = Path("/")
    profiles_dir: Path = Path("/etc/edgeagent/profiles")
    socket: Path | None = None
    config: Path | None = None
    state_dir: Path | None = None
    as_json: bool = False
    verbose: bool = False

    @property
    def memory_path(self) -> Path:
        return (self.state_dir or self.root / "var/lib/edgeagent") / MEMORY_FILE

    @property
    def config_path(self) -> Path:
        return self.config or self.root / "etc/edgeagent/config.toml"


def open_power(options: PowerOptions) -> BoardPower:
    """The board's power as the options say. Raises for profiles that are wrong."""
    profiles = load_profiles(shipped_profiles_dir(), options.profiles_dir)
    facts = board_facts(read_identity(options.root))
    return BoardPower(options.root, facts, profiles, options.memory_path, SystemClock())


def command_list(options: PowerOptions) -> tuple[int, str]:
    power = open_power(options)
    values = power.profile, power.choices(), power.conf(), power.look(), *_recalled(power)
    return OK, json.dumps(choices_json(*values), indent=2) if options.as_json else render_choices(*values)


def command_show(options: PowerOptions) -> tuple[int, str]:
    power = open_power(options)
    values = power.conf(), power.look(), *_recalled(power)
    return OK, json.dumps(state_json(*values), indent=2) if options.as_json else render_state(*values)


def _recalled(power: BoardPower) -> tuple[PowerMemory, str]:
    """The memory and what is wrong with it. Whoever may not read edgeagent's state still gets the board's."""
    try:
        memory, problem = power.recall()
    except PowerMemoryError as error:
        return PowerMemory(), error.line()
    return memory, f"{problem}; {DAMAGED}" if problem else ""


def reboot_required(root: Path) -> tuple[dict[str, object] | None, list[str]]:
    """The power mode that waits for a reboot, for a program and for a person; nothing where none does."""
    try:
        power = open_power(PowerOptions(root))
        conf, state, memory = power.conf(), power.look(), _recalled(power)[0]
    except EdgeAgentError:
        return None, []
    required = required_now(memory, conf, state)
    return (asdict(required) if required else None), reboot_lines(conf, state, memory)


def command_apply(options: PowerOptions, intent: str, *, dry_run: bool, allow_reboot: bool) -> tuple[int, str]:
    power = open_power(options)
    plan = power.plan(intent)  # what can be refused is refused before anything is started or written
    if dry_run:
        return OK, _planned(options, power, plan)
    rule = _rule(options, allow_reboot)
    with open_helper(options) as helper:
        if allow_reboot:
            power.forget_failure()
        return _ended(options, power, *power.apply(intent, helper, rule))


def _planned(options: PowerOptions, power: BoardPower, plan: Plan) -> str:
    problem = _recalled(power)[1]
    if options.as_json:
        return json.dumps({**plan_json(plan), "memory_problem": problem or None}, indent=2)
    return "\n".join([render_plan(plan), *([f"note: {problem}"] if problem else [])])


def command_restore(options: PowerOptions, *, allow_reboot: bool) -> tuple[int, str]:
    power = open_power(options)
    power.look()
    rule = _rule(options, allow_reboot)
    with open_helper(options) as helper:
        ended = power.restore(helper, rule, insist=True)
    if ended is None:
        text = "nothing to restore: edgeagent has not changed this board's power"
        return OK, json.dumps({"schema": "edgeagent/power-result/1", "state": "untouched"}) if options.as_json else text
    return _ended(options, power, *ended)


def _rule(options: PowerOptions, allow_reboot: bool) -> RebootRule:
    """A person's reboots count as the agent's do, and have the same limit, which only a reboot asks for."""
    why_not = "allow it with --allow-reboot"
    return RebootRule(True, max_reboots_per_day(options)) if allow_reboot else RebootRule(why_not=why_not)


def max_reboots_per_day(options: PowerOptions) -> int:
    """What the config says, or its default where the board has none. Raises ConfigError for one that is wrong."""
    from edgeagent.config.files import load_config
    from edgeagent.config.schema import PowerSettings

    config = options.config_path
    if options.config is None and not os.access(config, os.F_OK):
        return PowerSettings().max_reboots_per_day
    return load_config(config, {}, socket.gethostname()).config.power.max_reboots_per_day


@contextmanager
def open_helper(options: PowerOptions) -> Iterator[PowerHelper]:
    """Root, and whoever owns a virtual board, runs the helper's program itself; everybody else asks the service, and
    so does whoever names its socket."""
    if options.root != Path("/") and options.socket == Path(SYSTEM_SOCKET):
        raise OperatorError(
            f"{options.socket} is this machine's own power helper, and {options.root} is another board",
            mend="name the socket of a helper that was started with --root for it",
        )
    if options.socket is None and os.geteuid() == options.root.stat().st_uid:
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


def _ended(options: PowerOptions, power: BoardPower, plan: Plan, result: Result) -> tuple[int, str]:
    code = OK if result.word in ("applied", "unverified", "rebooting") else FAILED
    if options.as_json:
        return code, json.dumps({**result_json(plan, result), "memory_problem": power.problem or None}, indent=2)
    text = render_result(plan, result)
    if result.word == "rebooting":
        text += "\nafter the reboot the agent does the rest, unless its config names an intent, which it sets instead; "
        text += "without an agent: run this once more"
    if result.word == "reboot_required":
        noted = power.look().mode_id == plan.target.mode_id
        text += f"\nmend: {reboot_mend(plan.wish, noted=noted)}"
    if power.problem:
        text += f"\nnote: {power.problem}; {DAMAGED}"
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
