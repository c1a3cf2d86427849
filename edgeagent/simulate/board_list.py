"""Which virtual boards there are. Data only."""

from __future__ import annotations

from edgeagent.simulate.board_spec import VirtualSpec
from edgeagent.simulate.board_spec_older import NANO_R32, XAVIER_NX_R35
from edgeagent.simulate.board_spec_orin import (
    AGX_ORIN_R36,
    AGX_ORIN_R39,
    CONTAINER,
    ORIN_NANO_R36,
    ORIN_NANO_R39,
    ORIN_NX16_R36,
    UNKNOWN_CARRIER,
)
from edgeagent.simulate.board_spec_pc import PC
from edgeagent.simulate.board_spec_thor import THOR_R38, UNKNOWN_MODULE

SPECS: dict[str, VirtualSpec] = {
    spec.name: spec
    for spec in (
        NANO_R32,
        XAVIER_NX_R35,
        ORIN_NANO_R36,
        ORIN_NX16_R36,
        AGX_ORIN_R36,
        ORIN_NANO_R39,
        AGX_ORIN_R39,
        THOR_R38,
        UNKNOWN_CARRIER,
        UNKNOWN_MODULE,
        CONTAINER,
        PC,
    )
}
ALIASES: dict[str, str] = {"orin-nano": "orin-nano-r36"}
"""Short names of boards."""


def virtual_boards() -> list[tuple[str, str]]:
    """(name, one line about it) of every board, oldest release first."""
    return [(spec.name, spec.description) for spec in SPECS.values()]


def find_spec(name: str) -> VirtualSpec | None:
    """The board with this name or alias."""
    return SPECS.get(ALIASES.get(name, name))
