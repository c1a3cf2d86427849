"""`edgeagent fleet` and `edgeagent simulate fleet`: one short function a command. Imports happen within."""

from __future__ import annotations

import argparse
import getpass
import json
import os
import socket
import uuid
from typing import TYPE_CHECKING, Any

from edgeagent.errors import OperatorError

if TYPE_CHECKING:
    from edgeagent.console.broker import Address
    from edgeagent.console.config_commands import Patience
    from edgeagent.console.wishes import Change
    from edgeagent.fleet.topics import Topics

EXAMPLES = "KEY=VALUE is TOML, such as pipelines.people.min_score=0.4; null takes a key away. Options go first or last."


def _address(options: argparse.Namespace) -> Address:
    from edgeagent.app.logs import configure_logs
    from edgeagent.console.broker import NAMES, address_of

    configure_logs("error")
    return address_of({name: getattr(options, name) for name in NAMES}, os.environ)


def _by() -> str:
    """Who wishes or commands, with four digits for this run: two at once can be told apart by the answers."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "someone"  # a container's user without a name
    return f"{user}@{socket.gethostname()}"[:240] + f" {uuid.uuid4().hex[:4]}"


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201


def command_watch(options: argparse.Namespace) -> int:
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


def command_config_get(options: argparse.Namespace) -> int:
    from edgeagent.console.config_commands import Patience, command_get
    from edgeagent.console.job_commands import Order, command_cmd

    address = _address(options)
    targets = _targets(options.device, address)
    if options.effective:
        order = Order("config", {}, address.fleet_or_default, targets, deadline_s=30.0, by=_by())
        return command_cmd(address, order, Patience(deadline_s=40.0), as_json=options.json, say=_say)
    return command_get(address, targets, options.json, _say)


def command_config_set(options: argparse.Namespace) -> int:
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


def command_config_clear(options: argparse.Namespace) -> int:
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


def command_cmd(options: argparse.Namespace) -> int:
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


def command_schema(options: argparse.Namespace) -> int:
    from edgeagent.fleet.schemas import command_schema  # type: ignore[import-not-found,import-untyped,unused-ignore]

    code, text = command_schema(options.name, asyncapi=options.asyncapi)
    _say(text)
    return int(code)


def command_integration(options: argparse.Namespace) -> int:
    from edgeagent.fleet.integrations import command_integration  # type: ignore[import-not-found,import-untyped,unused-ignore]

    code, text = command_integration(options.name)
    _say(text)
    return int(code)


def command_simulate_fleet(options: argparse.Namespace) -> int:
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
