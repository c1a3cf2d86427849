"""The config that an agent begins with: its file, and over it what was last committed over MQTT.

A committed layer that no longer fits the file (a camera that it speaks of has gone from there) does not keep the device
from starting: the file alone counts then, and that is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgeagent.config.desired import Kept
from edgeagent.config.desired_store import DesiredStore, Stored
from edgeagent.config.effective import Loaded, compose, host_layer
from edgeagent.config.files import read_toml
from edgeagent.config.layers import Layer, merge_layers
from edgeagent.config.local_keys import local_mistakes
from edgeagent.config.mistake import ConfigMistakesError, Mistake
from edgeagent.config.schema import DeviceSettings
from edgeagent.errors import ConfigError


@dataclass(frozen=True)
class LocalConfig:
    """Where the device's own settings come from: its file and its host name."""

    path: Path | None
    hostname: str

    def read(self) -> list[Layer]:
        """The layers as they are now. Raises ConfigError for a file that cannot be read."""
        file = read_toml(self.path) if self.path is not None else {}
        return [host_layer(self.hostname), Layer("file", file)]

    @property
    def where(self) -> str:
        return str(self.path) if self.path is not None else "the config"


@dataclass(frozen=True)
class Beginning:
    """`misfit`: why what was committed is not in force."""

    local: list[Layer]
    stored: Stored
    store: DesiredStore
    loaded: Loaded
    misfit: tuple[Mistake, ...] = ()


def read_beginning(source: LocalConfig) -> Beginning:
    """What there is to begin with. Raises ConfigError for a file that is wrong by itself."""
    local = source.read()
    store = DesiredStore(state_dir_of(local))
    stored = store.load()
    try:
        return Beginning(local, stored, store, compose_over(local, stored.committed.kept, source.where))
    except ConfigError as error:
        loaded = compose(local, source.where)
        found = error.mistakes if isinstance(error, ConfigMistakesError) else (Mistake("", error.message, error.mend),)
        return Beginning(local, stored, store, loaded, tuple(found))


def compose_over(local: Sequence[Layer], kept: Kept, where: str) -> Loaded:
    """The local layers with a desired one on top. Raises ConfigMistakesError, also for keys that the file keeps."""
    if not kept.version:
        return compose(local, where)
    where = f"{where} with version {kept.version} of the desired config"
    if mistakes := local_mistakes(kept.layer, merge_layers(local).data, allowed(local)):
        raise ConfigMistakesError(where, mistakes)
    return compose([*local, Layer("desired", kept.layer)], where)


def allowed(local: Sequence[Layer]) -> list[str]:
    """remote.allow as the device's own layers have it; whatever is wrong with it is told elsewhere."""
    remote = merge_layers(local).data.get("remote")
    found = remote.get("allow") if isinstance(remote, dict) else None
    return [entry for entry in found if isinstance(entry, str)] if isinstance(found, list) else []


def state_dir_of(local: Sequence[Layer]) -> Path:
    """device.state_dir of layers that are not checked yet."""
    device = merge_layers(local).data.get("device")
    found = device.get("state_dir") if isinstance(device, dict) else None
    return Path(found if isinstance(found, str) and found.startswith("/") else DeviceSettings().state_dir)
