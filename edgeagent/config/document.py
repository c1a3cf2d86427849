"""The reference page of the settings, docs/config.md, made from the schema.

`python -m edgeagent.config.document docs/config.md` writes it anew; a test tells when that is due.
"""

from __future__ import annotations

import sys
from pathlib import Path

from edgeagent.config import settings
from edgeagent.config.toml_text import toml_value

_HEAD = """\
<!-- Made from edgeagent/config/schema.py by `python -m edgeagent.config.document docs/config.md`. -->

# Settings

Settings are read from `/etc/edgeagent/config.toml`, in [TOML](https://toml.io). Every key may be left out unless the
table says *required*. A key that edgeagent does not know is a mistake, not a remark.

| command | what it does |
|---|---|
| `edgeagent config template` | prints a commented file to start from |
| `edgeagent config check FILE` | tells every mistake with its mend, one a line; exit code 2 if there is one |
| `edgeagent config show [FILE]` | tells every setting in force and which layer it came from, passwords hidden |
| `edgeagent config schema` | prints the JSON schema, for editors and other programs |

**Layers.** From weakest to strongest: the defaults below, the host name (for `device.id` only), the file, the command
line, what was set over MQTT ([remote-config.md](remote-config.md)). Tables merge key by key; a list or a single value
replaces the weaker one as a whole, and so does a `source` whose `type` differs from the weaker one's.

**Ids** of devices, fleets, cameras, models and pipelines are 1 to 64 of `a-z`, `0-9` and `-`, and neither start nor end
with `-`: they become levels of MQTT topics.

**Secrets.** The broker's password stands in a file of its own (`mqtt.password_file`). A password inside a camera's URL
or pipeline is used but never shown.
"""


def render_document() -> str:
    """The whole page as Markdown."""
    return "\n".join([_HEAD, *(_section(path, node) for path, node in settings.tables())])


def _section(path: tuple[str, ...], node: settings.Node) -> str:
    keys = settings.settings(path, node)
    kind = next((toml_value(key.default) for key in keys if key.name == "type"), "")
    name = ".".join(part for part in path if part != settings.EACH)
    title = f"`[[{name}]]`" if settings.EACH in path else f"`[{name}]`" + (f" with `type = {kind}`" if kind else "")
    rows = "\n".join(_row(key) for key in keys)
    level = "###" if kind or settings.EACH in path else "##"
    head = "| key | wants | default | meaning |\n|---|---|---|---|"
    return f"{level} {title}\n\n{node.get('description', '')}\n\n{head}\n{rows}\n"


def _row(key: settings.Setting) -> str:
    default = "*not set*" if key.default is None else f"`{toml_value(key.default)}`"
    cells = (f"`{key.name}`", key.wants, "*required*" if key.required else default, key.meaning)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(render_document(), encoding="utf-8")
