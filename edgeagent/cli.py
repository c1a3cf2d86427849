"""The command line: one short function a command. Heavy imports happen inside the command that needs them.

Exit codes: 0 done, 1 failed, 2 the request or the config is wrong.
"""

from __future__ import annotations

import argparse
import json
import socket
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

STARTED_S = time.monotonic()  # before anything else is imported

from edgeagent import __version__  # noqa: E402
from edgeagent.errors import EdgeAgentError, OperatorError  # noqa: E402

LOAD_INTERVAL_S = 0.3
DEVICE_CONFIG = Path("/etc/edgeagent/config.toml")
Command = Callable[[argparse.Namespace], int]


def main(arguments: list[str] | None = None) -> None:
    """Run the command that the arguments name and exit with its code."""
    options = _parser().parse_args(arguments)
    command: Command = options.command
    try:
        sys.exit(command(options))
    except EdgeAgentError as error:
        for line in _lines_of(error):
            sys.stderr.write(f"edgeagent: {line}\n")
        sys.exit(2 if isinstance(error, OperatorError) else 1)
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            sys.stderr.close()  # the reader of our output has gone: `edgeagent config schema | head`
            sys.exit(1)
        where = f"{error.filename}: " if error.filename else ""
        sys.stderr.write(f"edgeagent: {where}{(error.strerror or str(error)).lower()}\n")
        sys.exit(1)


def _lines_of(error: EdgeAgentError) -> list[str]:
    """One line an error; a config with several mistakes has one for each."""
    from edgeagent.config.mistake import ConfigMistakesError

    return [m.line() for m in error.mistakes] if isinstance(error, ConfigMistakesError) else [error.line()]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "edgeagent", description="Turns an NVIDIA Jetson into a dependable vision appliance."
    )
    parser.add_argument("--version", action="version", version=f"edgeagent {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_run(commands)
    _add_demo(commands)
    _add_config(commands)
    _add_board(commands)
    _add_simulate(commands)
    _add_bench(commands)
    return parser


if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def _add_run(commands: Commands) -> None:
    run = commands.add_parser("run", help="run the agent (what the service does)")
    run.add_argument("--config", type=Path, default=DEVICE_CONFIG, metavar="FILE")
    run.add_argument("--log-level", choices=["debug", "info", "warning", "error"], default="info")
    run.set_defaults(command=command_run)


def _add_demo(commands: Commands) -> None:
    demo = commands.add_parser("demo", help="the whole main job on this machine, on a virtual Jetson")
    demo.add_argument("--duration", type=_seconds, metavar="S", help="stop S seconds after the first result")
    demo.add_argument(
        "--source",
        default="synthetic:640x480@30?seed=5",
        metavar="SPEC",
        help="camera: synthetic[:WxH@FPS], a video file (played once; FILE?mode=loop plays on and on), rtsp://..., "
        "/dev/videoN, gst:PIPELINE",
    )
    demo.add_argument("--module", default="orin-nano", metavar="NAME", help="virtual Jetson (default: orin-nano)")
    demo.add_argument(
        "--broker", metavar="URL", help="mqtt://[USER:PASSWORD@]HOST[:PORT] instead of the embedded broker"
    )
    demo.add_argument(
        "--port", type=_port, metavar="N", help="port of the embedded broker (default: 1883 or a free one)"
    )
    demo.add_argument("--ambient", type=float, default=25.0, metavar="C", help="air temperature of the virtual board")
    demo.add_argument("--headless", action="store_true", help="plain lines instead of the live view")
    demo.add_argument("--report", type=Path, metavar="FILE", help="write the run's figures as JSON")
    demo.add_argument("--state", type=Path, metavar="DIR", help="where engines and calibration sets are kept")
    demo.set_defaults(command=command_demo)


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < 1e7:
        raise argparse.ArgumentTypeError("a duration is a positive number of seconds")
    return value


def _port(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 65535:
        raise argparse.ArgumentTypeError("a port is a number from 1 to 65535")
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("wants at least 1")
    return value


def _add_config(commands: Commands) -> None:
    config = commands.add_parser("config", help="check and show the configuration")
    actions = config.add_subparsers(required=True, metavar="ACTION")
    check = actions.add_parser("check", help="list every mistake in a file")
    check.add_argument("file", type=Path)
    check.add_argument("--json", action="store_true")
    check.set_defaults(command=command_config_check)
    show = actions.add_parser("show", help="every setting in force, and the layer it came from")
    show.add_argument("file", type=Path, nargs="?")
    show.add_argument("--json", action="store_true")
    show.set_defaults(command=command_config_show)
    actions.add_parser("schema", help="the JSON schema").set_defaults(command=command_config_schema)
    actions.add_parser("template", help="a commented file to start from").set_defaults(command=command_config_template)


def _add_board(commands: Commands) -> None:
    board = commands.add_parser("board", help="which board this is, and a reading of its sensors")
    board.add_argument("--json", action="store_true")
    board.add_argument("--root", type=Path, default=Path("/"), metavar="DIR", help="where the board's files lie")
    board.set_defaults(command=command_board)


def _add_simulate(commands: Commands) -> None:
    simulate = commands.add_parser("simulate", help="virtual boards, cameras and messages")
    actions = simulate.add_subparsers(required=True, metavar="ACTION")
    board = actions.add_parser("board", help="write a virtual Jetson into a directory")
    board.add_argument("name")
    board.add_argument("--root", type=Path, required=True, metavar="DIR")
    board.add_argument("--seed", type=int, default=0)
    board.set_defaults(command=command_simulate_board)
    video = actions.add_parser("video", help="write a video file of the synthetic camera")
    video.add_argument("--out", type=Path, required=True, metavar="FILE")
    video.add_argument("--frames", type=_count, default=300)
    video.add_argument("--size", default="640x480", metavar="WxH")
    video.add_argument("--fps", type=float, default=30.0)
    video.add_argument("--seed", type=int, default=1)
    video.set_defaults(command=command_simulate_video)


def _add_bench(commands: Commands) -> None:
    bench = commands.add_parser("bench", help="measure what the documents claim")
    actions = bench.add_subparsers(required=True, metavar="WHAT")
    publish = actions.add_parser("publish", help="agent CPU to encode and publish a result of 20 detections")
    publish.add_argument("--json", action="store_true")
    publish.set_defaults(command=command_bench_publish)
    accuracy = actions.add_parser("accuracy", help="the sample model on held-out scenes, FP32 and INT8")
    accuracy.add_argument("--scenes", type=_count, default=600)
    accuracy.add_argument("--json", action="store_true")
    accuracy.set_defaults(command=command_bench_accuracy)


def command_run(options: argparse.Namespace) -> int:
    from random import Random

    from edgeagent.app.agent import run_agent
    from edgeagent.app.logs import configure_logs
    from edgeagent.clock import SystemClock
    from edgeagent.config.files import load_config
    from edgeagent.supervise.lifeline import tie_to_parent

    tie_to_parent()
    configure_logs(options.log_level)
    loaded = load_config(options.config, {}, socket.gethostname())
    run_agent(loaded.config, SystemClock(), Random())  # noqa: S311  jitter
    return 0


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


def _print(code_and_text: tuple[int, str]) -> int:
    code, text = code_and_text
    print(text, file=sys.stdout if code == 0 else sys.stderr)
    return code


def command_config_check(options: argparse.Namespace) -> int:
    from edgeagent.config.commands import command_check

    return _print(command_check(options.file, options.json))


def command_config_show(options: argparse.Namespace) -> int:
    from edgeagent.config.commands import command_show

    file = options.file or (DEVICE_CONFIG if DEVICE_CONFIG.is_file() else None)
    return _print(command_show(file, socket.gethostname(), options.json))


def command_config_schema(options: argparse.Namespace) -> int:
    from edgeagent.config.commands import command_schema

    return _print(command_schema())


def command_config_template(options: argparse.Namespace) -> int:
    from edgeagent.config.commands import command_template

    return _print(command_template())


def command_board(options: argparse.Namespace) -> int:
    from edgeagent.board.evidence import read_identity
    from edgeagent.board.report import board_json, render_board_text
    from edgeagent.board.telemetry import BoardReader

    identity = read_identity(options.root)
    with BoardReader(options.root) as reader:
        reader.read()  # loads are differences between two readings
        time.sleep(LOAD_INTERVAL_S)
        reading = reader.read()
    text = json.dumps(board_json(identity, reading), indent=2) if options.json else render_board_text(identity, reading)
    print(text.rstrip("\n"))
    return 0


def command_simulate_board(options: argparse.Namespace) -> int:
    from edgeagent.simulate.board import make_board

    board = make_board(options.name, options.root, seed=options.seed)
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
    from edgeagent.fleet.bench import measure_publish_cost

    return _print_figures(measure_publish_cost(), options.json)


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
