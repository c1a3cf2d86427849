"""The AsyncAPI 3.0 document of what a device says and hears, made from topics, deliveries, models and examples.

It describes the device: what it sends and what it receives. A contract test compares docs/asyncapi.json with this, so
the two cannot drift apart. To renew it: `python -m edgeagent.fleet.asyncapi docs/asyncapi.json`.

AsyncAPI's own schemas are JSON Schema draft 7: parts move to the document's components, and a box's four numbers are
written the older way.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

from edgeagent.fleet.delivery import DELIVERY, INBOUND_DELIVERY, Delivery
from edgeagent.fleet.envelope import Message, Part, encode, schema_name
from edgeagent.fleet.examples import examples
from edgeagent.fleet.inbound import ALL, GROUP, Command, Desired
from edgeagent.fleet.inbound_examples import inbound_examples, patch_wish
from edgeagent.fleet.measurements import GROUPS, Measurement
from edgeagent.fleet.messages import model_of_kind
from edgeagent.fleet.schemas import INBOUND, all_schemas, short_name
from edgeagent.fleet.topics import ROOT, Kind, topic_shapes

VERSION: Final = "1.0.0"
BINDING: Final = "0.2.0"
_DEVICE: Final = ROOT + "/{fleet}/{device}/"
_PARAMETERS: Final = {
    "fleet": ("The fleet that the device belongs to", "plant-2"),
    "device": ("The device's id", "gate-07"),
    "camera": ("A camera's id in the device's config", "yard"),
    "pipeline": ("A pipeline's id in the device's config", "people"),
    "group": ("What the numbers are of", "thermal"),
    "type": ("What happened, or what is wrong: an id", "engine-failed"),
    "job": ("The id of the command that this answers", "0f6c2d1e-build"),
    "name": ("The command; info lists those that a device obeys", "build"),
    "members": ("A group of devices, as in device.groups of the config", "entrances"),
}
_COMMANDS: Final = {
    "command": (_DEVICE + "cmd/{name}", "Commands to one device"),
    "command_all": (f"{ROOT}/{{fleet}}/{ALL}/cmd/{{name}}", "Commands to all devices of the fleet"),
    "command_group": (f"{ROOT}/{{fleet}}/{GROUP}/{{members}}/cmd/{{name}}", "Commands to the devices of a group"),
}


def asyncapi_document() -> dict[str, Any]:
    """The whole document, as JSON values."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "edgeagent over MQTT",
            "version": VERSION,
            "description": "What a device says, and what can be said to it. All that a consumer needs is in topic and "
            "payload; MQTT 5's properties are extra.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {"broker": {"host": "broker.example.org:8883", "protocol": "secure-mqtt", "protocolVersion": "5"}},
        "channels": {**_outbound_channels(), **_inbound_channels()},
        "operations": {**_outbound_operations(), **_inbound_operations()},
        "components": {"messages": _messages(), "schemas": _schemas()},
    }


def models_of(kind: Kind) -> tuple[type[Message], ...]:
    """The models that a kind of topic may carry: of measurements, one for each group, and the plain one."""
    return (*GROUPS.values(), Measurement) if kind == "measurement" else (model_of_kind(kind),)


def _outbound_channels() -> dict[str, Any]:
    return {
        kind: _channel(
            _DEVICE + shape.replace("<", "{").replace(">", "}"),
            DELIVERY[kind].about,
            [short_name(schema_name(model)) for model in models_of(kind)],
        )
        for kind, shape in topic_shapes().items()
    }


def _inbound_channels() -> dict[str, Any]:
    commands = {key: _channel(address, about, ["command"]) for key, (address, about) in _COMMANDS.items()}
    desired = _channel(_DEVICE + "config/desired", INBOUND_DELIVERY["config_desired"].about, ["desired"])
    return {"config_desired": desired, **commands}


def _channel(address: str, about: str, messages: list[str]) -> dict[str, Any]:
    names = [level[1:-1] for level in address.split("/") if level.startswith("{")]
    return {
        "address": address,
        "description": about,
        "parameters": {name: _parameter(*_PARAMETERS[name]) for name in names},
        "messages": {message: {"$ref": f"#/components/messages/{message}"} for message in messages},
    }


def _parameter(about: str, example: str) -> dict[str, Any]:
    return {"description": about, "examples": [example]}


def _outbound_operations() -> dict[str, Any]:
    return {f"send_{kind}": _operation("send", kind, DELIVERY[kind]) for kind in topic_shapes()}


def _inbound_operations() -> dict[str, Any]:
    desired = _operation("receive", "config_desired", INBOUND_DELIVERY["config_desired"])
    commands = {f"receive_{key}": _operation("receive", key, INBOUND_DELIVERY["command"]) for key in _COMMANDS}
    answered = {key: {**operation, "reply": _reply("job")} for key, operation in commands.items()}
    return {"receive_config_desired": {**desired, "reply": _reply("config_reported")}, **answered}


def _operation(action: str, channel: str, delivery: Delivery) -> dict[str, Any]:
    binding: dict[str, Any] = {"qos": delivery.qos, "retain": delivery.retain, "bindingVersion": BINDING}
    if delivery.expiry_s is not None:
        binding["messageExpiryInterval"] = delivery.expiry_s
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{channel}"},
        "summary": delivery.about,
        "bindings": {"mqtt": binding},
    }


def _reply(channel: str) -> dict[str, Any]:
    return {"channel": {"$ref": f"#/channels/{channel}"}}


def _messages() -> dict[str, Any]:
    sent = {schema_name(model): model for kind in topic_shapes() for model in models_of(kind)}
    both: dict[str, type[Part]] = {**sent, **INBOUND}
    return {short_name(name): _message(name, model) for name, model in both.items()}


def _message(name: str, model: type[Part]) -> dict[str, Any]:
    return {
        "name": name,
        "title": short_name(name),
        "description": " ".join((model.__doc__ or "").split()),
        "contentType": "application/json",
        "payload": {"$ref": f"#/components/schemas/{short_name(name)}"},
        "examples": [{"payload": example} for example in _examples(model)],
    }


def _examples(model: type[Part]) -> list[Any]:
    if model in (Desired, Command):
        said = [*inbound_examples().values(), patch_wish()]
        return [message.model_dump(mode="json", exclude_unset=True) for message in said if type(message) is model]
    return [json.loads(encode(message)) for message in examples().values() if type(message) is model]


def _schemas() -> dict[str, Any]:
    """Every message's schema and every part's, each once."""
    found: dict[str, Any] = {}
    for name, schema in all_schemas().items():
        parts = schema.get("$defs", {})
        found[short_name(name)] = _older({key: value for key, value in schema.items() if key != "$defs"})
        found.update({part: _older(value) for part, value in parts.items()})
    return found


def _older(value: Any) -> Any:  # noqa: ANN401
    """The same schema in draft 7, with its parts in the document's components."""
    if isinstance(value, list):
        return [_older(each) for each in value]
    if not isinstance(value, dict):
        return value
    renamed = {"items" if key == "prefixItems" else key: _older(each) for key, each in value.items()}
    if isinstance(reference := renamed.get("$ref"), str):
        renamed["$ref"] = reference.replace("#/$defs/", "#/components/schemas/")
    return renamed


def text() -> str:
    """The document as it is committed."""
    return json.dumps(asyncapi_document(), indent=2) + "\n"


def main() -> None:
    """Renews the document named on the command line."""
    Path(sys.argv[1]).write_text(text(), encoding="utf-8")


if __name__ == "__main__":
    main()
