"""The subject of an engine: its key without the calibration data. Pure.

Known before a frame was collected, and the same on every device of a kind: what is remembered of attempts is kept
under it, and engines that differ only in the frames they were calibrated on are found by it.
"""

from __future__ import annotations

from collections.abc import Mapping

from edgeagent.engine.key import EngineWish, engine_facts, key_of_facts


def subject_of_facts(facts: Mapping[str, object]) -> str:
    """The subject of an engine with these facts, those of a manifest among them. 32 hex digits."""
    return key_of_facts({**facts, "calibration_digest": ""})


def subject_of(wish: EngineWish) -> str:
    """The subject of a wish."""
    return subject_of_facts(engine_facts(wish))
