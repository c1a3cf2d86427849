"""How a network's outputs are to be read: what model.toml declares, what the graph tells, what a family is known for.

Pure: shapes and names in, a `Head` or a ModelError out. It knows no ONNX; network.py finds the facts, back.py makes the
graph of a head and vision/decode.py does the same arithmetic in numpy.

Shapes, with C classes, N rows and B = C or, with a background class, C + 1:

    columns  one output (1, 4 + C, N)                                           YOLOv8, v9, v11
    scored   one output (1, N, 5 + C): box, objectness, classes                 YOLOv5
    rows     one output (1, N, 4 + B)                                           RT-DETR as Ultralytics exports it
    pair     two outputs, boxes (1, N, 4) and scores (1, N, B)                  SSD, DETR and RT-DETR of others
    found    one output (1, N, 6): box, score, class                            YOLOv10, YOLO26
    labelled three outputs, boxes (1, N, 4), scores (1, N) and labels (1, N)    RT-DETR's own export, D-FINE
    classes  one output (1, B)                                                  classifiers
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from edgeagent.engine.bundle import Activation, Background, BoxFormat, Family, ModelSpec, OutputSpec
from edgeagent.errors import ModelError

MAX_CANDIDATES: Final = 300
BEST_CLASSES: Final = 5
MOST_QUERIES: Final = 1000  # DETR has 100, RT-DETR and YOLOv10 300, Deformable DETR and DINO up to 900
Layout = Literal["columns", "scored", "rows", "pair", "found", "labelled", "classes"]
Kind = Literal["float", "int", "other"]
SEE: Final = "see docs/models.md"


@dataclass(frozen=True)
class OutputFact:
    """One output: its name, shape (None where a side is open), kind of number, and the operator that computes it,
    with those that only move numbers left out (`Softmax` for a Softmax that is reshaped; "" where it is unknown)."""

    name: str
    shape: tuple[int | None, ...]
    kind: Kind = "float"
    made_by: str = ""

    def line(self) -> str:
        sides = ", ".join("?" if side is None else str(side) for side in self.shape)
        return f"{self.name} [{sides}]"


@dataclass(frozen=True)
class Head:
    """How to read the outputs `names`, in the order that `layout` lists them.

    `classes`: C, without a background class. `rows`: N; for `classes` layout C. `nms`: whether overlapping boxes of a
    class are to be suppressed; a network that does without must not be given any.
    """

    family: Family
    layout: Layout
    names: tuple[str, ...]
    classes: int
    rows: int
    width: int
    height: int
    activation: Activation = "none"
    boxes: BoxFormat = "cxcywh"
    normalised: bool = False
    background: Background = "none"

    @property
    def candidates(self) -> int:
        """K: how many rows the grafted network gives."""
        return min(BEST_CLASSES if self.layout == "classes" else MAX_CANDIDATES, self.rows)

    @property
    def nms(self) -> bool:
        return applies_nms(self.family)

    @property
    def columns(self) -> int:
        """B: how many scores a row has."""
        return self.classes + (self.background != "none")


@dataclass(frozen=True)
class Habit:
    """What is known of a family: its layouts and what model.toml leaves out. None: the graph must tell, or the person.

    `activations` and `backgrounds` are those that may be declared.
    """

    layouts: tuple[Layout, ...]
    nms: bool
    activation: Activation | None = "none"
    boxes: BoxFormat | None = "cxcywh"
    normalised: bool = False
    activations: tuple[Activation, ...] = ("none", "sigmoid")
    backgrounds: tuple[Background, ...] = ("none",)


HABITS: Final[dict[Family, Habit]] = {
    "yolov8": Habit(("columns",), nms=True),
    "yolov5": Habit(("scored",), nms=True),
    "end2end": Habit(
        ("found", "labelled"), nms=False, boxes="xyxy", activations=("none",), backgrounds=("none", "first")
    ),
    "rtdetr": Habit(
        ("rows", "pair"),
        nms=False,
        activation=None,
        normalised=True,
        activations=("none", "sigmoid", "softmax"),
        backgrounds=("none", "first", "last"),
    ),
    "ssd": Habit(
        ("pair",),
        nms=True,
        activation=None,
        boxes=None,
        normalised=True,
        activations=("none", "sigmoid", "softmax"),
        backgrounds=("none", "first", "last"),
    ),
    "classifier": Habit(
        ("classes",),
        nms=False,
        activation=None,
        activations=("none", "sigmoid", "softmax"),
        backgrounds=("none", "first", "last"),
    ),
}


def applies_nms(family: Family) -> bool:
    """Whether boxes of this family still overlap. Where not, NMS would only throw away what the network meant."""
    return HABITS[family].nms


def used_outputs(outputs: Sequence[OutputFact], spec: OutputSpec) -> list[OutputFact]:
    """The outputs that count. Raises ModelError where `use` names one that is not there."""
    if spec.use is None:
        return list(outputs)
    by_name = {output.name: output for output in outputs}
    missing = [name for name in spec.use if name not in by_name]
    if missing:
        raise ModelError(
            f"output.use names {missing[0]!r}, and the network's outputs are {listed(outputs)}",
            mend="name outputs that the network has",
            code="model_output",
        )
    return [by_name[name] for name in spec.use]


def listed(outputs: Sequence[OutputFact]) -> str:
    """The outputs for a person, at most eight."""
    lines = [output.line() for output in outputs[:8]]
    return ", ".join(lines) + (f" and {len(outputs) - 8} more" if len(outputs) > 8 else "") or "nothing"


def read_head(outputs: Sequence[OutputFact], spec: ModelSpec, family: Family) -> Head:
    """The head of a network of this family. Raises ModelError: the outputs do not fit, or something is left to say."""
    found = used_outputs(outputs, spec.output)
    habit = HABITS[family]
    places = places_of(family, found)
    if places is None:
        raise _misfit(found, spec, family)
    columns, rows = columns_of(places), _rows(places)
    background = _background(places.layout, columns, spec, family, found)
    return Head(
        family=family,
        layout=places.layout,
        names=tuple(output.name for output in places.outputs),
        classes=len(spec.classes),
        rows=len(spec.classes) if places.layout == "classes" else rows,
        width=spec.input.width,
        height=spec.input.height,
        activation=_activation(places, background, spec, family),
        boxes=_boxes(spec, family),
        normalised=habit.normalised if spec.output.normalised is None else spec.output.normalised,
        background=background,
    )


@dataclass(frozen=True)
class Places:
    """Outputs in the order of their layout."""

    layout: Layout
    outputs: tuple[OutputFact, ...]


def place_outputs(outputs: Sequence[OutputFact], layout: Layout) -> Places | None:
    """The outputs in the layout's order, or None where they do not have its shapes, whatever the classes."""
    if any(None in output.shape or 0 in output.shape or output.kind == "other" for output in outputs):
        return None
    match layout:
        case "classes":
            fits = len(outputs) == 1 and _is_classes(outputs[0])
            return Places(layout, tuple(outputs)) if fits else None
        case "pair":
            return _pair(outputs)
        case "labelled":
            return _labelled(outputs)
    shape = outputs[0].shape if len(outputs) == 1 and outputs[0].kind == "float" else ()
    if len(shape) != 3 or shape[0] != 1:
        return None
    side = shape[1] if layout == "columns" else shape[2]
    least = {"columns": 5, "rows": 5, "scored": 6, "found": 6}[layout]
    fits = side is not None and (side == 6 if layout == "found" else side >= least)
    return Places(layout, tuple(outputs)) if fits else None


def _is_classes(output: OutputFact) -> bool:
    batch, others = output.shape[:1], output.shape[2:]
    return output.kind == "float" and len(output.shape) in (2, 4) and set(batch + others) == {1}


def _pair(outputs: Sequence[OutputFact]) -> Places | None:
    """Boxes and scores. With four scores a row either could be the boxes: then a name that says so decides."""
    if len(outputs) != 2 or any(len(o.shape) != 3 or o.shape[0] != 1 or o.kind != "float" for o in outputs):
        return None
    if outputs[0].shape[1] != outputs[1].shape[1]:
        return None
    fours = [output for output in outputs if output.shape[2] == 4]
    named = [output for output in fours if _is_named(output, "box", "loc")]
    boxes = (named or fours)[0] if len(fours) == 1 or len(named) == 1 else None
    if boxes is None:
        return None
    return Places("pair", (boxes, next(output for output in outputs if output is not boxes)))


def _labelled(outputs: Sequence[OutputFact]) -> Places | None:
    """Boxes, scores and labels. Labels are whole numbers, or the output that is named after them."""
    boxes = [o for o in outputs if len(o.shape) == 3 and o.shape[2] == 4 and o.kind == "float"]
    flat = [o for o in outputs if len(o.shape) == 2]
    if len(outputs) != 3 or len(boxes) != 1 or len(flat) != 2 or {o.shape[:2] for o in outputs} != {boxes[0].shape[:2]}:
        return None
    labels = [o for o in flat if o.kind == "int"] or [o for o in flat if _is_named(o, "label", "class", "cls")]
    if len(labels) != 1 or boxes[0].shape[0] != 1:
        return None
    scores = next(o for o in flat if o is not labels[0])
    return Places("labelled", (boxes[0], scores, labels[0])) if scores.kind == "float" else None


def _is_named(output: OutputFact, *parts: str) -> bool:
    return any(part in output.name.lower() for part in parts)


def _rows(places: Places) -> int:
    shape = places.outputs[0].shape
    return int(shape[2 if places.layout == "columns" else 1] or 0)


def columns_of(places: Places) -> int | None:
    """How many classes the shapes speak of, a background class among them; None where they do not tell."""
    shape = places.outputs[-1].shape
    match places.layout:
        case "columns":
            return int(shape[1] or 0) - 4
        case "rows":
            return int(shape[2] or 0) - 4
        case "scored":
            return int(shape[2] or 0) - 5
        case "pair":
            return int(shape[2] or 0)
        case "classes":
            return int(shape[1] or 0)
    return None


def fits(family: Family, outputs: Sequence[OutputFact], classes: int) -> bool:
    """Whether the outputs are those of the family with that many classes, as far as shapes tell."""
    places = places_of(family, outputs)
    if places is None or (family in ("rtdetr", "end2end") and _rows(places) > MOST_QUERIES):
        return False
    columns, more = columns_of(places), _may_have_background(places.layout, HABITS[family])
    return columns is None or columns == classes or (more and columns == classes + 1)


def places_of(family: Family, outputs: Sequence[OutputFact]) -> Places | None:
    """The outputs in the order of the first of the family's layouts that has such shapes, whatever the classes."""
    found = (place_outputs(outputs, layout) for layout in HABITS[family].layouts)
    return next((places for places in found if places is not None), None)


def _may_have_background(layout: Layout, habit: Habit) -> bool:
    """Whether a class more than listed is taken for the background without a word in model.toml."""
    return layout == "pair" and "last" in habit.backgrounds


def _background(
    layout: Layout, columns: int | None, spec: ModelSpec, family: Family, found: Sequence[OutputFact]
) -> Background:
    """Where the class for nothing stands. A class more than listed means one, where the family has such a thing."""
    declared, habit, listed_classes = spec.output.background, HABITS[family], len(spec.classes)
    if declared is not None and declared not in habit.backgrounds:
        raise _not_allowed("background", declared, habit.backgrounds, family)
    extra = 0 if columns is None else columns - listed_classes
    if declared is None and extra == 1 and _may_have_background(layout, habit):
        return "last" if family == "rtdetr" else "first"
    background = declared or "none"
    if columns is not None and extra != (background != "none"):
        raise _other_classes(columns - (background != "none"), spec, family, found)
    return background


def _activation(places: Places, background: Background, spec: ModelSpec, family: Family) -> Activation:
    habit, declared = HABITS[family], spec.output.activation
    if declared is not None:
        if declared not in habit.activations:
            raise _not_allowed("activation", declared, habit.activations, family)
        return declared
    told = habit.activation or ("none" if places.layout == "rows" else activation_told(places.outputs[-1]))
    if told == "none":
        return "none"
    if told == "logits":
        return "softmax" if family in ("ssd", "classifier") or background != "none" else "sigmoid"
    raise ModelError(
        f"whether output {places.outputs[-1].name} holds probabilities or raw values cannot be told from the graph",
        mend=f"say in model.toml which output.activation is still to be done: {', '.join(habit.activations)}",
        code="model_output",
    )


PROBABLE: Final = ("Softmax", "Sigmoid", "HardSigmoid")
LINEAR: Final = ("Gemm", "MatMul", "Conv", "Add", "Sub", "LogSoftmax", "GlobalAveragePool", "BatchNormalization")


def activation_told(scores: OutputFact) -> Literal["none", "logits", ""]:
    """`none` where the graph has made probabilities already, `logits` where its last step is linear, "" if unclear."""
    if scores.made_by in PROBABLE:
        return "none"
    return "logits" if scores.made_by in LINEAR else ""


def _boxes(spec: ModelSpec, family: Family) -> BoxFormat:
    boxes = spec.output.boxes or HABITS[family].boxes
    if boxes is None:
        raise ModelError(
            f"family {family} writes boxes in several ways, and no shape tells which",
            mend='say output.boxes = "xyxy", "yxyx", "xywh" or "cxcywh" in model.toml',
            code="model_output",
        )
    return boxes


def _not_allowed(option: str, value: str, allowed: Sequence[str], family: Family) -> ModelError:
    return ModelError(
        f"output.{option} = {value!r} makes no sense for family {family}",
        mend=f"use one of {', '.join(allowed)}, or leave it out",
        code="model_output",
    )


def _other_classes(there: int, spec: ModelSpec, family: Family, found: Sequence[OutputFact]) -> ModelError:
    count = len(spec.classes)
    others = [other for other in HABITS if other != family and fits(other, found, count)]
    if others:
        return _misfit(found, spec, family, f"; they would fit family {' or '.join(others)}")
    return ModelError(
        f"the network has {there} classes, and model.toml lists {count}: found {listed(found)}; "
        f"family {family} with {count} classes has {expected(family, count)}",
        mend="check the class list, and whether the family is right",
        code="model_classes",
    )


def _misfit(found: Sequence[OutputFact], spec: ModelSpec, family: Family, hint: str = "") -> ModelError:
    kinds = [output.name for output in found if output.kind == "other"]
    text = f"output {kinds[0]} is neither float32 nor float16; " if kinds else ""
    return ModelError(
        f"{text}the outputs do not fit family {family}: found {listed(found)}; "
        f"family {family} with {len(spec.classes)} classes has {expected(family, len(spec.classes))}{hint}",
        mend=f"check family and class list, export with fixed shapes and without NMS; {SEE}",
        code="model_family",
    )


def expected(family: Family, classes: int) -> str:
    """Which outputs a network of the family has, in words."""
    n = classes
    return {
        "yolov8": f"one output [1, {4 + n}, N] with a fixed N",
        "yolov5": f"one output [1, N, {5 + n}] with a fixed N",
        "end2end": "one output [1, N, 6], or boxes [1, N, 4], scores [1, N] and labels [1, N]",
        "rtdetr": f"one output [1, N, {4 + n}], or boxes [1, N, 4] and scores [1, N, {n}] (or {n + 1})",
        "ssd": f"boxes [1, N, 4] and scores [1, N, {n + 1}] (or {n} without a background class)",
        "classifier": f"one output [1, {n}]",
    }[family]
