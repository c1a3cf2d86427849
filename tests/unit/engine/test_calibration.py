"""A calibration set is whole or absent, and its pictures come back bit for bit."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest
from engine_kit import Frames, noise_frames

from edgeagent.engine.calibration import (
    CalibrationSet,
    SetWriter,
    find_set,
    holdout_last,
    set_lock,
    set_name,
    spread,
    sweep_sets,
)
from edgeagent.errors import EngineError, StoreError
from edgeagent.vision.letterbox import PAD_VALUE, apply_letterbox, fit_letterbox

FRAMES = noise_frames(10, 48, 40)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "calibration" / "cam-0a1b2c3d4e"


def save(folder: Path, frames: list[Frames], holdout: int = 3) -> CalibrationSet:
    with SetWriter(folder) as writer:
        for frame in frames:
            writer.add(frame)
        return writer.commit(holdout)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.parent.iterdir() if path.name != ".locks")


def test_pictures_come_back_bit_for_bit_and_in_order(folder: Path) -> None:
    saved = save(folder, FRAMES)
    found = find_set(folder)
    assert found == saved
    order = holdout_last(10, 3)
    together = [*found.to_calibrate(), *found.held_out()]
    assert (len(found.to_calibrate()), len(found.held_out())) == (7, 3)
    for index, picture in zip(order, together, strict=True):
        np.testing.assert_array_equal(picture, FRAMES[index])
    assert (found.record.width, found.record.height) == (48, 40)


def test_the_digest_is_that_of_the_files_as_they_lie_there(folder: Path) -> None:
    record = save(folder, FRAMES).record
    each = b"".join(hashlib.sha256((folder / name).read_bytes()).digest() for name in record.files)
    assert record.digest == hashlib.sha256(each).hexdigest()
    assert save(folder.with_name("same"), FRAMES).record.digest == record.digest
    assert save(folder.with_name("other"), FRAMES[::-1]).record.digest != record.digest
    assert save(folder.with_name("split"), FRAMES, holdout=4).record.digest != record.digest


@pytest.mark.parametrize(("count", "holdout"), [(80, 16), (10, 3), (7, 4), (5, 5), (5, 0), (1, 1)])
def test_held_out_pictures_come_from_the_whole_time(count: int, holdout: int) -> None:
    order = holdout_last(count, holdout)
    assert sorted(order) == list(range(count))
    rest, picked = order[: count - holdout], order[count - holdout :]
    assert rest == sorted(rest) and picked == sorted(picked)
    for number, index in enumerate(picked):
        assert number * count // holdout <= index < -(-(number + 1) * count // holdout)


def test_a_set_without_held_out_pictures(folder: Path) -> None:
    found = save(folder, FRAMES, holdout=0)
    assert (len(found.to_calibrate()), len(found.held_out())) == (10, 0)


def test_pictures_can_be_sliced_and_counted_from_the_end(folder: Path) -> None:
    pictures = save(folder, FRAMES, holdout=0).to_calibrate()
    np.testing.assert_array_equal(pictures[-1], FRAMES[-1])
    assert [len(pictures[2:5]), len(pictures[20:])] == [3, 0]
    np.testing.assert_array_equal(pictures[2:5][0], FRAMES[2])
    with pytest.raises(IndexError):
        pictures[10]


def test_without_a_commit_nothing_stays(folder: Path) -> None:
    with SetWriter(folder) as writer:
        writer.add(FRAMES[0])
        assert len(names(folder)) == 1
    assert names(folder) == []
    assert find_set(folder) is None


def test_a_new_set_takes_the_place_of_an_old_one(folder: Path) -> None:
    old = save(folder, FRAMES)
    new = save(folder, FRAMES[:5])
    assert find_set(folder) == new != old
    assert names(folder) == [folder.name]


def test_the_old_set_stays_when_collecting_the_new_one_fails(folder: Path) -> None:
    old = save(folder, FRAMES)
    with pytest.raises(EngineError):
        save(folder, [np.zeros((40, 48, 3), np.uint8)] * 3)
    assert find_set(folder) == old
    assert names(folder) == [folder.name]


# damage


def change_a_picture(folder: Path) -> None:
    path = folder / "0004.png"
    path.write_bytes(path.read_bytes()[:-1] + b"x")


def swap_two_pictures(folder: Path) -> None:
    one, two = folder / "0001.png", folder / "0002.png"
    first = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(first)


def lose_a_picture(folder: Path) -> None:
    (folder / "0000.png").unlink()


def lose_the_record(folder: Path) -> None:
    (folder / "set.json").unlink()


def empty_the_record(folder: Path) -> None:
    (folder / "set.json").write_bytes(b"")


def change_the_record(folder: Path, **values: object) -> None:
    told = json.loads((folder / "set.json").read_text())
    (folder / "set.json").write_text(json.dumps({**told, **values}))


def files_outside(folder: Path) -> None:
    change_the_record(folder, files=["../../secret.png"], digest="0" * 64)


def fewer_than_none_held_out(folder: Path) -> None:
    change_the_record(folder, holdout=-1)


def another_schema(folder: Path) -> None:
    change_the_record(folder, schema="edgeagent.calibration/9")


@pytest.mark.parametrize(
    "damage",
    [
        change_a_picture,
        swap_two_pictures,
        lose_a_picture,
        lose_the_record,
        empty_the_record,
        files_outside,
        fewer_than_none_held_out,
        another_schema,
    ],
)
def test_a_damaged_set_counts_as_absent_and_is_replaced(folder: Path, damage) -> None:
    save(folder, FRAMES)
    damage(folder)
    assert find_set(folder) is None
    assert find_set(folder) is None
    fresh = save(folder, FRAMES)
    assert find_set(folder) == fresh
    assert names(folder) == [folder.name]


def test_a_picture_that_is_damaged_after_the_look_is_told(folder: Path) -> None:
    found = save(folder, FRAMES)
    (folder / found.record.files[0]).write_bytes(b"no picture")
    with pytest.raises(StoreError) as caught:
        found.to_calibrate()[0]
    assert "is no picture of this set" in caught.value.message and caught.value.retry


def test_a_picture_of_another_size_is_told(folder: Path) -> None:
    found, other = save(folder, FRAMES), save(folder.with_name("other"), noise_frames(10, 32, 32))
    first = found.record.files[0]
    (folder / first).write_bytes((other.folder / first).read_bytes())
    with pytest.raises(StoreError):
        found.to_calibrate()[0]


# blank pictures


def letterboxed(colour: tuple[int, int, int]) -> Frames:
    """A 4:3 picture of one colour in a square input: with the grey bars that its values must not be mixed with."""
    source = np.empty((480, 640, 3), np.uint8)
    source[:] = colour
    out = np.empty((320, 320, 3), np.uint8)
    apply_letterbox(source, fit_letterbox(640, 480, 320, 320), out)
    return out


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (200, 30, 90), (PAD_VALUE,) * 3])
def test_a_covered_camera_is_refused_in_spite_of_the_bars(folder: Path, colour: tuple[int, int, int]) -> None:
    frame = letterboxed(colour)
    assert spread(frame) == pytest.approx(0, abs=1e-6)
    with pytest.raises(EngineError) as caught:
        save(folder, [frame] * 4)
    assert (caught.value.error_code, caught.value.retry) == ("no_calibration", True)
    assert "all 4 calibration frames are of one colour" in caught.value.message
    assert names(folder) == []


def test_sensor_noise_in_the_dark_is_no_picture(folder: Path) -> None:
    dark = np.random.default_rng(1).poisson(1.5, (40, 48, 3)).astype(np.uint8)
    with pytest.raises(EngineError):
        save(folder, [dark] * 4)


def test_one_frame_with_a_picture_is_enough(folder: Path) -> None:
    assert save(folder, [letterboxed((0, 0, 0)), noise_frames(1, 320, 320)[0]], holdout=1).record.holdout == 1


def test_spread_looks_at_the_liveliest_channel() -> None:
    frame = np.full((8, 8, 3), 50, np.uint8)
    frame[::2, :, 2] = 90
    assert spread(frame) == pytest.approx(20)


# names, locks, sweeping


def test_the_name_follows_camera_source_and_size() -> None:
    every = {
        set_name(camera, source, width, height)
        for camera in ("belt", "door")
        for source in ("synthetic seed 1", "synthetic seed 2")
        for width, height in ((320, 320), (640, 320), (320, 640))
    }
    assert len(every) == 12
    assert set_name("belt", "synthetic seed 1", 320, 320) == "belt-2f1cf59442"


def test_one_collector_at_a_time(folder: Path) -> None:
    with set_lock(folder) as mine, set_lock(folder) as yours, set_lock(folder.with_name("other")) as another:
        assert (mine, yours, another) == (True, False, True)
    with set_lock(folder) as again:
        assert again


def test_sweeping_removes_leftovers_and_no_living_collector(folder: Path) -> None:
    root, living = folder.parent, folder.with_name("living-cam")
    kept = save(folder, FRAMES)
    for name in (f".new-{folder.name}-abc_def1", f".old-{folder.name}", ".new-", ".new-x"):
        (root / name).mkdir()
    with set_lock(living) as free, SetWriter(living) as writer:
        assert free
        writer.add(FRAMES[0])
        assert sweep_sets(root) == [f".new-{folder.name}-abc_def1", f".old-{folder.name}"]
        writer.add(FRAMES[1])
        writer.commit(1)
    assert find_set(living) is not None and find_set(folder) == kept
    assert names(folder) == sorted([".new-", ".new-x", folder.name, living.name])


def test_sweeping_where_nothing_ever_was(tmp_path: Path) -> None:
    assert sweep_sets(tmp_path / "nowhere") == []


# the disk


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_leaves_nothing_half_written(folder: Path, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StoreError) as caught:
            save(folder, FRAMES)
    assert caught.value.error_code == "disk_full"
    assert names(folder) == []


def test_a_place_that_is_no_directory(tmp_path: Path) -> None:
    (tmp_path / "calibration").write_bytes(b"")
    with pytest.raises(StoreError):
        SetWriter(tmp_path / "calibration" / "cam")
    with pytest.raises(StoreError), set_lock(tmp_path / "calibration" / "cam"):
        pass
    assert find_set(tmp_path / "calibration" / "cam") is None
