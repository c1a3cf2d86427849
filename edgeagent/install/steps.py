"""The steps of an installation, an upgrade and a return, in their order. Each of them can be repeated.

release made -> user, directories, settings -> release checked with them -> switched to, on trial -> kept or left
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgeagent.install import layout
from edgeagent.install.errors import InstallError, RequestError
from edgeagent.install.facts import Facts
from edgeagent.install.options import Options
from edgeagent.install.places import AGENT, TRIAL, Places
from edgeagent.install.release import check_config, linked, make_release
from edgeagent.install.source import Source
from edgeagent.install.system import System
from edgeagent.install.trial import (
    LOOK_S,
    begin_trial,
    judge_trial,
    look,
    read_status,
    read_trial,
    restart,
    wait_for_verdict,
)
from edgeagent.install.verdict import WELL

SEEN_S = 5.0


def install_from(system: System, places: Places, options: Options, source: Source, facts: Facts) -> int:
    """Until the release of that source runs and is healthy. Raises InstallError, and RequestError for wishes."""
    _refuse_wishes(system, places, options)
    settle_old_trial(system, places)
    name = make_release(system, places, source, facts)
    release = places.release(name)
    layout.lay_out_home(system, places)
    layout.lay_out_user(system, places, release, source.folder)
    layout.first_config(system, places, release, options)
    check_config(system, release, places.config)
    layout.lay_out_installer(system, places, source.folder)
    parts = (source.folder if system.dry_run else release) / "systemd"
    keep = _to_keep(places, name)
    if _runs_already(system, places, name):
        layout.lay_out_units(system, places, parts)
        system.remove(places.rolled_back)
        remove_old_releases(system, places, keep)
        return _tell(system, places, name, changed=system.changes > 0)
    begin_trial(system, places, name, parts, healthy_s=options.healthy_s)
    return _end_of_trial(system, places, name, keep)


def _refuse_wishes(system: System, places: Places, options: Options) -> None:
    """As far as can be told before a release is made."""
    layout.refuse_config(places, options)
    runs = linked(places.current)
    if runs is not None and places.config.exists():
        layout.refuse_other_wishes(system, places.release(runs), options, places.config, str(places.config))


def roll_back(system: System, places: Places, options: Options) -> int:
    """To the release before. Raises RequestError where there is none."""
    settle_old_trial(system, places)
    name = linked(places.previous)
    if linked(places.current) is None:
        raise RequestError("edgeagent is not installed here", mend="sudo ./install.sh")
    if name is None:
        raise RequestError("there is no release before this one", mend="./install.sh --upgrade from another checkout")
    check_config(system, places.release(name), places.config)
    keep, parts = _to_keep(places, name), places.release(name) / "systemd"
    begin_trial(system, places, name, parts, healthy_s=options.healthy_s, returns=False)
    return _end_of_trial(system, places, name, keep)


def settle_old_trial(system: System, places: Places) -> None:
    """One that was cut off is brought to its end first: there is one `current` at a time."""
    if not places.trial.exists() or system.dry_run:
        return
    trial = read_trial(places.trial)
    if (trial is None or not trial.back) and look(system, places).active == "inactive":
        system.remove(places.trial)  # of a first install: nothing runs, and there is nothing to go back to
        return
    system.say("an earlier trial is not over: waiting for its verdict")
    judged = system.ask("systemctl", "is-active", TRIAL).stdout.strip() == "activating"
    if not judged and trial is not None and linked(places.current) == trial.to:
        restart(system, what=f"start release {trial.to}")  # it may have been cut off before that
    system.ask("systemctl", "start", TRIAL)  # or waits for the one that runs: there is one judge at a time
    if places.trial.exists():
        judge_trial(system, places)


def _to_keep(places: Places, name: str) -> set[str | None]:
    """Once release `name` runs: that one, and the one before."""
    runs = linked(places.current)
    return {name, linked(places.previous) if runs == name else runs}


def remove_old_releases(system: System, places: Places, keep: set[str | None]) -> None:
    """All but those to keep; also what is left of one that was cut off."""
    for path in sorted(places.releases.iterdir()) if places.releases.is_dir() else ():
        if path.name not in keep:
            system.remove(path)


def _runs_already(system: System, places: Places, name: str) -> bool:
    seen = look(system, places)
    return linked(places.current) == name and seen.active == "active" and (seen.status or {}).get("state") in WELL


def _end_of_trial(system: System, places: Places, name: str, keep: set[str | None]) -> int:
    if system.dry_run:
        remove_old_releases(system, places, keep)
        return 0
    system.say(f"waiting until release {name} is healthy")
    verdict = wait_for_verdict(system, places)
    if verdict["word"] == "healthy":
        remove_old_releases(system, places, keep)
        return _tell(system, places, name, changed=True)
    how = f"is not healthy either: {verdict['again']}" if verdict.get("again") else "runs"
    left = f"; back to release {verdict['back']}, which {how}" if verdict["back"] else ""
    raise InstallError(f"release {name} is not healthy: {verdict['reason']}{left}", mend=f"journalctl -u {AGENT}")


def _tell(system: System, places: Places, name: str, *, changed: bool) -> int:
    status = _status_now(system, places)
    state = status.get("state", "runs")
    system.say(f"edgeagent {name} {'is' if changed else 'was already'} installed and {state}")
    if status.get("reason"):
        system.say(f"because: {status['reason']}")
    system.say(f"settings: {places.config} (then: sudo systemctl reload {AGENT})")
    system.say("watch it: sudo edgeagent status; sudo edgeagent doctor; sudo journalctl -fu edgeagent")
    system.say(f"remove it: sudo {places.installer}/install.sh --uninstall")
    return 0


def _status_now(system: System, places: Places) -> Mapping[str, Any]:
    """What the agent says. It sees a moment later that word of an earlier return was taken away: so long we wait."""
    deadline = system.now() + SEEN_S
    while True:
        status = read_status(places) or {}
        release = status.get("components", {}).get("release", {})
        if release.get("health", "ok") == "ok" or system.dry_run or system.now() >= deadline:
            return status
        system.sleep(LOOK_S)
