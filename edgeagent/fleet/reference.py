"""The generated half of docs/mqtt.md: each message's fields and an example, from the models.

A contract test compares the document with this text, so the two cannot drift apart. To renew the document:
`python -m edgeagent.fleet.reference docs/mqtt.md`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

from edgeagent.fleet.envelope import Message, encode, schema_name
from edgeagent.fleet.examples import examples
from edgeagent.fleet.messages import MODELS, json_schemas

BEGIN: Final = "<!-- generated from the models: do not edit below -->"
END: Final = "<!-- end of the generated part -->"
_HEADER: Final = ("schema", "session", "seq", "ts")


def fields_markdown() -> str:
    """A section for each message: what it says, its fields, an example."""
    schemas = json_schemas()
    return "\n".join(_section(model, schemas[schema_name(model)]) for model in MODELS)


def with_reference(document: str) -> str:
    """The document with its generated part renewed. Raises ValueError when the marks are missing."""
    before, rest = document.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n\n{fields_markdown()}\n{END}{after}"


def _section(model: type[Message], schema: dict[str, Any]) -> str:
    lines = [f"### `{schema_name(model)}`", "", _one_line(model.__doc__), "", *_table(schema, skip=_HEADER)]
    for name, part in schema.get("$defs", {}).items():
        if "properties" not in part:
            continue  # any JSON
        lines += ["", f"**{name}**: {_one_line(part.get('description'))}", "", *_table(part)]
    topic, example = next((topic, message) for topic, message in examples().items() if type(message) is model)
    wire = json.dumps(json.loads(encode(example)), indent=2)
    return "\n".join([*lines, "", f"`{topic}`", "", "```json", wire, "```", ""])


def _table(part: dict[str, Any], skip: tuple[str, ...] = ()) -> list[str]:
    head = ["| field | type | always there | meaning |", "|---|---|---|---|"]
    return head + [_row(name, field, part) for name, field in part["properties"].items() if name not in skip]


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
