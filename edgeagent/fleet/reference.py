"""The generated half of docs/mqtt.md: each message's fields and an example, from the models.

A contract test compares the document with this text, so the two cannot drift apart. To renew the document:
`python -m edgeagent.fleet.reference docs/mqtt.md`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

from edgeagent.fleet.envelope import Part, encode, schema_name
from edgeagent.fleet.examples import examples
from edgeagent.fleet.inbound_examples import inbound_examples, patch_wish
from edgeagent.fleet.messages import MODELS, json_schemas
from edgeagent.fleet.schemas import INBOUND, inbound_schemas

BEGIN: Final = "<!-- generated from the models: do not edit below -->"
END: Final = "<!-- end of the generated part -->"
_HEADER: Final = ("schema", "session", "seq", "ts")


def fields_markdown() -> str:
    """A section for each message, what is said to a device last: what it says, its fields, an example."""
    schemas = {**json_schemas(), **inbound_schemas()}
    models: dict[str, type[Part]] = {**{schema_name(model): model for model in MODELS}, **INBOUND}
    return "\n".join(_section(name, model, schemas[name]) for name, model in models.items())


def with_reference(document: str) -> str:
    """The document with its generated part renewed. Raises ValueError when the marks are missing."""
    before, rest = document.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n\n{fields_markdown()}\n{END}{after}"


def _section(name: str, model: type[Part], schema: dict[str, Any]) -> str:
    table = _wanted_table(schema) if name in INBOUND else _table(schema, skip=_HEADER)
    lines = [f"### `{name}`", "", _one_line(model.__doc__), "", *table]
    for part_name, part in schema.get("$defs", {}).items():
        if "properties" not in part:
            continue  # any JSON
        lines += ["", f"**{part_name}**: {_one_line(part.get('description'))}", "", *_table(part)]
    for topic, wire in _examples(model):
        lines += ["", f"`{topic}`", "", "```json", json.dumps(wire, indent=2), "```"]
    return "\n".join([*lines, ""])


def _examples(model: type[Part]) -> list[tuple[str, Any]]:
    """One for each message; of a wish, both ways."""
    sent = [(topic, json.loads(encode(message))) for topic, message in examples().items() if type(message) is model]
    said = [(topic, message) for topic, message in inbound_examples().items() if type(message) is model]
    told = said[:1] + [(topic, patch_wish()) for topic, message in said[:1] if type(message) is type(patch_wish())]
    return sent[:1] + [(topic, message.model_dump(mode="json", exclude_unset=True)) for topic, message in told]


def _table(part: dict[str, Any], skip: tuple[str, ...] = ()) -> list[str]:
    head = ["| field | type | always there | meaning |", "|---|---|---|---|"]
    return head + [_row(name, field, part) for name, field in part["properties"].items() if name not in skip]


def _wanted_table(part: dict[str, Any]) -> list[str]:
    """Of what is said to a device: what has a default need not be said."""
    required = part.get("required", ())
    return ["| field | type | required | meaning |", "|---|---|---|---|"] + [
        f"| `{name}` | {_type(field)} | {'yes' if name in required else ''} | {_one_line(field.get('description'))} |"
        for name, field in part["properties"].items()
    ]


def _row(name: str, field: dict[str, Any], part: dict[str, Any]) -> str:
    always = name in part.get("required", ()) or "default" in field
    return f"| `{name}` | {_type(field)} | {'yes' if always else ''} | {_one_line(field.get('description'))} |"


def _type(field: dict[str, Any]) -> str:
    if "$ref" in field:
        return str(field["$ref"].rpartition("/")[2])
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    if field.get("type") == "array" and "prefixItems" in field:
        return f"{len(field['prefixItems'])} numbers"
    if field.get("type") == "array":
        return f"list of {_type(field['items'])}"
    return str(field.get("type", "value"))


def _one_line(text: str | None) -> str:
    return " ".join((text or "").split())


def main() -> None:
    """Renews the document named on the command line."""
    path = Path(sys.argv[1])
    path.write_text(with_reference(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
