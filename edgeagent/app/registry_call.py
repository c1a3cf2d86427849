"""`edgeagent engine push | pull` from within the agent: in a process of its own, under the agent's own settings.

The agent's config may have come from anywhere, so its [registry] table is handed over in a file that lives as long as
the call: limits, trusted keys and mirrors are then those of the agent, and not those of the default config.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio

from edgeagent.config.engine_tables import RegistrySettings
from edgeagent.config.toml_text import toml_value

LAST_WORDS = 300
BESIDE_S = 30.0  # starting, signing, hashing


async def call_engine(words: list[str], registry: RegistrySettings, state_dir: str) -> str:
    """Run `edgeagent engine WORDS`; why it came to nothing, "" when all is done. Raises nothing but cancellation."""
    timeout_s = registry.timeout_s * max(1, len(registry.urls)) + BESIDE_S
    with TemporaryDirectory(prefix="edgeagent-registry-") as folder:
        config = Path(folder) / "config.toml"
        config.write_text(registry_toml(registry), encoding="utf-8")
        command = [sys.executable, "-m", "edgeagent", "engine", *words, "--config", str(config), "--state", state_dir]
        try:
            with anyio.fail_after(timeout_s):
                done = await anyio.run_process(command, check=False, stdin=subprocess.DEVNULL)
        except TimeoutError:
            return f"it took longer than {timeout_s:g} s"
        except OSError as error:
            return f"it could not be started: {error.strerror or error}"
    if done.returncode == 0:
        return ""
    said = " ".join(done.stderr.decode(errors="replace").split())[-LAST_WORDS:]
    return said or f"it ended with code {done.returncode}"


def registry_toml(registry: RegistrySettings) -> str:
    """The table as a config file says it; keys that are not set are left out."""
    values = registry.model_dump(mode="json", exclude_none=True)
    return "\n".join(["[registry]", *(f"{name} = {toml_value(value)}" for name, value in values.items())]) + "\n"
