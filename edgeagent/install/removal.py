"""Taking edgeagent off a device again. `--uninstall` leaves settings and data, `--purge` nothing."""

from __future__ import annotations

import pwd

from edgeagent.install.layout import setting
from edgeagent.install.places import AGAIN_TIMER, AGENT, ENABLED, POWER_SERVICE, TRIAL, UNITS, USER, Places
from edgeagent.install.release import linked
from edgeagent.install.system import System


def uninstall(system: System, places: Places, *, purge: bool) -> None:
    """Stop, set the board's power back, remove. Can be called again where it was cut off."""
    stop(system, places)
    restore_power(system, places)
    for unit in UNITS:
        system.remove(places.units / unit)
    system.try_to("systemctl", "daemon-reload", what="let systemd forget the units")
    system.ask("systemctl", "reset-failed", *UNITS)
    for path in (places.command, places.sysusers, places.tmpfiles, places.home, places.cache_dir, places.run_dir):
        system.remove(path)
    if purge:
        for unit in UNITS:
            system.remove(places.units / f"{unit}.d")  # what `systemctl edit` wrote
        system.remove(places.config_dir)
        system.remove(places.state_dir)
        remove_user(system)
    _tell(system, places)


def _tell(system: System, places: Places) -> None:
    if system.dry_run:
        return
    left = [str(path) for path in (places.config_dir, places.state_dir) if path.exists()]
    stay = f"settings and data stay in {' and '.join(left)}; --purge removes them" if left else "nothing of it is left"
    system.say(f"edgeagent is removed; {stay}")


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


def remove_user(system: System) -> None:
    try:
        pwd.getpwnam(USER)
    except KeyError:
        return
    system.try_to("userdel", USER, what=f"remove the user {USER}")
