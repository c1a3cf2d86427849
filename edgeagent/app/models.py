"""Models that come from a registry by their digest: `path = "registry:DIGEST"` in [models.NAME].

What is here is used at once. What is not is fetched in a process of its own, again and again with growing pauses,
while the other pipelines run; when it has come, the agent starts its pipelines anew.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import anyio
import structlog

from edgeagent.app.registry_call import call_engine
from edgeagent.config.schema import Config
from edgeagent.engine.registry.layout import digest_in
from edgeagent.errors import ModelError

log = structlog.get_logger("models")

FIRST_PAUSE_S = 10.0
LONGEST_PAUSE_S = 900.0


def local_path(path: str, state_dir: Path) -> str:
    """Where the bundle lies that a model's path names. Raises ModelError (to be tried again) for one that has not
    come from its registry yet."""
    digest = digest_in(path)
    if digest is None:
        return path
    folder = state_dir / "models" / digest
    if not (folder / "model.toml").is_file():
        raise ModelError(
            f"the model {digest[:12]} has not come from the registry yet",
            mend="see the event model-not-fetched, and [registry] in the config",
            code="model_awaited",
            retry=True,
        )
    return str(folder)


def awaited_models(config: Config) -> list[str]:
    """Digests of models that enabled pipelines want and that are not here."""
    state_dir = Path(config.device.state_dir)
    wanted = {config.models[p.model].path for p in config.pipelines.values() if p.enabled}
    digests = {digest for path in wanted if (digest := digest_in(path)) is not None}
    return sorted(digest for digest in digests if not (state_dir / "models" / digest / "model.toml").is_file())


async def fetch_models(config: Config, tell: Callable[[str, str], None]) -> None:
    """Until every awaited model is here. `tell(digest, reason)` is called when a reason for failing is a new one."""
    pause_s, told = FIRST_PAUSE_S, ""
    while missing := awaited_models(config):
        reasons = [reason for digest in missing if (reason := await _fetched(digest, config))]
        if reasons and reasons[0] != told:
            told = reasons[0]
            log.warning("model_not_fetched", digest=missing[0][:12], reason=told)
            tell(missing[0], told)
        if reasons:
            await anyio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
    log.info("models_fetched")


async def _fetched(digest: str, config: Config) -> str:
    """Fetch one; why it did not come, "" when it has."""
    registry = config.registry
    if not registry.urls or not registry.trusted_keys:
        return "a model from a registry needs registry.urls and registry.trusted_keys"
    return await call_engine(["pull", "--model", digest], registry, config.device.state_dir)
