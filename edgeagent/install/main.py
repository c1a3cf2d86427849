"""What install.sh does on a device, step by step. Every step can be repeated; a run that was cut off is completed by
the next one. Exit status: 0 done, 1 failed (the device is as before, or as the last line says), 2 cannot be asked for.
"""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from edgeagent.install import bundle, layout, removal
from edgeagent.install.checks import check, wanted_packages
from edgeagent.install.errors import InstallError, RequestError
from edgeagent.install.facts import Facts, read_facts
from edgeagent.install.options import Options, parse_options
from edgeagent.install.places import AGENT, TRIAL, Places
from edgeagent.install.release import check_config, linked, make_release, read_mark
from edgeagent.install.source import SUMS, Source, opened
from edgeagent.install.system import System, say
from edgeagent.install.trial import begin_trial, judge_trial, look, read_status, wait_for_verdict
from edgeagent.install.verdict import WELL

CHECKOUT = Path(__file__).resolve().parents[2]
KEPT = 2
"""Releases that stay: the one that runs and the one before."""


def main(arguments: Sequence[str]) -> int:
    try:
        options = parse_options(arguments)
        system, places = System(dry_run=options.dry_run, say=say), Places()
        if options.action == "bundle":
            return bundle.make_bundle(system, CHECKOUT, options)
        with _alone(places, options):
            return _do(system, places, options)
    except InstallError as error:
        sys.stderr.write(f"install.sh: {error.line()}\n")
        return error.status


def _do(system: System, places: Places, options: Options) -> int:
    if options.action == "judge":
        verdict = judge_trial(system, places)
        say(f"{verdict.word}{': ' if verdict.reason else ''}{verdict.reason}")
        return 0
    if options.action in ("uninstall", "purge"):
        _need_root(options)
        removal.uninstall(system, places, purge=options.action == "purge")
        return 0
    if options.action == "rollback":
        _need_root(options)
        return _rollback(system, places, options)
    return _install(system, places, options)


def _install(system: System, places: Places, options: Options) -> int:
    facts = _ready(system, places, options)
    with opened(CHECKOUT, options.offline or _bundle_here()) as source:
        _settle_old_trial(system, places)
        name = make_release(system, places, source, facts)
        release = places.release(name)
        layout.lay_out_user(system, places, release, source.folder)
        layout.first_config(system, places, release, options)
        check_config(system, release, places.config)
        layout.lay_out_installer(system, places, source.folder)
        if _runs_already(system, places, name):
            layout.lay_out_units(system, places, _parts(system, source, release))
            system.remove(places.rolled_back)
            return _tell(system, places, name, changed=system.changes > 0)
        begin_trial(system, places, name, healthy_s=options.healthy_s)
        if system.dry_run:
            layout.lay_out_units(system, places, source.folder / "systemd")
            return 0
    return _end_of_trial(system, places, name)


def _bundle_here() -> Path | None:
    """This checkout itself where it is an unpacked bundle: then nothing is fetched."""
    return CHECKOUT if (CHECKOUT / SUMS).is_file() else None


def _ready(system: System, places: Places, options: Options) -> Facts:
    """The checks, and the system packages that mend what they find. Raises InstallError for what is left."""
    facts = read_facts(system, places, options.board_root)
    findings = check(facts, any_host=options.any_host)
    wanted = wanted_packages(findings)
    online = (options.offline or _bundle_here()) is None
    if wanted and online and facts.root and _apt_install(system, wanted):
        facts = facts if system.dry_run else read_facts(system, places, options.board_root)
        findings = [f for f in check(facts, any_host=options.any_host) if not (system.dry_run and f.package)]
    for finding in findings:
        say(finding.line())
    fatal = sum(finding.fatal for finding in findings)
    if fatal and not (system.dry_run and facts.root is False and fatal == 1):
        raise InstallError(f"not installed: {fatal} problem{'s' if fatal > 1 else ''}, see above")
    return facts


def _apt_install(system: System, wanted: list[str]) -> bool:
    words = ("apt-get", "-qq", "install", "-y", "--no-install-recommends", *wanted)
    return system.try_to(*words, what=f"install the system packages {' '.join(wanted)}")


def _settle_old_trial(system: System, places: Places) -> None:
    """One that was cut off is brought to its end first: there is one `current` at a time."""
    if not places.trial.exists() or system.dry_run:
        return
    say("an earlier trial is not over: waiting for its verdict")
    if system.ask("systemctl", "is-active", TRIAL).stdout.strip() == "activating":
        system.ask("systemctl", "start", TRIAL)  # waits for the one that runs
    else:
        judge_trial(system, places)


def _runs_already(system: System, places: Places, name: str) -> bool:
    seen = look(system, places)
    return linked(places.current) == name and seen.active == "active" and (seen.status or {}).get("state") in WELL


def _parts(system: System, source: Source, release: Path) -> Path:
    return source.folder / "systemd" if system.dry_run else release / "systemd"


def _end_of_trial(system: System, places: Places, name: str) -> int:
    say(f"waiting until release {name} is healthy")
    verdict = wait_for_verdict(system, places)
    if verdict["word"] == "healthy":
        remove_old_releases(system, places)
        return _tell(system, places, name, changed=True)
    left = f"; back to release {verdict['back']}, which runs" if verdict["back"] else ""
    raise InstallError(f"release {name} is not healthy: {verdict['reason']}{left}", mend=f"journalctl -u {AGENT}")


def _rollback(system: System, places: Places, options: Options) -> int:
    _settle_old_trial(system, places)
    name = linked(places.previous)
    if name is None:
        raise RequestError("there is no release before this one", mend="./install.sh --upgrade from another checkout")
    check_config(system, places.release(name), places.config)
    begin_trial(system, places, name, healthy_s=options.healthy_s, returns=False)
    return 0 if system.dry_run else _end_of_trial(system, places, name)


def remove_old_releases(system: System, places: Places) -> None:
    """All but the one that runs and the one before; also what is left of one that was cut off."""
    keep = {linked(places.current), linked(places.previous)}
    for path in sorted(places.releases.iterdir()):
        if path.name not in keep:
            system.remove(path)


def _tell(system: System, places: Places, name: str, *, changed: bool) -> int:
    status = read_status(places) or {}
    version = (read_mark(places.release(name)) or {}).get("version", name)
    say(f"edgeagent {version} {'is' if changed else 'was already'} installed and {status.get('state', 'runs')}")
    if status.get("reason"):
        say(f"because: {status['reason']}")
    say(f"settings: {places.config} (then: sudo systemctl reload {AGENT})")
    say("watch it: systemctl status edgeagent; journalctl -fu edgeagent; sudo edgeagent doctor")
    say(f"remove it: sudo {places.installer}/install.sh --uninstall")
    return 0


def _need_root(options: Options) -> None:
    if os.geteuid() != 0 and not options.dry_run:
        raise RequestError(f"--{options.action} needs root", mend=f"sudo ./install.sh --{options.action}")


@contextmanager
def _alone(places: Places, options: Options) -> Iterator[None]:
    """One installer at a time. The trial's unit is started by another one that waits for it, and needs no lock."""
    if options.dry_run or options.action == "judge" or os.geteuid() != 0:
        yield
        return
    places.lock.parent.mkdir(parents=True, exist_ok=True)
    with places.lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RequestError("another install.sh is running", mend="wait for it") from error
        yield
