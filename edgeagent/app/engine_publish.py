"""Putting an engine that was built here into the fleet's registry: in a process of its own, told when it fails."""

from __future__ import annotations

import subprocess
import sys

import anyio
import structlog

from edgeagent.app.publisher import Publisher
from edgeagent.config.schema import Config

log = structlog.get_logger("engine")

LAST_WORDS = 300


async def publish_engine(key: str, config: Config, publisher: Publisher) -> None:
    """Sign and upload the engine `key`. A failure costs nothing but the registry's copy: an event tells it."""
    registry = config.registry
    if not registry.urls or registry.signing_key_file is None:
        _tell_failure(key, "registry.publish needs registry.urls and registry.signing_key_file", publisher)
        return
    command = [sys.executable, "-m", "edgeagent", "engine", "push", key, "--state", config.device.state_dir]
    command += ["--registry", registry.urls[0], "--signing-key", registry.signing_key_file]
    if registry.valid_days is not None:
        command += ["--valid-days", str(registry.valid_days)]
    try:
        with anyio.fail_after(registry.timeout_s + 30):
            done = await anyio.run_process(command, check=False, stdin=subprocess.DEVNULL)
    except TimeoutError:
        _tell_failure(key, f"it took longer than {registry.timeout_s:g} s", publisher)
        return
    if done.returncode != 0:
        _tell_failure(key, done.stderr.decode(errors="replace").strip()[-LAST_WORDS:], publisher)
        return
    log.info("published", key=key, registry=registry.urls[0])
    publisher.event("engine-published", "info", f"engine {key[:12]} is in the registry", engine=key)


def _tell_failure(key: str, why: str, publisher: Publisher) -> None:
    log.warning("publish_failed", key=key, reason=why)
    publisher.event("engine-not-published", "warning", f"engine {key[:12]}: {why}", engine=key)
