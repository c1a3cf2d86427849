"""From the outputs' facts and model.toml to a head: the declared family, or the recognised one. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from edgeagent.engine.bundle import ModelSpec
from edgeagent.engine.families.head import Head, OutputFact, read_head, used_outputs
from edgeagent.engine.families.recognise import Guess, recognise


def choose_head(outputs: Sequence[OutputFact], spec: ModelSpec) -> tuple[Head, Guess | None]:
    """How to read the outputs, and the guess where model.toml names no family. Raises ModelError."""
    if spec.family is not None:
        return read_head(outputs, spec, spec.family), None
    used = used_outputs(outputs, spec.output)
    columns = len(spec.classes) + (spec.output.background in ("first", "last"))
    guess = recognise(used, columns, spec.input.width, spec.input.height, spec.task)
    return read_head(outputs, spec, guess.family), guess
