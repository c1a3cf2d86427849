"""Logins of web servers from a netrc file: the one that NETRC names, else ~/.netrc. A host gets its own login only."""

from __future__ import annotations

import base64
import netrc
import os
import stat
from pathlib import Path

from edgeagent.engine.registry.errors import RegistrySetupError


def login_of(host: str) -> str | None:
    """The value of the Authorization header for `host`; None without a login. Raises RegistrySetupError."""
    path = _path()
    if path is None or not path.is_file():
        return None
    try:
        if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise RegistrySetupError("registry_netrc", f"others may read {path}", mend=f"chmod 600 {path}")
        found = netrc.netrc(path).hosts.get(host)
    except (OSError, netrc.NetrcParseError, UnicodeDecodeError) as error:
        raise RegistrySetupError("registry_netrc", f"{path} cannot be read: {error}") from error
    if found is None:
        return None
    login, _, password = found
    return "Basic " + base64.b64encode(f"{login}:{password or ''}".encode()).decode()


def _path() -> Path | None:
    named = os.environ.get("NETRC")
    if named:
        return Path(named)
    try:
        return Path.home() / ".netrc"
    except RuntimeError:  # a service's user may have no home
        return None
