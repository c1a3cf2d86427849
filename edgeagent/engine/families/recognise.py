"""Which family a network belongs to, told by its outputs' shapes. Pure.

A guess is made only where one reading is left; otherwise the error lists what it could be. Evidence, in this order:
the shapes and the class count; the number of rows that a detector on grids has at this input size; how many rows a
network with queries may have; names and operators that only one family has. The guess and its reason are shown while
the engine is built, and `family` in model.toml overrules it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from edgeagent.engine.bundle import TASK_OF, Family, Task
from edgeagent.engine.families.head import (
    HABITS,
    MOST_QUERIES,
    OutputFact,
    columns_of,
    expected,
    fits,
    listed,
    places_of,
)
from edgeagent.errors import ModelError

ON_GRIDS: Final[tuple[Family, ...]] = ("yolov8", "yolov5")
GRIDS: Final = ((8, 16, 32), (8, 16, 32, 64), (16, 32), (4, 8, 16, 32), (8,), (16,), (32,))
ANCHORS: Final = (1, 3)


@dataclass(frozen=True)
class Guess:
    """The family, and why, in words."""

    family: Family
    reason: str

    def line(self) -> str:
        return f"recognised as family {self.family}: {self.reason}"


def recognise(outputs: Sequence[OutputFact], classes: int, width: int, height: int, task: Task) -> Guess:
    """The family of a network with these outputs. Raises ModelError: `model_family` where none or several are left,
    `model_classes` where only the number of classes is another. `classes` counts a declared background in."""
    known: list[Family] = [family for family in HABITS if TASK_OF[family] == task]
    if len(known) == 1:
        return Guess(known[0], f"the only one for task {task}")
    fitting = [family for family in known if fits(family, outputs, classes)]
    if not fitting:
        raise _fits_none(known, outputs, classes, grid_rows(width, height))
    if len(fitting) == 1:
        return Guess(fitting[0], _shape_reason(outputs, fitting[0], classes, width, height))
    guess = _by_evidence(fitting, outputs, width, height)
    if guess is not None:
        return guess
    raise ModelError(
        f"the outputs could be those of family {' or '.join(fitting)}: found {listed(outputs)}, {classes} classes",
        mend=f'say which in model.toml: family = "{fitting[0]}"',
        code="model_family",
    )


def _fits_none(
    known: Sequence[Family], outputs: Sequence[OutputFact], classes: int, grids: dict[int, str]
) -> ModelError:
    found = f"found {listed(outputs)}"
    for family in known:
        places = places_of(family, outputs)
        if family in ON_GRIDS and places is not None and _row_count(outputs, family) in grids:
            return ModelError(
                f"the network looks like family {family} with {columns_of(places)} classes, and model.toml speaks "
                f"of {classes}: {found}",
                mend="check the class list",
                code="model_classes",
            )
    return ModelError(
        f"the outputs fit no known family with {classes} {_classes_word(classes)}: {found}; "
        + "; ".join(f"{one}: {expected(one, classes)}" for one in known),
        mend="check the class list, and export with fixed shapes and without NMS; see docs/models.md",
        code="model_family",
    )


def _classes_word(classes: int) -> str:
    return "class" if classes == 1 else "classes"


def grid_rows(width: int, height: int) -> dict[int, str]:
    """How many rows a detector on grids has at this input size, each with the grids in words."""
    rows: dict[int, str] = {}
    for strides in GRIDS:
        if width % strides[-1] == 0 and height % strides[-1] == 0:
            cells = sum((width // stride) * (height // stride) for stride in strides)
            for anchors in ANCHORS:
                text = f"{cells * anchors} is {anchors} a cell of grids with strides {', '.join(map(str, strides))}"
                rows.setdefault(cells * anchors, text)
    return rows


def _shape_reason(outputs: Sequence[OutputFact], family: Family, classes: int, width: int, height: int) -> str:
    reason = f"{listed(outputs)} with {classes} {_classes_word(classes)}"
    rows = _row_count(outputs, family)
    grid = grid_rows(width, height).get(rows) if family in ON_GRIDS else None
    return f"{reason}, and {grid}" if grid else reason


def _row_count(outputs: Sequence[OutputFact], family: Family) -> int:
    shape = outputs[0].shape
    return int(shape[2 if family == "yolov8" else 1] or 0) if len(shape) == 3 else 0


def _by_evidence(fitting: Sequence[Family], outputs: Sequence[OutputFact], width: int, height: int) -> Guess | None:
    if len(outputs) == 2:
        return _pair_guess(outputs)
    grids = grid_rows(width, height)
    on_grid = [one for one in fitting if one in ON_GRIDS and _row_count(outputs, one) in grids]
    if len(on_grid) == 1:
        return Guess(on_grid[0], f"{listed(outputs)}, and {grids[_row_count(outputs, on_grid[0])]}")
    queried = [one for one in fitting if one in ("end2end", "rtdetr")]
    if not on_grid and len(queried) == 1:
        return Guess(queried[0], f"{listed(outputs)}, which is no grid at {width}x{height}")
    return None


def _pair_guess(outputs: Sequence[OutputFact]) -> Guess | None:
    """Boxes and scores are SSD's or DETR's: only the names and the number of rows tell them apart."""
    rows = int(outputs[0].shape[1] or 0)
    if rows > MOST_QUERIES:
        return Guess("ssd", f"{listed(outputs)}, and {rows} rows are more than any network with queries has")
    names = {output.name.lower() for output in outputs}
    if {"logits", "pred_logits"} & names and {"pred_boxes", "boxes"} & names:
        return Guess("rtdetr", f"{listed(outputs)}, named as DETR and its kin name them")
    return None
