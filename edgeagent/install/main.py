"""What install.sh does on a device, step by step. Every step can be repeated; a run that was cut off is completed by
the next one. Exit status: 0 done, 1 failed (the device is as before, or as the last line says), 2 cannot be asked for.
"""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from edgeagent.install import bundle, removal
from edgeagent.install.checks import check, wanted_packages
from edgeagent.install.errors import InstallError, RequestError
from edgeagent.install.facts import Facts, read_facts
from edgeagent.install.options import Options, parse_options
from edgeagent.install.places import TRIAL, Places
from edgeagent.install.release import read_mark, release_name
from edgeagent.install.source import SUMS, opened, read_source
from edgeagent.install.steps import install_from, roll_back
from edgeagent.install.system import System, say
from edgeagent.install.trial import judge_trial

CHECKOUT = Path(__file__).resolve().parents[2]


def main(arguments: Sequence[str]) -> int:
    try:
        options = parse_options(arguments)
        system, places = System(dry_run=options.dry_run, say=say), Places()
        if options.action == "bundle":
            return bundle.make_bundle(system, CHECKOUT, options)
        with _alone(places, options):
            return _do(system, places, options)
    except InstallError as error:
        return _ends(error.line(), error.status)
    except OSError as error:
        where, root = f"{error.filename}: " if error.filename else "", os.geteuid() == 0
        mend = "" if root or not isinstance(error, PermissionError) else "; only root may look there: sudo ./install.sh"
        return _ends(f"{where}{(error.strerror or str(error)).lower()}{mend}", 1)
    except KeyboardInterrupt:
        on_trial = f"the new release is judged all the same (journalctl -fu {TRIAL}), and "
        return _ends(f"interrupted; {on_trial if _is_on_trial() else ''}the same command completes what is left", 130)


def _ends(line: str, status: int) -> int:
    with suppress(OSError, AttributeError):  # nobody listens
        sys.stderr.write(f"install.sh: {line}\n")
    return status


def _is_on_trial() -> bool:
    with suppress(OSError):
        return Places().trial.exists()
    return False


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
        return roll_back(system, places, options)
    return _install(system, places, options)


def _install(system: System, places: Places, options: Options) -> int:
    if options.offline is None and not (CHECKOUT / "pyproject.toml").is_file():
        mend = "run that of a checkout or of an unpacked bundle, or add --offline ARCHIVE"
        raise RequestError(f"{CHECKOUT}/install.sh has no release with it", mend=mend)
    facts = _ready(system, places, options)
    with opened(CHECKOUT, options.offline or _bundle_here()) as source:
        return install_from(system, places, options, source, facts)


def _bundle_here() -> Path | None:
    """This checkout itself where it is an unpacked bundle: then nothing is fetched."""
    return CHECKOUT if (CHECKOUT / SUMS).is_file() else None


def _ready(system: System, places: Places, options: Options) -> Facts:
    """The checks, and the system packages that mend what they find. Raises InstallError for what is left."""
    if not (options.board_root.is_absolute() and options.board_root.is_dir()):
        mend = "give the full path of a board's files: edgeagent simulate board --root DIR makes them"
        raise RequestError(f"--board-root: {options.board_root} is no directory", mend=mend)
    facts = read_facts(system, places, options.board_root)
    makes_release = not _is_there(places, options.offline or CHECKOUT)
    findings = check(facts, any_host=options.any_host, makes_release=makes_release)
    wanted = wanted_packages(findings)
    online = (options.offline or _bundle_here()) is None
    if wanted and online and facts.root and _apt_install(system, wanted):
        facts = facts if system.dry_run else read_facts(system, places, options.board_root)
        found = check(facts, any_host=options.any_host, makes_release=makes_release)
        findings = [finding for finding in found if not (system.dry_run and finding.package)]
    for finding in findings:
        say(finding.line())
    fatal = sum(finding.fatal for finding in findings)
    if fatal and not (system.dry_run and facts.root is False and fatal == 1):
        raise InstallError(f"not installed: {fatal} problem{'s' if fatal > 1 else ''}, see above")
    return facts


def _is_there(places: Places, origin: Path) -> bool:
    """Whether the release of that checkout or unpacked bundle has been made. An archive is not opened for this."""
    if not origin.is_dir():
        return False
    return read_mark(places.release(release_name(read_source(origin), places))) is not None


def _apt_install(system: System, wanted: list[str]) -> bool:
    system.try_to("apt-get", "-qq", "update", what="read the lists of system packages")
    words = ("apt-get", "-qq", "install", "-y", "--no-install-recommends", *wanted)
    return system.try_to(*words, what=f"install the system packages {' '.join(wanted)}")


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
        os.set_inheritable(file.fileno(), True)
        yield
