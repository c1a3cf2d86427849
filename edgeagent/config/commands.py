"""What `edgeagent config ...` does: each function gives an exit code and the text to print (without a last newline).

Exit code 0: done. 2: the config is wrong; the text then has one line a mistake, or with `as_json` one object.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from edgeagent.config.beginning import LocalConfig, compose_over, state_dir_of
from edgeagent.config.check import find_mistakes, render_mistakes
from edgeagent.config.desired_store import read_committed
from edgeagent.config.effective import Loaded, compose
from edgeagent.config.files import read_toml
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
    """Tells every setting in force and its layer, what was committed over MQTT among them. `hostname` names the device
    where the file does not."""
    try:
        loaded, remark = _in_force(LocalConfig(Path(path) if path is not None else None, hostname))
    except ConfigError as error:
        return _refused(error, as_json)
    if as_json:
        shown: dict[str, object] = {"settings": [asdict(one) for one in effective_settings(loaded)]}
        return OK, json.dumps({**shown, "remark": remark} if remark else shown, indent=2)
    return OK, render_rows(effective_rows(loaded)) + (f"\n# {remark}" if remark else "")


def _in_force(source: LocalConfig) -> tuple[Loaded, str]:
    """The config that an agent would begin with, and what a person has to know beside it. Raises ConfigError."""
    local = source.read()
    folder = state_dir_of(local)
    try:
        kept = read_committed(folder)
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        return compose(local, source.where), f"what was set over MQTT cannot be read ({folder}/config: {why})"
    try:
        return compose_over(local, kept, source.where), ""
    except ConfigError as error:
        remark = f"version {kept.version} of the desired config does not fit this file: {error.line()}"
        return compose(local, source.where), remark


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
