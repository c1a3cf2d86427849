"""`edgeagent bench`: what it understands. The loop's measurement, and beside it single parts that documents claim."""

from __future__ import annotations

import argparse
import json
import math
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from edgeagent import cli_commands as commands
from edgeagent.errors import OperatorError

if TYPE_CHECKING:
    Every = argparse._SubParsersAction[argparse.ArgumentParser]

SAMPLE = "sample:conveyor"
MOST_CAMERAS, MOST_DETECTIONS = 64, 100
LARGEST_SIDE = 4096


def add_bench(every: Every) -> None:
    bench = every.add_parser("bench", help="how fast the loop is, and what a frame costs (docs/bench.md)")
    what = bench.add_mutually_exclusive_group()
    what.add_argument("--engine", metavar="KEY", help="an engine of the store, or the beginning of its key")
    what.add_argument("--model", metavar="MODEL", help=f"a bundle, in FP32 on ONNX Runtime (default: {SAMPLE})")
    what.add_argument("--null", action="store_true", help="no engine: what everything else costs")
    bench.add_argument("--cameras", type=_whole(1, MOST_CAMERAS), default=1, metavar="N", help="default: 1")
    bench.add_argument("--fps", type=_number(1, 240), default=30.0, metavar="N", help="of each camera (default: 30)")
    bench.add_argument("--seconds", type=_number(1, 3600), default=5.0, metavar="S", help="a measurement (default: 5)")
    bench.add_argument("--size", type=_size, default=(640, 640), metavar="WxH", help="with --null (default: 640x640)")
    bench.add_argument(
        "--detections", type=_whole(0, MOST_DETECTIONS), default=20, metavar="N", help="with --null (default: 20)"
    )
    bench.add_argument("--threads", type=_whole(1, 64), default=1, metavar="N", help="of ONNX Runtime (default: 1)")
    bench.add_argument("--broker", metavar="URL", help="mqtt://[USER:PASSWORD@]HOST[:PORT] (default: one of its own)")
    bench.add_argument("--state", type=Path, metavar="DIR", help="state directory (default: the config's)")
    bench.add_argument("--config", type=Path, metavar="FILE", help=f"default: {commands.DEVICE_CONFIG}, if it is there")
    bench.add_argument("--root", type=Path, default=Path("/"), metavar="DIR", help="where the board's files lie")
    bench.add_argument("--json", action="store_true", help="for scripts")
    bench.set_defaults(command=_bench)
    _add_parts(bench.add_subparsers(metavar="WHAT", help="measure one part alone"))


def _add_parts(actions: Every) -> None:
    publish = actions.add_parser("publish", help="agent CPU to encode and publish a result of 20 detections")
    publish.add_argument("--tls", action="store_true", help="over TLS 1.3, to mosquitto")
    publish.add_argument("--rate", type=_number(1, 5000), default=200.0, metavar="N", help="a second (default: 200)")
    publish.add_argument("--qos", type=int, choices=(0, 1), default=0, help="default: 0")
    publish.set_defaults(command=commands.command_bench_publish)
    telemetry = actions.add_parser("telemetry", help="CPU time of one full sample of each virtual board's sensors")
    telemetry.add_argument("--board", action="append", default=[], metavar="NAME", help="only this one (repeatable)")
    telemetry.set_defaults(command=commands.command_bench_telemetry)
    accuracy = actions.add_parser("accuracy", help="the sample model on held-out scenes, FP32 and INT8")
    accuracy.add_argument("--scenes", type=_whole(1, 1_000_000), default=600)
    accuracy.set_defaults(command=commands.command_bench_accuracy)
    for part in (publish, telemetry, accuracy):
        part.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="for scripts")


class _whole:  # noqa: N801  argparse names it in no message
    """A whole number within bounds."""

    def __init__(self, least: int, most: int) -> None:
        self._least, self._most = least, most

    def __call__(self, text: str) -> int:
        if text.isdecimal() and self._least <= int(text) <= self._most:
            return int(text)
        raise argparse.ArgumentTypeError(f"wants a whole number from {self._least} to {self._most}")


class _number:  # noqa: N801
    """A number within bounds."""

    def __init__(self, least: float, most: float) -> None:
        self._least, self._most = least, most

    def __call__(self, text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if self._least <= value <= self._most:
            return value
        raise argparse.ArgumentTypeError(f"wants a number from {self._least:g} to {self._most:g}")


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    if all(side.isdecimal() and 32 <= int(side) <= LARGEST_SIDE for side in (width, height)):
        return int(width), int(height)
    raise argparse.ArgumentTypeError(f"wants WIDTHxHEIGHT, each from 32 to {LARGEST_SIDE}")


def _bench(options: argparse.Namespace) -> int:
    from edgeagent.app.logs import configure_logs
    from edgeagent.bench.report import facts, table
    from edgeagent.bench.run import Wish, run_bench
    from edgeagent.fleet.url import parse_broker_url

    configure_logs("warning")
    if not options.root.is_dir():
        raise OperatorError(f"--root: there is no directory {options.root}", mend="leave it out on a device")
    wish = Wish(
        engine=options.engine,
        model=None if options.null or options.engine is not None else options.model or SAMPLE,
        size=options.size,
        detections=options.detections,
        state_dir=_state_dir(options),
        threads=options.threads,
        cameras=options.cameras,
        fps=options.fps,
        seconds=options.seconds,
        broker=parse_broker_url(options.broker, allow_credentials=True) if options.broker else None,
        root=options.root.absolute(),
    )
    measured = run_bench(wish)
    print(json.dumps(facts(measured), indent=1) if options.json else table(measured))  # noqa: T201
    return 0


def _state_dir(options: argparse.Namespace) -> Path:
    from edgeagent.config.files import config_file, load_config

    if options.state is not None:
        return Path(options.state).absolute()
    file = config_file(options.config)
    return Path(load_config(file, {}, socket.gethostname()).config.device.state_dir)
