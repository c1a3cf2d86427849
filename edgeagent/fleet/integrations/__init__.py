"""Files for other programs that read what devices say: shipped with the package, printed by the command line.

`edgeagent fleet integration NAME` prints one of them. docs/dashboards.md says how each is used, and what was tried.
"""

from __future__ import annotations

from importlib import resources
from typing import Final

from edgeagent.errors import ConfigError

FILES: Final = {
    "telegraf": "telegraf.conf",
    "grafana": "grafana-dashboard.json",
    "node-red": "node-red-flow.json",
    "prometheus": "prometheus.yml",
    "home-assistant": "home-assistant.md",
}


def integration_text(name: str) -> str:
    """The file of that integration. Raises ConfigError for one that there is not."""
    if name not in FILES:
        raise ConfigError(f"there is no integration {name!r}", mend=f"one of: {', '.join(FILES)}")
    return (resources.files(__name__) / FILES[name]).read_text(encoding="utf-8")


def command_integration(name: str | None = None) -> tuple[int, str]:
    """`edgeagent fleet integration [NAME]`: exit code and what is to be printed; without a name, which there are."""
    return 0, "\n".join(FILES) if name is None else integration_text(name).rstrip("\n")
