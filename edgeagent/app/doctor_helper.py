"""Is the power helper there and willing. One short call of its verb that changes nothing."""

from __future__ import annotations

from pathlib import Path

from edgeagent.app.doctor_report import Check, ok, problem, warning
from edgeagent.power.client import HelperError, SocketHelper

TIMEOUT_S = 3.0


def check_helper(path: Path, *, wanted: bool, timeout_s: float = TIMEOUT_S) -> Check:
    """`wanted`: the config names a power intent, so that a helper that does not answer is a problem."""
    try:
        outcome = SocketHelper(path, timeout_s=timeout_s).call("status")
    except HelperError as error:
        make = problem if wanted else warning
        return make("power helper", error.message, error.mend)
    if outcome.result != "done":
        return warning("power helper", f"{outcome.result}: {outcome.detail}", "journalctl -u edgeagent-power")
    return ok("power helper", outcome.detail or "answers")
