"""A directory of calibration pictures: what is taken from it, and every kind of file that is not."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from engine_kit import Frames

from edgeagent.engine.calibration import SetWriter, find_set
from edgeagent.engine.images import ImagesFound, collect_images, even_order, list_images
from edgeagent.errors import EngineError
from edgeagent.vision.letterbox import apply_letterbox, fit_letterbox

WIDTH, HEIGHT = 96, 64


def picture(number: int, width: int = 120, height: int = 90) -> Frames:
    """Pictures that differ: blocks of random colours."""
    rng = np.random.default_rng(number)
    blocks = rng.integers(0, 256, (6, 8, 3), np.uint8)
    return cv2.resize(blocks, (width, height), interpolation=cv2.INTER_NEAREST)


def fill(folder: Path, count: int, kind: str = ".png", first: int = 0) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"p{first + number:03d}{kind}" for number in range(count)]
    for number, path in enumerate(paths):
        assert cv2.imwrite(str(path), picture(first + number))
    return paths


def silent(percent: float, text: str) -> None:
    return None


def collect(images: Path, into: Path, frames: int = 6, holdout: int = 2) -> ImagesFound:
    with SetWriter(into) as writer:
        found = collect_images(images, writer, WIDTH, HEIGHT, frames, holdout, silent)
        writer.commit(holdout)
    return found


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return tmp_path / "images"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "calibration" / "images-0123456789"


# what is taken


def test_pictures_lie_in_the_set_as_the_camera_path_would_letterbox_them(images: Path, folder: Path) -> None:
    fill(images, 8)
    found = collect(images, folder)
    assert (found.files, found.usable, found.kept, dict(found.passed_over)) == (8, 8, 8, {})
    whole = find_set(folder)
    assert whole is not None and (len(whole.to_calibrate()), len(whole.held_out())) == (6, 2)
    expected = set()
    for number in range(8):
        out = np.empty((HEIGHT, WIDTH, 3), np.uint8)
        apply_letterbox(picture(number), fit_letterbox(120, 90, WIDTH, HEIGHT), out)
        expected.add(out.tobytes())
    assert {frame.tobytes() for frame in (*whole.to_calibrate(), *whole.held_out())} == expected


@pytest.mark.parametrize("kind", [".png", ".jpg", ".bmp", ".webp"])
def test_every_kind_is_known_by_its_content_and_not_by_its_name(images: Path, folder: Path, kind: str) -> None:
    for path in fill(images, 8, kind):
        path.rename(path.with_suffix(".dat"))
    assert collect(images, folder).kept == 8


def test_grey_deep_and_transparent_pictures_are_pictures(images: Path, folder: Path) -> None:
    fill(images, 5)
    grey = picture(50)[:, :, 0]
    cv2.imwrite(str(images / "grey.png"), grey)
    cv2.imwrite(str(images / "deep.png"), picture(51).astype(np.uint16) * 257)
    cv2.imwrite(str(images / "clear.png"), np.dstack([picture(52), np.full((90, 120), 9, np.uint8)]))
    assert collect(images, folder).kept == 8


def test_directories_below_and_links_count_and_each_directory_once(images: Path, folder: Path) -> None:
    fill(images / "a" / "deep", 4)
    fill(images / "b", 4, first=4)
    (images / "b" / "round").symlink_to(images)
    (images / "a" / "again").symlink_to(images / "b")
    assert len(list_images(images)) == 8
    assert collect(images, folder).kept == 8


def test_the_same_directory_gives_the_same_set(images: Path, folder: Path) -> None:
    fill(images, 30)
    collect(images, folder)
    collect(images, folder.with_name("again"))
    one, two = find_set(folder), find_set(folder.with_name("again"))
    assert one is not None and two is not None and one.record == two.record
    assert one.record.spread is not None and one.record.spread > 10


def test_of_many_pictures_those_stay_that_differ(images: Path, folder: Path) -> None:
    """Thirty of one scene with a little noise, and eight others: all the others are taken."""
    fill(images, 8)
    rng = np.random.default_rng(0)
    base = picture(99)
    for number in range(30):
        noisy = np.clip(base.astype(int) + rng.integers(-3, 4, base.shape), 0, 255).astype(np.uint8)
        cv2.imwrite(str(images / f"q{number:03d}.png"), noisy)
    found = collect(images, folder, frames=7, holdout=2)
    whole = find_set(folder)
    assert found.kept == 9 and whole is not None
    target = np.empty((HEIGHT, WIDTH, 3), np.uint8)
    apply_letterbox(base, fit_letterbox(120, 90, WIDTH, HEIGHT), target)
    alike = [
        frame for frame in (*whole.to_calibrate(), *whole.held_out()) if np.abs(frame - target.astype(int)).max() < 9
    ]
    assert len(alike) == 1


def test_no_more_than_four_times_the_wanted_pictures_are_looked_at(images: Path, folder: Path) -> None:
    fill(images, 60)
    found = collect(images, folder, frames=6, holdout=2)
    assert found.looked_at <= 32 and found.files == 60 and found.kept == 8


def test_progress_rises_to_the_end_and_may_stop_the_work(images: Path, folder: Path) -> None:
    fill(images, 12)
    told: list[float] = []
    with SetWriter(folder) as writer:
        collect_images(images, writer, WIDTH, HEIGHT, 6, 2, lambda percent, text: told.append(percent))
    assert told == sorted(told) and 0 < told[0] < told[-1] == 100

    class Enough(Exception):
        pass

    def stop(percent: float, text: str) -> None:
        raise Enough

    with pytest.raises(Enough), SetWriter(folder) as writer:
        collect_images(images, writer, WIDTH, HEIGHT, 6, 2, stop)
    assert find_set(folder) is None


# what is passed over


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bomb(side: int) -> bytes:
    """A PNG of a few hundred bytes that says it is `side` x `side`."""
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


def bad_files(folder: Path) -> dict[str, int]:
    """One of every kind of file that is no use; what is expected to be told of them."""
    folder.mkdir(parents=True, exist_ok=True)
    good = fill(folder.parent / "elsewhere", 1, ".jpg", first=900)[0].read_bytes()
    plain = fill(folder.parent / "elsewhere", 1, ".png", first=900)[0].read_bytes()
    bitmap = fill(folder.parent / "elsewhere", 1, ".bmp", first=900)[0].read_bytes()
    modern = fill(folder.parent / "elsewhere", 1, ".webp", first=900)[0].read_bytes()
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "notes.txt").write_text("no pictures here")
    (folder / "page.jpg").write_text("<html><body>not found</body></html>")
    (folder / "clip.mp4").write_bytes(b"\x00\x00\x00\x20ftypisom" + bytes(5000))
    (folder / "old.gif").write_bytes(b"GIF89a" + bytes(100))
    for name, data in (("a.jpg", good), ("b.png", plain), ("c.bmp", bitmap), ("d.webp", modern)):
        (folder / f"cut-{name}").write_bytes(data[: len(data) // 2])
    (folder / "head.jpg").write_bytes(good[:20])
    (folder / "bomb.png").write_bytes(bomb(60_000))
    with (folder / "sparse.jpg").open("wb") as file:
        file.truncate(300 << 20)
    for number, colour in enumerate([(0, 0, 0), (255, 255, 255), (200, 30, 90)]):
        cv2.imwrite(str(folder / f"blank{number}.png"), np.full((90, 120, 3), colour, np.uint8))
    os.mkfifo(folder / "pipe.jpg")
    (folder / "gone.jpg").symlink_to(folder / "nowhere.jpg")
    (folder / "self.jpg").symlink_to(folder / "self.jpg")
    return {
        "no JPEG, PNG, BMP or WebP picture": 5,
        "empty": 1,
        "cut short or damaged": 4,
        "larger than 100 megapixels or 256 MiB": 2,
        "of one colour": 3,
        "no ordinary file": 1,
        "unreadable": 2,
    }


def test_bad_files_are_passed_over_and_counted_with_their_reasons(images: Path, folder: Path) -> None:
    expected = bad_files(images)
    fill(images, 8)
    copy = images / "p000-copy.png"
    copy.write_bytes((images / "p000.png").read_bytes())
    found = collect(images, folder)
    assert dict(found.passed_over) == {**expected, "the same picture as another": 1}
    assert found.kept == 8
    assert found.line().startswith("8 pictures kept of 8 usable ones; passed over: 5 no JPEG")


def test_a_socket_is_no_picture(images: Path, folder: Path) -> None:
    fill(images, 8)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(images / "s"))
        assert collect(images, folder).passed_over["unreadable"] == 1


# too little


def refused(images: Path, folder: Path) -> EngineError:
    with pytest.raises(EngineError) as caught:
        collect(images, folder)
    assert caught.value.error_code == "no_calibration"
    assert find_set(folder) is None
    assert caught.value.mend and "\n" not in caught.value.line()
    return caught.value


def test_too_few_pictures_are_told_with_the_settings_that_ask_for_them(images: Path, folder: Path) -> None:
    fill(images, 5)
    (images / "notes.txt").write_text("no picture")
    error = refused(images, folder)
    assert "has 5 usable pictures of 6 files, and 8 are needed" in error.message
    assert "1 no JPEG, PNG, BMP or WebP picture" in error.message
    assert "engines.calibration_frames (6)" in error.mend and "engines.holdout_frames (2)" in error.mend
    assert error.facts == {"usable": 5, "files": 6, "needed": 8}


def test_an_empty_directory(images: Path, folder: Path) -> None:
    (images / "sub").mkdir(parents=True)
    assert "is empty" in refused(images, folder).message


def test_a_directory_of_pictures_of_one_colour(images: Path, folder: Path) -> None:
    images.mkdir()
    for number in range(20):
        cv2.imwrite(str(images / f"{number}.png"), np.full((90, 120, 3), number * 10, np.uint8))
    error = refused(images, folder)
    assert "has 0 usable pictures of 20 files" in error.message and "20 of one colour" in error.message


def test_a_directory_of_copies(images: Path, folder: Path) -> None:
    data = fill(images, 1)[0].read_bytes()
    for number in range(20):
        (images / f"copy{number}.png").write_bytes(data)
    assert "20 the same picture as another" in refused(images, folder).message


def test_a_directory_of_something_else(images: Path, folder: Path) -> None:
    bad_files(images)
    assert "has 0 usable pictures" in refused(images, folder).message


def test_a_directory_that_is_not_there(images: Path, folder: Path) -> None:
    assert "no such file or directory" in refused(images, folder).message


def test_a_file_in_place_of_a_directory(images: Path, folder: Path) -> None:
    images.write_bytes(b"")
    assert "not a directory" in refused(images, folder).message


AS_NOBODY = """
import os, sys
from pathlib import Path
from edgeagent.engine.images import list_images
from edgeagent.errors import EngineError
if os.getuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
try:
    print(len(list_images(Path(sys.argv[1]))))
except EngineError as error:
    print(error.error_code, error.message)
"""


def listed_as_nobody(images: Path) -> str:
    for above in (images, *images.parents):
        if above == Path("/tmp") or above.stat().st_uid != os.getuid():
            break
        if above != images:
            above.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, str(images)], capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout.strip()


def test_a_directory_that_may_not_be_read(images: Path) -> None:
    fill(images, 3)
    images.chmod(0)
    told = listed_as_nobody(images)
    images.chmod(0o755)
    assert told.startswith("no_calibration") and "permission denied" in told


def test_a_directory_below_that_may_not_be_read_is_left_out(images: Path) -> None:
    fill(images, 3)
    fill(images / "closed", 3, first=3)
    (images / "closed").chmod(0)
    told = listed_as_nobody(images)
    (images / "closed").chmod(0o755)
    assert told == "3"


@pytest.mark.parametrize("count", [0, 1, 2, 7, 100])
def test_every_beginning_of_the_order_is_spread_over_the_whole(count: int) -> None:
    order = even_order(count)
    assert sorted(order) == list(range(count))
    if count == 100:
        gaps = np.diff(sorted([-1, *order[:20], 100]))
        assert gaps.max() <= 12
