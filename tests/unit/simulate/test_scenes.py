"""Scenes: the same from every direction, and a truth that fits the pixels."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from edgeagent.simulate import scene_parts
from edgeagent.simulate.scene_belt import draw_belt, pick_surroundings
from edgeagent.simulate.scene_parts import CLASSES, CLUTTER, LARGEST_REACH, Lens, Light, Part, Sprite, draw_sprite
from edgeagent.simulate.scenes import (
    VISIBLE_SHARE,
    ConveyorStream,
    _expose,
    _lay,
    _visible_box,
    draw_scene,
)

LIGHT = Light((0.3, 0.2, 0.933), 0.4, 0.5, 2.0)
LENS = Lens(0.0, 0)


def stream(seed: int = 4, width: int = 320, height: int = 240) -> ConveyorStream:
    return ConveyorStream(width, height, 30.0, seed)


def block(rows: int, columns: int, class_id: int = 0) -> Sprite:
    """A part that fills its sprite."""
    colour = np.full((rows, columns, 3), 200, np.uint8)
    return Sprite(colour, np.zeros((rows, columns, 3), np.uint8), np.ones((rows, columns), np.bool_), class_id)


class TestPurity:
    def test_a_frame_is_the_same_from_a_new_stream(self) -> None:
        long, fresh = stream(), stream()
        for index in range(40):
            last = long.frame(index)
        for first, second in zip(last, fresh.frame(39), strict=True):
            assert np.array_equal(first, second)

    def test_a_frame_is_the_same_after_going_elsewhere(self) -> None:
        one = stream()
        before = one.frame(10)
        for index in (5000, 11, 0, 900):
            one.frame(index)
        for first, second in zip(before, one.frame(10), strict=True):
            assert np.array_equal(first, second)

    def test_the_picture_goes_into_the_given_array(self) -> None:
        one, out = stream(), np.full((240, 320, 3), 7, np.uint8)
        image, _, _ = one.frame(3, out)
        assert image is out
        assert np.array_equal(out, stream().frame(3)[0])

    def test_a_returned_picture_is_not_touched_again(self) -> None:
        one = stream()
        image, _, _ = one.frame(3)
        kept = image.copy()
        one.frame(4)
        assert np.array_equal(image, kept)

    def test_seeds_differ(self) -> None:
        assert not np.array_equal(stream(1).frame(0)[0], stream(2).frame(0)[0])

    def test_a_scene_follows_its_generator(self) -> None:
        first = draw_scene(np.random.default_rng(5), 320, 240)
        second = draw_scene(np.random.default_rng(5), 320, 240)
        assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))

    def test_numpys_global_state_is_left_alone(self) -> None:
        before = np.random.get_state()[1].copy()
        draw_scene(np.random.default_rng(5), 320, 240)
        assert np.array_equal(before, np.random.get_state()[1])


class TestTruth:
    @pytest.mark.parametrize(("width", "height"), [(640, 480), (320, 320), (480, 640), (1280, 720)])
    def test_boxes_are_whole_pixels_inside_the_picture(self, width: int, height: int) -> None:
        for seed in range(6):
            image, boxes, class_ids = draw_scene(np.random.default_rng(seed), width, height)
            assert (image.shape, image.dtype) == ((height, width, 3), np.uint8)
            assert (boxes.dtype, class_ids.dtype) == (np.float32, np.int64)
            assert boxes.shape == (len(class_ids), 4)
            assert np.array_equal(boxes, np.round(boxes))
            assert (boxes[:, :2] >= 0).all()
            assert (boxes[:, 2:] <= [width, height]).all()
            assert (boxes[:, 2:] > boxes[:, :2]).all()
            assert np.isin(class_ids, range(len(CLASSES))).all()

    def test_every_class_appears_and_empty_frames_too(self) -> None:
        counts, seen = [], set()
        for seed in range(60):
            _, boxes, class_ids = draw_scene(np.random.default_rng(seed), 128, 96)
            assert boxes.shape == (len(class_ids), 4)
            counts.append(len(class_ids))
            seen |= set(class_ids.tolist())
        assert seen == set(range(len(CLASSES)))
        assert min(counts) == 0
        assert 3 <= max(counts) <= 20

    def test_a_part_moves_with_the_belt(self) -> None:
        one = stream(seed=3)
        step = one._step_px
        frames = [one.frame(index)[1] for index in range(200)]
        middle = [boxes[(boxes[:, 0] > 60) & (boxes[:, 2] < 260)] for boxes in frames]
        moves = [
            (after[0] - before[0]).tolist()
            for before, after in pairwise(middle)
            if len(before) == len(after) == 1 and abs(float(after[0, 0] - before[0, 0])) < 30
        ]
        assert len(moves) > 10
        for left, top, right, bottom in moves:
            assert (top, bottom) == (0.0, 0.0)
            assert left == right
            assert abs(-step - left) <= 1.0

    def test_the_box_fits_the_changed_pixels(self) -> None:
        """Lay one part on a plain ground: what changed inside its mask is what the box encloses."""
        for class_id, kind in enumerate(scene_parts._PARTS):
            sprite = draw_sprite(Part(class_id, kind, 30.0), LIGHT, LENS, np.random.default_rng(class_id))
            box = _visible_box(_expose((sprite, 40, 50), [], (0, 240)), 0, 320)
            rows, columns = np.nonzero(sprite.mask)
            assert box == (
                40 + columns.min(),
                50 + rows.min(),
                40 + columns.max() + 1,
                50 + rows.max() + 1,
            )


class TestVisibleShare:
    def test_a_whole_part_has_its_whole_box(self) -> None:
        assert _visible_box(_expose((block(10, 20), 5, 7), [], (0, 100)), 0, 100) == (5, 7, 25, 17)

    @pytest.mark.parametrize(
        ("x", "box"), [(-13, (0, 7, 7, 17)), (-14, None), (-20, None), (93, (93, 7, 100, 17)), (94, None)]
    )
    def test_at_the_pictures_edge(self, x: int, box: tuple[int, ...] | None) -> None:
        """20 columns: 7 of them are 35 %, 6 are 30 %."""
        assert VISIBLE_SHARE == 0.35
        assert _visible_box(_expose((block(10, 20), x, 7), [], (0, 100)), 0, 100) == box

    def test_under_a_rail(self) -> None:
        assert _visible_box(_expose((block(10, 20), 5, 7), [], (10, 100)), 0, 100) == (5, 10, 25, 17)
        assert _visible_box(_expose((block(10, 20), 5, 7), [], (14, 100)), 0, 100) is None
        assert _visible_box(_expose((block(10, 20), 5, 7), [], (0, 10)), 0, 100) is None
        assert _visible_box(_expose((block(10, 20), 5, 7), [], (0, 11)), 0, 100) == (5, 7, 25, 11)

    def test_under_another_part(self) -> None:
        under, cover = (block(10, 20), 0, 0), block(10, 12, 1)
        assert _visible_box(_expose(under, [(cover, 0, 0)], (0, 100)), 0, 100) == (12, 0, 20, 10)
        assert _visible_box(_expose(under, [(block(10, 14), 0, 0)], (0, 100)), 0, 100) is None

    def test_clutter_covers_and_has_no_box_itself(self) -> None:
        clutter = (block(10, 14, CLUTTER), 0, 0)
        assert _visible_box(_expose((block(10, 20), 0, 0), [clutter], (0, 100)), 0, 100) is None
        assert _visible_box(_expose(clutter, [], (0, 100)), 0, 100) is None

    def test_a_hole_through_the_cover_shows_the_part(self) -> None:
        ring = block(10, 20, 2)
        ring.mask[2:8, 4:16] = False
        assert _visible_box(_expose((block(10, 20), 0, 0), [(ring, 0, 0)], (0, 100)), 0, 100) == (4, 2, 16, 8)


class TestDrawing:
    @pytest.mark.parametrize(("x", "y"), [(-5, -3), (90, 95), (-200, 0), (0, 200), (100, 0)])
    def test_a_sprite_may_lie_over_every_edge(self, x: int, y: int) -> None:
        ground = np.zeros((100, 100, 3), np.uint8)
        _lay(ground, block(10, 20), x, y)
        width = max(0, min(100, x + 20) - max(0, x))
        height = max(0, min(100, y + 10) - max(0, y))
        assert np.count_nonzero(ground[..., 0]) == width * height

    @pytest.mark.parametrize("class_id", range(len(CLASSES)))
    def test_the_sprite_has_room_for_the_part(self, class_id: int) -> None:
        """The window is cut from the part's sizes; a part that touched its edge would have been cut off."""
        kind = scene_parts._PARTS[class_id]
        for seed in range(12):
            sprite = draw_sprite(Part(class_id, kind, 40.0), LIGHT, LENS, np.random.default_rng(seed))
            for edge in (sprite.mask[0], sprite.mask[-1], sprite.mask[:, 0], sprite.mask[:, -1]):
                assert not edge.any()
            assert sprite.colour.shape == sprite.keep.shape == (*sprite.mask.shape, 3)

    def test_tiny_parts_can_be_drawn(self) -> None:
        for kind in (*scene_parts._PARTS, *scene_parts._RUBBISH):
            sprite = draw_sprite(Part(CLUTTER, kind, 3.0), LIGHT, LENS, np.random.default_rng(0))
            assert sprite.mask.size > 0

    def test_the_belt_joins_up(self) -> None:
        """No edge where the texture begins again: the step there is no larger than elsewhere."""
        for seed in range(8):
            rng = np.random.default_rng(seed)
            place = pick_surroundings(rng, 320, 240, 60.0)
            belt = draw_belt(place, 320, rng).astype(np.int32).mean(axis=2)
            steps = np.abs(np.diff(belt, axis=1, append=belt[:, :1])).mean(axis=0)
            assert steps[-1] <= 2.0 * np.percentile(steps, 99) + 1.0

    def test_stretches_are_longer_than_parts(self) -> None:
        """Else parts of one stretch could lie under those of the stretch after the next."""
        assert 2 * LARGEST_REACH < 320.0
        assert max(kind.reach[1] for kind in scene_parts._PARTS) == LARGEST_REACH


class TestRefusals:
    @pytest.mark.parametrize(
        ("width", "height", "fps", "seed"),
        [(16, 240, 30.0, 1), (320, 0, 30.0, 1), (320, 240, 0.0, 1), (320, 240, 30.0, -1)],
    )
    def test_impossible_streams(self, width: int, height: int, fps: float, seed: int) -> None:
        with pytest.raises(ValueError, match="no such stream"):
            ConveyorStream(width, height, fps, seed)

    def test_frames_before_the_beginning(self) -> None:
        with pytest.raises(ValueError, match="negative"):
            stream().frame(-1)

    @pytest.mark.parametrize("out", [np.zeros((10, 10, 3), np.uint8), np.zeros((240, 320, 3), np.float32)])
    def test_an_array_of_another_shape(self, out: np.ndarray) -> None:
        with pytest.raises(ValueError, match="out must be"):
            stream().frame(0, out)
