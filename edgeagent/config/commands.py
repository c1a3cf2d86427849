"""What `edgeagent config ...` does: each function gives an exit code and the text to print (without a last newline).

Exit code 0: done. 2: the config is wrong; the text then has one line a mistake, or with `as_json` one object.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from edgeagent.config.check import find_mistakes, render_mistakes
from edgeagent.config.files import load_config, read_toml
from edgeagent.config.mistake import ConfigMistakesError, Mistake
from edgeagent.config.show import effective_rows, effective_settings, json_schema, render_rows
from edgeagent.config.template import default_config_toml
from edgeagent.errors import ConfigError

OK = 0
WRONG = 2


def command_check(path: Path | str, as_json: bool = False) -> tuple[int, str]:
    """Tells every mistake of a file."""
    try:
        mistakes = find_mistakes(read_toml(path))
    except ConfigError as error:
        return _refused(error, as_json)
    if mistakes:
        return _refused(ConfigMistakesError(str(path), mistakes), as_json)
    return OK, json.dumps({"ok": True, "mistakes": []}) if as_json else f"{path}: no mistakes"


def command_show(path: Path | str | None, hostname: str, as_json: bool = False) -> tuple[int, str]:
    """Tells every setting in force and its layer. `hostname` names the device where the file does not."""
    try:
        loaded = load_config(path, {}, hostname)
    except ConfigError as error:
        return _refused(error, as_json)
    if as_json:
        return OK, json.dumps({"settings": [asdict(one) for one in effective_settings(loaded)]}, indent=2)
    return OK, render_rows(effective_rows(loaded))


def command_schema() -> tuple[int, str]:
    """Prints the JSON schema."""
    return OK, json.dumps(json_schema(), indent=2)


def command_template() -> tuple[int, str]:
    """Prints a commented file to start from."""
    return OK, default_config_toml().rstrip("\n")


def _refused(error: ConfigError, as_json: bool) -> tuple[int, str]:
    mistakes = error.mistakes if isinstance(error, ConfigMistakesError) else ()
    if as_json:
        listed = mistakes or (Mistake("", error.message, error.mend),)
        return WRONG, json.dumps({"ok": False, "mistakes": [asdict(one) for one in listed]}, indent=2)
    return WRONG, render_mistakes(mistakes) if mistakes else error.line()
