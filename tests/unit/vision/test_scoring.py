"""Average precision by hand: every number here can be checked with pencil and paper."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edgeagent.vision.scoring import (
    Detected,
    Truth,
    agreement,
    as_truth,
    average_precision_50,
    iou_matrix,
    mean_average_precision_50,
)

A = (0.0, 0.0, 10.0, 10.0)
B = (20.0, 0.0, 30.0, 10.0)
C = (40.0, 0.0, 50.0, 10.0)
FAR = (90.0, 90.0, 99.0, 99.0)
HALF_A = (0.0, 0.0, 10.0, 5.0)  # IoU 0.5 with A exactly
LESS_A = (0.0, 0.0, 10.0, 4.9)


def found(*rows: tuple[tuple[float, ...], float, int]) -> Detected:
    boxes = np.array([box for box, _, _ in rows], np.float32).reshape(-1, 4)
    return boxes, np.array([s for _, s, _ in rows], np.float32), np.array([c for _, _, c in rows], np.int64)


def true(*rows: tuple[tuple[float, ...], int]) -> Truth:
    return np.array([box for box, _ in rows], np.float32).reshape(-1, 4), np.array([c for _, c in rows], np.int64)


class TestOverlap:
    def test_known_overlaps(self) -> None:
        overlaps = iou_matrix(np.array([A, B]), np.array([A, HALF_A, FAR]))
        assert overlaps == pytest.approx(np.array([[1.0, 0.5, 0.0], [0.0, 0.0, 0.0]]))

    def test_touching_boxes_do_not_overlap(self) -> None:
        assert iou_matrix(np.array([A]), np.array([(10.0, 0.0, 20.0, 10.0)]))[0, 0] == 0.0

    @pytest.mark.parametrize("broken", [(5.0, 5.0, 5.0, 9.0), (9.0, 9.0, 1.0, 1.0)])
    def test_empty_and_inverted_boxes_overlap_with_nothing(self, broken: tuple[float, ...]) -> None:
        assert iou_matrix(np.array([broken]), np.array([A, broken])).max() == 0.0

    @pytest.mark.parametrize(("first", "second"), [(0, 0), (0, 2), (3, 0)])
    def test_no_boxes_give_an_empty_matrix(self, first: int, second: int) -> None:
        assert iou_matrix(np.zeros((first, 4)), np.zeros((second, 4))).shape == (first, second)


class TestAveragePrecision:
    def test_all_found_is_one(self) -> None:
        assert average_precision_50([found((A, 0.9, 0), (B, 0.2, 0))], [true((A, 0), (B, 0))], 0) == 1.0

    def test_half_found_is_a_half(self) -> None:
        assert average_precision_50([found((A, 0.9, 0))], [true((A, 0), (B, 0))], 0) == 0.5

    def test_false_detection_below_all_right_ones_costs_nothing(self) -> None:
        assert average_precision_50([found((A, 0.9, 0), (FAR, 0.1, 0))], [true((A, 0))], 0) == 1.0

    def test_false_detection_above_the_right_one_halves_precision(self) -> None:
        assert average_precision_50([found((A, 0.5, 0), (FAR, 0.9, 0))], [true((A, 0))], 0) == 0.5

    def test_interpolation_takes_the_best_precision_to_the_right(self) -> None:
        # right, wrong, right, right of 3: precisions 1, 1/2, 2/3, 3/4; the envelope from the second on is 3/4
        detected = [found((A, 0.9, 0), (FAR, 0.8, 0), (B, 0.7, 0), (C, 0.6, 0))]
        assert average_precision_50(detected, [true((A, 0), (B, 0), (C, 0))], 0) == pytest.approx((1 + 0.75 + 0.75) / 3)

    def test_order_runs_across_images(self) -> None:
        detected = [found((FAR, 0.9, 0)), found((A, 0.8, 0))]
        assert average_precision_50(detected, [true(), true((A, 0))], 0) == 0.5

    def test_a_part_found_twice_counts_once(self) -> None:
        detected = [found((A, 0.9, 0), (A, 0.8, 0), (B, 0.7, 0))]
        assert average_precision_50(detected, [true((A, 0), (B, 0))], 0) == pytest.approx((1 + 2 / 3) / 2)

    def test_second_best_truth_is_taken_when_the_best_is_gone(self) -> None:
        wide = (0.0, 0.0, 10.0, 12.0)
        assert average_precision_50([found((A, 0.9, 0), (A, 0.8, 0))], [true((A, 0), (wide, 0))], 0) == 1.0

    @pytest.mark.parametrize(("box", "expected"), [(HALF_A, 1.0), (LESS_A, 0.0)])
    def test_overlap_of_exactly_one_half_is_enough(self, box: tuple[float, ...], expected: float) -> None:
        assert average_precision_50([found((box, 0.9, 0))], [true((A, 0))], 0) == expected

    def test_a_match_in_another_image_does_not_count(self) -> None:
        assert average_precision_50([found((A, 0.9, 0)), found()], [true(), true((A, 0))], 0) == 0.0

    def test_other_classes_are_not_looked_at(self) -> None:
        assert average_precision_50([found((A, 0.9, 1))], [true((A, 0))], 0) == 0.0

    def test_no_detections_is_zero(self) -> None:
        assert average_precision_50([found()], [true((A, 0))], 0) == 0.0

    @pytest.mark.parametrize("detected", [found(), found((A, 0.9, 0))])
    def test_no_truth_is_not_a_number(self, detected: Detected) -> None:
        assert math.isnan(average_precision_50([detected], [true()], 0))

    def test_no_images_is_not_a_number(self) -> None:
        assert math.isnan(average_precision_50([], [], 0))

    def test_images_must_pair_up(self) -> None:
        with pytest.raises(ValueError, match="1 images against 2"):
            average_precision_50([found()], [true(), true()], 0)


class TestMean:
    def test_mean_over_the_classes_that_have_truth(self) -> None:
        scored = mean_average_precision_50([found((A, 0.9, 0), (FAR, 0.9, 7))], [true((A, 0), (B, 3))])
        assert scored.by_class == {0: 1.0, 3: 0.0}
        assert scored.mean == 0.5

    def test_wrong_class_is_a_miss(self) -> None:
        assert mean_average_precision_50([found((A, 0.9, 1))], [true((A, 0))]).mean == 0.0

    def test_nothing_to_find_and_nothing_found_is_perfect(self) -> None:
        assert mean_average_precision_50([found()], [true()]).mean == 1.0
        assert mean_average_precision_50([], []).mean == 1.0

    def test_nothing_to_find_and_something_found_is_zero(self) -> None:
        scored = mean_average_precision_50([found((A, 0.9, 0))], [true()])
        assert (scored.mean, scored.by_class) == (0.0, {})

    @pytest.mark.parametrize("truth", [[], [true(), true()], [true((A, 0)), true()]])
    def test_images_must_pair_up(self, truth: list[Truth]) -> None:
        with pytest.raises(ValueError, match="images against"):
            mean_average_precision_50([found()], truth)


class TestReference:
    def test_a_reference_becomes_truth_from_its_sure_detections(self) -> None:
        ((boxes, class_ids),) = as_truth([found((A, 0.9, 2), (B, 0.5, 1), (C, 0.49, 0))], 0.5)
        assert boxes.tolist() == [list(A), list(B)]
        assert class_ids.tolist() == [2, 1]

    def test_an_engine_agrees_with_itself(self) -> None:
        same = [found((A, 0.9, 0), (B, 0.8, 1)), found()]
        assert mean_average_precision_50(same, as_truth(same, 0.0)).mean == 1.0
        result = agreement(same, same)
        assert (result.matched, result.missed, result.extra) == (2, 0, 0)
        assert (result.mean_iou, result.mean_score_difference, result.worst_score_difference) == (1.0, 0.0, 0.0)


class TestAgreement:
    def test_differences_of_the_matched(self) -> None:
        ours = [found((HALF_A, 0.7, 0), (B, 0.6, 0), (FAR, 0.9, 0))]
        theirs = [found((A, 0.9, 0), (B, 0.5, 0), (C, 0.9, 0))]
        result = agreement(ours, theirs)
        assert (result.matched, result.missed, result.extra) == (2, 1, 1)
        assert result.mean_iou == pytest.approx(0.75)
        assert result.mean_score_difference == pytest.approx(0.15)
        assert result.worst_score_difference == pytest.approx(0.2)

    def test_classes_do_not_match_each_other(self) -> None:
        result = agreement([found((A, 0.9, 0))], [found((A, 0.9, 1))])
        assert (result.matched, result.missed, result.extra, result.mean_iou) == (0, 1, 1, 0.0)

    @pytest.mark.parametrize(
        ("ours", "theirs", "expected"),
        [(found(), found(), 1.0), (found((A, 0.9, 0)), found(), 0.0), (found(), found((A, 0.9, 0)), 0.0)],
    )
    def test_nothing_matched(self, ours: Detected, theirs: Detected, expected: float) -> None:
        result = agreement([ours], [theirs])
        assert (result.matched, result.mean_iou, result.mean_score_difference) == (0, expected, 0.0)

    def test_no_images_agree(self) -> None:
        assert agreement([], []).mean_iou == 1.0

    def test_images_must_pair_up(self) -> None:
        with pytest.raises(ValueError, match="1 images against 0"):
            agreement([found()], [])
