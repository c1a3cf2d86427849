"""What install.sh was asked to do on a device. Pure; a request that contradicts itself is refused here."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NoReturn

from edgeagent.install.errors import RequestError
from edgeagent.install.verdict import STEADY_S

Action = Literal["install", "upgrade", "rollback", "uninstall", "purge", "bundle", "judge"]
ACTIONS: tuple[Action, ...] = ("upgrade", "rollback", "uninstall", "purge", "judge")
HEALTHY_S = 90.0
PYTHONS = ("3.10", "3.12")


@dataclass(frozen=True)
class Options:
    """`offline`: the archive or directory that --offline names. `board_root`: / but for a virtual Jetson."""

    action: Action = "install"
    dry_run: bool = False
    any_host: bool = False
    offline: Path | None = None
    config: Path | None = None
    broker: str | None = None
    fleet: str | None = None
    board_root: Path = Path("/")
    healthy_s: float = HEALTHY_S
    bundle: Path | None = None
    arch: str = "aarch64"
    pythons: tuple[str, ...] = PYTHONS

    @property
    def provisions(self) -> bool:
        """Whether the config file is to say something of its own."""
        return self.config is not None or self.broker is not None or self.fleet is not None

    @property
    def virtual_board(self) -> str | None:
        """The directory with a virtual Jetson's files; None: this machine is the board."""
        return None if self.board_root == Path("/") else str(self.board_root)


def parse_options(arguments: Sequence[str]) -> Options:
    """Raises RequestError for what cannot be read, and for what cannot be."""
    given = _parser().parse_args(arguments)
    action: Action = "bundle" if given.bundle else given.action or "install"
    found = Options(
        action=action,
        dry_run=given.dry_run,
        any_host=given.any_host,
        offline=given.offline,
        config=given.config,
        broker=given.broker,
        fleet=given.fleet,
        board_root=given.board_root,
        healthy_s=given.healthy_within,
        bundle=given.bundle,
        arch=given.arch,
        pythons=tuple(given.python.split(",")),
    )
    _refuse_nonsense(found)
    return found


def _refuse_nonsense(given: Options) -> None:
    installs = given.action in ("install", "upgrade")
    if given.config is not None and (given.broker or given.fleet):
        raise RequestError("--config FILE says everything", mend="write the broker and the fleet into that file")
    if given.provisions and not installs:
        raise RequestError(
            "--config, --broker and --fleet are for installing", mend=f"leave them out of --{given.action}"
        )
    if given.offline is not None and not installs:
        raise RequestError("--offline is for installing and for --upgrade", mend=f"leave it out of --{given.action}")
    if not STEADY_S < given.healthy_s <= 3600:
        raise RequestError(f"--healthy-within wants more than {STEADY_S:g} and at most 3600 seconds")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise RequestError(message, mend="./install.sh --help says what there is")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser("install.sh", add_help=False, allow_abbrev=False)
    what = parser.add_mutually_exclusive_group()
    for action in ACTIONS:
        what.add_argument(f"--{action}", dest="action", action="store_const", const=action)
    what.add_argument("--bundle", type=Path, metavar="FILE")
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument("--any-host", action="store_true")
    parser.add_argument("--offline", type=Path, metavar="ARCHIVE")
    parser.add_argument("--config", type=Path, metavar="FILE")
    parser.add_argument("--broker", metavar="URL")
    parser.add_argument("--fleet", metavar="NAME")
    parser.add_argument("--board-root", type=Path, default=Path("/"), metavar="DIR")
    parser.add_argument("--healthy-within", type=float, default=HEALTHY_S, metavar="S")
    parser.add_argument("--arch", choices=("aarch64", "x86_64"), default="aarch64")
    parser.add_argument("--python", default=",".join(PYTHONS), metavar="VERSIONS")
    return parser
