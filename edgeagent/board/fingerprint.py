"""What an engine depends on of the board it was built on. Pure."""

from __future__ import annotations

from edgeagent.board.identity import Identity


def board_fingerprint(identity: Identity) -> dict[str, str]:
    """The board's part of an engine key: text by fact, every key always present, "none" where a fact is unknown.

    Nothing in it changes between two boots of one installation: no serial number, memory left, power mode or name.
    `gpu` is a PC's GPU, so that engines of two PCs do not share a key; a Jetson's is named by its module and SoC.
    """
    facts = {
        "module": identity.module_id,
        "soc": identity.soc,
        "compute_capability": identity.compute_capability,
        "l4t": identity.l4t,
        "tensorrt": identity.tensorrt,
        "cuda": identity.cuda,
        "gpu": identity.gpu,
        "machine": identity.machine,
    }
    return {key: value or "none" for key, value in facts.items()}
