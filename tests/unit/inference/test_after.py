"""After the engine: what of a frame's candidates becomes rows, and whether they are told."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgeagent.inference.after import After, Memory
from edgeagent.inference.messages import AfterEngine, OnChange, PipelineStart, RegionPart, SnapshotWish, Tracking
from edgeagent.vision.detections import Candidates
from edgeagent.vision.letterbox import Letterbox, fit_letterbox, map_to_input

BOX = fit_letterbox(640, 480, 320, 320)  # half the size, bars of 40 above and below
FRAME_NS = 33_333_333
LEFT = RegionPart(name="left", include=True, corners=((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0)))
TOP = RegionPart(name="top", include=True, corners=((0.0, 0.0), (1.0, 0.0), (1.0, 0.5), (0.0, 0.5)))
HOLE = RegionPart(name="hole", include=False, corners=((0.0, 0.0), (0.2, 0.0), (0.2, 0.2), (0.0, 0.2)))
EVERYWHERE = RegionPart(name="all", include=True, corners=((0.0, 0.0), (1.1, 0.0), (1.1, 1.1), (0.0, 1.1)))
TRACKING = Tracking(low_score=0.1, lost_s=1.0)


def start(**values: Any) -> PipelineStart:
    after = AfterEngine(**{name: values.pop(name) for name in list(values) if name in AfterEngine.model_fields})
    common: dict[str, Any] = {
        "pipeline": "parts",
        "ring": "cam",
        "backend": "onnxruntime",
        "plan": "/plan",
        "engine": "e1",
        "classes": ["bolt", "nut", "washer"],
        "keep": None,
        "min_score": 0.5,
        "iou": 0.5,
        "max_detections": 10,
        "min_interval_s": 0.0,
    }
    return PipelineStart(after=after, **{**common, **values})


def seen(*rows: tuple[int, float, float, float]) -> Candidates:
    """Candidates of (class id, score, centre x, centre y in source pixels), each 40 pixels wide and high."""
    boxes = np.array([(x - 20, y - 20, x + 20, y + 20) for _, _, x, y in rows], np.float32).reshape(-1, 4)
    return Candidates(
        map_to_input(boxes, BOX),
        np.array([score for _, score, _, _ in rows], np.float32),
        np.array([class_id for class_id, _, _, _ in rows], np.int32),
    )


def take(after: After, *rows: tuple[int, float, float, float], frame: int = 0, box: Letterbox = BOX) -> Any:
    return after.take(seen(*rows), box, frame * FRAME_NS)


def test_a_row_is_class_score_and_box_in_source_pixels() -> None:
    (row,) = take(After(start(), Memory()), (1, 0.75, 100, 200))
    assert row == (1, 0.75, 80.0, 180.0, 120.0, 220.0)


def test_what_lies_wholly_in_the_bars_is_left_out() -> None:
    assert take(After(start(), Memory()), (0, 0.9, 300, -40), (0, 0.8, 300, 500 + 30)) == []


def test_a_class_may_have_a_score_of_its_own() -> None:
    rows = [(0, 0.55, 100, 100), (1, 0.55, 200, 100), (2, 0.3, 300, 100), (2, 0.2, 400, 100)]
    found = take(After(start(class_min_score={"bolt": 0.6, "washer": 0.25, "stranger": 0.0}), Memory()), *rows)
    assert [(row[0], row[2]) for row in found] == [(1, 180.0), (2, 280.0)]


def test_scores_of_classes_hold_before_the_number_of_detections_is_cut() -> None:
    strict = start(class_min_score={"bolt": 0.9}, max_detections=1)
    assert [row[0] for row in take(After(strict, Memory()), (0, 0.8, 100, 100), (1, 0.6, 300, 100))] == [1]


def test_a_class_id_that_no_class_has_is_no_trouble() -> None:
    found = take(After(start(class_min_score={"bolt": 0.6}), Memory()), (7, 0.9, 100, 100), (-1, 0.55, 300, 100))
    assert [row[0] for row in found] == [7]


def test_regions_keep_drop_and_name() -> None:
    rows = [(0, 0.9, 50, 50), (0, 0.8, 200, 100), (1, 0.7, 500, 400), (2, 0.6, 500, 100)]
    bare = take(After(start(regions=(LEFT, HOLE)), Memory()), *rows)
    assert [(row[0], len(row)) for row in bare] == [(0, 6)]
    named = take(After(start(regions=(LEFT, TOP, HOLE), region_names=True), Memory()), *rows)
    assert [(row[0], row[6], row[7]) for row in named] == [(0, 0, ["left", "top"]), (2, 0, ["top"])]


def test_of_no_detections_there_are_no_rows() -> None:
    full = start(regions=(LEFT,), region_names=True, change=OnChange(moved=0.1, heartbeat_s=1.0))
    assert take(After(full, Memory())) == []


def test_on_change_a_still_scene_is_told_once_and_counted() -> None:
    memory = Memory()
    after = After(start(change=OnChange(moved=0.1, heartbeat_s=1.0)), memory)
    told = [frame for frame in range(70) if take(after, (0, 0.9 - frame / 1000, 100, 100), frame=frame) is not None]
    assert told == [0, 31, 62], "a second each"
    assert (memory.looked, memory.unchanged) == (70, 67)


def test_other_settings_count_from_the_next_frame_on() -> None:
    """As over MQTT: the engine is loaded anew with them, and shares what the pipeline remembers."""
    memory, thing = Memory(), (0, 0.9, 100, 100)
    told = []
    rules = (OnChange(moved=0.1, heartbeat_s=100.0), None, OnChange(moved=0.1, heartbeat_s=100.0))
    for first, change in zip((0, 3, 6), rules, strict=True):
        after = After(start(change=change), memory)
        told += [frame for frame in range(first, first + 3) if take(after, thing, frame=frame) is not None]
    assert told == [0, 3, 4, 5, 6], "on change, all, on change again, of which the first is told"
    later = After(start(change=OnChange(moved=0.1, heartbeat_s=0.1)), memory)
    assert [frame for frame in range(7, 12) if take(later, thing, frame=frame) is not None] == [10]


RIGHT = RegionPart(name="right", include=True, corners=LEFT.corners)


@pytest.mark.parametrize(
    "other",
    [{"classes": ["cog", "nut", "washer"]}, {"regions": (RIGHT,)}, {"regions": (LEFT, TOP)}, {"region_names": False}],
)
def test_a_still_scene_is_told_at_once_in_other_words(other: dict[str, Any]) -> None:
    """Of another model, or with other names of regions, over MQTT; the same again is no news."""
    common = {"change": OnChange(moved=0.1, heartbeat_s=100.0), "regions": (LEFT,), "region_names": True}
    memory, told = Memory(), []
    for first, more in ((0, {}), (2, {}), (4, other), (6, other)):
        after = After(start(**{**common, **more}), memory)
        told += [n for n in range(first, first + 2) if take(after, (0, 0.9, 100, 400), frame=n) is not None]
    assert told == [0, 4]


def test_another_model_s_things_come_into_view() -> None:
    memory, wish = Memory(), SnapshotWish(drawn=False, interval_s=0.0)
    for frame, classes in ((0, ["bolt"]), (1, ["person"])):
        assert pictured(After(start(classes=classes, snapshot=wish), memory), (0, 0.9, 100, 100), frame=frame)


def test_the_short_way_has_the_boxes_of_the_long_one() -> None:
    """Of a frame with a double, a box in the bars, and one beyond the edge."""
    rows = ((0, 0.9, 100, 100), (0, 0.8, 101, 100), (1, 0.7, 639, 479), (2, 0.6, 100, 540))
    short, long = (take(After(start(regions=regions), Memory()), *rows) for regions in ((), (EVERYWHERE,)))
    assert [row[:2] for row in short] == [row[:2] for row in long] and len(short) == 2
    assert np.allclose([row[2:6] for row in short], [row[2:6] for row in long])


def test_what_regions_drop_is_no_news() -> None:
    after = After(start(regions=(LEFT,), change=OnChange(moved=0.1, heartbeat_s=100.0)), Memory())
    assert take(after, (0, 0.9, 100, 100)) is not None
    assert take(after, (0, 0.9, 100, 100), (0, 0.9, 500, 100), frame=1) is None


def pictured(after: After, *rows: tuple[int, float, float, float], frame: int) -> bool:
    return after.is_snapshot_due(take(after, *rows, frame=frame), frame * FRAME_NS)


@pytest.mark.parametrize("more", [{}, {"regions": (EVERYWHERE,), "region_names": True}])
def test_a_picture_is_due_when_there_is_more_of_a_class(more: dict[str, Any]) -> None:
    """Also where rows have a place for a number that nobody gives, because the names of regions stand behind it."""
    after = After(start(snapshot=SnapshotWish(drawn=False, interval_s=0.0), **more), Memory())
    rows = (0, 0.9, 100, 100), (0, 0.9, 300, 100)
    assert [pictured(after, *rows[:count], frame=frame) for frame, count in enumerate((1, 1, 2, 2))] == [
        True, False, True, False,
    ]  # fmt: skip


def test_settings_go_over_to_an_engine_of_other_classes_by_their_names() -> None:
    wide = start(classes=["washer", "cog", "bolt"], iou=None, engine="wide")
    narrow = start(classes=["bolt", "nut"], keep=[0], min_score=0.2, iou=0.3, regions=(LEFT,))
    there = wide.with_settings_of(narrow)
    assert (there.engine, there.classes, there.keep, there.iou) == ("wide", wide.classes, [2], None)
    assert (there.min_score, there.after) == (0.2, narrow.after)
    back = narrow.with_settings_of(there)
    assert (back.keep, back.iou) == ([0], 0.3), "the other one says nothing of overlaps"
    assert narrow.with_settings_of(start()).keep is None


class TestTracking:
    @pytest.fixture(autouse=True)
    def _lap(self) -> None:
        pytest.importorskip("lap", reason="the extra tracking is not installed")

    def test_rows_carry_numbers_from_the_second_frame_on(self) -> None:
        after = After(start(tracking=TRACKING), Memory())
        numbers = [
            [row[6] for row in take(after, (0, 0.9, 100 + 3 * n, 100), (1, 0.8, 300, 100), frame=n)] for n in range(4)
        ]
        assert numbers == [[0, 0], [1, 2], [1, 2], [1, 2]] and after.last_track == 2

    def test_how_long_a_thing_may_be_lost_can_be_changed(self) -> None:
        memory, thing = Memory(), (0, 0.9, 100, 100)
        for lost_s, first, number in ((1.0, 0, 1), (10.0, 3, 1), (10.0, 200, 1)):
            after = After(start(tracking=Tracking(low_score=0.1, lost_s=lost_s)), memory)
            rows = [take(after, thing, frame=frame) for frame in range(first, first + 3)]
            assert rows[-1][0][6] == number

    def test_a_low_score_counts_where_it_continues_a_thing_and_nowhere_else(self) -> None:
        after = After(start(tracking=TRACKING, class_min_score={"nut": 0.8}), Memory())
        for n in range(3):
            take(after, (0, 0.9, 100, 100), (1, 0.9, 400, 400), frame=n)
        rows = take(after, (0, 0.2, 101, 100), (1, 0.7, 400, 401), (0, 0.4, 500, 100), (0, 0.05, 100, 300), frame=3)
        assert [(row[0], row[6]) for row in rows] == [(1, 2), (0, 1)]

    def test_numbers_go_on_when_the_engine_is_swapped_and_swapped_back(self) -> None:
        memory, rows = Memory(), [(0, 0.9, 100, 100), (1, 0.8, 300, 100)]
        one, two = (After(start(tracking=TRACKING, engine=name), memory) for name in ("e1", "e2"))
        for frame, after in enumerate([one, one, one, two, two, one, one]):
            found = take(after, *rows, frame=frame)
        assert [row[6] for row in found] == [1, 2]

    def test_another_model_s_things_are_others(self) -> None:
        memory, rows = Memory(), [(0, 0.9, 100, 100)]
        one = After(start(tracking=TRACKING), memory)
        other = After(start(tracking=TRACKING, classes=["nut", "bolt"]), memory)
        seen_by = [take(after, *rows, frame=n)[0][6] for n, after in enumerate([one, one, other, other, one, one])]
        assert seen_by == [0, 1, 0, 2, 0, 3]

    def test_numbers_that_were_given_before_the_child_started_are_left_out(self) -> None:
        after = After(start(tracking=Tracking(low_score=0.1, lost_s=1.0, first_id=41)), Memory())
        assert [take(after, (0, 0.9, 100, 100), frame=n)[0][6] for n in range(2)] == [0, 41]

    def test_a_thing_keeps_its_number_across_a_region_that_does_not_count(self) -> None:
        band = RegionPart(name="band", include=False, corners=((0.4, 0.0), (0.6, 0.0), (0.6, 1.0), (0.4, 1.0)))
        after = After(start(tracking=TRACKING, regions=(band,)), Memory())
        numbers = [[row[6] for row in take(after, (0, 0.9, 200 + 4 * n, 100), frame=n)] for n in range(60)]
        assert numbers[1] == numbers[-1] == [1] and [] in numbers

    def test_a_number_that_is_new_is_news(self) -> None:
        after = After(start(tracking=TRACKING, change=OnChange(moved=0.5, heartbeat_s=100.0)), Memory())
        told = [take(after, (0, 0.9, 100, 100), frame=n) is not None for n in range(4)]
        assert told == [True, True, False, False]

    def test_pictures_go_on_when_tracking_is_switched_off_and_on(self) -> None:
        """What has had a number before is no reason to look for numbers where none are given, and none is new twice."""
        memory, wish = Memory(), SnapshotWish(drawn=False, interval_s=0.0)
        got = []
        for first, tracking in ((0, TRACKING), (4, None), (8, TRACKING)):
            after = After(start(tracking=tracking, snapshot=wish), memory)
            rows = (0, 0.9, 100 + first * 50, 100), (1, 0.9, 100 + first * 50, 300)
            for frame in range(first, first + 4):
                if pictured(after, *rows[: 1 if frame < first + 2 else 2], frame=frame):
                    got.append(frame)
        assert got == [1, 3, 4, 6, 9, 11]
