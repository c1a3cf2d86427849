"""A release on trial: switched to, watched, and left again where it is not healthy within its time.

The trial is a file, `trial.json`, and a unit of its own that judges it: a terminal that closes does not end it, and
after a power cut it goes on at boot. Nothing of it needs the network.

    trial.json written -> links and units switched -> restarted -> judged -> kept, or switched back -> trial.json gone
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edgeagent.install.errors import InstallError
from edgeagent.install.layout import lay_out_units
from edgeagent.install.places import AGENT, TRIAL, Places
from edgeagent.install.release import linked
from edgeagent.install.system import System, replace_file, undisturbed
from edgeagent.install.verdict import WELL, Baseline, Seen, Verdict, Watch, judge

LOOK_S = 0.25
MAX_STATUS = 1_000_000


@dataclass(frozen=True)
class Trial:
    """`back`: the release to return to, "" for none. `keep`: what `previous` led to before."""

    to: str
    back: str
    keep: str
    healthy_s: float
    baseline: Baseline

    def text(self) -> bytes:
        return f"{json.dumps(asdict(self), indent=1)}\n".encode()


def read_trial(path: Path) -> Trial | None:
    """The trial that is going on; None for none. A file that cannot be read is one: nobody can say what it was."""
    with suppress(OSError, ValueError, TypeError, KeyError):
        found = json.loads(path.read_bytes())
        baseline = Baseline(**found.pop("baseline"))
        return Trial(baseline=baseline, **found)
    return None


def read_status(places: Places) -> dict[str, Any] | None:
    """What the agent's status file says. Its writer is not root, and may be ill: only so much of it, no waiting, and
    nothing where its components are not as they should be."""
    with suppress(OSError, ValueError, RecursionError):
        fd = os.open(places.status, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(fd, "rb") as file:
            found = json.loads(file.read(MAX_STATUS))
        components = found.get("components", {}) if isinstance(found, dict) else None
        if isinstance(components, dict) and all(isinstance(entry, dict) for entry in components.values()):
            return dict(found)
    return None


def look(system: System, places: Places) -> Seen:
    names = ("ActiveState", "MainPID", "NRestarts")
    shown = system.ask("systemctl", "show", "--property", ",".join(names), AGENT).stdout
    values = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
    pid, status = int(values.get("MainPID") or 0), read_status(places)
    own = status if status is not None and status.get("pid") == pid else None
    return Seen(values.get("ActiveState", "unknown"), pid, int(values.get("NRestarts") or 0), own)


def baseline_of(seen: Seen) -> Baseline:
    """How the device is before the change; nothing is expected where the agent does not run well now."""
    if seen.status is None or seen.status.get("state") not in WELL:
        return Baseline()
    components = {name: str(entry.get("health")) for name, entry in seen.status.get("components", {}).items()}
    return Baseline(components, bool(seen.status.get("results")), bool(seen.status.get("connected")))


def begin_trial(
    system: System, places: Places, name: str, parts: Path, *, healthy_s: float, returns: bool = True
) -> None:
    """Switch to release `name` and let the trial's unit judge it. `parts`: where its units are. `returns`: back to the
    one before if it is sick."""
    old = linked(places.current) or ""
    back = old if returns and old != name else ""
    keep = (linked(places.previous) or "") if old == name else old
    baseline = baseline_of(look(system, places)) if old else Baseline()
    trial = Trial(name, back, (linked(places.previous) or "") if back else keep, healthy_s, baseline)
    with undisturbed():
        system.remove(places.verdict)
        system.write(places.trial, trial.text(), mode=0o600, why=f"{name} is on trial")
        switch(system, places, name, parts, previous=keep)
        restart(system, what=f"start release {name}")
        if not system.dry_run:
            system.ask("systemctl", "start", "--no-block", TRIAL)


def restart(system: System, *, what: str) -> None:
    """The agent's service, with its counts of starts and crashes at zero: those of the release before, also of one that
    crashes all the time and has not failed for good, would be held against this one."""
    system.try_to("systemctl", "reset-failed", AGENT, what="forget failed starts")
    system.do("systemctl", "restart", "--no-block", AGENT, what=what)


def switch(system: System, places: Places, name: str, parts: Path, *, previous: str) -> None:
    """The links and the units of release `name`, those in `parts`. Each link changes in one step."""
    if previous:
        system.link(places.previous, f"releases/{previous}")
    else:
        system.remove(places.previous)
    system.link(places.current, f"releases/{name}")
    lay_out_units(system, places, parts)


def judge_trial(system: System, places: Places) -> Verdict:
    """What the trial's unit does: watch until there is a verdict, keep the release or leave it. Raises InstallError."""
    trial = read_trial(places.trial)
    if trial is None:
        system.remove(places.trial)
        return Verdict("healthy", "there is no trial")
    if linked(places.current) != trial.to:  # cut off before the switch: the old release runs
        system.remove(places.trial)
        return Verdict("sick", f"release {trial.to} was never switched to")
    verdict, again = watch(system, places, trial.baseline, trial.healthy_s), Verdict("healthy")
    if verdict.word == "healthy":
        system.remove(places.rolled_back)
    elif trial.back:
        again = _return(system, places, trial, verdict)
    _conclude(system, places, trial, verdict, again)
    return verdict


def watch(system: System, places: Places, baseline: Baseline, healthy_s: float) -> Verdict:
    """Look again and again until there is a verdict."""
    memory, deadline = Watch(), system.now() + healthy_s
    while True:
        memory, verdict = judge(baseline, memory, look(system, places), system.now(), deadline)
        if verdict.word != "wait":
            return verdict
        system.sleep(LOOK_S)


def _return(system: System, places: Places, trial: Trial, verdict: Verdict) -> Verdict:
    """Back to the release before; how that one is. The agent is told, and tells its fleet."""
    left = {"from_release": trial.to, "to_release": trial.back, "reason": verdict.reason, "told": False}
    switch(system, places, trial.back, places.release(trial.back) / "systemd", previous=trial.keep)
    if places.state_dir.is_dir():
        try:
            system.act(f"leave word in {places.rolled_back}", lambda: _leave_word(places, left))
        except InstallError as error:  # a full disk, or what the agent has put there, must not keep it from running
            system.say(f"not done: {error.message}")
    restart(system, what=f"start release {trial.back} again")
    again = watch(system, places, Baseline(), trial.healthy_s)
    if again.word != "healthy":
        system.say(f"release {trial.back} is not healthy either: {again.reason}")
    return again


def _leave_word(places: Places, left: dict[str, Any]) -> None:
    """For the agent, which may change it: readable by its group, whose directory it is."""
    replace_file(places.rolled_back, f"{json.dumps(left)}\n".encode(), mode=0o644)


def _conclude(system: System, places: Places, trial: Trial, verdict: Verdict, again: Verdict) -> None:
    """The verdict is written before the trial's file goes: whoever waits for it finds one of them. `again`: of the
    release that was returned to."""
    words = {"to": trial.to, "back": trial.back, "word": verdict.word, "reason": verdict.reason, "again": again.reason}
    system.write(places.verdict, f"{json.dumps(words)}\n".encode())
    system.remove(places.trial)


def wait_for_verdict(system: System, places: Places) -> dict[str, str]:
    """Start the trial's unit, or wait for it where it runs. Raises InstallError where it ends without a verdict."""
    ended = system.ask("systemctl", "start", TRIAL)
    with suppress(OSError, ValueError):
        found = json.loads(places.verdict.read_bytes())
        if isinstance(found, dict):
            return found
    reason = ended.stderr.strip() or "it left no verdict"
    raise InstallError(f"the new release could not be judged: {reason}", mend=f"journalctl -u {TRIAL}")
