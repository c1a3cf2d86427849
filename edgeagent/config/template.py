"""A config file to start from: every key with its meaning, all commented out. Pure; made from the schema.

A line that starts with # and no blank is a setting to uncomment; a line that starts with # and a blank is prose.
Invariants: as it is, the template loads to the defaults; with every setting uncommented it is a valid config too.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from edgeagent.config import settings
from edgeagent.config.toml_text import key_text, toml_value

EXAMPLE_IDS = {"cameras": "belt", "models": "parts", "pipelines": "belt-parts"}
_PLAIN = {"text", "a table", "an id", "true or false", "a list of texts", "a list of tables", "an absolute path"}

_HEAD = """\
# Settings of edgeagent. Every key is optional; what stands behind # is its default, or an example where it has none.
# Remove the # of a line to set it. `edgeagent config check FILE` tells mistakes before a restart,
# `edgeagent config show FILE` tells what is in force and why.
"""


def default_config_toml() -> str:
    """The whole template, ready to be written to /etc/edgeagent/config.toml."""
    tables = ((path, node) for path, node in settings.tables() if not {"source", settings.EACH} & {*path})
    return "\n".join([_HEAD, *(_table(path, node) for path, node in tables)])


def _table(path: tuple[str, ...], node: settings.Node) -> str:
    return "\n".join([_header(path, node), *_keys(path, node), ""])


def _header(path: tuple[str, ...], node: settings.Node) -> str:
    meaning = "\n".join(_prose(node["description"]))
    if "ID" in path:
        return (
            f"{meaning}\n# As many tables as wanted, each with an id of its own.\n#[{path[0]}.{EXAMPLE_IDS[path[0]]}]"
        )
    return f"{meaning}\n[{'.'.join(path)}]"


def _keys(path: tuple[str, ...], node: settings.Node) -> Iterator[str]:
    for setting in settings.settings(path, node):
        limits = "" if setting.wants in _PLAIN else f" Wants {setting.wants}."
        yield from _prose(setting.meaning + limits)
        if forms := settings.tagged(settings.child(node, setting.name) or {}):
            yield from (f"# Or: {setting.name} = {_smallest(form)}" for form in forms.values())
        if settings.is_list_of_tables(settings.child(node, setting.name) or {}):
            yield f"# Or: {setting.name} = {toml_value(setting.example)}"
        value = setting.example if setting.required or setting.default is None else setting.default
        yield f"#{key_text(setting.name)} = {toml_value(value)}"


def _prose(text: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(text, 110, break_on_hyphens=False, break_long_words=False)]


def _smallest(form: settings.Node) -> str:
    """A table of this form with nothing in it but what it must have."""
    required = {setting.name: setting.example for setting in settings.settings((), form) if setting.required}
    return toml_value(required)
