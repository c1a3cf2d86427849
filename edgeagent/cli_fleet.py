"""`edgeagent fleet`: what it understands. The operator's side of MQTT; nothing of it needs a device or a config."""

from __future__ import annotations

import argparse
import getpass
import json
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeagent.errors import OperatorError

if TYPE_CHECKING:
    from edgeagent.console.broker import Address
    from edgeagent.console.config_commands import Patience
    from edgeagent.console.wishes import Change
    from edgeagent.fleet.topics import Topics

    Every = argparse._SubParsersAction[argparse.ArgumentParser]

MOST_SIMULATED = 10_000
LONGEST_S = 7 * 24 * 3600.0
EXAMPLES = "KEY=VALUE is TOML, such as pipelines.people.min_score=0.4; null takes a key away. Options go first or last."


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
    watch.set_defaults(command=_watch)


def _add_config(actions: Every, common: argparse.ArgumentParser) -> None:
    config = actions.add_parser("config", help="what devices are set to over MQTT, and setting it")
    ways = config.add_subparsers(required=True, metavar="WAY")
    get = ways.add_parser("get", parents=[common], help="version, state and desired layer, as the device reported them")
    get.add_argument("device", nargs="+", metavar="DEVICE")
    get.add_argument("--effective", action="store_true", help="every setting in force: asks the device")
    get.set_defaults(command=_config_get)
    set_ = ways.add_parser(
        "set", parents=[common, _waiting()], help="wish settings, and wait for the outcome", epilog=EXAMPLES
    )
    set_.add_argument("word", nargs="+", metavar="DEVICE|KEY=VALUE")
    set_.add_argument("--file", type=Path, metavar="FILE", help="the whole desired layer, TOML or .json")
    set_.add_argument("--patch", action="store_true", help="let the device merge the change (RFC 7396), also of a file")
    set_.set_defaults(command=_config_set)
    clear = ways.add_parser("clear", parents=[common, _waiting()], help="back to the device's own file")
    clear.add_argument("word", nargs="+", metavar="DEVICE")
    clear.set_defaults(command=_config_clear)
    for wish in (set_, clear):
        wish.add_argument("--trial", type=_seconds, metavar="S", help="seconds on trial (default: the device's)")
        wish.add_argument("--unseen", action="store_true", help="also for a device that has never reported")


def _add_cmd(actions: Every, common: argparse.ArgumentParser) -> None:
    cmd = actions.add_parser(
        "cmd", parents=[common, _waiting()], help="command devices, and wait for the outcome", epilog=EXAMPLES
    )
    cmd.add_argument("name", metavar="NAME", help="doctor, restart, build, ... (docs/commands.md)")
    cmd.add_argument("word", nargs="*", metavar="DEVICE|KEY=VALUE")
    whom = cmd.add_mutually_exclusive_group()
    whom.add_argument("--group", metavar="G", help="every device of the fleet that is in this group")
    whom.add_argument("--all", action="store_true", help="every device of the fleet")
    cmd.add_argument("--args", metavar="JSON", help="arguments as an object, in place of KEY=VALUE")
    cmd.add_argument("--deadline", type=_seconds, metavar="S", help="it must be done within (default: an hour)")
    cmd.set_defaults(command=_cmd)


def _add_contract(actions: Every) -> None:
    schema = actions.add_parser("schema", help="JSON Schema of what devices say and are told")
    schema.add_argument("name", nargs="?", metavar="NAME", help="only this one, such as status")
    schema.add_argument("--asyncapi", action="store_true", help="the AsyncAPI 3 document")
    schema.set_defaults(command=_schema)
    integration = actions.add_parser("integration", help="files for Telegraf, Grafana, Node-RED and others")
    integration.add_argument("name", nargs="?", metavar="NAME", help="print this one (default: which there are)")
    integration.set_defaults(command=_integration)


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
    fleet.set_defaults(command=_simulate_fleet)


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


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if 0 < value <= LONGEST_S:
        return value
    raise argparse.ArgumentTypeError(f"wants seconds, above 0 and at most {LONGEST_S:.0f}")


def _address(options: argparse.Namespace) -> Address:
    from edgeagent.app.logs import configure_logs
    from edgeagent.console.broker import NAMES, address_of

    configure_logs("error")
    return address_of({name: getattr(options, name) for name in NAMES}, os.environ)


def _by() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "someone"  # a container's user without a name
    return f"{user}@{socket.gethostname()}"[:256]


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201


def _watch(options: argparse.Namespace) -> int:
    from edgeagent.console.view import SORTS, View
    from edgeagent.console.watch import Wish, run_watch

    if options.sort not in SORTS:
        raise OperatorError(f"--sort: there is no column {options.sort!r}", mend=f"one of: {', '.join(SORTS)}")
    address = _address(options)
    view = View(sort=options.sort, only=options.only, trouble=options.trouble)
    wish = Wish(
        address,
        address.fleet,
        view,
        as_json=options.json,
        once=options.once,
        plain=options.plain,
        wait_s=options.wait,
    )
    return run_watch(wish, _say)


def _config_get(options: argparse.Namespace) -> int:
    from edgeagent.console.config_commands import Patience, command_get
    from edgeagent.console.job_commands import Order, command_cmd

    address = _address(options)
    targets = _targets(options.device, address)
    if options.effective:
        order = Order("config", {}, address.fleet_or_default, targets, deadline_s=30.0, by=_by())
        return command_cmd(address, order, Patience(deadline_s=40.0), as_json=options.json, say=_say)
    return command_get(address, targets, options.json, _say)


def _config_set(options: argparse.Namespace) -> int:
    from edgeagent.console.settings_text import split_words

    address = _address(options)
    devices, settings = split_words(options.word)
    return _wish(options, address, _targets(devices, address), _change(options, settings))


def _change(options: argparse.Namespace, settings: list[str]) -> Change:
    from edgeagent.console.settings_text import patch_of, read_settings
    from edgeagent.console.wishes import Change

    if bool(settings) == (options.file is not None):
        raise OperatorError("wants either KEY=VALUE or --file", mend=EXAMPLES)
    if options.file is None:
        return Change(patch=patch_of(settings), on_device=options.patch, trial_s=options.trial, by=_by())
    data = read_settings(options.file.read_text(encoding="utf-8", errors="replace"), str(options.file))
    if options.patch:
        return Change(patch=data, on_device=True, trial_s=options.trial, by=_by())
    return Change(whole=data, trial_s=options.trial, by=_by())


def _config_clear(options: argparse.Namespace) -> int:
    from edgeagent.console.wishes import Change

    address = _address(options)
    return _wish(options, address, _targets(options.word, address), Change(whole={}, trial_s=options.trial, by=_by()))


def _wish(options: argparse.Namespace, address: Address, targets: list[Topics], change: Change) -> int:
    from edgeagent.console.config_commands import command_set

    return command_set(
        address,
        targets,
        change,
        _patience(options, 420.0),
        unseen=options.unseen,
        as_json=options.json,
        say=_say,
    )


def _cmd(options: argparse.Namespace) -> int:
    from edgeagent.console.job_commands import HOUR_S, Order, command_cmd
    from edgeagent.console.settings_text import split_words
    from edgeagent.fleet.topics import check_id

    address = _address(options)
    devices, words = split_words(options.word)
    broadcast = bool(options.group or options.all)
    if broadcast and devices:
        raise OperatorError("devices are named beside --group or --all", mend="say it to one or the other")
    order = Order(
        name=check_id(options.name, "command"),
        args=_arguments(options.args, words),
        fleet=address.fleet_or_default,
        targets=() if broadcast else _targets(devices, address),
        group=check_id(options.group, "group") if options.group else "",
        deadline_s=options.deadline,
        by=_by(),
    )
    return command_cmd(address, order, _patience(options, HOUR_S), as_json=options.json, say=_say)


def _arguments(text: str | None, words: list[str]) -> dict[str, Any]:
    from edgeagent.console.settings_text import patch_of

    if text is None:
        return patch_of(words)
    try:
        args = json.loads(text)
    except ValueError as error:
        raise OperatorError(f"--args is not JSON: {error}", mend='write --args \'{"pipeline": "people"}\'') from error
    if words or not isinstance(args, dict):
        raise OperatorError("--args wants one object, and no KEY=VALUE beside it", mend="write one or the other")
    return args


def _patience(options: argparse.Namespace, deadline_s: float) -> Patience:
    from edgeagent.console.config_commands import Patience

    return Patience(options.answer, options.timeout or deadline_s, wait=not options.no_wait)


def _targets(words: list[str], address: Address) -> list[Topics]:
    from edgeagent.console.targets import parse_targets

    return parse_targets(words, address.fleet_or_default)


def _schema(options: argparse.Namespace) -> int:
    from edgeagent.fleet.schemas import command_schema  # type: ignore[import-not-found,import-untyped,unused-ignore]

    code, text = command_schema(options.name, asyncapi=options.asyncapi)
    _say(text)
    return int(code)


def _integration(options: argparse.Namespace) -> int:
    from edgeagent.fleet.integrations import command_integration  # type: ignore[import-not-found,import-untyped,unused-ignore]

    code, text = command_integration(options.name)
    _say(text)
    return int(code)


def _simulate_fleet(options: argparse.Namespace) -> int:
    from edgeagent.app.logs import configure_logs
    from edgeagent.simulate.fleet import FleetOptions, run_fleet

    configure_logs("error")
    fleet = FleetOptions(
        devices=options.devices,
        broker=options.broker,
        fleet=options.fleet,
        rate=options.rate,
        per_process=options.per_process,
        connects=options.connects,
        seconds=options.seconds,
    )
    return run_fleet(fleet, _say)
