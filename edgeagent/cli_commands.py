"""One short function a command: options in, exit code out. Heavy imports happen inside the command that needs them."""

from __future__ import annotations

import argparse
import json
import os
import socket
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from edgeagent.errors import OperatorError

if TYPE_CHECKING:
    from edgeagent.app.power_commands import PowerOptions

STARTED_S = time.monotonic()  # before anything else is imported
LOAD_INTERVAL_S = 0.7  # longer than a virtual board's half second
DEVICE_CONFIG = Path("/etc/edgeagent/config.toml")  # as in config/files.py, which is too much to import for a --help
RUN_DIR = Path("/run/edgeagent")
PROFILES_DIR = Path("/etc/edgeagent/profiles")


def command_run(options: argparse.Namespace) -> int:
    from random import Random

    from edgeagent.app.agent import run_agent
    from edgeagent.app.config_desk import ConfigDesk
    from edgeagent.app.logs import configure_logs
    from edgeagent.clock import SystemClock
    from edgeagent.config.beginning import LocalConfig, read_beginning
    from edgeagent.supervise.lifeline import tie_to_parent

    tie_to_parent()
    configure_logs(options.log_level)
    source, clock = LocalConfig(options.config, socket.gethostname()), SystemClock()
    run_agent(ConfigDesk(read_beginning(source), source, clock), clock, Random())  # noqa: S311  jitter
    return 0


def command_status(options: argparse.Namespace) -> int:
    from edgeagent.app.status_words import command_status

    code, text = command_status(options.run_dir, options.json)
    print(text)  # the answer, whatever it is: `status --json | jq .state` has to work of an agent that is not ready
    return code


def command_demo(options: argparse.Namespace) -> int:
    from edgeagent.simulate.demo import run_demo
    from edgeagent.simulate.demo_setup import DemoOptions, default_state_dir

    return run_demo(
        DemoOptions(
            duration_s=options.duration,
            source=options.source,
            module=options.module,
            broker=options.broker,
            port=options.port,
            headless=options.headless,
            report=options.report,
            state_dir=(options.state or default_state_dir()).absolute(),
            ambient_c=options.ambient,
            started_s=STARTED_S,
        )
    )


def _print(code_and_text: tuple[int, str], as_json: bool = False) -> int:
    """A refusal goes to stderr; as JSON it is an answer for the program that reads stdout."""
    code, text = code_and_text
    print(text, file=sys.stdout if as_json or code == 0 else sys.stderr)
    return code


def command_config_check(options: argparse.Namespace) -> int:
    from edgeagent.config.commands import command_check

    return _print(command_check(options.file, options.json), options.json)


def command_config_show(options: argparse.Namespace) -> int:
    from edgeagent.config.commands import command_show
    from edgeagent.config.files import config_file

    return _print(command_show(config_file(options.file), socket.gethostname(), options.json), options.json)


def command_config_schema(options: argparse.Namespace) -> int:
    from edgeagent.config.commands import command_schema

    return _print(command_schema())


def command_config_template(options: argparse.Namespace) -> int:
    from edgeagent.config.commands import command_template

    return _print(command_template())


def command_board(options: argparse.Namespace) -> int:
    from edgeagent.app.board_dla import DlaQuestion
    from edgeagent.app.power_commands import reboot_required
    from edgeagent.board.evidence import read_identity
    from edgeagent.board.report import board_json, render_board_text
    from edgeagent.board.telemetry import BoardReader

    root = _checked_root(options.root)
    identity = read_identity(root)
    with BoardReader(root, soc=identity.soc) as reader:
        reader.read()  # loads are differences between two readings
        time.sleep(LOAD_INTERVAL_S)
        reading = reader.read()
    identity = DlaQuestion(identity).ask()  # after the reading, whose loads it would be part of
    required = reboot_required(root)
    if options.json:
        print(json.dumps({**board_json(identity, reading), "reboot_required": required[0]}, indent=2))
    else:
        print("\n".join([render_board_text(identity, reading).rstrip("\n"), *required[1]]))
    return 0


def command_doctor(options: argparse.Namespace) -> int:
    from edgeagent.app.doctor import run_doctor

    code, text = run_doctor(options.root, options.json, options.config)
    print(text)
    return code


def _checked_root(root: Path) -> Path:
    """The absolute root. Raises OperatorError for one that is no directory we may look into."""
    if not root.is_dir() or not os.access(root, os.R_OK | os.X_OK):
        what = "cannot be looked into by this user" if root.is_dir() else "is no directory"
        raise OperatorError(f"{root} {what}", mend="give --root a board's directory", code="board-root")
    return root.absolute()


def _power_options(options: argparse.Namespace) -> PowerOptions:
    from edgeagent.app.power_commands import PowerOptions

    if options.profiles is not None and not options.profiles.is_dir():
        raise OperatorError(f"--profiles: there is no directory {options.profiles}", mend="check the path")
    return PowerOptions(
        root=_checked_root(options.root),
        profiles_dir=options.profiles or PROFILES_DIR,
        socket=options.socket,
        config=getattr(options, "config", None),
        state_dir=options.state.absolute() if options.state else None,
        as_json=options.json,
        verbose=getattr(options, "verbose", False),
    )


def command_power_list(options: argparse.Namespace) -> int:
    from edgeagent.app.power_commands import command_list

    return _print(command_list(_power_options(options)))


def command_power_show(options: argparse.Namespace) -> int:
    from edgeagent.app.power_commands import command_show

    return _print(command_show(_power_options(options)))


def command_power_apply(options: argparse.Namespace) -> int:
    from edgeagent.app.power_commands import command_apply

    given = _power_options(options)
    code, text = command_apply(given, options.intent, dry_run=options.dry_run, allow_reboot=options.allow_reboot)
    print(text)
    return code


def command_power_restore(options: argparse.Namespace) -> int:
    from edgeagent.app.power_commands import command_restore

    code, text = command_restore(_power_options(options), allow_reboot=options.allow_reboot)
    print(text)
    return code


def command_simulate_boards(options: argparse.Namespace) -> int:
    from edgeagent.simulate.listing import list_boards

    print(list_boards(options.json))
    return 0


def command_simulate_reboot(options: argparse.Namespace) -> int:
    from edgeagent.simulate.board import reboot_board

    reboot_board(options.root)
    print(f"{options.root} has rebooted")
    return 0


def command_simulate_matrix(options: argparse.Namespace) -> int:
    from edgeagent.simulate.matrix import run_matrix

    code, text = run_matrix(options.board, options.json)
    print(text)
    return code


def command_simulate_heat(options: argparse.Namespace) -> int:
    from edgeagent.cli_heat import run_command

    code, text = run_command(options)
    print(text)
    return code


def command_simulate_memory(options: argparse.Namespace) -> int:
    from edgeagent.cli_heat import run_memory_command

    code, text = run_memory_command(options)
    print(text)
    return code


def command_bench_telemetry(options: argparse.Namespace) -> int:
    from edgeagent.simulate.telemetry_bench import measure_telemetry

    return _print_figures(measure_telemetry(options.board), options.json)


def command_simulate_board(options: argparse.Namespace) -> int:
    from edgeagent.simulate.board import make_board
    from edgeagent.simulate.listing import check_misbehaviour, write_misbehaviour

    check_misbehaviour(options.misbehave)
    board = make_board(options.name, options.root, seed=options.seed)
    write_misbehaviour(board.root, options.misbehave)
    print(f"{board.name} in {board.root}; tools in {board.bin_dir}")
    print(f"try: edgeagent board --root {board.root}")
    return 0


def command_simulate_video(options: argparse.Namespace) -> int:
    from edgeagent.simulate.video import parse_size, write_video

    size = parse_size(options.size)
    write_video(options.out, size, options.fps, options.frames, options.seed)
    print(f"{options.out}: {options.frames} frames of {size[0]}x{size[1]} at {options.fps:g} a second")
    return 0


def command_bench_publish(options: argparse.Namespace) -> int:
    from edgeagent.bench.certificate import self_signed
    from edgeagent.fleet.bench import measure_publish_cost

    with tempfile.TemporaryDirectory(prefix="edgeagent-bench-") as folder:
        certificate = self_signed(Path(folder)) if options.tls else None
        figures = measure_publish_cost(
            messages=round(10 * options.rate), rate_hz=options.rate, certificate=certificate, qos=options.qos
        )
    return _print_figures(figures, options.json)


def command_bench_accuracy(options: argparse.Namespace) -> int:
    from edgeagent.simulate.accuracy import measure_accuracy

    return _print_figures(measure_accuracy(options.scenes), options.json)


def _print_figures(figures: Mapping[str, object], as_json: bool) -> int:
    if as_json:
        print(json.dumps(figures, indent=2))
    else:
        width = max(len(name) for name in figures)
        for name, value in figures.items():
            print(f"{name:<{width}}  {value}")
    return 0
