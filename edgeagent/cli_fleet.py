"""`edgeagent fleet`: what it understands. The operator's side of MQTT; nothing of it needs a device or a config."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from edgeagent import cli_fleet_commands as commands

if TYPE_CHECKING:
    Every = argparse._SubParsersAction[argparse.ArgumentParser]

MOST_SIMULATED = 10_000
LEAST_TRIAL_S, MOST_TRIAL_S = 1, 3600  # the wish's own; a test holds them together
LONGEST_S = 7 * 24 * 3600.0


def add_fleet(every: Every) -> None:
    fleet = every.add_parser("fleet", help="watch, set and command devices over MQTT (docs/fleet-cli.md)")
    actions = fleet.add_subparsers(required=True, metavar="ACTION")
    common = _common()
    _add_watch(actions, common)
    _add_config(actions, common)
    _add_cmd(actions, common)
    _add_contract(actions)


def _common() -> argparse.ArgumentParser:
    """Where the broker is. Each can also stand in the environment, or in ~/.config/edgeagent/fleet.toml."""
    common = argparse.ArgumentParser(add_help=False)
    where = common.add_argument_group(
        "the broker", "also EDGEAGENT_BROKER and so on, or ~/.config/edgeagent/fleet.toml"
    )
    where.add_argument(
        "--broker", metavar="URL", help="mqtt[s]:// or ws[s]://[USER:PASSWORD@]HOST[:PORT] (default: this machine)"
    )
    where.add_argument("--fleet", metavar="NAME", help="default: `default`; watch: all fleets")
    where.add_argument("--username", metavar="NAME")
    where.add_argument("--password-file", metavar="FILE", help="its first line is the password")
    where.add_argument("--ca-file", metavar="FILE", help="with mqtts://: who may have signed the broker's certificate")
    where.add_argument("--cert-file", metavar="FILE", help="with mqtts://: our own certificate")
    where.add_argument("--key-file", metavar="FILE")
    common.add_argument("--json", action="store_true", help="for scripts")
    return common


def _add_watch(actions: Every, common: argparse.ArgumentParser) -> None:
    watch = actions.add_parser("watch", parents=[common], help="a live table of all devices; lines without a terminal")
    watch.add_argument("--only", default="", metavar="TEXT", help="only devices with this text in their row")
    watch.add_argument("--trouble", action="store_true", help="only devices that a person has to look at")
    watch.add_argument("--sort", default="device", metavar="COLUMN", help="default: device")
    watch.add_argument("--once", action="store_true", help="print the table and end")
    watch.add_argument("--plain", action="store_true", help="a line for each change, also on a terminal")
    watch.add_argument("--wait", type=_seconds, default=5.0, metavar="S", help="with --once: look so long (default 5)")
    watch.set_defaults(command=commands.command_watch)


def _add_config(actions: Every, common: argparse.ArgumentParser) -> None:
    config = actions.add_parser("config", help="what devices are set to over MQTT, and setting it")
    ways = config.add_subparsers(required=True, metavar="WAY")
    get = ways.add_parser("get", parents=[common], help="version, state and desired layer, as the device reported them")
    get.add_argument("device", nargs="+", metavar="DEVICE")
    get.add_argument("--effective", action="store_true", help="every setting in force: asks the device")
    get.set_defaults(command=commands.command_config_get)
    set_ = ways.add_parser(
        "set", parents=[common, _waiting()], help="wish settings, and wait for the outcome", epilog=commands.EXAMPLES
    )
    set_.add_argument("word", nargs="+", metavar="DEVICE|KEY=VALUE")
    set_.add_argument("--file", type=Path, metavar="FILE", help="the whole desired layer, TOML or .json")
    set_.add_argument("--patch", action="store_true", help="let the device merge the change (RFC 7396), also of a file")
    set_.set_defaults(command=commands.command_config_set)
    clear = ways.add_parser("clear", parents=[common, _waiting()], help="back to the device's own file")
    clear.add_argument("word", nargs="+", metavar="DEVICE")
    clear.set_defaults(command=commands.command_config_clear)
    for wish in (set_, clear):
        wish.add_argument("--trial", type=_trial, metavar="S", help="seconds on trial (default: the device's)")
        wish.add_argument("--unseen", action="store_true", help="also for a device that has never reported")


def _add_cmd(actions: Every, common: argparse.ArgumentParser) -> None:
    cmd = actions.add_parser(
        "cmd", parents=[common, _waiting()], help="command devices, and wait for the outcome", epilog=commands.EXAMPLES
    )
    cmd.add_argument("name", metavar="NAME", help="doctor, restart, build, ... (docs/commands.md)")
    cmd.add_argument("word", nargs="*", metavar="DEVICE|KEY=VALUE")
    whom = cmd.add_mutually_exclusive_group()
    whom.add_argument("--group", metavar="G", help="every device of the fleet that is in this group")
    whom.add_argument("--all", action="store_true", help="every device of the fleet")
    cmd.add_argument("--args", metavar="JSON", help="arguments as an object, in place of KEY=VALUE")
    cmd.add_argument("--deadline", type=_seconds, metavar="S", help="it must be done within (default: an hour)")
    cmd.set_defaults(command=commands.command_cmd)


def _add_contract(actions: Every) -> None:
    schema = actions.add_parser("schema", help="JSON Schema of what devices say and are told")
    schema.add_argument("name", nargs="?", metavar="NAME", help="only this one, such as status")
    schema.add_argument("--asyncapi", action="store_true", help="the AsyncAPI 3 document")
    schema.set_defaults(command=commands.command_schema)
    integration = actions.add_parser("integration", help="files for Telegraf, Grafana, Node-RED and others")
    integration.add_argument("name", nargs="?", metavar="NAME", help="print this one (default: which there are)")
    integration.set_defaults(command=commands.command_integration)


def add_simulated_fleet(actions: Every) -> None:
    """`edgeagent simulate fleet`: the other side, for trying."""
    fleet = actions.add_parser("fleet", help="many light devices on a broker, which speak the real protocol")
    fleet.add_argument("--devices", type=_count, default=10, metavar="N", help="default: 10")
    fleet.add_argument("--broker", default="mqtt://127.0.0.1:1883", metavar="URL", help="default: this machine's")
    fleet.add_argument("--fleet", default="default", metavar="NAME", help="default: default")
    fleet.add_argument("--seconds", type=_seconds, metavar="S", help="default: until Ctrl-C")
    fleet.add_argument("--rate", type=_rate, default=4.0, metavar="R", help="messages a second and device (default: 4)")
    fleet.add_argument(
        "--per-process", type=_count, default=250, metavar="N", help="devices in one process (default 250)"
    )
    fleet.add_argument("--connects", type=_rate, default=100.0, metavar="R", help="devices that connect a second (100)")
    fleet.set_defaults(command=commands.command_simulate_fleet)


def _count(text: str) -> int:
    if text.isdecimal() and 1 <= int(text) <= MOST_SIMULATED:
        return int(text)
    raise argparse.ArgumentTypeError(f"wants a whole number from 1 to {MOST_SIMULATED}")


def _rate(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if 0.1 <= value <= 1000:
        return value
    raise argparse.ArgumentTypeError("wants a number from 0.1 to 1000")


def _waiting() -> argparse.ArgumentParser:
    waiting = argparse.ArgumentParser(add_help=False)
    waiting.add_argument("--no-wait", action="store_true", help="do not wait for the devices")
    waiting.add_argument("--answer", type=_seconds, default=15.0, metavar="S", help="for a first answer (default 15)")
    waiting.add_argument(
        "--timeout", type=_seconds, metavar="S", help="for the last one (default: 420; cmd: its deadline)"
    )
    return waiting


def _trial(text: str) -> float:
    value = _seconds(text)
    if LEAST_TRIAL_S <= value <= MOST_TRIAL_S:
        return value
    raise argparse.ArgumentTypeError(f"wants seconds, from {LEAST_TRIAL_S} to {MOST_TRIAL_S}")


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if 0 < value <= LONGEST_S:
        return value
    raise argparse.ArgumentTypeError(f"wants seconds, above 0 and at most {LONGEST_S:.0f}")
