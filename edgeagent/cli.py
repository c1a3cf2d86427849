"""The command line: reads the arguments, runs the command, turns errors into lines and exit codes.

Exit codes: 0 done, 1 failed, 2 the request or the config is wrong.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
from collections.abc import Callable

from edgeagent.cli_parser import make_parser
from edgeagent.errors import EdgeAgentError, OperatorError

Command = Callable[[argparse.Namespace], int]


def main(arguments: list[str] | None = None) -> None:
    """Run the command that the arguments name and exit with its code."""
    try:
        _print_anything()
        _run(parsed(arguments))
    except _ctrl_c():
        sys.exit(130)


def parsed(arguments: list[str] | None) -> argparse.Namespace:
    """argparse takes DEVICE and KEY=VALUE in one run only: what stands behind an option between them goes along."""
    parser = make_parser()
    options, rest = parser.parse_known_args(arguments)
    words: list[str] | None = getattr(options, "word", None)
    if rest and (words is None or any(word.startswith("-") for word in rest)):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    elif words is not None:
        options.word = words + rest
    return options


def _ctrl_c() -> tuple[type[BaseException], ...]:
    """What Ctrl-C comes out as: where an event loop ran on Python 3.10, as its own. Nothing is imported for that."""
    loaded = sys.modules.get("asyncio")
    return (KeyboardInterrupt,) if loaded is None else (KeyboardInterrupt, loaded.CancelledError)


def _run(options: argparse.Namespace) -> None:
    command: Command = options.command
    try:
        sys.exit(command(options))
    except EdgeAgentError as error:
        _refuse(options, error)
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            sys.stderr.close()  # the reader of our output has gone: `edgeagent config schema | head`
            sys.exit(1)
        _refuse(options, _of_the_system(error))


def _refuse(options: argparse.Namespace, error: EdgeAgentError) -> None:
    code = error.bracket if _is_engine(options) else ""
    for line in _lines_of(error):
        sys.stderr.write(f"edgeagent: {line}{code}\n")
    if _is_engine(options) and options.json:
        print(json.dumps({"ok": False, "error": error.facts_for_json()}, indent=1))  # noqa: T201
    sys.exit(2 if isinstance(error, OperatorError) else 1)


def _of_the_system(error: OSError) -> EdgeAgentError:
    """What nobody below has put into words. Most often it is a directory of the service's that is closed to others."""
    where = f"{error.filename}: " if error.filename else ""
    mend = "use sudo" if isinstance(error, PermissionError) and os.geteuid() != 0 else ""
    return EdgeAgentError(f"{where}{(error.strerror or str(error)).lower()}", mend=mend)


def _is_engine(options: argparse.Namespace) -> bool:
    """The engine commands tell the codes of docs/models.md and docs/registry.md; scripts go by them."""
    return bool(getattr(options, "engine_action", False))


def _print_anything() -> None:
    """A terminal that is not UTF-8 gets escapes in place of a traceback: boards and files have names of any kind."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _lines_of(error: EdgeAgentError) -> list[str]:
    """One line an error; a config with several mistakes has one for each."""
    from edgeagent.config.mistake import ConfigMistakesError

    return [m.line() for m in error.mistakes] if isinstance(error, ConfigMistakesError) else [error.line()]
