"""What the command line understands: one function a command, and the kinds of its arguments."""

from __future__ import annotations

import argparse
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from edgeagent import __version__
from edgeagent import cli_commands as commands
from edgeagent.cli_bench import add_bench
from edgeagent.cli_engine import add_engine
from edgeagent.cli_fleet import add_fleet, add_simulated_fleet


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "edgeagent", description="Turns an NVIDIA Jetson into a dependable vision appliance."
    )
    parser.add_argument("--version", action="version", version=f"edgeagent {__version__}")
    every = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_run(every)
    _add_status(every)
    _add_demo(every)
    _add_config(every)
    _add_board(every)
    _add_doctor(every)
    _add_power(every)
    add_engine(every)
    add_fleet(every)
    _add_simulate(every)
    add_bench(every)
    return parser


if TYPE_CHECKING:
    Every = argparse._SubParsersAction[argparse.ArgumentParser]


def _add_run(every: Every) -> None:
    run = every.add_parser("run", help="run the agent (what the service does)")
    run.add_argument("--config", type=Path, default=commands.DEVICE_CONFIG, metavar="FILE")
    run.add_argument("--log-level", choices=["debug", "info", "warning", "error"], default="info")
    run.set_defaults(command=commands.command_run)


def _add_status(every: Every) -> None:
    status = every.add_parser("status", help="how the agent of this machine is, as it says itself")
    status.add_argument("--run-dir", type=Path, default=commands.RUN_DIR, metavar="DIR", help="its device.run_dir")
    status.add_argument("--json", action="store_true")
    status.set_defaults(command=commands.command_status)


def _add_demo(every: Every) -> None:
    demo = every.add_parser("demo", help="the whole main job on this machine, on a virtual Jetson")
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
    demo.add_argument(
        "--ambient",
        type=float,
        default=25.0,
        metavar="C",
        help="air of the virtual board; from 45 C on it comes from work and makes an engine (docs/simulate-heat.md)",
    )
    demo.add_argument("--headless", action="store_true", help="plain lines instead of the live view")
    demo.add_argument("--report", type=Path, metavar="FILE", help="write the run's figures as JSON")
    demo.add_argument("--state", type=Path, metavar="DIR", help="where engines and calibration sets are kept")
    demo.set_defaults(command=commands.command_demo)


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


def _speed(text: str) -> float:
    with suppress(ValueError):
        if 0.1 <= (value := float(text)) <= 50:
            return value
    raise argparse.ArgumentTypeError("wants a number from 0.1 to 50")


def _add_config(every: Every) -> None:
    config = every.add_parser("config", help="check and show the configuration")
    actions = config.add_subparsers(required=True, metavar="ACTION")
    check = actions.add_parser("check", help="list every mistake in a file")
    check.add_argument("file", type=Path)
    check.add_argument("--json", action="store_true")
    check.set_defaults(command=commands.command_config_check)
    show = actions.add_parser("show", help="every setting in force, and the layer it came from")
    show.add_argument("file", type=Path, nargs="?")
    show.add_argument("--json", action="store_true")
    show.set_defaults(command=commands.command_config_show)
    actions.add_parser("schema", help="the JSON schema").set_defaults(command=commands.command_config_schema)
    actions.add_parser("template", help="a commented file to start from").set_defaults(
        command=commands.command_config_template
    )


def _add_board(every: Every) -> None:
    board = every.add_parser("board", help="which board this is, and a reading of its sensors")
    board.add_argument("--json", action="store_true")
    board.add_argument("--root", type=Path, default=Path("/"), metavar="DIR", help="where the board's files lie")
    board.set_defaults(command=commands.command_board)


def _add_doctor(every: Every) -> None:
    doctor = every.add_parser("doctor", help="what is ready on this device, what is not, and how to mend it")
    doctor.add_argument("--json", action="store_true")
    doctor.add_argument(
        "--root", type=Path, metavar="DIR", help="where the board's files lie (default: as the config says)"
    )
    doctor.add_argument("--config", type=Path, metavar="FILE", help=f"default: {commands.DEVICE_CONFIG} of that root")
    doctor.set_defaults(command=commands.command_doctor)


def _add_power(every: Every) -> None:
    power = every.add_parser("power", help="what the board is set to, and setting it")
    actions = power.add_subparsers(required=True, metavar="ACTION")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true")
    common.add_argument("--root", type=Path, default=Path("/"), metavar="DIR", help="where the board's files lie")
    common.add_argument("--profiles", type=Path, metavar="DIR", help=f"default: {commands.PROFILES_DIR}")
    common.add_argument("--socket", type=Path, metavar="PATH", help="the power helper's, where it is another")
    common.add_argument("--state", type=Path, metavar="DIR", help="where power.json is kept (default: with the board)")
    reboot = argparse.ArgumentParser(add_help=False)
    reboot.add_argument("--allow-reboot", action="store_true", help="reboot now where the power mode wants that")
    reboot.add_argument("--config", type=Path, metavar="PATH", help="whose power.max_reboots_per_day counts")
    reboot.add_argument("--verbose", action="store_true", help="show what the power helper logs")
    listing = actions.add_parser("list", parents=[common], help="the intents, what they mean here, and the modes")
    listing.set_defaults(command=commands.command_power_list)
    show = actions.add_parser("show", parents=[common], help="mode, clocks and fan as they are now")
    show.set_defaults(command=commands.command_power_show)
    apply = actions.add_parser("apply", parents=[common, reboot], help="bring the board into an intent's state")
    apply.add_argument("intent", metavar="INTENT")
    apply.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")
    apply.set_defaults(command=commands.command_power_apply)
    restore = actions.add_parser("restore", parents=[common, reboot], help="back to the state before the first change")
    restore.set_defaults(command=commands.command_power_restore)


def _add_simulate(every: Every) -> None:
    simulate = every.add_parser("simulate", help="virtual boards, cameras and messages")
    actions = simulate.add_subparsers(required=True, metavar="ACTION")
    board = actions.add_parser("board", help="write a virtual Jetson into a directory")
    board.add_argument("name", help="`edgeagent simulate boards` lists them")
    board.add_argument("--root", type=Path, required=True, metavar="DIR")
    board.add_argument("--seed", type=int, default=0)
    board.add_argument(
        "--misbehave",
        action="append",
        default=[],
        metavar="TOOL=WORD",
        help="let a stand-in tool misbehave: `edgeagent simulate boards` lists the words; may be given several times",
    )
    board.set_defaults(command=commands.command_simulate_board)
    boards = actions.add_parser("boards", help="the virtual Jetsons there are, and how their tools can misbehave")
    boards.add_argument("--json", action="store_true")
    boards.set_defaults(command=commands.command_simulate_boards)
    reboot = actions.add_parser("reboot", help="reboot a virtual Jetson: what a mode that wants one waits for")
    reboot.add_argument("--root", type=Path, required=True, metavar="DIR")
    reboot.set_defaults(command=commands.command_simulate_reboot)
    matrix = actions.add_parser("matrix", help="all virtual boards x all intents: planned, applied, verified, restored")
    matrix.add_argument("--board", action="append", default=[], metavar="NAME", help="only this one (repeatable)")
    matrix.add_argument("--json", action="store_true")
    matrix.set_defaults(command=commands.command_simulate_matrix)
    _add_heat(actions)
    _add_memory(actions)
    add_simulated_fleet(actions)
    video = actions.add_parser("video", help="write a video file of the synthetic camera")
    video.add_argument("--out", type=Path, required=True, metavar="FILE")
    video.add_argument("--frames", type=_count, default=300)
    video.add_argument("--size", default="640x480", metavar="WxH")
    video.add_argument("--fps", type=float, default=30.0)
    video.add_argument("--seed", type=int, default=1)
    video.set_defaults(command=commands.command_simulate_video)


def _add_heat(actions: Every) -> None:
    heat = actions.add_parser("heat", help="a build on virtual boards that get hot: with the governor, without, on-off")
    heat.add_argument("scenario", nargs="*", metavar="SCENARIO", help="fanless, fan-fails, sun, cameras; else all")
    heat.add_argument(
        "--controller",
        action="append",
        default=[],
        choices=("governor", "free", "on-off"),
        help="only this one (repeatable)",
    )
    pace = heat.add_mutually_exclusive_group()
    pace.add_argument("--virtual", action="store_true", help="in virtual time and without processes: seconds")
    pace.add_argument("--accelerate", type=_speed, default=10.0, metavar="N", help="times the wall clock (default 10)")
    heat.add_argument("--png", type=Path, metavar="FILE", help="draw temperature, duty and frames")
    heat.add_argument("--json", action="store_true", help="for scripts")
    heat.set_defaults(command=commands.command_simulate_heat)


def _add_memory(actions: Every) -> None:
    memory = actions.add_parser("memory", help="builds that want more memory than a virtual board has")
    memory.add_argument("--runs", type=_count, default=20, help="how many builds (default 20)")
    memory.add_argument("--json", action="store_true", help="for scripts")
    memory.set_defaults(command=commands.command_simulate_memory)
