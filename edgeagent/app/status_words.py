"""What `edgeagent status` says: the agent of this machine in its own words, out of its status file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgeagent.app.power_commands import agent_runs
from edgeagent.app.service import FILE, READY_STATES, status_line
from edgeagent.errors import OperatorError

OK, FAILED = 0, 1


def command_status(run_dir: Path, as_json: bool) -> tuple[int, str]:
    """Exit code 0 where the agent runs and is ready or degraded. Raises OperatorError where it has left no word."""
    facts = _read(run_dir / FILE)
    runs = agent_runs(run_dir / "agent.lock")
    code = OK if runs and facts.get("state") in READY_STATES else FAILED
    if as_json:
        return code, json.dumps({**facts, "runs": runs}, indent=2)
    return code, "\n".join(_lines(facts, runs))


def _lines(facts: Mapping[str, Any], runs: bool) -> list[str]:
    head = f"edgeagent {facts['version']}, pid {facts['pid']}: " if runs else "edgeagent does not run; its last word: "
    ill = {name: c for name, c in sorted(facts["components"].items()) if c["health"] != "ok"}
    well = len(facts["components"]) - len(ill)
    lines = [f"  {name:<20} {c['health']}: {c['reason']}" for name, c in ill.items()]
    return [head + status_line(facts), *lines, f"  {well} component{'' if well == 1 else 's'} ok"]


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is damaged"
        mend = "sudo edgeagent status" if isinstance(error, PermissionError) else "systemctl status edgeagent"
        raise OperatorError(f"{path} says nothing of an agent: {str(reason).lower()}", mend=mend) from error
    if not isinstance(found, dict) or not {"version", "pid", "state", "components"} <= found.keys():
        raise OperatorError(f"{path} is not an agent's status", mend="systemctl status edgeagent")
    return found
