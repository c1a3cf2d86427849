"""A calibration set chosen by content: what differs stays, a still scene ends, and old sets are still sets."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from engine_kit import Frames, noise_frames

from edgeagent.engine.calibration import SetWriter, find_set, holdout_last
from edgeagent.engine.spread import LOOKS, STILL_TIMES
from edgeagent.errors import EngineError

RNG = np.random.default_rng(3)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "calibration" / "cam-0a1b2c3d4e"


def scene(number: int) -> Frames:
    blocks = np.random.default_rng(number).integers(0, 256, (4, 4, 3), np.uint8)
    return cv2.resize(blocks, (64, 64), interpolation=cv2.INTER_NEAREST)


def noisy(frame: Frames) -> Frames:
    return np.clip(frame + RNG.normal(0, 3, frame.shape), 0, 255).astype(np.uint8)


def test_pictures_that_differ_take_the_places_of_those_that_do_not(folder: Path) -> None:
    with SetWriter(folder) as writer:
        writer.choose(6, looks=10)
        for number in range(60):
            writer.offer(noisy(scene(number // 10)))
        assert (writer.kept, writer.offered, writer.settled) == (6, 60, True)
        found = writer.commit(2)
    assert find_set(folder) == found
    pictures = [*found.to_calibrate(), *found.held_out()]
    shown = [min(range(6), key=lambda n: np.abs(picture.astype(int) - scene(n)).mean()) for picture in pictures]
    assert sorted(shown) == list(range(6))
    assert found.record.spread is not None and found.record.spread > 10


def test_pictures_lie_in_the_order_in_which_they_came(folder: Path) -> None:
    """Held out are those from the whole time, whichever places they got."""
    with SetWriter(folder) as writer:
        writer.choose(4, looks=10)
        for number in (0, 0, 0, 0, 1, 2, 3):
            writer.offer(noisy(scene(number)))
        record = writer.commit(1).record
    kept = [folder / name for name in record.files]
    assert len(set(record.files)) == 4
    assert (
        record.digest
        == hashlib.sha256(b"".join(hashlib.sha256(path.read_bytes()).digest() for path in kept)).hexdigest()
    )
    shown = [min(range(4), key=lambda n: np.abs(cv2.imread(str(p)).astype(int) - scene(n)).mean()) for p in kept]
    assert shown == [[0, 1, 2, 3][index] for index in holdout_last(4, 1)]


def test_a_still_scene_fills_the_set_ends_and_says_so(folder: Path) -> None:
    with SetWriter(folder) as writer:
        writer.choose(5)
        while not writer.settled:
            writer.offer(noisy(scene(0)))
        assert writer.offered == 5 * LOOKS * STILL_TIMES
        record = writer.commit(1).record
    assert len(record.files) == 5 and record.spread == 0


def test_every_picture_can_still_be_taken_without_a_choice(folder: Path) -> None:
    with SetWriter(folder) as writer:
        for frame in noise_frames(4, 32, 32):
            writer.add(frame)
        assert not writer.settled
        record = writer.commit(1).record
    assert record.spread is None
    assert "spread" not in json.loads((folder / "set.json").read_text())


def test_an_offer_without_a_choice_is_a_mistake(folder: Path) -> None:
    with SetWriter(folder) as writer, pytest.raises(ValueError):
        writer.offer(scene(0))


def test_a_covered_camera_is_refused_even_if_its_lid_was_seen_going_on(folder: Path) -> None:
    """One look at a picture that was replaced later says nothing of those that stayed."""
    with SetWriter(folder) as writer:
        writer.choose(2, looks=50)
        for value in (10, 12, 200, 90):
            writer.offer(np.full((64, 64, 3), value, np.uint8))
        with pytest.raises(EngineError) as caught:
            writer.commit(1)
    assert caught.value.error_code == "no_calibration"
    assert find_set(folder) is None


def test_a_set_as_earlier_releases_wrote_it_is_found(folder: Path) -> None:
    folder.mkdir(parents=True)
    names, digest = [], hashlib.sha256()
    for number, frame in enumerate(noise_frames(3, 32, 24)):
        data = cv2.imencode(".png", frame)[1].tobytes()
        names.append(f"{number:04d}.png")
        (folder / names[-1]).write_bytes(data)
        digest.update(hashlib.sha256(data).digest())
    record = {"schema": "edgeagent.calibration/1", "width": 32, "height": 24, "files": names, "holdout": 1}
    (folder / "set.json").write_text(json.dumps({**record, "digest": digest.hexdigest()}))
    found = find_set(folder)
    assert found is not None and found.record.spread is None
    assert (len(found.to_calibrate()), len(found.held_out())) == (2, 1)


def test_a_chosen_set_is_the_same_set_after_a_restart(folder: Path) -> None:
    with SetWriter(folder) as writer:
        writer.choose(3)
        for number in range(5):
            writer.offer(scene(number))
        record = writer.commit(1).record
    again = find_set(folder)
    assert again is not None and again.record == record
