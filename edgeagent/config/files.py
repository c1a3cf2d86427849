"""Reading config files: the one place of this room that touches the disk.

Everything that can be wrong with a file is a ConfigError of one line; a file is never written here.
"""

from __future__ import annotations

import re
import stat
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # type: ignore[import-not-found,unused-ignore]

from edgeagent.config.effective import Loaded, compose, host_layer
from edgeagent.config.layers import Layer, too_deep
from edgeagent.errors import ConfigError

__all__ = ["DEVICE_CONFIG", "MAX_BYTES", "Loaded", "config_file", "load_config", "read_toml"]

DEVICE_CONFIG = Path("/etc/edgeagent/config.toml")
MAX_BYTES = 1024 * 1024
_POSITION = re.compile(r"\s*\(at (?:line (\d+), column (\d+)|end of document)\)$")


def config_file(named: Path | None, usual: Path = DEVICE_CONFIG) -> Path | None:
    """The file that was named, else the one at its usual place, None where nothing is there. Raises ConfigError where
    this user may not know: the defaults would be another device's."""
    if named is not None:
        return named
    try:
        usual.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except PermissionError as error:
        raise _closed(usual) from error
    return usual


def load_config(path: Path | str | None, overrides: Mapping[str, Any], hostname: str) -> Loaded:
    """The config of this device: defaults, the host name as device.id, the file, `overrides`.

    `path` None means no file. Raises ConfigMistakesError with all mistakes at once, and ConfigError for a file that
    cannot be read.
    """
    file = read_toml(path) if path is not None else {}
    layers = [host_layer(hostname), Layer("file", file), Layer("command line", overrides)]
    origins = [str(path)] * (path is not None) + ["the command line"] * bool(overrides)
    return compose(layers, where=" with ".join(origins) or "the config")


def read_toml(path: Path | str) -> dict[str, Any]:
    """The tables of a TOML file. Raises ConfigError for one that is missing, too large, unreadable or broken."""
    text = _decoded(_read_bytes(Path(path)), path)
    try:
        data: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _broken(path, text, str(error)) from error
    except ValueError as error:
        raise ConfigError(f"{path}: a number has too many digits", mend="no setting needs that") from error
    except RecursionError:
        raise _nests_too_deep(path) from None
    if too_deep(data):
        raise _nests_too_deep(path)
    return data


def _read_bytes(path: Path) -> bytes:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise ConfigError(f"{path} is not a regular file", mend="name a TOML file")
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        raise ConfigError(
            f"{path} does not exist", mend="`edgeagent config template` prints one to start from"
        ) from error
    except PermissionError as error:
        raise _closed(path) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(f"{str(path)!r} cannot be read: {reason}", mend="name a TOML file") from error
    if len(raw) > MAX_BYTES:
        raise ConfigError(
            f"{path} is larger than {MAX_BYTES} bytes", mend="a config is a few kilobytes; name another file"
        )
    return raw


def _closed(path: Path) -> ConfigError:
    return ConfigError(f"{path} may not be read by this user", mend="use sudo, or let the group edgeagent read it")


def _decoded(raw: bytes, path: Path | str) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}: line {line} is not UTF-8 text", mend="save the file as UTF-8") from error


def _broken(path: Path | str, text: str, reason: str) -> ConfigError:
    """TOML's own complaint with its place. The line's text is left out: it may hold a secret."""
    match = _POSITION.search(reason)
    what = _POSITION.sub("", reason)
    at_end = f"line {len(text.splitlines())}, end of the file"
    place = f"line {match[1]}, column {match[2]}" if match and match[1] else at_end
    mend = 'TOML wants KEY = VALUE lines, text in "quotes" and [tables]; `edgeagent config template` prints an example'
    return ConfigError(f"{path}: {place}: not TOML: {what[:1].lower()}{what[1:]}", mend=mend)


def _nests_too_deep(path: Path | str) -> ConfigError:
    return ConfigError(f"{path}: tables or lists nest too deep", mend="no setting needs more than a few levels")
