"""From layers to the config in force, with the layer of every value. Pure.

Invariant: each leaf of a `Loaded` config has a layer; what no layer wrote has "default".
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from edgeagent.config.check import find_mistakes
from edgeagent.config.layers import Layer, leaves, merge_layers
from edgeagent.config.mistake import ConfigMistakesError
from edgeagent.config.schema import Config
from edgeagent.config.toml_text import dotted


@dataclass(frozen=True)
class Loaded:
    """A config, and for the dotted path of each of its leaves the name of the layer that it came from."""

    config: Config
    provenance: dict[str, str] = field(repr=False)


def compose(layers: Sequence[Layer], where: str) -> Loaded:
    """The config that `layers` make on top of the defaults.

    Raises ConfigMistakesError with all mistakes at once; `where` is what it says has them.
    """
    merged = merge_layers(layers)
    mistakes = find_mistakes(merged.data)
    if mistakes:
        raise ConfigMistakesError(where, mistakes)
    config = Config.model_validate(merged.data)
    return Loaded(config, _complete(config, merged.provenance))


def host_layer(hostname: str) -> Layer:
    """The host name as device.id, for a device whose file names none."""
    return Layer("host name", {"device": {"id": device_slug(hostname)}})


def device_slug(hostname: str) -> str | None:
    """A host name as a device id, or None where nothing of it is usable. Domain parts are left out."""
    slug = re.sub(r"[^a-z0-9]+", "-", hostname.partition(".")[0].lower()).strip("-")
    return slug[:64].rstrip("-") or None


def _complete(config: Config, written: Mapping[str, str]) -> dict[str, str]:
    paths = [dotted(path) for path, _ in leaves(config.model_dump(mode="json"))]
    return {path: written.get(path, "default") for path in paths}
