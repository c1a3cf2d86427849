"""Home Assistant itself, as far as MQTT needs it: runs in an interpreter that has it, and prints what it shows.

    python home_assistant.py FOLDER BROKER_PORT WEB_PORT

A line of JSON for each change of a state: {"entity", "state", "name", "unit", "class"}, with state null when the entity
is gone; first {"ready": true, "version"}, once it listens. Ends when its input does.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from homeassistant import bootstrap, config_entries, core, loader
from homeassistant.auth import auth_manager_from_config
from homeassistant.const import EVENT_STATE_CHANGED, __version__
from homeassistant.helpers import entity_registry
from homeassistant.setup import async_setup_component

ENTRY = {
    "created_at": "2025-01-01T00:00:00+00:00",
    "modified_at": "2025-01-01T00:00:00+00:00",
    "disabled_by": None,
    "discovery_keys": {},
    "domain": "mqtt",
    "entry_id": "broker",
    "version": 1,
    "minor_version": 1,
    "options": {},
    "pref_disable_new_entities": False,
    "pref_disable_polling": False,
    "source": "user",
    "subentries": [],
    "title": "broker",
    "unique_id": None,
}


def prepare(folder: Path, port: int) -> None:
    """A config directory in which somebody has set MQTT up."""
    storage = folder / ".storage"
    storage.mkdir(parents=True, exist_ok=True)
    entry = {**ENTRY, "data": {"broker": "127.0.0.1", "port": port, "discovery": True}}
    stored = {"version": 1, "minor_version": 5, "key": "core.config_entries", "data": {"entries": [entry]}}
    (folder / "configuration.yaml").touch()
    if not (storage / "core.config_entries").exists():
        (storage / "core.config_entries").write_text(json.dumps(stored))


def say(**values: Any) -> None:
    print(json.dumps(values), flush=True)


@core.callback
def changed(event: core.Event) -> None:
    new = event.data["new_state"]
    found = new.attributes if new else {}
    say(
        entity=event.data["entity_id"],
        state=new.state if new else None,
        name=found.get("friendly_name"),
        unit=found.get("unit_of_measurement"),
        kind=found.get("device_class"),
    )


async def main(folder: Path, port: int, web_port: int) -> None:
    prepare(folder, port)
    hass = core.HomeAssistant(str(folder))
    hass.config.skip_pip = True
    hass.config_entries = config_entries.ConfigEntries(hass, {})
    loader.async_setup(hass)
    await bootstrap.async_load_base_functionality(hass)
    hass.auth = await auth_manager_from_config(hass, [{"type": "homeassistant"}], [])
    web = {"server_host": "127.0.0.1", "server_port": web_port}
    if not await async_setup_component(hass, "http", {"http": web}):
        raise SystemExit("http was not set up")
    hass.bus.async_listen(EVENT_STATE_CHANGED, changed)
    if not await async_setup_component(hass, "mqtt", {}):
        raise SystemExit("mqtt was not set up")
    await hass.async_start()
    await hass.async_block_till_done()
    say(ready=True, version=__version__)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    known = entity_registry.async_get(hass).entities.values()
    say(registry=sorted(each.unique_id for each in known if each.platform == "mqtt"))
    await hass.async_stop(force=True)


asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
