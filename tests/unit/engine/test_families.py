"""What model.toml declares, what is recognised, and what is asked for because no shape tells it."""

from __future__ import annotations

from typing import Any

import pytest

from edgeagent.engine.bundle import TASK_OF, Family, ModelSpec
from edgeagent.engine.families.choose import choose_head
from edgeagent.engine.families.head import HABITS, Head, OutputFact, applies_nms, expected, fits
from edgeagent.engine.families.recognise import Guess, grid_rows, recognise
from edgeagent.errors import ModelError


def fact(*shape: int | None, name: str = "out", kind: Any = "float", made_by: str = "") -> OutputFact:
    return OutputFact(name, shape, kind, made_by)


def spec(classes: int, *, family: Family | None = None, task: str = "detect", **output: Any) -> ModelSpec:
    return ModelSpec.model_validate(
        {
            "name": "n",
            "version": "1",
            "onnx": "n.onnx",
            "task": task,
            "family": family,
            "classes": [f"c{number}" for number in range(classes)],
            "input": {"width": 640, "height": 640},
            "output": output,
        }
    )


def refused(outputs: list[OutputFact], wanted: ModelSpec) -> ModelError:
    with pytest.raises(ModelError) as caught:
        choose_head(outputs, wanted)
    assert caught.value.mend and len(caught.value.line()) < 700
    return caught.value


PAIR = [fact(1, 8732, 4, name="boxes"), fact(1, 8732, 21, name="scores", made_by="Softmax")]
DETR = [fact(1, 100, 92, name="logits", made_by="Add"), fact(1, 100, 4, name="pred_boxes", made_by="Sigmoid")]
RTDETR = [fact(1, 300, 80, name="logits", made_by="Add"), fact(1, 300, 4, name="pred_boxes", made_by="Sigmoid")]
LABELLED = [
    fact(1, 300, name="labels", kind="int"),
    fact(1, 300, 4, name="boxes"),
    fact(1, 300, name="scores"),
]


@pytest.mark.parametrize(
    ("outputs", "classes", "family"),
    [
        ([fact(1, 84, 8400)], 80, "yolov8"),
        ([fact(1, 5, 8400)], 1, "yolov8"),
        ([fact(1, 84, 77)], 80, "yolov8"),
        ([fact(1, 25200, 85)], 80, "yolov5"),
        ([fact(1, 25200, 6)], 1, "yolov5"),
        ([fact(1, 8400, 85)], 80, "yolov5"),
        ([fact(1, 300, 6)], 80, "end2end"),
        ([fact(1, 300, 6)], 1, "end2end"),
        ([fact(1, 84, 6)], 80, "end2end"),
        (LABELLED, 80, "end2end"),
        ([fact(1, 300, 84)], 80, "rtdetr"),
        (RTDETR, 80, "rtdetr"),
        (DETR, 91, "rtdetr"),
        ([fact(1, 300, 6)], 2, None),
        ([fact(1, 84, 84)], 80, "rtdetr"),
        ([fact(1, 8400, 84)], 8396, "yolov8"),
        ([fact(1, 100, 21, name="a"), fact(1, 100, 4, name="b")], 20, None),
    ],
)
def test_recognition(outputs: list[OutputFact], classes: int, family: Family | None) -> None:
    if family is None:
        error = refused(outputs, spec(classes))
        assert error.error_code == "model_family"
        assert "could be those of family" in error.message and 'family = "' in error.mend
        return
    guess = recognise(outputs, classes, 640, 640, "detect")
    assert guess.family == family
    assert guess.line().startswith(f"recognised as family {family}: ") and "[1, " in guess.reason
    head, same = choose_head(outputs, spec(classes))
    assert (head.family, same) == (family, guess)


def test_what_stands_in_model_toml_is_not_guessed_about() -> None:
    head, guess = choose_head([fact(1, 300, 6)], spec(2, family="rtdetr"))
    assert (head.family, head.layout, guess) == ("rtdetr", "rows", None)
    head, guess = choose_head([fact(1, 300, 6)], spec(2, family="end2end"))
    assert (head.family, head.layout, guess) == ("end2end", "found", None)


def test_the_reason_speaks_of_the_grid_where_it_decided() -> None:
    on_grid = recognise([fact(1, 25200, 6)], 1, 640, 640, "detect")
    assert "25200 is 3 a cell of grids with strides 8, 16, 32" in on_grid.reason
    off_grid = recognise([fact(1, 300, 6)], 1, 640, 640, "detect")
    assert off_grid.reason == "out [1, 300, 6], which is no grid at 640x640"


def test_grids() -> None:
    assert {8400, 25200} <= set(grid_rows(640, 640))
    assert grid_rows(100, 100) == {}  # no stride divides it
    assert {2100, 6300} <= set(grid_rows(320, 320))


def test_an_ssd_is_known_by_its_rows_and_says_what_it_needs() -> None:
    assert recognise(PAIR, 20, 300, 300, "detect").family == "ssd"
    error = refused(PAIR, spec(20))
    assert error.error_code == "model_output" and "output.boxes" in error.mend
    head, guess = choose_head(PAIR, spec(20, boxes="yxyx"))
    assert guess is not None
    assert (head.boxes, head.activation, head.background, head.normalised) == ("yxyx", "none", "first", True)
    assert head.names == ("boxes", "scores")


@pytest.mark.parametrize(
    ("outputs", "classes", "activation", "background"),
    [(DETR, 91, "softmax", "last"), (RTDETR, 80, "sigmoid", "none")],
)
def test_what_the_graph_tells_of_the_scores(
    outputs: list[OutputFact], classes: int, activation: str, background: str
) -> None:
    head, _ = choose_head(outputs, spec(classes))
    assert (head.activation, head.background) == (activation, background)
    assert (head.boxes, head.normalised, head.nms, head.names) == ("cxcywh", True, False, ("pred_boxes", "logits"))


@pytest.mark.parametrize(
    ("made_by", "activation"),
    [("Softmax", "none"), ("Sigmoid", "none"), ("Gemm", "softmax"), ("Add", "softmax"), ("LogSoftmax", "softmax")],
)
def test_a_classifier_s_scores(made_by: str, activation: str) -> None:
    head, guess = choose_head([fact(1, 1000, made_by=made_by)], spec(1000, task="classify"))
    assert (head.family, head.layout, head.activation, head.candidates, head.nms) == (
        "classifier",
        "classes",
        activation,
        5,
        False,
    )
    assert guess == Guess("classifier", "the only one for task classify")


def test_scores_that_no_operator_explains_are_asked_for() -> None:
    error = refused([fact(1, 10, made_by="Mul")], spec(10, task="classify"))
    assert error.error_code == "model_output" and "cannot be told" in error.message
    assert "none, sigmoid, softmax" in error.mend


@pytest.mark.parametrize(
    ("outputs", "wanted", "code", "says"),
    [
        (
            [fact(1, 84, 8400)],
            spec(3),
            "model_classes",
            "with 80 classes, and model.toml speaks of 3",
        ),
        ([fact(1, 25200, 85)], spec(3), "model_classes", "yolov5 with 80 classes"),
        ([fact(1, 84, 8400)], spec(3, family="yolov8"), "model_classes", "has 80 classes, and model.toml lists 3"),
        ([fact(1, 25200, 85)], spec(81, family="yolov5"), "model_classes", "has 80 classes"),
        ([fact(1, 300, 84)], spec(81, family="rtdetr"), "model_classes", "has 80 classes"),
        (PAIR, spec(19, family="ssd", boxes="xyxy"), "model_classes", "has 21 classes"),
        (PAIR, spec(21, family="ssd", boxes="xyxy", background="first"), "model_classes", "has 20 classes"),
        ([fact(1, 1000)], spec(10, task="classify"), "model_classes", "has 1000 classes"),
        ([fact(1, 84, 8400)], spec(80, family="yolov5"), "model_family", "would fit family yolov8"),
        ([fact(1, 25200, 85)], spec(80, family="yolov8"), "model_family", "would fit family yolov5"),
        ([fact(1, 17, 9)], spec(80), "model_family", "fit no known family with 80 classes"),
        ([fact(1, None, 6)], spec(80, family="end2end"), "model_family", "out [1, ?, 6]"),
        ([fact(1, 84, 8400, kind="other")], spec(80, family="yolov8"), "model_family", "neither float32 nor float16"),
        ([], spec(80), "model_family", "found nothing"),
        ([fact(2, 84, 8400)], spec(80, family="yolov8"), "model_family", "[2, 84, 8400]"),
        ([fact(1, 84, 0)], spec(80, family="yolov8"), "model_family", "[1, 84, 0]"),
        ([fact(1, 84, 8400)], spec(80, activation="softmax"), "model_output", "makes no sense for family yolov8"),
        (
            [fact(1, 84, 8400)],
            spec(80, background="first"),
            "model_classes",
            "and model.toml speaks of 81",
        ),
        ([fact(1, 84, 8400)], spec(80, family="yolov8", background="first"), "model_output", "makes no sense"),
        ([fact(1, 300, 6)], spec(80, family="end2end", activation="sigmoid"), "model_output", "makes no sense"),
        ([fact(1, 300, 6)], spec(80, family="end2end", background="last"), "model_output", "makes no sense"),
        ([fact(1, 84, 8400)], spec(80, use=["other"]), "model_output", "names 'other'"),
    ],
)
def test_refusals(outputs: list[OutputFact], wanted: ModelSpec, code: str, says: str) -> None:
    error = refused(outputs, wanted)
    assert (error.error_code, says in error.message) == (code, True), error.message


def test_outputs_beyond_those_that_count() -> None:
    extra = [fact(1, 3, 80, 80, 85, name="raw"), fact(1, 25200, 85, name="out")]
    assert refused(extra, spec(80)).error_code == "model_family"
    head, _ = choose_head(extra, spec(80, use=["out"]))
    assert (head.family, head.names) == ("yolov5", ("out",))


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_four_scores_a_row_are_told_from_boxes_by_name(order: list[int]) -> None:
    both = [fact(1, 50, 4, name="scores"), fact(1, 50, 4, name="pred_boxes")]
    head, _ = choose_head([both[place] for place in order], spec(4, family="rtdetr", activation="none"))
    assert head.names == ("pred_boxes", "scores")
    nameless = [fact(1, 50, 4, name="a"), fact(1, 50, 4, name="b")]
    assert refused(nameless, spec(4, family="rtdetr", activation="none")).error_code == "model_family"


def test_float_labels_are_told_from_scores_by_name() -> None:
    outputs = [fact(1, 9, 4, name="b"), fact(1, 9, name="s"), fact(1, 9, name="class_ids")]
    assert choose_head(outputs, spec(3))[0].names == ("b", "s", "class_ids")
    nameless = [fact(1, 9, 4, name="b"), fact(1, 9, name="s"), fact(1, 9, name="t")]
    assert refused(nameless, spec(3)).error_code == "model_family"


def test_which_families_need_nms() -> None:
    assert {family for family in HABITS if applies_nms(family)} == {"yolov8", "yolov5", "ssd"}


def test_every_family_has_a_habit_a_task_and_words() -> None:
    assert set(HABITS) == set(TASK_OF)
    assert all("[1, " in expected(family, 3) for family in HABITS)


def test_how_many_candidates_come_back() -> None:
    def candidates(layout: Any, rows: int) -> int:
        return Head("yolov8", layout, ("out",), 3, rows, 640, 640).candidates

    assert [candidates("columns", n) for n in (1, 300, 301)] == [1, 300, 300]
    assert [candidates("classes", n) for n in (1, 5, 6)] == [1, 5, 5]


def test_a_family_of_another_task_is_refused() -> None:
    with pytest.raises(ValueError, match="family yolov8 goes with task detect, and task is classify"):
        spec(3, family="yolov8", task="classify")


def test_fits_does_not_look_beyond_shapes() -> None:
    assert fits("rtdetr", RTDETR, 80) and fits("rtdetr", RTDETR, 79) and not fits("rtdetr", RTDETR, 81)
    assert fits("end2end", [fact(1, 300, 6)], 80) and fits("end2end", [fact(1, 300, 6)], 3)
