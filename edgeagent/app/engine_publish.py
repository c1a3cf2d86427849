"""Putting an engine that was built here into the fleet's registry: in a process of its own, told when it fails."""

from __future__ import annotations

import structlog

from edgeagent.app.publisher import Publisher
from edgeagent.app.registry_call import call_engine
from edgeagent.config.schema import Config

log = structlog.get_logger("engine")


async def publish_engine(key: str, config: Config, publisher: Publisher) -> None:
    """Sign and upload the engine `key`. A failure costs nothing but the registry's copy: an event tells it."""
    registry = config.registry
    if not registry.urls or registry.signing_key_file is None:
        why = "registry.publish needs registry.urls and registry.signing_key_file"
    else:
        why = await call_engine(["push", key], registry, config.device.state_dir)
    if why:
        log.warning("publish_failed", key=key, reason=why)
        publisher.event("engine-not-published", "warning", f"engine {key[:12]}: {why}", engine=key)
        return
    log.info("published", key=key, registry=registry.urls[0])
    publisher.event("engine-published", "info", f"engine {key[:12]} is in the registry", engine=key)
