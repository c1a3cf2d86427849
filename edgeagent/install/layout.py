"""What lies outside the releases: the user, the directories, the units, the config file, the command.

Each function can be called again at any time and then changes nothing.
"""

from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from edgeagent.install.errors import InstallError, RequestError
from edgeagent.install.options import Options
from edgeagent.install.places import AGENT, ENABLED, UNITS, USER, Places
from edgeagent.install.source import files_of
from edgeagent.install.system import System, replace_file


def lay_out_user(system: System, places: Places, release: Path, source: Path) -> None:
    """The user, its groups and the directories, by systemd's own tools. `source`: where the files are on a dry run."""
    parts = source / "systemd" if system.dry_run else release / "systemd"
    before = system.changes
    system.write(places.sysusers, (parts / "edgeagent.sysusers").read_bytes())
    if system.changes != before or system.ask("id", USER).returncode != 0:
        system.do("systemd-sysusers", str(places.sysusers), what=f"make the user {USER}")
    before = system.changes
    system.write(places.tmpfiles, (parts / "edgeagent.tmpfiles").read_bytes())
    missing = not all(path.is_dir() for path in (places.config_dir, places.state_dir))
    if system.changes != before or missing:
        system.do("systemd-tmpfiles", "--create", str(places.tmpfiles), what="make its directories")


def lay_out_home(system: System, places: Places) -> None:
    """What the releases lie in can be entered by the agent's user, whatever umask root's shell has."""
    for folder in (places.home, places.releases):
        if folder.is_dir() and folder.stat().st_mode & 0o055 != 0o055:
            system.act(f"let everybody enter {folder}", partial(folder.chmod, 0o755))


def lay_out_units(system: System, places: Places, parts: Path) -> None:
    """The units of one release, from its directory `parts`, in force and enabled. One that this release does not have
    yet, or no more, goes."""
    before = system.changes
    for unit in UNITS:
        if (parts / unit).is_file():
            system.write(places.units / unit, (parts / unit).read_bytes())
        else:
            system.remove(places.units / unit)
    if system.changes != before or _has_old_units(system):
        system.do("systemctl", "daemon-reload", what="let systemd read its units")
    wanted = [unit for unit in ENABLED if (parts / unit).is_file()]
    disabled = [unit for unit in wanted if system.ask("systemctl", "is-enabled", unit).stdout.strip() != "enabled"]
    if disabled:
        system.do("systemctl", "enable", "--quiet", *disabled, what=f"enable {', '.join(disabled)}")


def _has_old_units(system: System) -> bool:
    """Whether systemd has read other units than lie there: a run was cut off before it told it."""
    return "=yes" in system.ask("systemctl", "show", "--property", "NeedDaemonReload", AGENT).stdout


def lay_out_installer(system: System, places: Places, source: Path) -> None:
    """A copy of install.sh and of what it needs: for the trial, and for whoever has no checkout at hand."""
    wanted = ("install.sh", "edgeagent/__init__.py", "edgeagent/install/")
    files = {str(path.relative_to(source)): path for path in files_of(source)}
    ours = {places.installer / name: path.read_bytes() for name, path in files.items() if name.startswith(wanted)}
    if not all(path.is_file() and path.read_bytes() == data for path, data in ours.items()):
        what = f"copy install.sh and its program to {places.installer}"
        system.act(what, lambda: _copy(ours))
    system.link(places.command, "/opt/edgeagent/current/bin/edgeagent")


def _copy(files: dict[Path, bytes]) -> None:
    for path, data in files.items():
        replace_file(path, data, mode=0o755 if path.name == "install.sh" else 0o644)


def refuse_config(places: Places, options: Options) -> None:
    """Raises RequestError for settings that cannot be taken, whatever the release."""
    if options.config is None:
        return
    wanted = _read_given(options.config)
    if places.config.exists() and places.config.read_text(encoding="utf-8", errors="replace") != wanted:
        text = f"--config: {places.config} is there already and differs"
        raise RequestError(text, mend="edit it, or remove it first")


def _read_given(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise RequestError(f"--config: {path}: {(error.strerror or str(error)).lower()}") from error
    except UnicodeDecodeError as error:
        raise RequestError(f"--config: {path} is not UTF-8 text", mend="save the file as UTF-8") from error


def first_config(system: System, places: Places, release: Path, options: Options) -> None:
    """The config file, on the first install only. Raises RequestError where one is there that says something else."""
    if places.config.exists():
        refuse_other_wishes(system, release, options, places.config, str(places.config))
        return
    text = "# Settings of edgeagent.\n" if system.dry_run else _first_text(system, release, options)
    _check_text(system, release, text, places, options)
    system.write(places.config, text.encode(), mode=0o640, group=places.group, why="the first settings")


def _first_text(system: System, release: Path, options: Options) -> str:
    if options.config is not None:
        return _read_given(options.config)
    template = system.ask(str(release / "bin/edgeagent"), "config", "template")
    if template.returncode != 0:
        raise InstallError(f"release {release.name} prints no config template: {template.stderr.strip()}")
    return with_wishes(template.stdout, broker=options.broker, fleet=options.fleet, board_root=options.virtual_board)


def with_wishes(template: str, *, broker: str | None, fleet: str | None, board_root: str | None = None) -> str:
    """The template with these settings in force. Raises InstallError where it has no such lines."""
    text = template
    wishes = (("mqtt", "url", broker), ("device", "fleet", fleet), ("device", "board_root", board_root))
    for table, key, value in wishes:
        if value is not None:
            text = _with_setting(text, table, key, value)
    return text


def _with_setting(text: str, table: str, key: str, value: str) -> str:
    line = re.compile(rf"(^\[{table}\]$(?:(?!^\[).)*?)^#{key} = .*?$", re.MULTILINE | re.DOTALL)
    changed, found = line.subn(lambda match: f"{match[1]}{key} = {json.dumps(value)}", text, count=1)
    if not found:
        raise InstallError(f"the config template has no line for {table}.{key}")
    return changed


def _check_text(system: System, release: Path, text: str, places: Places, options: Options) -> None:
    """Before it is in force: what the release would refuse at its start is refused now, with all mistakes."""
    if system.dry_run:
        return
    with TemporaryDirectory(prefix="edgeagent-config-") as folder:
        file = Path(folder, "config.toml")
        file.write_text(text, encoding="utf-8")
        checked = system.ask(str(release / "bin/edgeagent"), "config", "check", str(file))
        if checked.returncode != 0:
            lines = (checked.stderr.strip() or checked.stdout.strip()).replace(str(file), "the settings given")
            raise RequestError(lines, mend=f"{places.config} was not written")
        refuse_other_wishes(system, release, options, file, str(options.config))


def refuse_other_wishes(system: System, release: Path, options: Options, file: Path, named: str) -> None:
    """A file that is there is never written over; what it does not say and was asked for is an error. `named`: how
    the person knows that file."""
    wishes = (
        ("--broker", "mqtt.url", options.broker),
        ("--fleet", "device.fleet", options.fleet),
        ("--board-root", "device.board_root", options.virtual_board),
    )
    if not any(wish for _, _, wish in wishes) or not (release / "bin/edgeagent").exists():
        return
    shown = system.ask(str(release / "bin/edgeagent"), "config", "show", str(file), "--json")
    for option, key, wish in wishes:
        if wish is not None and setting(shown.stdout, key) != wish:
            raise RequestError(f"{option}: {named} says another {key}", mend="edit it: it is never written over")


def setting(shown: str, key: str) -> object:
    """One value out of `edgeagent config show --json`; None where it does not say."""
    try:
        found = json.loads(shown)
    except ValueError:
        return None
    entries = found.get("settings", []) if isinstance(found, dict) else []
    return next((entry.get("value") for entry in entries if entry.get("key") == key), None)
