"""What an operator says, as it goes onto the wire. Pure.

Not the devices' `encode`: a null within a patch takes a key away, and has to arrive.
"""

from __future__ import annotations

import json
from typing import Any

from edgeagent.fleet.envelope import Part


def facts_of(part: Part) -> dict[str, Any]:
    """The fields that are set, as JSON's values."""
    return {key: value for key, value in part.model_dump(mode="json", by_alias=True).items() if value is not None}


def encode_said(part: Part) -> bytes:
    return json.dumps(facts_of(part), ensure_ascii=False, separators=(",", ":")).encode()
