"""Frozen pictures told from pictures that may stand still."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from edgeagent.camera.stillness import BLOCK, LEAST_LOOKS, Stillness, is_clipped, sample, spread

Image = npt.NDArray[np.uint8]
RNG = np.random.default_rng(1)


def scene(level: int = 120, size: tuple[int, int] = (240, 320)) -> Image:
    return np.full((*size, 3), level, np.uint8)


def noisy(picture: Image, sigma: float = 1.5) -> Image:
    """As a sensor gives it: every value a little off."""
    return np.clip(picture + RNG.normal(0, sigma, picture.shape), 0, 255).astype(np.uint8)


def with_a_ball(number: int) -> Image:
    picture = scene()
    left = (number * 7) % 260
    picture[100:150, left : left + 50] = 250
    return picture


def shown(pictures: list[Image], known: bool = False, fps: float = 30.0) -> Stillness:
    stillness = Stillness(known, 0.0)
    for number, picture in enumerate(pictures):
        stillness.look(picture, number / fps)
    return stillness


def test_a_camera_that_has_shown_noise_and_stands_still_is_frozen_since_its_last_change() -> None:
    pictures = [noisy(scene()) for _ in range(BLOCK + 1)]
    stillness = shown([*pictures, *[pictures[-1]] * 90])
    assert stillness.noisy
    assert stillness.unchanged_s(151 / 30) == pytest.approx((151 - BLOCK) / 30)


def test_noise_alone_is_life() -> None:
    assert shown([noisy(scene()) for _ in range(200)]).unchanged_s(200 / 30) == 0.0


def test_a_picture_that_never_showed_noise_may_stand_still() -> None:
    stillness = shown([scene()] * 500)
    assert (stillness.noisy, stillness.unchanged_s(60.0)) == (False, 0.0)


def test_things_that_move_before_a_still_wall_are_no_noise() -> None:
    stillness = shown([*[with_a_ball(number) for number in range(3 * BLOCK)], *[scene()] * 300])
    assert (stillness.noisy, stillness.unchanged_s(60.0)) == (False, 0.0)


def test_cuts_between_still_pictures_are_no_noise() -> None:
    stillness = shown([scene(40 + 30 * (number // 20 % 5)) for number in range(3 * BLOCK)])
    assert not stillness.noisy


def test_a_camera_that_hands_out_every_frame_three_times_is_noisy_all_the_same() -> None:
    pictures = [noisy(scene()) for _ in range(BLOCK)]
    assert shown([picture for picture in pictures for _ in range(3)]).noisy


def test_a_capture_that_knows_of_the_noise_judges_from_its_first_frames_on() -> None:
    """The capture before it was given up because the picture had frozen: it still is."""
    assert shown([scene()] * 60, known=True).unchanged_s(2.0) == pytest.approx(2.0)


@pytest.mark.parametrize("level", [0, 16, 255])
def test_black_and_white_show_no_noise_and_are_not_judged(level: int) -> None:
    assert shown([scene(level)] * 60, known=True).unchanged_s(2.0) == 0.0


def test_a_few_looks_prove_nothing_however_far_apart() -> None:
    assert shown([scene()] * LEAST_LOOKS, known=True, fps=0.1).unchanged_s(60.0) == 0.0
    assert shown([scene()] * (LEAST_LOOKS + 1), known=True, fps=0.1).unchanged_s(60.0) == pytest.approx(60.0)


def test_another_size_is_a_change() -> None:
    stillness = shown([*[scene()] * 60, scene(size=(120, 160))], known=True)
    assert stillness.unchanged_s(3.0) == 0.0


def test_opened_anew_the_time_counts_from_there() -> None:
    stillness = shown([scene()] * 60, known=True)
    stillness.restart(10.0)
    assert stillness.unchanged_s(12.0) == 0.0
    for number in range(10):
        stillness.look(scene(), 10.0 + number)
    assert stillness.unchanged_s(20.0) == pytest.approx(10.0)


@pytest.mark.parametrize(
    "size", [(1, 1), (1, 4000), (4000, 1), (7, 9), (32, 64), (33, 65), (63, 127), (1080, 1920), (2160, 3840)]
)
def test_any_size_has_a_sample_that_noise_reaches_everywhere(size: tuple[int, int]) -> None:
    picture = scene(120, size)
    before, after = sample(picture), sample(picture + np.uint8(1))
    assert before.shape[0] <= 32
    assert before.shape[1] <= 64
    assert (spread(before, before), spread(before, after)) == (0.0, 1.0)


def test_a_change_is_told_by_how_much_of_the_picture_it_reaches() -> None:
    changed = scene()
    changed[:120, :160] = 7
    assert spread(sample(scene()), sample(changed)) == pytest.approx(0.25)


def test_the_sample_is_a_copy() -> None:
    """Drivers write the next frame into the same memory."""
    picture = scene()
    seen = sample(picture)
    picture[:] = 0
    assert seen.min() == 120


def test_clipped_is_nearly_all_of_it() -> None:
    picture = scene(0)
    assert is_clipped(picture)
    picture[:24] = 128
    assert not is_clipped(picture)


def test_a_picture_has_moved_when_one_is_another_than_the_one_before() -> None:
    frozen = noisy(scene())
    stillness = shown([frozen] * 3, known=True)
    assert not stillness.moved
    stillness.look(noisy(scene()), 1.0)
    assert stillness.moved
    stillness.restart(2.0)
    assert not stillness.moved
