"""Every schema of the contract, in both directions, and the command that prints them. Pure.

What a device writes names its schema in the message; what is said to a device does not, so its names stand here.
"""

from __future__ import annotations

import json
from typing import Any, Final

from edgeagent.errors import ConfigError
from edgeagent.fleet.envelope import Part
from edgeagent.fleet.inbound import Command, Desired
from edgeagent.fleet.messages import json_schemas, schema_of

INBOUND: Final[dict[str, type[Part]]] = {"edgeagent.desired/1": Desired, "edgeagent.command/1": Command}
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


def inbound_schemas() -> dict[str, dict[str, Any]]:
    """JSON Schema (2020-12) of what is said to a device, by schema name."""
    return {name: schema_of(model) for name, model in INBOUND.items()}


def all_schemas() -> dict[str, dict[str, Any]]:
    """JSON Schema (2020-12) of every message in both directions, by schema name."""
    return {**json_schemas(), **inbound_schemas()}


def command_schema(name: str | None = None, *, asyncapi: bool = False) -> tuple[int, str]:
    """`edgeagent fleet schema [NAME] [--asyncapi]`: exit code and what is to be printed.

    `name` is a schema's ("edgeagent.status/1") or what is between the dot and the slash ("measurement.power"); without
    one, all of them, by name. Raises ConfigError for a name that there is not.
    """
    from edgeagent.fleet.asyncapi import asyncapi_document

    if asyncapi:
        return 0, json.dumps(asyncapi_document(), indent=2)
    if name is None:
        return 0, json.dumps({known: _alone(known, schema) for known, schema in all_schemas().items()}, indent=2)
    found, schema = _find(name)
    return 0, json.dumps(_alone(found, schema), indent=2)


def short_name(name: str) -> str:
    """ "edgeagent.measurement.power/1" -> "measurement.power"."""
    return name.removeprefix("edgeagent.").rpartition("/")[0]


def _find(name: str) -> tuple[str, dict[str, Any]]:
    schemas = all_schemas()
    for known, schema in schemas.items():
        if name in (known, known.removeprefix("edgeagent."), short_name(known)):
            return known, schema
    raise ConfigError(f"there is no schema {name!r}", mend=f"one of: {', '.join(map(short_name, schemas))}")


def _alone(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    """As a document of its own, for programs that know nothing else."""
    return {"$schema": DIALECT, "$id": f"urn:{name.replace('.', ':').replace('/', ':')}", **schema}
