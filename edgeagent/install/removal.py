"""Taking edgeagent off a device again. `--uninstall` leaves settings and data, `--purge` nothing."""

from __future__ import annotations

from edgeagent.install.errors import InstallError
from edgeagent.install.layout import setting
from edgeagent.install.places import AGAIN_TIMER, AGENT, ENABLED, POWER_SERVICE, TRIAL, UNITS, USER, Places
from edgeagent.install.release import linked
from edgeagent.install.system import System, contents

USER_HOME = "/var/lib/edgeagent"
"""What `edgeagent.sysusers` gives it."""
HOME_FIELD = 5
"""Of an entry of passwd(5)."""


def uninstall(system: System, places: Places, *, purge: bool) -> None:
    """Stop, set the board's power back, remove. Can be called again where it was cut off."""
    stop(system, places)
    restore_power(system, places)
    for unit in UNITS:
        system.remove(places.units / unit)
    system.try_to("systemctl", "daemon-reload", what="let systemd forget the units")
    system.ask("systemctl", "reset-failed", *UNITS)
    ours = [places.command, places.sysusers, places.tmpfiles, places.home, places.cache_dir, places.run_dir]
    if purge:
        edited = [places.units / f"{unit}.d" for unit in UNITS]  # what `systemctl edit` wrote
        ours += [*edited, places.config_dir, places.state_dir]
    elsewhere = [str(path.resolve()) for path in ours if path.is_symlink() and path.is_dir()]
    for path in ours:
        system.remove(path)
    user_stays = purge and remove_user(system)
    _tell(system, places, elsewhere, user_stays=user_stays)


def _tell(system: System, places: Places, elsewhere: list[str], *, user_stays: bool) -> None:
    """`elsewhere`: directories that ours were links to; what else lies there, only a person knows.
    Raises InstallError where the user was to go and did not."""
    if system.dry_run:
        return
    for folder in elsewhere:
        system.say(f"{folder} stays: only the link to it was removed; sudo rm -r {folder}")
    if user_stays:
        mend = "end what runs as that user, then --purge once more"
        raise InstallError(f"edgeagent is removed, but the user {USER} is still there", mend=mend)
    left = [str(path) for path in (places.config_dir, places.state_dir) if contents(path)]
    stay = f"settings and data stay in {' and '.join(left)}; --purge removes them" if left else "nothing of it is left"
    system.say(f"edgeagent is removed; {stay if left or not elsewhere else 'nothing else of it is left'}")


def stop(system: System, places: Places) -> None:
    """The agent first: it sets the power back itself, with the helper that is still there."""
    there = [unit for unit in (AGAIN_TIMER, TRIAL, AGENT) if (places.units / unit).exists()]
    if there:
        system.try_to("systemctl", "stop", *there, what="stop the agent")


def restore_power(system: System, places: Places) -> None:
    """What the agent has left changed: it may have been told to leave it, or been killed."""
    release = linked(places.current)
    if release is not None and (places.state_dir / "power.json").exists():
        command = str(places.release(release) / "bin/edgeagent")
        shown = system.ask(command, "config", "show", str(places.config), "--json").stdout
        board = str(setting(shown, "device.board_root") or "/")
        where = ("--root", board, "--state", str(places.state_dir))
        system.try_to(command, "power", "restore", *where, what="set the board's power, clocks and fan back")
    helper = [unit for unit in ENABLED if (places.units / unit).exists()]
    if helper:
        system.try_to("systemctl", "disable", "--quiet", "--now", *helper, what="disable the units")
        system.ask("systemctl", "stop", POWER_SERVICE)


def remove_user(system: System) -> bool:
    """Whether it is still there, and was to go. One with another home was there before us, and stays."""
    entry = system.ask("getent", "passwd", USER).stdout.strip().split(":")
    if len(entry) > HOME_FIELD and entry[HOME_FIELD] != USER_HOME:
        system.say(f"the user {USER} stays: its home is {entry[HOME_FIELD]}, so it was not made for edgeagent")
        return False
    if _has_user(system):
        system.try_to("userdel", USER, what=f"remove the user {USER}")
    if not _has_user(system) and system.ask("getent", "group", USER).returncode == 0:
        system.try_to("groupdel", USER, what=f"remove the group {USER}")
    return _has_user(system)


def _has_user(system: System) -> bool:
    return system.ask("id", USER).returncode == 0
